"""Hashes that decide whether a running model may be touched.

``plan_hash`` names what a plan means for pods; ``spec_fingerprint`` names what its owner asked of the planner. Both
leave out whatever the operator itself brings (prices, catalogue facts, predictions, defaults), because a new version
of the operator must restart nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from deepseek_operator.api.feature_words import feature_words
from deepseek_operator.api.ladder import AS_ASKED, Position
from deepseek_operator.api.spec_engine import TritonBackend
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import NO_FEATURES
from deepseek_operator.planner.gpu_share import GpuShare
from deepseek_operator.planner.result import Plan

HASH_CHARACTERS = 8
"""32 bits: enough to tell apart the plans of one object, short enough to type into ``spec.approvedPlan``."""

FINGERPRINT_CHARACTERS = 16

REMEMBERED_HASHES = 256
"""Plans whose hash is kept, because one pass over an object asks for the same one about ten times."""

_PLANNED_FIELDS: dict[str, Any] = {
    "model": {"name", "config", "lora_adapters"},
    "sla": True,
    "workload": True,
    "hardware": True,
    "precision": True,
    "parallelism": True,
    "engine": {
        "type",
        "release",
        "max_num_seqs",
        "max_num_batched_tokens",
        "gpu_memory_utilization_percent",
        "speculative",
        "kv_offload",
        "weight_offload_bytes",
    },
    "sharing": True,
    "scaling": {
        "min_replicas": True,
        "max_replicas": True,
        "schedules": {"__all__": {"name", "min_replicas", "max_replicas"}},
    },
    "fallbacks": True,
    "on_infeasible": True,
}
"""Fields of the spec that the planner's answer depends on."""


@lru_cache(maxsize=REMEMBERED_HASHES)
def plan_hash(plan: Plan) -> str:
    """Return what identifies a plan's pods: 8 hexadecimal digits.

    The number of replicas, cost, predictions, memory figures and reasons do not count: they say something about the
    same pods.
    """
    share = {} if plan.share is None else {"share": _share(plan.share), "fixedKvCacheBytes": plan.fixed_kv_cache_bytes}
    return _digest(
        {
            "model": plan.model_name,
            "gpu": plan.gpu,
            "gpusPerReplica": plan.gpus_per_replica,
            "nodesPerReplica": plan.nodes_per_replica,
            "parallelism": _split(plan.parallelism),
            "quantization": plan.quantization,
            "kvCache": plan.kv_cache_dtype.value,
            "maxModelLen": plan.max_model_len,
            "maxNumSeqs": plan.max_num_seqs,
            "maxNumBatchedTokens": plan.max_num_batched_tokens,
            "gpuMemoryUtilizationPercent": plan.gpu_memory_utilization_percent,
            "engineRelease": plan.engine_release,
            **share,
            **({} if plan.features == NO_FEATURES else {"features": feature_words(plan.features)}),
            **({} if plan.rdma is None else {"rdma": asdict(plan.rdma)}),
            **({} if plan.pin is None else {"pin": str(plan.pin)}),
        }
    )[:HASH_CHARACTERS]


def _split(parallelism: Parallelism) -> dict[str, object]:
    """Return the fields of a split; one that came later counts where it is used, so that old plans keep their hash."""
    fields = asdict(parallelism)
    if parallelism.decode_context == 1:
        del fields["decode_context"]
    return fields


def _share(share: GpuShare) -> dict[str, object]:
    """Return what a share means for pods; the size of a MIG slice says nothing that its profile does not."""
    pods = share.key if share.profile else share
    return {name: value for name, value in asdict(pods).items() if value}


def spec_fingerprint(deployment: DeepSeekDeployment, position: Position = AS_ASKED) -> str:
    """Return what identifies the planner-relevant part of a spec, at a position of its ladder: 16 hexadecimal digits.

    Fields at their default are left out, so writing a default down changes nothing, and neither does a field that a
    later version adds. The catalogue's facts are no part of it.
    """
    written = deployment.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=_PLANNED_FIELDS)
    said = {key: value for key, value in written.items() if value != {}}
    ladder = {"ladder": position.words} if position.words else {}
    return _digest(said | ladder)[:FINGERPRINT_CHARACTERS]


def engine_variant(deployment: DeepSeekDeployment) -> str:
    """Return what identifies everything outside the plan that may change an engine's memory; empty for the usual.

    What an engine of one variant reports says nothing about another: another image, further arguments and variables,
    other weights under the same name.
    """
    spec = deployment.spec
    storage = spec.model.storage
    told = {
        "image": spec.engine.image,
        "extraArgs": spec.engine.extra_args,
        "env": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in spec.engine.env],
        "config": spec.model.config,
        "revision": spec.model.revision,
        "checkpoint": spec.precision.checkpoint,
        "tensorRtLlm": spec.engine.triton is not None and spec.engine.triton.backend is TritonBackend.TENSORRT_LLM,
        "storage": None
        if storage is None or storage.hugging_face is not None
        else storage.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    unusual = {key: value for key, value in told.items() if value}
    return _digest(unusual)[:FINGERPRINT_CHARACTERS] if unusual else ""


def _digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
