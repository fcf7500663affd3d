"""Replicas behind Triton, for each backend and place of the weights."""

from __future__ import annotations

from typing import Any

from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import EngineFeatures, Speculative, SpeculativeMethod
from deepseek_operator.resources.features import ClusterFeatures
from manifest_cases.case import ManifestCase
from manifest_cases.sharing import DISTILL, mig
from model_factories import make_plan

NAME = "deepseek-ai/deepseek-llm-67b-chat"
CLAIM = {"persistentVolumeClaim": {"claimName": "models", "path": "67b/tokenizer"}}
IMAGE = {"image": {"reference": "registry.example/models/67b@sha256:00"}}
NODE = {"hostPath": {"path": "/data/models/67b"}}

VLLM_IMAGE = "registry.example/tritonserver:vllm-0.32.0"
ENGINE_IMAGE = "nvcr.io/nvidia/tritonserver:25.12-trtllm-python-py3"


def of_vllm(**model: object) -> dict[str, Any]:
    """A spec with Triton's vLLM backend; the operator names no image for it, because none is known to hold 0.32.0."""
    return {"model": {"name": NAME, **model}, "engine": {"type": "Triton", "image": VLLM_IMAGE}}


def of_an_engine(storage: dict[str, Any], tensor: int) -> dict[str, Any]:
    """A spec with a TensorRT-LLM engine, which says all that was decided when the engine was built."""
    return {
        "model": {"name": NAME, "servedName": "chat", "storage": storage},
        "hardware": {"gpus": ["a100-sxm4-80gb"]},
        "precision": {"quantization": "Native"},
        "parallelism": {"tensor": tensor, "pipeline": 1},
        "engine": {
            "type": "Triton",
            "image": ENGINE_IMAGE,
            "triton": {"backend": "TensorRTLLM", "engineDirectory": f"67b/engines/tp{tensor}"},
            "maxNumSeqs": 64,
        },
    }


EXTRAS = {
    **of_vllm(storage={"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}}, revision="79648bef"),
    "engine": {
        "type": "Triton",
        "image": VLLM_IMAGE,
        "extraArgs": ["--seed=7", "--no-enable-prefix-caching", "--compilation-config.level", "2"],
        "shutdownSeconds": 600,
    },
}
QUANTIZED = make_plan(quantization="FP8", kv_cache_dtype=KvCacheDtype.FP8, gpu="h200-sxm")

CASES = [
    ManifestCase(name="triton-vllm", says="Triton with vLLM, weights from the hub", spec=of_vllm(), plan=make_plan()),
    ManifestCase(
        name="triton-vllm-arguments",
        says="Triton with vLLM, a token, a revision and further arguments",
        spec=EXTRAS,
        plan=QUANTIZED,
        replicas=2,
    ),
    ManifestCase(
        name="triton-vllm-claim",
        says="Triton with vLLM, weights on a claim",
        spec=of_vllm(storage=CLAIM, servedName="chat"),
        plan=make_plan(),
    ),
    ManifestCase(
        name="triton-vllm-image",
        says="Triton with vLLM, weights in an image",
        spec=of_vllm(storage=IMAGE),
        plan=make_plan(),
    ),
    ManifestCase(
        name="triton-vllm-node",
        says="Triton with vLLM, weights on the nodes",
        spec=of_vllm(storage=NODE),
        plan=make_plan(),
    ),
    ManifestCase(
        name="triton-vllm-cache",
        says="Triton with vLLM, a cache of its own, adapters and a draft by repetition",
        spec={
            "model": {
                "name": NAME,
                "cache": {"sizeBytes": 200_000_000_000, "storageClassName": "shared"},
                "loraAdapters": [{"name": "law", "source": "owner/law", "rank": 32}],
            },
            "engine": {"type": "Triton", "image": VLLM_IMAGE, "speculative": {"method": "NGram", "tokens": 3}},
        },
        plan=make_plan(
            features=EngineFeatures(
                speculative=Speculative(method=SpeculativeMethod.NGRAM, tokens=3), max_loras=1, max_lora_rank=32
            )
        ),
    ),
    ManifestCase(
        name="triton-vllm-mig",
        says="Triton with vLLM on a MIG slice",
        spec={**of_vllm(), "model": {"name": DISTILL}},
        plan=mig("h100-sxm5-80gb", "3g.40gb"),
    ),
    ManifestCase(
        name="triton-tensorrt-llm-claim",
        says="Triton with a TensorRT-LLM engine for four GPUs on a claim",
        spec=of_an_engine(CLAIM, 4),
        plan=make_plan(),
    ),
    ManifestCase(
        name="triton-tensorrt-llm-node",
        says="Triton with a TensorRT-LLM engine for four GPUs on the nodes",
        spec=of_an_engine(NODE, 4),
        plan=make_plan(),
    ),
    ManifestCase(
        name="triton-tensorrt-llm-image",
        says="Triton with a TensorRT-LLM engine for one GPU in an image",
        spec=of_an_engine(IMAGE, 1),
        plan=make_plan(gpus_per_replica=1, parallelism=Parallelism(tensor=1)),
        replicas=None,
    ),
    ManifestCase(
        name="monitored-triton",
        says="a PodMonitor of Triton's own port of metrics",
        spec=of_vllm(),
        plan=make_plan(),
        known={"features": ClusterFeatures(pod_monitor=True)},
    ),
]
