"""Two laws of shares: an engine stays within its share, and the shares of a GPU stay within the GPU."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cluster_objects import gpu_node
from deepseek_operator.capacity.dra import read_slice
from deepseek_operator.capacity.facts import joined, read_node, read_pod
from deepseek_operator.capacity.fits import OwnPods, fits_now
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.supply import supply
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.gpu_share import ShareMechanism, Sharing
from deepseek_operator.planner.request import Workload
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.units import MIB
from model_factories import make_deployment
from planner_values import request
from share_nodes import L40S_LABELS, hami_node, mig_node, single_mig_node, sliced_node

LAWS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MODELS = (
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai/deepseek-moe-16b-chat",
    "deepseek-ai/DeepSeek-V2-Lite-Chat",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
)


def claimed_node(devices: int, kind: str) -> dict[str, Any]:
    """Return a node of L40S, or of slices of H100, that are given by claims; its ResourceSlice is in ``slice``."""
    node = gpu_node("dra", labels={"nvidia.com/gpu.present": "true"}, allocatable={"cpu": "8"})
    is_slice = kind not in ("", "parts")
    product, mib = ("NVIDIA H100 80GB HBM3", 20096) if is_slice else ("NVIDIA L40S", 46068)
    attributes = {"productName": {"string": product}, "type": {"string": "mig" if is_slice else "gpu"}}
    attributes |= {"profile": {"string": kind}} if is_slice else {}
    device = {"attributes": attributes, "capacity": {"memory": {"value": f"{mib}Mi"}}}
    spec = {"driver": "gpu.nvidia.com", "nodeName": "dra", "pool": {"name": "dra", "generation": 1}}
    shareable = {"allowMultipleAllocations": kind == "parts"}
    spec |= {"devices": [{"name": f"d{index}", **device, **shareable} for index in range(devices)]}
    return node | {"slice": {"metadata": {"name": "dra"}, "spec": spec}}


nodes = st.one_of(
    st.builds(
        mig_node,
        st.just("mig"),
        st.dictionaries(st.sampled_from(["1g.10gb", "1g.20gb", "3g.40gb"]), st.integers(1, 16), min_size=1),
    ),
    st.builds(single_mig_node, st.just("single"), st.sampled_from(["1g.10gb", "3g.40gb"]), st.integers(1, 56)),
    st.builds(sliced_node, st.just("sliced"), st.integers(2, 10), st.sampled_from(["time-slicing", "mps"])),
    st.builds(hami_node, st.just("hami"), st.integers(1, 8), st.integers(2, 12), st.integers(20_000, 60_000)),
    st.builds(claimed_node, st.integers(1, 8), st.sampled_from(["", "1g.20gb", "parts"])),
    st.builds(gpu_node, st.just("kai"), gpus=st.integers(1, 8), labels=st.just(L40S_LABELS)),
)
"""One node for every mechanism."""

workloads = st.builds(
    Workload,
    input_tokens=st.sampled_from([128, 1024]),
    output_tokens=st.sampled_from([64, 512]),
    max_context_tokens=st.sampled_from([2048, 8192]),
    concurrency=st.integers(1, 64),
)
questions = st.builds(
    request,
    st.sampled_from(MODELS),
    workload=workloads,
    sla=st.none(),
    sharing=st.sampled_from([Sharing.AUTO, Sharing.SHARED]),
)


def _inventory(node: dict[str, Any], *pods: dict[str, Any]) -> Inventory:
    slices = [read_slice(node["slice"])] if "slice" in node else []
    seen = joined([read_node(node)], slices)
    return inventory(seen, [read_pod(pod) for pod in pods], features=ClusterFeatures(kai=True))


def _pod(found: Plan) -> dict[str, Any]:
    """Return the pod that the plan leads to, as the builders make it."""
    name = found.model_name
    spec = {"model": {"name": name}, "sharing": "Shared", "sla": None}
    template: dict[str, Any] = build_pod_template(make_deployment("p", "default", **spec), found, "00000000")
    return template


@LAWS
@given(questions, nodes)
def test_an_engine_stays_within_its_share_and_the_shares_within_the_gpu(asked: Any, node: dict[str, Any]):  # noqa: ANN401 - drawn
    seen = _inventory(node)
    found = plan(asked, supply(seen))
    assume(isinstance(found, Plan) and found.share is not None and found.share.is_part)
    assert isinstance(found, Plan)
    share, physical = found.share, gpu(found.gpu).usable_memory_bytes
    assert share is not None
    assert physical is not None
    assert found.memory.total_bytes == share.memory_bytes
    rank = found.memory
    used = rank.weights_bytes + rank.kv_cache_bytes + rank.activations_bytes + rank.non_torch_bytes
    assert used + rank.cuda_graph_bytes <= rank.budget_bytes <= share.memory_bytes
    assert share.slices_per_gpu * share.memory_bytes <= physical
    assert found.parallelism.world_size == 1


@LAWS
@given(questions, nodes)
def test_what_the_engine_is_told_keeps_it_inside_its_share(asked: Any, node: dict[str, Any]):  # noqa: ANN401 - drawn
    found = plan(asked, supply(_inventory(node)))
    assume(isinstance(found, Plan) and found.share is not None and found.share.is_part)
    assert isinstance(found, Plan)
    share = found.share
    assert share is not None
    container = _pod(found)["spec"]["containers"][0]
    told = {word.partition("=")[0]: word.partition("=")[2] for word in container["args"]}
    percent = int(Fraction(told["--gpu-memory-utilization"]) * 100)
    assert percent * share.seen_memory_bytes // 100 <= share.memory_bytes
    fixed = int(told.get("--kv-cache-memory-bytes", "0"))
    assert (fixed > 0) is not share.isolates_memory
    if fixed:
        rank = found.memory
        others = rank.weights_bytes + rank.activations_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes
        assert others + fixed <= share.memory_bytes


@LAWS
@given(questions, nodes)
def test_as_many_pods_as_fit_never_ask_for_more_than_the_node_has(asked: Any, node: dict[str, Any]):  # noqa: ANN401 - drawn
    seen = _inventory(node)
    found = plan(asked, supply(seen))
    assume(isinstance(found, Plan) and found.share is not None)
    assert isinstance(found, Plan)
    share = found.share
    assert share is not None
    count = fits_now(found, seen, replicas=1).count
    template = _pod(found)
    gpus = seen.nodes[0].physical_gpus or 8
    limits = template["spec"]["containers"][0]["resources"].get("limits", {})
    if share.resource:
        assert count * int(limits[share.resource]) <= int(node["status"]["allocatable"][share.resource])
    asked_mib = int(limits.get("nvidia.com/gpumem", 0) or template["metadata"]["annotations"].get("gpu-memory", 0))
    physical = gpu(found.gpu).usable_memory_bytes or 0
    assert count * asked_mib * MIB <= gpus * physical
    placed = [
        {
            "metadata": {"name": f"p{index}", "namespace": "default", **template["metadata"]},
            "spec": template["spec"] | {"nodeName": node["metadata"]["name"]},
            "status": {"phase": "Running"},
        }
        for index in range(count)
    ]
    full = _inventory(node, *placed)
    assert fits_now(found, full, replicas=1).count == 0
    assert fits_now(found, full, own=OwnPods.of("default", "p"), replicas=count).fits


@LAWS
@given(questions, nodes, st.integers(0, 20))
def test_less_is_free_the_more_is_held(asked: Any, node: dict[str, Any], held: int):  # noqa: ANN401 - drawn
    seen = _inventory(node)
    found = plan(asked, supply(seen))
    assume(isinstance(found, Plan) and found.share is not None)
    assert isinstance(found, Plan)
    limits = _pod(found)["spec"]["containers"][0]["resources"].get("limits", {"nvidia.com/gpu": "1"})
    pods = [
        {
            "metadata": {"name": f"x{index}", "namespace": "other"},
            "spec": {"nodeName": node["metadata"]["name"], "containers": [{"resources": {"limits": limits}}]},
            "status": {"phase": "Running"},
        }
        for index in range(held)
    ]
    counts = [fits_now(found, _inventory(node, *pods[:number]), replicas=1).count for number in range(held + 1)]
    assert counts == sorted(counts, reverse=True)


def test_every_mechanism_is_drawn():
    drawn = (mig_node("n", {"1g.10gb": 1}), sliced_node("n"), sliced_node("n", strategy="mps"), hami_node("n"))
    offered = [{offer.share.mechanism for offer in _inventory(node).nodes[0].shares} for node in drawn]
    assert offered == [{ShareMechanism.MIG}, {ShareMechanism.TIME_SLICING}, {ShareMechanism.MPS}, {ShareMechanism.HAMI}]
