"""Host memory that pods hold, and whether what is left has room for a replica."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.fits import FitsNow, OwnPods, fits_now
from deepseek_operator.capacity.host_use import HostUse, pod_host_use
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.snapshot import load_snapshot, snapshot
from deepseek_operator.errors import InventoryError
from deepseek_operator.units import GIB
from plan_values import plan_with


def container(memory: str, **more: object) -> dict[str, Any]:
    return {"resources": {"requests": {"memory": memory}}, **more}


@pytest.mark.parametrize(
    ("spec", "gib"),
    [
        pytest.param({}, 0, id="nothing"),
        pytest.param({"containers": [container("2Gi"), container("512Mi")]}, 2.5, id="containers add up"),
        pytest.param(
            {"containers": [container("1Gi")], "initContainers": [container("3Gi")]}, 3, id="the larger of both phases"
        ),
        pytest.param(
            {
                "containers": [container("1Gi")],
                "initContainers": [container("1Gi", restartPolicy="Always"), container("3Gi")],
            },
            4,
            id="an init container beside a sidecar",
        ),
        pytest.param({"containers": [container("1Gi")], "overhead": {"memory": "1Gi"}}, 2, id="a runtime's overhead"),
        pytest.param({"containers": [{"resources": {"limits": {"memory": "1.5Gi"}}}]}, 1.5, id="a limit alone"),
    ],
)
def test_memory_that_a_pod_requests(spec: dict[str, Any], gib: float):
    assert pod_host_use(spec).memory_bytes == int(gib * GIB)


def test_a_quantity_that_is_none_is_refused():
    with pytest.raises(InventoryError, match="memory"):
        pod_host_use({"containers": [container("much")]})


def busy_pod(
    name: str, memory: str, namespace: str = "default", labels: dict[str, str] | None = None
) -> dict[str, Any]:
    pod = gpu_pod(name, gpus=1, node="h100-0", namespace=namespace, labels=labels)
    pod["spec"]["containers"][0]["resources"].setdefault("requests", {})["memory"] = memory
    return pod


def fits(*pods: dict[str, Any], need_gib: int, own: OwnPods | None = None, nodes: int = 1) -> FitsNow:
    offered = {"nvidia.com/gpu": "8", "memory": "1000Gi"}
    hosts = [gpu_node(f"h100-{index}", allocatable=offered) for index in range(nodes)]
    found = inventory([read_node(node) for node in hosts], [read_pod(pod) for pod in pods])
    return fits_now(plan_with(gpus=4), found, own=own, pod_host=HostUse(memory_bytes=need_gib * GIB))


def test_gpus_and_memory_must_be_free_on_one_node():
    assert fits(busy_pod("other", "800Gi"), need_gib=200).fits
    refused = fits(busy_pod("other", "801Gi"), need_gib=200)
    assert refused.limiting == (
        "needs 4 free h100-sxm5-80gb on one node; the freest node h100-0 has 0 of 8; each of its pods requests "
        "200.0 GiB of host memory, and 1 of 1 nodes lacks it (h100-0 has 199.0 GiB free)"
    )


def test_memory_limits_how_many_replicas_a_node_holds():
    assert fits(need_gib=600).count == 1
    assert fits(need_gib=500).count == 2


def test_pods_without_gpus_hold_memory_too():
    web = busy_pod("web", "801Gi")
    web["spec"]["containers"][0]["resources"] = container("801Gi")["resources"]
    assert not fits(web, need_gib=200).fits


def on_host(need: HostUse, **allocatable: str) -> FitsNow:
    offered = {"nvidia.com/gpu": "8", "memory": "1000Gi", **allocatable}
    pods = [gpu_pod("other", gpus=1, node="h100-0")]  # asks for 4 cores
    found = inventory([read_node(gpu_node("h100-0", allocatable=offered))], [read_pod(pod) for pod in pods])
    return fits_now(plan_with(gpus=4), found, pod_host=need)


def test_cpu_must_be_free_on_the_node_of_the_gpus():
    assert on_host(HostUse(cpu_milli=6000, pods=1), cpu="10").fits
    assert on_host(HostUse(cpu_milli=6000, pods=1), cpu="9500m").limiting.endswith(
        "h100-0 has 0 of 8; each of its pods requests 6 CPU cores, and 1 of 1 nodes lacks them (h100-0 has 5.5 free)"
    )


def test_a_node_takes_no_more_pods_than_its_kubelet_allows():
    assert on_host(HostUse(cpu_milli=6000, pods=1), cpu="10", pods="2").fits
    refused = on_host(HostUse(cpu_milli=6000, pods=1), cpu="10", pods="1")
    assert refused.limiting.endswith(
        "is one more on its node, and 1 of 1 nodes lacks a place for it (h100-0 has 0 pods free)"
    )


def test_a_node_that_tells_nothing_of_its_host_has_enough():
    found = inventory([read_node(gpu_node("h100-0", allocatable={"cpu": "0", "nvidia.com/gpu": "8"}))], [])
    assert fits_now(plan_with(gpus=4), found, pod_host=HostUse(cpu_milli=6000, memory_bytes=GIB, pods=1)).count == 2


def test_own_pods_give_back_what_they_hold():
    mine = OwnPods.of("chat", "mine")
    pod = busy_pod("mine-1", "900Gi", namespace="chat", labels=dict(mine.labels))
    assert fits(pod, need_gib=900, own=mine).fits
    assert not fits(pod, need_gib=900).fits


def test_the_snapshot_keeps_what_pods_hold():
    node = read_node(gpu_node("h100-0"))
    pod = read_pod(busy_pod("other", "800Gi"))
    _, pods = load_snapshot(snapshot([node], [pod]))
    assert pods[0].host.memory_bytes == 800 * GIB
