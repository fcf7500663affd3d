"""Pods on shares: what the golden manifests do not show by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.plan_status import plan_from_status, plan_status
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.gpu_share import label_values, share_request
from deepseek_operator.resources.resource_claim_template import device_expression
from deepseek_operator.resources.template_pin import INPUTS_KEY
from manifest_cases.case import ManifestCase
from manifest_cases.sharing import CASES, SPEC, WHOLE_DRA, WHOLE_HAMI, mig, part
from model_factories import UID, make_deployment

KAI = part("l40s", ShareMechanism.KAI, 2, "")


def made(plan: Plan, kind: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the spec
    """Return the first manifest of a kind."""
    deployment = make_deployment("small", **SPEC | {"sla": None} | spec)
    manifests = desired(deployment, plan, uid=UID, replicas=1, plan_hash=plan_hash(plan))
    return next(each for each in manifests if each["kind"] == kind)


def arguments(plan: Plan) -> list[str]:
    words: list[str] = made(plan, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    return words


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_an_accepted_plan_on_a_share_is_read_back_as_it_was(case: ManifestCase):
    plan = case.plan
    if plan.share is not None:
        plan = replace(plan, memory=replace(plan.memory, total_bytes=plan.share.memory_bytes))
    assert plan_from_status(plan_status(plan)) == plan


def test_a_share_by_a_mechanism_of_a_later_version_is_not_read():
    status = plan_status(KAI)
    assert plan_from_status(status | {"share": status["share"] | {"mechanism": "Teleportation"}}) is None


def test_the_size_of_a_mig_slice_is_no_part_of_the_hash_and_a_fraction_is():
    def smaller(plan: Plan) -> Plan:
        assert plan.share is not None
        return replace(plan, share=replace(plan.share, memory_bytes=plan.share.memory_bytes - 2**21))

    cut, fraction = mig("h100-sxm5-80gb", "3g.40gb"), part("l40s", ShareMechanism.HAMI, 4)
    assert plan_hash(smaller(cut)) == plan_hash(cut)
    assert plan_hash(smaller(fraction)) != plan_hash(fraction)


def test_a_fixed_cache_is_part_of_the_hash_because_the_engine_is_told_it():
    sliced = part("l40s", ShareMechanism.TIME_SLICING, 4)
    less = replace(sliced, memory=replace(sliced.memory, kv_cache_bytes=sliced.memory.kv_cache_bytes - 1))
    assert plan_hash(less) != plan_hash(sliced)


def test_another_queue_of_kai_makes_new_pods_and_another_queue_of_kueue_does_not():
    first, second = (made(KAI, "ConfigMap", queueName=queue)["data"][INPUTS_KEY] for queue in ("a", "b"))
    assert first != second
    cut = mig("h100-sxm5-80gb", "1g.20gb")
    first, second = (made(cut, "ConfigMap", queueName=queue)["data"][INPUTS_KEY] for queue in ("a", "b"))
    assert first == second


def test_kueue_is_not_asked_for_a_queue_of_kai():
    assert "kueue.x-k8s.io/queue-name" not in made(KAI, "Deployment", queueName="a")["metadata"]["labels"]


def test_gpus_under_hami_copy_nothing_to_each_other():
    assert "--disable-custom-all-reduce" in arguments(WHOLE_HAMI)
    assert "--disable-custom-all-reduce" not in arguments(part("l40s", ShareMechanism.HAMI, 2))
    assert "--disable-custom-all-reduce" not in arguments(WHOLE_DRA)


@pytest.mark.parametrize(
    ("plan", "fixed", "utilization"),
    [
        (part("l40s", ShareMechanism.TIME_SLICING, 4), True, "0.23"),
        (part("l40s", ShareMechanism.MPS, 2), True, "0.46"),
        (part("l40s", ShareMechanism.KAI, 8, ""), True, "0.11"),
        (part("l40s", ShareMechanism.DRA, 2, ""), True, "0.46"),
        (part("l40s", ShareMechanism.HAMI, 2), False, "0.92"),
        (mig("h100-sxm5-80gb", "3g.40gb"), False, "0.92"),
    ],
    ids=["time slicing", "MPS", "KAI", "DRA", "HAMi", "MIG"],
)
def test_what_keeps_an_engine_inside_its_share(plan: Plan, fixed: bool, utilization: str):
    words = arguments(plan)
    assert f"--gpu-memory-utilization={utilization}" in words
    assert [word for word in words if word.startswith("--kv-cache-memory-bytes")] == (
        [f"--kv-cache-memory-bytes={plan.memory.kv_cache_bytes}"] if fixed else []
    )


@pytest.mark.parametrize(
    ("priority", "asked"), [("Critical", "0"), ("High", "0"), ("Standard", "1"), ("Batch", "1"), ("", "1")]
)
def test_the_priority_inside_a_gpu_that_hami_divides(priority: str, asked: str):
    plan = part("l40s", ShareMechanism.HAMI, 2)
    request = share_request(plan.share, gpu=gpu("l40s"), gpus=1, container="engine", priority=priority)
    assert request.resources["nvidia.com/priority"] == asked


@pytest.mark.parametrize(
    ("plan", "value"),
    [
        (mig("h100-sxm5-80gb", "1g.10gb+me"), "NVIDIA-H100-80GB-HBM3"),
        (mig("h100-sxm5-80gb", "1g.10gb+me", "nvidia.com/gpu"), "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me"),
        (part("l40s", ShareMechanism.MPS, 2), "NVIDIA-L40S-SHARED"),
        (part("l40s", ShareMechanism.TIME_SLICING, 2, "nvidia.com/gpu.shared"), "NVIDIA-L40S"),
        (part("l40s", ShareMechanism.HAMI, 2), "NVIDIA-L40S"),
    ],
)
def test_which_label_nodes_of_a_share_carry(plan: Plan, value: str):
    assert value in label_values(gpu(plan.gpu), plan.share)


def test_a_claim_asks_for_each_attribute_before_it_compares_it():
    share = GpuShare(mechanism=ShareMechanism.DRA, profile="1g.20gb", slices_per_gpu=4, memory_bytes=2**30)
    parts = device_expression(gpu("h200-sxm"), share).split(" && ")
    assert parts == [
        "device.driver == 'gpu.nvidia.com'",
        "'productName' in device.attributes['gpu.nvidia.com']",
        "device.attributes['gpu.nvidia.com'].productName.replace(' ', '-') in ['NVIDIA-H200']",
        "'profile' in device.attributes['gpu.nvidia.com']",
        "device.attributes['gpu.nvidia.com'].profile == '1g.20gb'",
        "'memory' in device.capacity['gpu.nvidia.com']",
        "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('1024Mi')) >= 0",
    ]


def test_the_template_of_a_claim_belongs_to_one_plan():
    names = [
        made(plan, "ResourceClaimTemplate")["metadata"]["name"]
        for plan in (WHOLE_DRA, part("l40s", ShareMechanism.DRA, 2, ""))
    ]
    assert names[0] == f"small-gpu-{plan_hash(WHOLE_DRA)}"
    assert names[0] != names[1]
