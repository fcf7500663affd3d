"""The planner's answers as status carries them, and the way back.

``status.plan``, ``plan -o json`` and the ConfigMap that keeps the accepted plan all hold this one shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from deepseek_operator.api.conditions import truncated
from deepseek_operator.api.feature_words import feature_words, features_read
from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.share_status import share_read, share_status
from deepseek_operator.api.status import (
    MAX_ALTERNATIVES,
    MAX_NEAREST_PLANS,
    MAX_REASONS,
    AlternativeStatus,
    CompromiseStatus,
    MemoryStatus,
    ParallelismStatus,
    PlanStatus,
    PredictionStatus,
)
from deepseek_operator.memory.estimate import KvCacheDtype, RankMemory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.planner.compromise import Compromise
from deepseek_operator.planner.engine_features import NO_FEATURES
from deepseek_operator.planner.node_pin import NodePin
from deepseek_operator.planner.result import Alternative, Infeasible, NearestPlan, Plan, Rdma

JsonObject = dict[str, Any]

REMEMBERED_PLANS = 512
"""Plans read from a status, some 10 kB each: a rollout looks at one several times in a row."""


def plan_status(plan: Plan) -> JsonObject:
    """Return a plan as ``status.plan`` shows it: integer bytes, decimal strings, keys always in this order.

    What is not known (a price, a prediction) is left out. Sentences are cut to what the CRD takes.
    """
    return {
        "hash": plan_hash(plan),
        "modelName": plan.model_name,
        "gpu": plan.gpu,
        "gpusPerReplica": plan.gpus_per_replica,
        "nodesPerReplica": plan.nodes_per_replica,
        "replicas": plan.replicas,
        "parallelism": _parallelism(plan.parallelism),
        "quantization": plan.quantization,
        "kvCache": plan.kv_cache_dtype.value,
        "maxModelLen": plan.max_model_len,
        "maxNumSeqs": plan.max_num_seqs,
        "maxNumBatchedTokens": plan.max_num_batched_tokens,
        "gpuMemoryUtilizationPercent": plan.gpu_memory_utilization_percent,
        "engineRelease": plan.engine_release,
        "memoryPerGpu": _memory(plan.memory),
        "kvCacheTokens": plan.kv_cache_tokens,
        "kvCacheBytesPerToken": plan.kv_cache_bytes_per_token,
        "kvCacheErrorPercent": plan.kv_cache_error_percent,
        **({} if plan.predicted is None else {"predicted": _prediction(plan.predicted)}),
        **_cost(plan.cost_per_hour_usd),
        **_cost(plan.cost_per_million_tokens_usd, "costPerMillionTokensUsd"),
        "reasons": [truncated(reason) for reason in plan.reasons[:MAX_REASONS]],
        "alternatives": [_alternative(each) for each in plan.alternatives[:MAX_ALTERNATIVES]],
        **({} if plan.features == NO_FEATURES else {"features": feature_words(plan.features)}),
        **({} if plan.compromise is None else {"compromise": _compromise(plan.compromise)}),
        **({} if plan.share is None else {"share": share_status(plan.share)}),
        **({} if plan.rdma is None else {"rdma": str(plan.rdma)}),
        **({} if plan.pin is None else {"nodes": str(plan.pin)}),
    }


def infeasible_status(infeasible: Infeasible) -> JsonObject:
    """Return a refusal as ``status.infeasible`` shows it, keys always in this order."""
    return {
        "reason": infeasible.reason.value,
        "message": truncated(infeasible.message),
        "nearest": truncated(infeasible.nearest),
        "alternatives": [_alternative(each) for each in infeasible.alternatives[:MAX_ALTERNATIVES]],
        "nearestPlans": [_nearest_plan(each) for each in infeasible.nearest_plans[:MAX_NEAREST_PLANS]],
    }


def summary_status(plan: Plan, *, ready: int, wanted: int) -> JsonObject:
    """Return the plan in a few words, for the columns of ``kubectl get``.

    Args:
        plan: the accepted plan.
        ready: replicas that serve.
        wanted: replicas that should.
    """
    return {
        "gpus": f"{plan.gpus_per_replica} x {plan.gpu_name}",
        "parallel": str(plan.parallelism),
        "ready": f"{ready}/{wanted}",
    }


def plan_from_status(status: Mapping[str, Any]) -> Plan | None:
    """Return the plan that ``plan_status`` wrote; None when this version cannot read it.

    What a newer operator has added is ignored, so a downgrade keeps the accepted plan.
    """
    try:
        return _plan_read(json.dumps(status))
    except (ValidationError, ValueError, TypeError, RecursionError):
        return None


@lru_cache(maxsize=REMEMBERED_PLANS)
def _plan_read(text: str) -> Plan:
    return _plan(PlanStatus.model_validate_json(text))


def _plan(read: PlanStatus) -> Plan:
    return Plan(
        model_name=read.model_name,
        gpu=read.gpu,
        gpus_per_replica=read.gpus_per_replica,
        nodes_per_replica=read.nodes_per_replica,
        replicas=read.replicas,
        parallelism=_parallelism_read(read.parallelism),
        quantization=read.quantization,
        kv_cache_dtype=KvCacheDtype(read.kv_cache),
        max_model_len=read.max_model_len,
        max_num_seqs=read.max_num_seqs,
        max_num_batched_tokens=read.max_num_batched_tokens,
        gpu_memory_utilization_percent=read.gpu_memory_utilization_percent,
        engine_release=read.engine_release,
        memory=_memory_read(read.memory_per_gpu),
        kv_cache_tokens=read.kv_cache_tokens,
        kv_cache_bytes_per_token=read.kv_cache_bytes_per_token,
        kv_cache_error_percent=read.kv_cache_error_percent,
        predicted=None if read.predicted is None else _prediction_read(read.predicted),
        cost_per_hour_usd=_cost_read(read.cost_per_hour_usd),
        cost_per_million_tokens_usd=_cost_read(read.cost_per_million_tokens_usd),
        reasons=read.reasons,
        alternatives=tuple(_alternative_read(each) for each in read.alternatives),
        compromise=None if read.compromise is None else _compromise_read(read.compromise),
        share=None if read.share is None else share_read(read.share, read.memory_per_gpu.total_bytes),
        features=features_read(read.features),
        rdma=Rdma.read(read.rdma) if read.rdma else None,
        pin=NodePin.read(read.nodes) if read.nodes else None,
    )


def _parallelism(split: Parallelism) -> JsonObject:
    return {"tensor": split.tensor, "pipeline": split.pipeline, "data": split.data, "expert": split.expert}


def _parallelism_read(read: ParallelismStatus) -> Parallelism:
    return Parallelism(tensor=read.tensor, pipeline=read.pipeline, data=read.data, expert=read.expert)


def _memory(rank: RankMemory) -> JsonObject:
    return {
        "stage": rank.stage,
        "totalBytes": rank.total_bytes,
        "budgetBytes": rank.budget_bytes,
        "weightsBytes": rank.weights_bytes,
        "kvCacheBytes": rank.kv_cache_bytes,
        "activationsBytes": rank.activations_bytes,
        "overheadBytes": rank.non_torch_bytes + rank.cuda_graph_bytes,
        "nonTorchBytes": rank.non_torch_bytes,
        "cudaGraphBytes": rank.cuda_graph_bytes,
        "freeBytes": rank.total_bytes - rank.budget_bytes,
    }


def _memory_read(read: MemoryStatus) -> RankMemory:
    return RankMemory(
        stage=read.stage,
        total_bytes=read.total_bytes,
        budget_bytes=read.budget_bytes,
        weights_bytes=read.weights_bytes,
        activations_bytes=read.activations_bytes,
        non_torch_bytes=read.non_torch_bytes,
        cuda_graph_bytes=read.cuda_graph_bytes,
        kv_cache_bytes=read.kv_cache_bytes,
    )


def _prediction(prediction: Prediction) -> JsonObject:
    return {
        "ttftMilliseconds": prediction.ttft_milliseconds,
        "tpotMilliseconds": prediction.tpot_milliseconds,
        "tokensPerSecond": prediction.tokens_per_second,
        "source": prediction.source.value,
        "errorPercent": prediction.error_percent,
    }


def _prediction_read(read: PredictionStatus) -> Prediction:
    return Prediction(
        ttft_milliseconds=read.ttft_milliseconds,
        tpot_milliseconds=read.tpot_milliseconds,
        tokens_per_second=read.tokens_per_second,
        source=read.source,
        error_percent=read.error_percent,
    )


def _compromise(compromise: Compromise) -> JsonObject:
    return {
        "kind": compromise.kind.value,
        "askedModel": compromise.asked_model,
        "reason": compromise.reason,
        "change": truncated(compromise.change),
        "message": truncated(compromise.message),
    }


def _compromise_read(read: CompromiseStatus) -> Compromise:
    return Compromise(
        kind=read.kind, asked_model=read.asked_model, reason=read.reason, change=read.change, message=read.message
    )


def _nearest_plan(nearest: NearestPlan) -> JsonObject:
    return {
        "axis": nearest.axis.value,
        "change": truncated(nearest.change),
        "plan": truncated(nearest.plan),
        **_cost(nearest.cost_per_hour_usd),
    }


def _alternative(alternative: Alternative) -> JsonObject:
    return {
        "gpu": alternative.gpu,
        "gpusPerReplica": alternative.gpus_per_replica,
        "parallelism": _parallelism(alternative.parallelism),
        "quantization": alternative.quantization,
        "feasible": alternative.feasible,
        **_cost(alternative.cost_per_hour_usd),
        "detail": truncated(alternative.detail),
    }


def _alternative_read(read: AlternativeStatus) -> Alternative:
    return Alternative(
        gpu=read.gpu,
        gpus_per_replica=read.gpus_per_replica,
        parallelism=_parallelism_read(read.parallelism),
        quantization=read.quantization,
        feasible=read.feasible,
        cost_per_hour_usd=_cost_read(read.cost_per_hour_usd),
        detail=read.detail,
    )


def _cost(amount: Decimal | None, field: str = "costPerHourUsd") -> JsonObject:
    """Return the exact amount with at least two decimals, or nothing without a price."""
    if amount is None:
        return {}
    whole = amount == amount.quantize(Decimal("0.01"))
    return {field: f"{amount:.2f}" if whole else f"{amount:f}"}


def _cost_read(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)
