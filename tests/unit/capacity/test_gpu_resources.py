from __future__ import annotations

import pytest

from deepseek_operator.capacity.gpu_resources import is_gpu_resource, pod_gpu_requests
from deepseek_operator.errors import InventoryError


def container(*, restart: str | None = None, field: str = "requests", **gpus: int) -> dict[str, object]:
    names = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "mig": "nvidia.com/mig-3g.40gb", "cpu": "cpu"}
    made: dict[str, object] = {"resources": {field: {names[key]: str(count) for key, count in gpus.items()}}}
    return made if restart is None else {**made, "restartPolicy": restart}


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        pytest.param({}, {}, id="a pod without containers holds nothing"),
        pytest.param({"containers": [container(cpu=4)]}, {}, id="a pod without GPUs holds none"),
        pytest.param({"containers": [container(nvidia=0)]}, {}, id="a request of zero is none"),
        pytest.param(
            {"containers": [container(nvidia=4), container(nvidia=1)]},
            {"nvidia.com/gpu": 5},
            id="containers add up",
        ),
        pytest.param(
            {"containers": [container(field="limits", nvidia=2)]},
            {"nvidia.com/gpu": 2},
            id="limits stand in for requests that are left out",
        ),
        pytest.param(
            {"containers": [container(nvidia=2)], "initContainers": [container(nvidia=8)]},
            {"nvidia.com/gpu": 8},
            id="a larger init container decides",
        ),
        pytest.param(
            {"containers": [container(nvidia=2)], "initContainers": [container(nvidia=1), container(nvidia=1)]},
            {"nvidia.com/gpu": 2},
            id="init containers run one after the other",
        ),
        pytest.param(
            {"containers": [container(nvidia=2)], "initContainers": [container(restart="Always", nvidia=1)]},
            {"nvidia.com/gpu": 3},
            id="a sidecar runs beside the containers",
        ),
        pytest.param(
            {
                "containers": [container(nvidia=1)],
                "initContainers": [container(restart="Always", nvidia=1), container(nvidia=4)],
            },
            {"nvidia.com/gpu": 5},
            id="an init container runs beside earlier sidecars",
        ),
        pytest.param(
            {
                "containers": [container(nvidia=1)],
                "initContainers": [container(nvidia=4), container(restart="Always", nvidia=1)],
            },
            {"nvidia.com/gpu": 4},
            id="an init container does not run beside later sidecars",
        ),
        pytest.param(
            {"containers": [container(nvidia=1)], "overhead": {"nvidia.com/gpu": "1", "cpu": "1"}},
            {"nvidia.com/gpu": 2},
            id="the overhead of the runtime class is added",
        ),
        pytest.param(
            {"containers": [container(amd=2), container(mig=1)]},
            {"amd.com/gpu": 2, "nvidia.com/mig-3g.40gb": 1},
            id="resources are counted apart",
        ),
    ],
)
def test_pod_gpu_requests(spec: dict[str, object], requests: dict[str, int]):
    assert pod_gpu_requests(spec) == requests


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("nvidia.com/gpu.shared", True, id="renamed time slices are GPUs"),
        pytest.param("huawei.com/Ascend910", True, id="NPUs are GPUs here"),
        pytest.param("amd.com/cpx_nps4", True, id="AMD partitions are parts of GPUs"),
        pytest.param("nvidia.com/hostdev", False, id="a network device of the same vendor is none"),
        pytest.param("memory", False, id="memory is none"),
    ],
)
def test_is_gpu_resource(name: str, expected: bool):
    assert is_gpu_resource(name) is expected


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        pytest.param("eight", "nvidia.com/gpu: 'eight' is no Kubernetes quantity", id="words"),
        pytest.param("-1", "nvidia.com/gpu is '-1' where a quantity of 0 or more is expected", id="a negative"),
        pytest.param(True, "nvidia.com/gpu is True where a quantity is expected", id="a boolean"),
        pytest.param({"gpu": 1}, "nvidia.com/gpu is {'gpu': 1} where a quantity is expected", id="an object"),
    ],
)
def test_a_request_that_is_no_quantity_is_refused(quantity: object, message: str):
    spec = {"containers": [{"resources": {"requests": {"nvidia.com/gpu": quantity}}}]}
    with pytest.raises(InventoryError) as refused:
        pod_gpu_requests(spec)
    assert str(refused.value).startswith(message)
