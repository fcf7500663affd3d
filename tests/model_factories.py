"""Parsed objects and plans for tests: the 67B sample by default, changed by keyword."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.memory.estimate import KvCacheDtype, RankMemory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.prediction import Prediction, PredictionSource
from deepseek_operator.planner.result import Alternative, Plan
from deepseek_operator.units import GIB

UID = "6f1c0f3e-6a63-4a8e-9a35-0d3f7b9e2c11"


def make_deployment(name: str = "deepseek-67b", namespace: str = "chat", **spec: object) -> DeepSeekDeployment:
    """Return the 67B sample; keywords replace whole fields of its spec, in camelCase."""
    sample: dict[str, Any] = {
        "model": {"name": "deepseek-ai/deepseek-llm-67b-chat"},
        "sla": {"ttftMilliseconds": 2000, "tpotMilliseconds": 60},
        "workload": {"inputTokens": 1024, "outputTokens": 256, "maxContextTokens": 4096, "concurrency": 32},
    }
    return DeepSeekDeployment.model_validate_json(
        json.dumps({"metadata": {"name": name, "namespace": namespace, "uid": UID}, "spec": sample | spec})
    )


def make_plan(**changes: object) -> Plan:
    """Return a plan of the 67B sample on four A100; keywords replace its fields."""
    split = Parallelism(tensor=4)
    memory = RankMemory(
        stage=0,
        total_bytes=79 * GIB,
        budget_bytes=72 * GIB,
        weights_bytes=33_711_759_360,
        activations_bytes=2 * GIB,
        non_torch_bytes=1 * GIB,
        cuda_graph_bytes=1 * GIB,
        kv_cache_bytes=36 * GIB,
    )
    plan = Plan(
        model_name="deepseek-ai/deepseek-llm-67b-chat",
        gpu="a100-sxm4-80gb",
        gpus_per_replica=split.world_size,
        nodes_per_replica=1,
        replicas=1,
        parallelism=split,
        quantization="Native",
        kv_cache_dtype=KvCacheDtype.AUTO,
        max_model_len=4096,
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        gpu_memory_utilization_percent=92,
        engine_release="0.32.0",
        memory=memory,
        kv_cache_tokens=407_000,
        kv_cache_bytes_per_token=97_280,
        kv_cache_error_percent=4,
        predicted=Prediction(
            ttft_milliseconds=640,
            tpot_milliseconds=38,
            tokens_per_second=840,
            source=PredictionSource.ROOFLINE,
            error_percent=30,
        ),
        cost_per_hour_usd=Decimal("7.16"),
        cost_per_million_tokens_usd=Decimal("2.3677"),
        reasons=("cheapest of 3 plans",),
        alternatives=(
            Alternative(
                gpu="h100-sxm5-80gb",
                gpus_per_replica=4,
                parallelism=split,
                quantization="Native",
                feasible=True,
                cost_per_hour_usd=None,
                detail="has no price",
            ),
        ),
    )
    return replace(plan, **changes)
