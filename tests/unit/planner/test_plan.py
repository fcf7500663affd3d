from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from statistics import NormalDist

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.hardware import refusal
from deepseek_operator.planner.request import PinnedParallelism, Quality, Sla, Workload
from deepseek_operator.planner.result import InfeasibleReason
from planner_values import (
    A100,
    CHAT_7B,
    CHAT_67B,
    H100,
    L40S,
    MIXED,
    R1,
    RTX_4090,
    SLA,
    V32,
    WORKLOAD,
    planned,
    pool,
    refused,
    request,
    supply,
)

DATA_CENTRE = {H100, A100, L40S}


def test_67b_is_planned_on_several_data_centre_gpus_of_one_node():
    plan = planned(request(), MIXED)
    assert plan.gpu in DATA_CENTRE
    assert plan.gpus_per_replica >= 2
    assert plan.nodes_per_replica == 1
    assert plan.kv_cache_tokens >= 32 * 1280
    assert plan.predicted is not None
    assert plan.predicted.tpot_milliseconds <= SLA.tpot_milliseconds
    assert plan.predicted.ttft_milliseconds <= SLA.ttft_milliseconds


def test_the_service_level_is_judged_at_its_percentile():
    # the mean TPOT of four A100 is 59 ms, the 95th percentile 68 ms
    assert planned(request(gpus=(A100,)), MIXED).parallelism == Parallelism(tensor=8)
    assert planned(request(gpus=(A100,), sla=replace(SLA, percentile=50)), MIXED).parallelism == Parallelism(tensor=4)


def test_reasons_say_how_sure_the_service_level_is_and_what_would_be_sure():
    [said] = [reason for reason in planned(request(), MIXED).reasons if reason.startswith("Predicted")]
    assert said == (
        "Predicted at 32 requests per replica (Transferred): p95 TTFT 526 ms of 2,000 allowed (± 132 %) and p95 TPOT "
        "34 ms of 60 allowed (± 41 %), with means of 362 and 30 ms. The service level holds at the upper end of these "
        "90 % bands too: it is sure."
    )
    tighter = request(sla=replace(SLA, tpot_milliseconds=45))
    [said] = [reason for reason in planned(tighter, MIXED).reasons if reason.startswith("Predicted")]
    assert said.endswith(
        "That is likely, not sure: the upper ends of these 90 % bands are 1,219 and 47 ms; 8 x h100-sxm5-80gb (TP8) "
        "would be sure: 15.92 USD per hour. A batch ends at 59 requests, so that a burst waits and does not slow all "
        "others."
    )


def test_the_other_products_are_listed_with_cost_or_limit():
    by_gpu = {other.gpu: other for other in planned(request(), MIXED).alternatives if other.quantization == "Native"}
    assert set(by_gpu) == {A100, L40S, RTX_4090}
    assert by_gpu[A100].feasible
    assert by_gpu[A100].cost_per_hour_usd == Decimal("9.84")
    assert not by_gpu[RTX_4090].feasible
    assert by_gpu[RTX_4090].detail.startswith("1 x rtx-4090: 125.6 GiB of weights per GPU against 21.6 GiB usable")
    assert "driver licence" in by_gpu[RTX_4090].detail


def test_a_lower_quality_is_named_when_it_would_be_cheaper():
    plan = planned(request(), MIXED)
    lower = plan.alternatives[0]
    assert (lower.quantization, lower.feasible) == ("FP8", False)
    assert lower.cost_per_hour_usd is not None
    assert plan.cost_per_hour_usd is not None
    assert lower.cost_per_hour_usd < plan.cost_per_hour_usd
    assert lower.detail.startswith("Quality Lossless excludes FP8; with NearLossless ")


def test_near_lossless_takes_the_cheaper_rung():
    plan = planned(request(quality=Quality.NEAR_LOSSLESS), MIXED)
    assert plan.quantization == "FP8"
    assert plan.cost_per_hour_usd == planned(request(), MIXED).alternatives[0].cost_per_hour_usd


def test_reasons_are_at_most_eight_sentences_with_the_price_first():
    reasons = planned(request(), MIXED).reasons
    assert 1 <= len(reasons) <= 8
    assert "7.96 USD per hour; the next best is 8 x a100-sxm4-80gb (TP8): 9.84 USD per hour" in reasons[0]
    assert all(reason.endswith(".") for reason in reasons)


def test_r1_spans_two_nodes_of_eight_h100():
    plan = planned(request(R1), supply(pool(H100, 2)))
    assert plan.parallelism == Parallelism(tensor=8, pipeline=2)
    assert (plan.gpus_per_replica, plan.nodes_per_replica, plan.replicas) == (16, 2, 1)


def test_r1_on_one_node_of_eight_h100_is_refused_with_the_node_that_is_missing():
    answer = refused(request(R1), supply(pool(H100)))
    assert answer.reason is InfeasibleReason.MEMORY_INSUFFICIENT
    assert "8 x h100-sxm5-80gb (TP8): 79.6 GiB of weights per GPU against 72.8 GiB usable" in answer.message
    assert answer.nearest.startswith(
        "Add 1 node of 8 x h100-sxm5-80gb: 2 nodes of 8 x h100-sxm5-80gb then hold one replica (TP8 PP2)"
    )


def test_fp8_weights_on_a100_are_widened_and_said_so():
    plan = planned(request(R1), supply(pool(A100, 2)))
    assert "weights are widened to 16 bits" in plan.reasons[-1]


def test_sparse_attention_is_not_planned_on_ampere():
    answer = refused(request(V32), supply(pool(A100, 4)))
    assert answer.reason is InfeasibleReason.NO_SUCH_GPU
    assert "sparse attention of this model has no kernel on a100-sxm4-80gb (compute capability 8.0)" in answer.message


def test_attention_over_compressed_states_is_sparse_too():
    why = refusal(request("deepseek-ai/DeepSeek-V4-Flash"), pool(A100, 4))
    said = "sparse attention of this model has no kernel on a100-sxm4-80gb (compute capability 8.0)"
    assert why == (InfeasibleReason.NO_SUCH_GPU, said)


def test_sparse_attention_is_refused_on_an_amd_product_without_a_kernel():
    answer = refused(request(V32), supply(pool("mi210", 4)))
    assert answer.reason is InfeasibleReason.NO_SUCH_GPU
    assert "sparse attention of this model has no kernel on mi210 (gfx90a)" in answer.message


@pytest.mark.parametrize(
    ("product", "words"),
    [
        pytest.param("t4", "t4 cannot run Native (it would need bf16)", id="no bfloat16 before 8.0"),
        pytest.param("gb10", "shares its memory with the processor", id="unified memory"),
    ],
)
def test_a_product_that_cannot_run_the_model_is_refused_by_name(product: str, words: str):
    nodes = replace(pool(H100), gpu=gpu(product))
    assert words in refused(request(CHAT_7B), supply(nodes)).message


def test_other_vendors_need_a_plugin():
    nodes = replace(pool(H100), gpu=gpu("gaudi3"))
    assert "gaudi3 (intel) needs an engine plugin" in refused(request(CHAT_7B), supply(nodes)).message


def test_geforce_boards_are_joined_when_the_user_names_them():
    roomy = request(gpus=(RTX_4090,), sla=None)
    plan = planned(roomy, MIXED)
    assert plan.gpu == RTX_4090
    assert plan.parallelism.tensor <= 4
    assert "driver licence" in plan.reasons[-1]


def test_one_geforce_board_may_serve_a_model_that_fits_it():
    plan = planned(request(CHAT_7B, max_replicas=4), supply(pool(RTX_4090)))
    assert (plan.gpu, plan.gpus_per_replica) == (RTX_4090, 1)


def test_utilization_is_lowered_when_driver_and_nccl_hold_more_than_the_default_leaves():
    plan = planned(request(gpus=(RTX_4090,), sla=None), MIXED)
    assert plan.gpu_memory_utilization_percent == 90
    assert "below the engine's default of 92 %" in " ".join(plan.reasons)


class TestPins:
    def test_a_pinned_split_is_obeyed(self):
        plan = planned(request(parallelism=PinnedParallelism(tensor=8)), MIXED)
        assert plan.parallelism == Parallelism(tensor=8)

    def test_a_pinned_split_does_not_join_geforce_boards_that_nobody_named(self):
        answer = refused(request(sla=None, parallelism=PinnedParallelism(tensor=8)), supply(pool(RTX_4090, 2)))
        assert "several boards are joined only when hardware.gpus names rtx-4090" in answer.message
        assert answer.nearest.startswith("Allow rtx-4090 in hardware.gpus: ")

    def test_a_pinned_split_that_does_not_divide_is_refused_by_name(self):
        answer = refused(request(parallelism=PinnedParallelism(tensor=3)), MIXED)
        assert answer.reason is InfeasibleReason.SPLIT_ILLEGAL
        assert "TP 3 does not divide the 64 attention heads" in answer.message
        assert answer.nearest.startswith("Leave the parallelism to the planner: ")

    def test_a_pinned_group_may_be_wider_than_pcie_advises(self):
        plan = planned(request(gpus=(L40S,), sla=None, parallelism=PinnedParallelism(tensor=8)), MIXED)
        assert (plan.gpu, plan.parallelism) == (L40S, Parallelism(tensor=8))

    def test_a_pinned_product_is_the_only_one(self):
        plan = planned(request(gpus=(H100,)), MIXED)
        assert plan.gpu == H100
        assert {other.gpu for other in plan.alternatives} <= {H100}

    def test_pinned_engine_limits_are_echoed(self):
        plan = planned(request(max_num_seqs=40, max_num_batched_tokens=4096, gpu_memory_utilization_percent=85), MIXED)
        assert (plan.max_num_seqs, plan.max_num_batched_tokens, plan.gpu_memory_utilization_percent) == (40, 4096, 85)

    def test_a_pinned_batch_below_the_demand_is_refused(self):
        answer = refused(request(max_num_seqs=8), MIXED)
        assert "max_num_seqs is set to 8, and 32 requests at once" in answer.message

    def test_a_rung_with_its_own_checkpoint_runs_when_pinned(self):
        plan = planned(request(quality=Quality.ECONOMY, quantization="AWQ"), MIXED)
        assert plan.quantization == "AWQ"


class TestLimits:
    def test_gpus_count_at_the_most_replicas(self):
        answer = refused(request(max_replicas=4, max_gpus_total=6), MIXED)
        assert answer.reason is InfeasibleReason.BUDGET_EXCEEDED
        assert "GPUs at 4 replicas against a limit of 6 GPUs" in answer.message
        assert answer.nearest.startswith("Raise maxGpusTotal to ")

    def test_money_counts_at_the_most_replicas(self):
        answer = refused(request(max_replicas=2, max_cost_per_hour_usd=Decimal("5.00")), MIXED)
        assert answer.reason is InfeasibleReason.BUDGET_EXCEEDED
        assert "USD per hour at 2 replicas against a limit of 5.00 USD per hour" in answer.message

    def test_a_product_without_a_price_breaks_any_limit_of_money(self):
        unpriced = replace(pool(H100), gpu=replace(gpu(H100), price_per_hour_usd=None))
        answer = refused(request(max_cost_per_hour_usd=Decimal(1000)), supply(unpriced))
        assert "no known price, so the limit of 1000.00 USD per hour cannot be kept" in answer.message

    def test_a_product_without_a_price_is_ranked_by_a_reference_price_and_costs_nothing_known(self):
        unpriced = replace(pool(H100), gpu=replace(gpu(H100), price_per_hour_usd=None))
        plan = planned(request(), supply(unpriced))
        assert plan.cost_per_hour_usd is None
        assert "ranked at a reference price of 8.04 USD per hour" in plan.reasons[0]

    def test_a_service_level_out_of_reach_is_refused_with_what_is_reached(self):
        answer = refused(request(sla=Sla(ttft_milliseconds=200, tpot_milliseconds=10)), MIXED)
        assert answer.reason is InfeasibleReason.SLA_UNREACHABLE
        assert "against 10 ms" in answer.message
        assert answer.nearest.startswith("Allow TTFT ")

    def test_a_service_level_cannot_be_checked_without_a_bandwidth(self):
        unknown = replace(pool(H100), gpu=replace(gpu(H100), memory_bandwidth_gb_per_second=None))
        answer = refused(request(), supply(unknown))
        assert "the service level cannot be checked" in answer.message
        assert planned(request(sla=None), supply(unknown)).predicted is None

    def test_a_context_beyond_the_model_is_refused(self):
        answer = refused(request(workload=replace(WORKLOAD, max_context_tokens=8192)), MIXED)
        assert answer.reason is InfeasibleReason.CONTEXT_TOO_LONG
        assert answer.nearest == "Set maxContextTokens to 4,096 tokens or less."

    def test_a_supply_without_gpus_is_refused(self):
        answer = refused(request(), supply())
        assert answer.reason is InfeasibleReason.NO_SUCH_GPU
        assert answer.message == f"{CHAT_67B} cannot be planned: the supply has no GPU."

    def test_a_product_that_the_supply_lacks_is_refused_with_one_that_it_has(self):
        answer = refused(request(gpus=("h200-sxm",)), MIXED)
        assert answer.reason is InfeasibleReason.NO_SUCH_GPU
        assert "none of h200-sxm (it has: a100-sxm4-80gb, h100-sxm5-80gb, l40s, rtx-4090)" in answer.message
        assert answer.nearest.startswith("Allow h100-sxm5-80gb in hardware.gpus")


class TestReplicas:
    def test_the_demand_is_shared_by_replicas(self):
        heavy = replace(WORKLOAD, concurrency=700)
        assert refused(request(workload=heavy, max_replicas=1), supply(pool(H100))).reason in {
            InfeasibleReason.SLA_UNREACHABLE,
            InfeasibleReason.MEMORY_INSUFFICIENT,
        }
        plan = planned(request(workload=heavy, max_replicas=8), supply(pool(H100, 8)))
        assert plan.replicas > 1

    def test_an_arrival_rate_is_turned_into_requests_in_flight(self):
        rate = Workload(input_tokens=1024, output_tokens=256, max_context_tokens=4096, requests_per_minute=60)
        plan = planned(request(workload=rate), MIXED)
        assert plan.predicted is not None
        mean = (plan.predicted.ttft_milliseconds + 255 * plan.predicted.tpot_milliseconds) / 1000
        often = 1 + round(mean + NormalDist().inv_cdf(0.95) * math.sqrt(mean))
        assert f"Predicted at {often} requests per replica, p95 of those in flight at 60 a minute" in " ".join(
            plan.reasons
        )

    def test_without_a_level_speed_is_told_at_the_mean_in_flight(self):
        rate = Workload(input_tokens=1024, output_tokens=256, max_context_tokens=4096, requests_per_minute=60)
        plan = planned(request(workload=rate, sla=None), MIXED)
        assert plan.predicted is not None
        mean = math.ceil((plan.predicted.ttft_milliseconds + 255 * plan.predicted.tpot_milliseconds) / 1000)
        assert f"Predicted at {mean} requests per replica, the mean of those in flight at 60 a minute" in " ".join(
            plan.reasons
        )

    def test_an_arrival_rate_beyond_the_replicas_is_refused(self):
        rate = Workload(input_tokens=1024, output_tokens=256, max_context_tokens=4096, requests_per_minute=600_000)
        assert "cannot keep up with 600,000 requests per minute" in refused(request(workload=rate), MIXED).message


def test_fewest_replicas_are_part_of_the_plan_and_of_its_cost():
    one = planned(request(), supply(pool(A100, 2)))
    three = planned(request(min_replicas=3, max_replicas=3), supply(pool(A100, 2)))
    assert (one.replicas, three.replicas) == (1, 3)
    assert three.cost_per_hour_usd == gpu(A100).price_per_hour_usd * 3 * three.gpus_per_replica
    assert "with scaling.minReplicas 3 (2 of them would serve the demand alone): " in three.reasons[0]
    assert "minReplicas" not in one.reasons[0]


def test_fewest_replicas_that_the_nodes_do_not_hold_are_refused():
    answer = refused(request(R1, min_replicas=2, max_replicas=2, sla=None), supply(pool(H100, 3)))
    assert answer.reason is InfeasibleReason.TOO_FEW_NODES
    assert "the nodes (3 x 8 GPUs) hold 1 replica and scaling.minReplicas asks for 2" in answer.message
