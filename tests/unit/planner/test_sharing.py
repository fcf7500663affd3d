"""Plans on shares of GPUs: which are taken, how large they are, what they cost and why others are not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cluster_objects import gpu_node
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.capacity.supply import supply
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.planner.gpu_share import ShareMechanism, Sharing
from deepseek_operator.planner.price import with_prices
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest, Supply
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.resources.features import ClusterFeatures
from model_factories import make_deployment
from planner_values import WORKLOAD, planned, refused, request
from share_nodes import L40S_LABELS, hami_node, inventory_of, mig_node, sliced_node

DISTILL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
SMALL = replace(WORKLOAD, concurrency=4)

WHOLE = gpu_node("whole", gpus=2, labels=L40S_LABELS)
MIG = mig_node("mig", {"1g.20gb": 32})
SLICED = sliced_node("sliced")
MPS = sliced_node("mps", replicas=2, strategy="mps")
HAMI = hami_node("hami")


def asked(**changes: object) -> PlanRequest:
    """Return a small question to a small distilled model, without a service level."""
    return request(DISTILL, **({"sla": None, "workload": SMALL} | changes))


def of(*nodes: dict[str, object], kai: bool = False) -> Supply:
    return supply(inventory_of(*nodes, features=ClusterFeatures(kai=kai)))


def test_auto_takes_an_isolated_slice_where_it_is_cheaper_than_a_whole_gpu():
    plan = planned(asked(), of(MIG, gpu_node("h100")))
    assert (plan.gpu_name, plan.gpus_per_replica) == ("h100-sxm5-80gb (MIG 1g.20gb)", 1)
    assert plan.cost_per_hour_usd == Decimal("0.4975")
    assert plan.memory.total_bytes == plan.share.memory_bytes if plan.share else False


def test_auto_takes_the_smallest_share_of_hami_that_holds_the_model():
    plan = planned(asked(), of(HAMI))
    assert plan.share is not None
    assert (plan.share.mechanism, plan.share.slices_per_gpu) == (ShareMechanism.HAMI, 8)
    tight = planned(asked(workload=replace(WORKLOAD, concurrency=200)), of(HAMI))
    assert tight.share is not None
    assert tight.share.slices_per_gpu < plan.share.slices_per_gpu


@pytest.mark.parametrize("node", [SLICED, MPS], ids=["time slicing", "MPS"])
def test_auto_never_takes_memory_that_nobody_isolates(node: dict[str, object]):
    answer = refused(asked(), of(node))
    assert answer.reason is InfeasibleReason.NO_SUCH_GPU
    assert "does not isolate memory, so it is used only with spec.sharing: Shared" in answer.message


def test_exclusive_takes_no_part_of_a_gpu():
    assert planned(asked(sharing=Sharing.EXCLUSIVE), of(MIG, SLICED, WHOLE)).gpu_name == "l40s"
    assert "spec.sharing: Exclusive asks for whole ones" in refused(asked(sharing=Sharing.EXCLUSIVE), of(MIG)).message


def test_exclusive_takes_whole_gpus_of_a_mechanism_that_could_divide_them():
    plan = planned(asked(sharing=Sharing.EXCLUSIVE), of(HAMI))
    assert plan.share is not None
    assert (plan.gpu_name, plan.share.is_part) == ("l40s (HAMi)", False)


def test_shared_never_takes_a_whole_gpu():
    answer = refused(asked(sharing=Sharing.SHARED), of(WHOLE))
    assert "l40s is offered whole, and spec.sharing: Shared asks for a part of a GPU" in answer.message


@pytest.mark.parametrize(("node", "slices"), [(SLICED, 4), (MPS, 2)], ids=["time slicing", "MPS"])
def test_shared_keeps_an_engine_inside_its_share_by_its_own_settings(node: dict[str, object], slices: int):
    plan = planned(asked(sharing=Sharing.SHARED), of(node))
    assert plan.share is not None
    assert (plan.share.slices_per_gpu, plan.share.isolates_memory) == (slices, False)
    assert plan.fixed_kv_cache_bytes == plan.memory.kv_cache_bytes > 0
    assert plan.memory.budget_bytes <= plan.share.memory_bytes
    assert any("does not isolate memory" in reason for reason in plan.reasons)


def test_kai_divides_whole_gpus_when_it_is_asked_to():
    plan = planned(asked(sharing=Sharing.SHARED), of(WHOLE, kai=True))
    assert plan.share is not None
    assert (plan.share.mechanism, plan.share.resource) == (ShareMechanism.KAI, "")
    assert planned(asked(), of(WHOLE, kai=True)).share is None


@pytest.mark.parametrize("node", [SLICED, MPS], ids=["time slicing", "MPS"])
def test_no_service_level_is_promised_where_sharers_are_not_limited(node: dict[str, object]):
    answer = refused(asked(sharing=Sharing.SHARED, sla=request().sla), of(node))
    assert "no service level can be promised on l40s" in answer.message
    assert "leave spec.sla out, or use whole GPUs, MIG or HAMi" in answer.message


def test_a_slice_is_as_fast_as_its_part_of_the_gpu():
    whole = planned(asked(), of(gpu_node("h100", gpus=1)))
    part = planned(asked(sharing=Sharing.SHARED), of(MIG))
    assert whole.predicted is not None
    assert part.predicted is not None
    assert part.predicted.tpot_milliseconds > 2 * whole.predicted.tpot_milliseconds
    assert part.predicted.error_percent >= whole.predicted.error_percent


def test_a_pinned_profile_is_obeyed_or_refused_by_name():
    both = of(mig_node("mig", {"1g.20gb": 16, "3g.40gb": 8}))
    assert planned(asked(mig_profile="3g.40gb"), both).gpu_name == "h100-sxm5-80gb (MIG 3g.40gb)"
    answer = refused(asked(mig_profile="1g.10gb"), both)
    assert "hardware.migProfile asks for 1g.10gb, and h100-sxm5-80gb (MIG 3g.40gb) is no such slice" in answer.message
    assert "Leave the MIG profile to the planner: 1 x h100-sxm5-80gb (MIG 1g.20gb)." in answer.nearest


def test_a_replica_is_never_split_over_several_shares():
    answer = refused(asked(sharing=Sharing.SHARED, parallelism=PinnedParallelism(tensor=2)), of(MIG))
    assert answer.reason is InfeasibleReason.SPLIT_ILLEGAL
    assert "TP2: a replica cannot be split over several shares such as h100-sxm5-80gb (MIG 1g.20gb)" in answer.message


def test_whole_gpus_of_hami_may_be_split_over():
    plan = planned(asked(parallelism=PinnedParallelism(tensor=2)), of(HAMI))
    assert (plan.gpu_name, plan.gpus_per_replica) == ("l40s (HAMi)", 2)


def test_the_limit_of_gpus_counts_the_gpus_that_shares_need():
    many = asked(workload=replace(WORKLOAD, concurrency=4), min_replicas=4, max_replicas=4, sharing=Sharing.SHARED)
    assert planned(replace(many, max_gpus_total=1), of(MIG)).replicas == 4
    answer = refused(replace(many, max_replicas=5, max_gpus_total=1), of(MIG))
    assert "2 GPUs at 5 replicas against a limit of 1 GPUs" in answer.message


def test_given_prices_are_those_of_whole_gpus():
    priced = with_prices(of(MIG), {"h100-sxm5-80gb": Decimal("4.00")})
    assert planned(asked(), priced).cost_per_hour_usd == Decimal("1.0000")


def test_what_is_told_of_a_model_that_fits_no_share():
    answer = refused(request("deepseek-ai/DeepSeek-R1", sharing=Sharing.SHARED, sla=None), of(MIG))
    assert answer.reason is InfeasibleReason.MEMORY_INSUFFICIENT


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"hardware": {"migProfile": "3g.30gb", "gpus": ["h100-sxm5-80gb"]}},
            "spec.hardware.migProfile: unknown MIG profile '3g.30gb'; h100-sxm5-80gb can be cut into 1g.10gb, "
            "1g.10gb+me, 1g.20gb, 2g.20gb, 3g.40gb, 4g.40gb, 7g.80gb",
            id="not of the product",
        ),
        pytest.param(
            {"hardware": {"migProfile": "3g.30gb"}},
            "spec.hardware.migProfile: unknown MIG profile '3g.30gb'; did you mean 3g.93gb or 3g.90gb or 3g.40gb? see "
            "migProfiles in `kubectl deepseek catalog gpus -o yaml`",
            id="of no product",
        ),
        pytest.param(
            {"hardware": {"migProfile": "1g.10gb", "gpus": ["l40s"]}},
            "spec.hardware.migProfile: unknown MIG profile '1g.10gb'; l40s cannot be cut into slices, as far as the "
            "catalogue knows",
            id="of a product without MIG",
        ),
        pytest.param(
            {"hardware": {"migProfile": "1g.10gb"}, "sharing": "Exclusive"},
            "spec.hardware.migProfile: a MIG slice is a part of a GPU, and spec.sharing: Exclusive asks for whole ones",
            id="against the sharing",
        ),
    ],
)
def test_profiles_that_cannot_be(spec: dict[str, object], message: str):
    with pytest.raises(InvalidSpecError) as wrong:
        plan_request(make_deployment(**spec))
    assert str(wrong.value) == message
