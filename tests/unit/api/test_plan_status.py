"""Plans as status and back, and the two hashes that decide whether a running model may be touched."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from deepseek_operator.api.fingerprint import plan_hash, spec_fingerprint
from deepseek_operator.api.parse import parse
from deepseek_operator.api.plan_status import infeasible_status, plan_from_status, plan_status, summary_status
from deepseek_operator.api.status import InfeasibleStatus, PlanStatus, StatusModel, SummaryStatus
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.engine_features import EngineFeatures
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.node_pin import NodePin
from deepseek_operator.planner.result import Infeasible, InfeasibleReason, NearestAxis, NearestPlan, Rdma
from deepseek_operator.units import GIB
from model_factories import make_plan
from spec_table import REMOVE, Changes, changed


def test_the_whole_status_of_a_plan() -> None:
    assert plan_status(make_plan()) == {
        "hash": plan_hash(make_plan()),
        "modelName": "deepseek-ai/deepseek-llm-67b-chat",
        "gpu": "a100-sxm4-80gb",
        "gpusPerReplica": 4,
        "nodesPerReplica": 1,
        "replicas": 1,
        "parallelism": {"tensor": 4, "pipeline": 1, "data": 1, "expert": False},
        "quantization": "Native",
        "kvCache": "auto",
        "maxModelLen": 4096,
        "maxNumSeqs": 64,
        "maxNumBatchedTokens": 8192,
        "gpuMemoryUtilizationPercent": 92,
        "engineRelease": "0.32.0",
        "memoryPerGpu": {
            "stage": 0,
            "totalBytes": 84_825_604_096,
            "budgetBytes": 77_309_411_328,
            "weightsBytes": 33_711_759_360,
            "kvCacheBytes": 38_654_705_664,
            "activationsBytes": 2_147_483_648,
            "overheadBytes": 2_147_483_648,
            "nonTorchBytes": 1_073_741_824,
            "cudaGraphBytes": 1_073_741_824,
            "freeBytes": 7_516_192_768,
        },
        "kvCacheTokens": 407_000,
        "kvCacheBytesPerToken": 97_280,
        "kvCacheErrorPercent": 4,
        "predicted": {
            "ttftMilliseconds": 640,
            "tpotMilliseconds": 38,
            "tokensPerSecond": 840,
            "source": "Roofline",
            "errorPercent": 30,
        },
        "costPerHourUsd": "7.16",
        "costPerMillionTokensUsd": "2.3677",
        "reasons": ["cheapest of 3 plans"],
        "alternatives": [
            {
                "gpu": "h100-sxm5-80gb",
                "gpusPerReplica": 4,
                "parallelism": {"tensor": 4, "pipeline": 1, "data": 1, "expert": False},
                "quantization": "Native",
                "feasible": True,
                "detail": "has no price",
            }
        ],
    }


COMPROMISE = Compromise(
    kind=CompromiseKind.FALLBACK,
    asked_model="deepseek-ai/DeepSeek-R1",
    reason="MemoryInsufficient",
    change="a fallback runs",
    message="needs more",
)


def assert_described(value: dict[str, Any], model: type[StatusModel]) -> None:
    """Assert that every key is a field of the schema (the API server would drop others) and every value legal."""
    read = model.model_validate(value, strict=False)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == value


def test_status_says_nothing_that_the_schema_does_not_hold() -> None:
    infeasible = Infeasible(
        reason=InfeasibleReason.MEMORY_INSUFFICIENT,
        message="needs more",
        nearest="take more",
        alternatives=make_plan().alternatives,
        nearest_plans=(
            NearestPlan(
                axis=NearestAxis.NODES, change="add 1 node", plan="8 x l40s", cost_per_hour_usd=Decimal("6.32")
            ),
            NearestPlan(axis=NearestAxis.CONTEXT, change="shorten it", plan="8 x l40s", cost_per_hour_usd=None),
        ),
    )
    assert_described(plan_status(make_plan()), PlanStatus)
    assert_described(plan_status(make_plan(compromise=COMPROMISE)), PlanStatus)
    assert_described(infeasible_status(infeasible), InfeasibleStatus)
    assert_described(summary_status(make_plan(), ready=0, wanted=2), SummaryStatus)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a usual plan"),
        pytest.param({"predicted": None, "cost_per_hour_usd": None}, id="neither speed nor price"),
        pytest.param({"cost_per_hour_usd": Decimal("1.23456")}, id="a price of fractions of a cent"),
        pytest.param({"cost_per_hour_usd": Decimal("1E+2")}, id="a price with an exponent"),
        pytest.param({"parallelism": Parallelism(tensor=8, pipeline=2, data=4, expert=True)}, id="every split"),
        pytest.param({"reasons": (), "alternatives": ()}, id="no words"),
        pytest.param({"compromise": COMPROMISE}, id="in place of what was asked"),
    ],
)
def test_a_plan_survives_the_way_through_status(changes: dict[str, Any]) -> None:
    plan = make_plan(**changes)
    assert plan_from_status(plan_status(plan)) == plan
    assert plan_status(plan) == plan_status(make_plan(**changes))


def test_what_a_newer_operator_added_is_ignored_and_what_is_no_plan_is_none() -> None:
    status = plan_status(make_plan())
    status["memoryPerGpu"]["newBytes"] = 1
    assert plan_from_status(status | {"energyJoules": 3}) == make_plan()
    assert plan_from_status({}) is None
    assert plan_from_status(status | {"kvCache": "fp3"}) is None
    assert plan_from_status(status | {"maxModelLen": "4096"}) is None


@pytest.mark.parametrize("word", ["speculative=MTP", "kvOffload=Native", "loras=1", "loras", "speed=1"])
def test_a_plan_with_a_feature_that_somebody_damaged_is_none(word: str) -> None:
    assert plan_from_status(plan_status(make_plan()) | {"features": [word]}) is None


def test_long_words_are_cut_to_what_the_schema_takes() -> None:
    status = plan_status(make_plan(reasons=("x" * 5000,) * 20, alternatives=make_plan().alternatives * 20))
    assert [len(reason) for reason in status["reasons"]] == [1024] * 8
    assert len(status["alternatives"]) == 6


def test_the_summary_fits_columns() -> None:
    plan = make_plan(parallelism=Parallelism(tensor=4, data=2, expert=True), gpus_per_replica=8)
    assert summary_status(plan, ready=1, wanted=2) == {
        "gpus": "8 x a100-sxm4-80gb",
        "parallel": "TP4 DP2 EP",
        "ready": "1/2",
    }


SAME_PODS = {
    "replicas": 3,
    "memory": replace(make_plan().memory, kv_cache_bytes=1),
    "kv_cache_tokens": 1,
    "kv_cache_bytes_per_token": 1,
    "kv_cache_error_percent": 1,
    "predicted": None,
    "cost_per_hour_usd": None,
    "cost_per_million_tokens_usd": Decimal("9.9999"),
    "reasons": (),
    "alternatives": (),
    "compromise": COMPROMISE,
}
OTHER_PODS = {
    "model_name": "deepseek-ai/DeepSeek-R1",
    "gpu": "h100-sxm5-80gb",
    "gpus_per_replica": 8,
    "nodes_per_replica": 2,
    "parallelism": Parallelism(tensor=2, pipeline=2),
    "quantization": "FP8",
    "kv_cache_dtype": "fp8",
    "max_model_len": 2048,
    "max_num_seqs": 32,
    "max_num_batched_tokens": 4096,
    "gpu_memory_utilization_percent": 80,
    "engine_release": "0.33.0",
    "features": EngineFeatures(max_loras=1, max_lora_rank=8),
    "rdma": Rdma(resource="rdma/hca", devices=1, network="net", ipc_lock=True),
    "pin": NodePin.read("nvidia.com/gpu.memory > 81000"),
    "share": GpuShare(
        mechanism=ShareMechanism.MIG,
        resource="nvidia.com/mig-3g.40gb",
        profile="3g.40gb",
        slices_per_gpu=2,
        memory_bytes=38 * GIB,
    ),
}


@pytest.mark.parametrize("field", SAME_PODS)
def test_the_hash_stays_while_the_pods_stay(field: str) -> None:
    assert plan_hash(make_plan(**{field: SAME_PODS[field]})) == plan_hash(make_plan())


@pytest.mark.parametrize("field", OTHER_PODS)
def test_the_hash_changes_with_the_pods(field: str) -> None:
    value = OTHER_PODS[field]
    if field == "kv_cache_dtype":
        value = type(make_plan().kv_cache_dtype)(value)
    assert plan_hash(make_plan(**{field: value})) != plan_hash(make_plan())


def test_every_field_of_a_plan_is_told_to_affect_pods_or_not() -> None:
    assert set(SAME_PODS) | set(OTHER_PODS) == set(vars(make_plan()))


def test_the_hash_is_pinned_because_another_value_would_restart_every_model() -> None:
    assert plan_hash(make_plan()) == "57fe079f"


SAME_QUESTION = {
    "a default written down": {"sharing": "Auto", "hardware": {"spot": "Never"}, "scaling": {"minReplicas": 1}},
    "where the weights lie": {"model.storage": {"hostPath": {"path": "/models"}}},
    "what passes through to the engine": {"engine": {"extraArgs": ["--seed=1"], "image": "mine"}},
    "who gives way": {"priority": "High", "queueName": "a"},
    "who approves": {"apply": "Manual", "approvedPlan": "1f3a5c7e"},
    "how a change is rolled out": {"rollout": {"maxSurge": 1}},
    "who scales": {"scaling": {"owner": "External"}, "replicas": 3},
}
OTHER_QUESTION = {
    "another model": {"model.name": "deepseek-ai/DeepSeek-R1"},
    "a config": {"model.config": {"hidden_size": 1}},
    "a service level": {"sla": {"ttftMilliseconds": 1, "tpotMilliseconds": 1}},
    "more demand": {"workload.concurrency": 9},
    "a rate": {"workload.concurrency": REMOVE, "workload.requestsPerMinute": 8},
    "other nodes": {"hardware.nodeSelector": {"pool": "a"}},
    "a budget": {"hardware.maxGpusTotal": 4},
    "another class of quality": {"precision.quality": "Economy"},
    "a split": {"parallelism.tensor": 2},
    "a release": {"engine.release": "0.32.0"},
    "a batch size": {"engine.maxNumSeqs": 8},
    "more replicas": {"scaling.maxReplicas": 2},
}


def fingerprint(changes: Changes) -> str:
    return spec_fingerprint(parse(changed(changes)))


@pytest.mark.parametrize("changes", SAME_QUESTION.values(), ids=SAME_QUESTION)
def test_the_fingerprint_stays_while_the_planner_is_asked_the_same(changes: Changes) -> None:
    assert fingerprint(changes) == fingerprint({})


def test_the_fingerprint_changes_with_everything_that_the_planner_is_asked() -> None:
    prints = [fingerprint(changes) for changes in ({}, *OTHER_QUESTION.values())]
    assert len(set(prints)) == len(prints)


def test_the_fingerprint_is_pinned_because_another_value_would_replan_every_model() -> None:
    assert fingerprint({}) == "3a7972f2cd04ec39"
