"""What vLLM is told about speculative decoding, offloading and adapters: arguments and variables.

The plan says how much (it has counted the memory), the spec says where adapters and shared stores are.
"""

from __future__ import annotations

import json
from decimal import ROUND_DOWN, Decimal

from deepseek_operator.api.spec_engine import EngineSpec, KvStore
from deepseek_operator.api.spec_model import ModelSpec
from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffloadBackend,
    SpeculativeMethod,
    kv_offload_bytes_per_engine,
)
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.storage import MODEL_PATH
from deepseek_operator.units import GIB

NGRAM_WINDOW = 5
"""Tokens that must repeat before the rest is proposed: the engine's default, written out (``prompt_lookup_max``)."""

LMCACHE_CONNECTOR = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
"""LMCache inside the engine's workers. ``--kv-offloading-backend=lmcache`` would want a server beside the engine.

Source: vLLM 0.32.0 ``config/vllm.py`` ``_post_init_kv_transfer_config``.
"""

STORE_PASSWORD = "KV_STORE_PASSWORD"  # noqa: S105 - the name of a variable, not a password

Option = tuple[str, object]


def feature_options(features: EngineFeatures, engines: int, *, block_draft: bool) -> list[Option]:
    """Return the options that the features of a plan need, with their values; True stands for a switch.

    Args:
        features: of the plan.
        engines: data-parallel engines of a replica.
        block_draft: whether the checkpoint's own draft is of the block kind (DSpark), which has its own method.
    """
    options: list[Option] = []
    if features.speculative is not None:
        options.append(("--speculative-config", _json(_speculative(features, block_draft=block_draft))))
    if features.weight_offload_bytes:
        options.append(("--cpu-offload-gb", gib_text(features.weight_offload_bytes)))
    if features.kv_offload is not None:
        if features.kv_offload.backend is KvOffloadBackend.LMCACHE:
            options.append(("--kv-transfer-config", _json(LMCACHE_CONNECTOR)))
        else:
            options.append(("--kv-offloading-size", gib_text(kv_offload_bytes_per_engine(features, engines))))
            options.append(("--kv-offloading-backend", "native"))
    if features.max_loras:
        options += [
            ("--enable-lora", True),
            ("--max-loras", features.max_loras),
            ("--max-lora-rank", features.max_lora_rank),
        ]
    return options


def adapter_words(model: ModelSpec) -> tuple[str, ...]:
    """Return each adapter as ``name=where``: a repository, or a directory of the mounted volume."""
    mounted = model.storage is not None and model.storage.hugging_face is None
    root = f"{MODEL_PATH}/" if mounted else ""
    return tuple(f"{each.name}={root}{each.source}" for each in model.lora_adapters)


def feature_environment(engine: EngineSpec, plan: Plan) -> list[Manifest]:
    """Return the variables that LMCache reads; empty for anything else.

    Every replica hashes prompts alike, or none would find what another has stored. The password of the store is put
    together by the kubelet from a Secret, and LMCache's log, which would show it, is kept to warnings.

    Source: LMCache configuration reference (``LMCACHE_*``), ``storage_backend/connector/redis_adapter.py`` (logs the
    URL at level info); unverified for the release that an image holds.
    """
    offload = plan.features.kv_offload
    if offload is None or offload.backend is not KvOffloadBackend.LMCACHE:
        return []
    per_rank = offload.host_memory_bytes // plan.gpus_per_replica
    made = _variables(
        PYTHONHASHSEED="0",
        LMCACHE_TRACK_USAGE="false",
        LMCACHE_LOCAL_CPU="True",
        LMCACHE_MAX_LOCAL_CPU_SIZE=gib_text(per_rank),
    )
    store = engine.kv_offload.store if engine.kv_offload is not None else None
    return made if store is None else made + _store_environment(store)


def gib_text(size_bytes: int) -> str:
    """Return bytes as GiB with at most six decimals, rounded down, as the engine reads them.

    >>> gib_text(2**30), gib_text(10 * 10**9), gib_text(2**29)
    ('1', '9.313225', '0.5')
    """
    exact = (Decimal(size_bytes) / GIB).quantize(Decimal("0.000001"), rounding=ROUND_DOWN)
    return f"{exact:f}".rstrip("0").rstrip(".")


def _speculative(features: EngineFeatures, *, block_draft: bool) -> dict[str, object]:
    """Return the value of ``--speculative-config``; source: vLLM 0.32.0 ``config/speculative.py``."""
    asked = features.speculative
    assert asked is not None  # noqa: S101 - the caller has looked; narrows it for mypy
    if asked.method is SpeculativeMethod.DRAFT_MODEL:
        told: dict[str, object] = {"method": "draft_model", "model": asked.draft_model}
    elif asked.method is SpeculativeMethod.NGRAM:
        told = {"method": "ngram", "prompt_lookup_min": NGRAM_WINDOW, "prompt_lookup_max": NGRAM_WINDOW}
    else:
        told = {"method": "dspark" if block_draft else "mtp"}
    return told | {"num_speculative_tokens": asked.tokens}


def _store_environment(store: KvStore) -> list[Manifest]:
    if store.password_secret_ref is None:
        return _variables(LMCACHE_REMOTE_URL=store.url, LMCACHE_REMOTE_SERDE="naive")
    key = store.password_secret_ref
    secret: Manifest = {
        "name": STORE_PASSWORD,
        "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}},
    }
    url = store.url.replace("://", f"://:$({STORE_PASSWORD})@", 1)
    return [
        secret,
        *_variables(LMCACHE_REMOTE_URL=url, LMCACHE_REMOTE_SERDE="naive", LMCACHE_LOG_LEVEL="WARNING"),
    ]


def _variables(**values: str) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
