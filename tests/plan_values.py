"""A plan for tests that look at its footprint; only what a test names differs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from deepseek_operator.memory.estimate import KvCacheDtype, RankMemory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import GIB

_PLAN = Plan(
    model_name="deepseek-ai/deepseek-llm-67b-chat",
    gpu="h100-sxm5-80gb",
    gpus_per_replica=4,
    nodes_per_replica=1,
    replicas=1,
    parallelism=Parallelism(tensor=4),
    quantization="Native",
    kv_cache_dtype=KvCacheDtype.AUTO,
    max_model_len=4096,
    max_num_seqs=64,
    max_num_batched_tokens=8192,
    gpu_memory_utilization_percent=92,
    engine_release="0.32.0",
    memory=RankMemory(
        stage=0,
        total_bytes=79 * GIB,
        budget_bytes=72 * GIB,
        weights_bytes=32 * GIB,
        activations_bytes=GIB,
        non_torch_bytes=GIB,
        cuda_graph_bytes=GIB,
        kv_cache_bytes=37 * GIB,
    ),
    kv_cache_tokens=500_000,
    kv_cache_bytes_per_token=95 * 4096,
    kv_cache_error_percent=5,
    predicted=None,
    cost_per_hour_usd=Decimal("10.00"),
    reasons=(),
    alternatives=(),
)


def plan_with(*, gpus: int, nodes: int = 1, gpu: str = "h100-sxm5-80gb") -> Plan:
    """Return a plan whose replica takes that many GPUs on that many nodes."""
    return replace(
        _PLAN,
        gpu=gpu,
        gpus_per_replica=gpus,
        nodes_per_replica=nodes,
        parallelism=Parallelism(tensor=gpus // nodes, pipeline=nodes),
    )
