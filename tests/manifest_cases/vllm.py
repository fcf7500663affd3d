"""What vLLM is told beside the model: speculative decoding, offloading, adapters, parsers."""

from __future__ import annotations

from typing import Any

from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffload,
    KvOffloadBackend,
    Speculative,
    SpeculativeMethod,
)
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import GIB
from manifest_cases.case import ManifestCase
from model_factories import make_plan

V32 = "deepseek-ai/DeepSeek-V3.2"
R1 = "deepseek-ai/DeepSeek-R1"
CHAT_67B, CHAT_7B = "deepseek-ai/deepseek-llm-67b-chat", "deepseek-ai/deepseek-llm-7b-chat"


def large(model: str, **changes: object) -> Plan:
    """Return a plan on eight H200."""
    told: dict[str, Any] = {
        "model_name": model,
        "gpu": "h200-sxm",
        "gpus_per_replica": 8,
        "parallelism": Parallelism(tensor=8),
        "max_model_len": 65_536,
    }
    return make_plan(**(told | changes))


def drafted(method: SpeculativeMethod, tokens: int, draft_model: str = "") -> EngineFeatures:
    """Return speculative decoding."""
    return EngineFeatures(speculative=Speculative(method=method, tokens=tokens, draft_model=draft_model))


CASES = [
    ManifestCase(
        name="vllm-v32-mtp",
        says="V3.2 with its prediction layer, its tokenizer and its parsers",
        spec={
            "model": {"name": V32, "cache": {"claimName": "hub-cache"}},
            "engine": {"speculative": {"method": "MTP", "tokens": 1}},
        },
        plan=large(V32, features=drafted(SpeculativeMethod.MTP, 1), kv_cache_dtype=KvCacheDtype.FP8),
    ),
    ManifestCase(
        name="vllm-v4-block-draft",
        says="V4 with the block draft of its checkpoint on data-parallel engines of one node",
        spec={
            "model": {"name": "deepseek-ai/DeepSeek-V4-Flash-DSpark", "cache": {"claimName": "hub-cache"}},
            "engine": {"speculative": {"method": "MTP", "tokens": 5}},
        },
        plan=large(
            "deepseek-ai/DeepSeek-V4-Flash-DSpark",
            features=drafted(SpeculativeMethod.MTP, 5),
            parallelism=Parallelism(data=8, expert=True),
        ),
    ),
    ManifestCase(
        name="vllm-draft-model",
        says="the 67B sample with the 7B as draft model",
        spec={"engine": {"speculative": {"method": "DraftModel", "tokens": 4, "draftModel": CHAT_7B}}},
        plan=make_plan(features=drafted(SpeculativeMethod.DRAFT_MODEL, 4, CHAT_7B)),
    ),
    ManifestCase(
        name="vllm-n-grams",
        says="R1 with n-grams of the prompt and another reasoning parser",
        spec={
            "model": {"name": R1, "cache": {"claimName": "hub-cache"}},
            "engine": {
                "speculative": {"method": "NGram", "tokens": 3},
                "extraArgs": ["--reasoning_parser=mine", "--no-enable-prefix-caching"],
            },
        },
        plan=large(R1, features=drafted(SpeculativeMethod.NGRAM, 3)),
    ),
    ManifestCase(
        name="vllm-weights-on-host",
        says="R1 on eight H100 with weights and KV cache in host memory",
        spec={
            "model": {"name": R1, "cache": {"claimName": "hub-cache"}},
            "engine": {"weightOffloadBytes": 16 * GIB, "kvOffload": {"hostMemoryBytes": 256 * GIB}},
        },
        plan=large(
            R1,
            gpu="h100-sxm5-80gb",
            features=EngineFeatures(
                weight_offload_bytes=16 * GIB,
                kv_offload=KvOffload(backend=KvOffloadBackend.NATIVE, host_memory_bytes=256 * GIB),
            ),
        ),
    ),
    ManifestCase(
        name="vllm-lmcache-redis",
        says="the 67B sample with LMCache and a Redis that asks for a password",
        spec={
            "engine": {
                "image": "registry.example/vllm-lmcache:0.32.0",
                "kvOffload": {
                    "hostMemoryBytes": 64 * GIB,
                    "backend": "LMCache",
                    "store": {
                        "url": "rediss://kv.cache.svc:6379",
                        "passwordSecretRef": {"name": "kv-store", "key": "password"},
                    },
                },
            }
        },
        plan=make_plan(
            features=EngineFeatures(kv_offload=KvOffload(backend=KvOffloadBackend.LMCACHE, host_memory_bytes=64 * GIB))
        ),
    ),
    ManifestCase(
        name="vllm-adapters",
        says="two adapters from the hub beside the 67B sample",
        spec={
            "model": {
                "name": CHAT_67B,
                "servedName": "chat",
                "loraAdapters": [
                    {"name": "law", "source": "example/law-lora", "rank": 16},
                    {"name": "support", "source": "example/support-lora", "rank": 24},
                ],
            }
        },
        plan=make_plan(features=EngineFeatures(max_loras=2, max_lora_rank=32)),
    ),
    ManifestCase(
        name="vllm-adapter-in-volume",
        says="an adapter inside the claim that holds the weights, and MTP",
        spec={
            "model": {
                "name": R1,
                "storage": {"persistentVolumeClaim": {"claimName": "weights", "path": "r1"}},
                "loraAdapters": [{"name": "law", "source": "adapters/law", "rank": 8}],
            },
            "engine": {"speculative": {"method": "MTP", "tokens": 1}},
        },
        plan=large(
            R1,
            features=EngineFeatures(
                speculative=Speculative(method=SpeculativeMethod.MTP, tokens=1), max_loras=1, max_lora_rank=8
            ),
        ),
    ),
    ManifestCase(
        name="vllm-amd",
        says="R1 on eight MI300X with the ROCm image",
        spec={"model": {"name": R1, "cache": {"claimName": "hub-cache"}}},
        plan=large(R1, gpu="mi300x"),
    ),
]
