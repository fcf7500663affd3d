"""Replicas on one node with whole GPUs."""

from __future__ import annotations

from typing import Any

from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.node_pin import NodePin
from manifest_cases.case import ManifestCase
from model_factories import make_plan

SMALL: dict[str, Any] = {
    "model": {"name": "deepseek-ai/deepseek-llm-7b-chat", "cache": {"claimName": "hub-cache"}},
    "priority": "Batch",
}
SMALL_PLAN = make_plan(
    model_name="deepseek-ai/deepseek-llm-7b-chat",
    gpu="l4",
    gpus_per_replica=1,
    parallelism=Parallelism(tensor=1),
    quantization="FP8",
    max_num_seqs=16,
    max_num_batched_tokens=2048,
)

LARGE: dict[str, Any] = {
    "model": {
        "name": "deepseek-ai/DeepSeek-R1",
        "revision": "56d4cbbb4d29f4355bab4b9a39ccb717a14ad5ad",
        "servedName": "r1",
        "storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}},
        "cache": {"sizeBytes": 800_000_000_000, "storageClassName": "shared"},
    },
    "hardware": {
        "nodeSelector": {"pool": "h200"},
        "tolerations": [{"key": "team", "value": "search", "effect": "NoSchedule"}],
    },
    "engine": {
        "extraArgs": ["--max-num-queued-reqs=256"],
        "apiKeySecretRef": {"name": "r1-keys", "key": "api"},
        "tlsSecretRef": {"name": "r1-tls"},
        "shutdownSeconds": 600,
    },
    "priorityClassName": "gold",
    "queueName": "gpus",
}
LARGE_PLAN = make_plan(
    model_name="deepseek-ai/DeepSeek-R1",
    gpu="h200-sxm",
    gpus_per_replica=8,
    parallelism=Parallelism(tensor=1, data=8, expert=True),
    kv_cache_dtype=KvCacheDtype.FP8,
    max_model_len=65_536,
)

KEEPS_TO = NodePin.read(
    "deepseek-operator.io/gpu-price-per-hour-usd in (1.10,2.10) and nvidia.com/gpu.memory > 81919"
    " or !deepseek-operator.io/gpu-price-per-hour-usd and karpenter.sh/capacity-type in (spot)"
    " and nvidia.com/gpu.memory > 81919"
)

CASES = [
    ManifestCase(name="deepseek-67b", says="the 67B sample on four A100", spec={}, plan=make_plan()),
    ManifestCase(name="small", says="a 7B model on one L4, three replicas", spec=SMALL, plan=SMALL_PLAN, replicas=3),
    ManifestCase(
        name="some-nodes",
        says="a plan that keeps to the cheaper and larger nodes of its product",
        spec={"hardware": {"spot": "Allow"}},
        plan=make_plan(pin=KEEPS_TO),
    ),
    ManifestCase(
        name="deepseek-r1",
        says="R1 on eight H200 with TLS, keys and an outside scaler",
        spec=LARGE,
        plan=LARGE_PLAN,
        replicas=None,
    ),
]
