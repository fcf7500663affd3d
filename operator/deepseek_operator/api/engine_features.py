"""From ``spec.engine`` and ``spec.model.loraAdapters`` to the features that the planner counts."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from deepseek_operator.api.spec_engine import EngineSpec, SpeculativeSpec
from deepseek_operator.api.spec_model import LoraAdapter, ModelSpec
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.catalog import models
from deepseek_operator.catalog.engines import DEFAULT_ENGINE, engine_flags
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import CatalogError, InvalidSpecError, UnsupportedModelError, shortened
from deepseek_operator.planner.engine_features import EngineFeatures, KvOffload, Speculative, SpeculativeMethod

SPECULATIVE = "spec.engine.speculative"
ADAPTERS = "spec.model.loraAdapters"

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
"""A repository of the hub. Source: huggingface_hub ``utils/_validators.py``, ``REPO_ID_REGEX``."""


def engine_features(spec: DeepSeekDeploymentSpec, shape: ModelShape, release: str) -> EngineFeatures:
    """Return what the engine is asked for beside the model.

    Args:
        spec: of the object.
        shape: the asked model.
        release: engine release.

    Raises:
        InvalidSpecError: the model, a fallback or the storage cannot have it; the text names the field.
    """
    _refuse_wrong_draft(spec, spec.model.name, shape)
    for each in spec.fallbacks:
        _refuse_wrong_draft(spec, each.model, models.shape(each.model))
    if spec.model.lora_adapters and spec.fallbacks:
        raise InvalidSpecError("spec.fallbacks", f"{ADAPTERS} belong to the asked model; leave one of them out")
    ranks = [_checked_rank(spec.model, index, each) for index, each in enumerate(spec.model.lora_adapters)]
    return EngineFeatures(
        speculative=_speculative(spec.engine.speculative),
        kv_offload=_kv_offload(spec.engine),
        weight_offload_bytes=spec.engine.weight_offload_bytes,
        max_loras=len(ranks),
        max_lora_rank=_buffer_rank(max(ranks), release) if ranks else 0,
    )


def draft_shape(spec: DeepSeekDeploymentSpec) -> ModelShape | None:
    """Return the shape of the draft model, or None where none is asked for.

    Raises:
        InvalidSpecError: the catalogue does not hold it.
    """
    speculative = spec.engine.speculative
    if speculative is None or speculative.method is not SpeculativeMethod.DRAFT_MODEL:
        return None
    try:
        return models.shape(speculative.draft_model)
    except (CatalogError, UnsupportedModelError) as error:
        raise InvalidSpecError(f"{SPECULATIVE}.draftModel", str(error)) from error


def _speculative(speculative: SpeculativeSpec | None) -> Speculative | None:
    if speculative is None:
        return None
    return Speculative(method=speculative.method, tokens=speculative.tokens, draft_model=speculative.draft_model)


def _kv_offload(engine: EngineSpec) -> KvOffload | None:
    offload = engine.kv_offload
    if offload is None:
        return None
    if offload.store is not None:
        _refuse_wrong_port(offload.store.url)
    return KvOffload(backend=offload.backend, host_memory_bytes=offload.host_memory_bytes)


def _refuse_wrong_port(url: str) -> None:
    """Raise when an address names a port that there is not."""
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        field = "spec.engine.kvOffload.store.url"
        raise InvalidSpecError(field, f"{shortened(url)!r} names no port from 1 to 65535; write redis://host:6379")


def _refuse_wrong_draft(spec: DeepSeekDeploymentSpec, name: str, shape: ModelShape) -> None:
    """Raise when a model cannot be drafted for as asked.

    Source: vLLM 0.32 ``config/speculative.py``: draft tokens are a multiple of the prediction layers, or no more than
    them; a draft model needs the vocabulary of the model.
    """
    speculative = spec.engine.speculative
    if speculative is None:
        return
    if speculative.method is SpeculativeMethod.MTP:
        _refuse_wrong_prediction(speculative, name, shape)
    draft = draft_shape(spec)
    if draft is None:
        return
    storage, field = spec.model.storage, f"{SPECULATIVE}.draftModel"
    if storage is not None and storage.hugging_face is None:
        raise InvalidSpecError(
            field, "it is downloaded, and spec.model.storage keeps the engine off the hub; use method MTP or NGram"
        )
    if draft.vocab_size != shape.vocab_size:
        raise InvalidSpecError(
            field,
            f"its vocabulary of {draft.vocab_size:,} tokens is not the {shape.vocab_size:,} of {shortened(name)}; "
            "name a smaller model of the same family, or use method NGram",
        )


def _refuse_wrong_prediction(speculative: SpeculativeSpec, name: str, shape: ModelShape) -> None:
    field, tokens = f"{SPECULATIVE}.tokens", speculative.tokens
    if shape.block_draft is not None:
        if tokens > shape.block_draft.block_size:
            raise InvalidSpecError(
                field, f"{shortened(name)} drafts blocks of {shape.block_draft.block_size} tokens; use that or fewer"
            )
        return
    layers = shape.num_draft_layers
    if not layers:
        raise InvalidSpecError(
            f"{SPECULATIVE}.method",
            f"{shortened(name)} has no layers for multi-token prediction (MTP); use NGram or DraftModel, or leave "
            "speculative out",
        )
    if tokens > layers and tokens % layers:
        raise InvalidSpecError(field, f"{shortened(name)} has {layers} prediction layers; use a multiple of {layers}")


def _checked_rank(model: ModelSpec, index: int, adapter: LoraAdapter) -> int:
    """Return the rank of an adapter whose name and source can be served.

    Raises:
        InvalidSpecError: the name is the model's, or the source does not fit the model's storage.
    """
    field, source = f"{ADAPTERS}[{index}]", adapter.source
    if adapter.name in (model.name, model.served_name):
        raise InvalidSpecError(f"{field}.name", f"{adapter.name!r} is the model's own name; choose another")
    mounted = model.storage is not None and model.storage.hugging_face is None
    if mounted and ("=" in source or "," in source):
        raise InvalidSpecError(f"{field}.source", "holds = or a comma, which the engine cannot read; rename it")
    if mounted and (source.startswith("/") or ".." in source.split("/")):
        raise InvalidSpecError(f"{field}.source", "leaves the model's volume; name a directory inside it")
    if not mounted and not _REPOSITORY.fullmatch(source):
        raise InvalidSpecError(f"{field}.source", f"{shortened(source)!r} is no repository; write owner/name")
    return adapter.rank


def _buffer_rank(rank: int, release: str) -> int:
    """Return the smallest rank that the engine has buffers for (choices of ``--max-lora-rank``)."""
    choices = sorted(int(choice) for choice in engine_flags(DEFAULT_ENGINE, release)["--max-lora-rank"].choices)
    return next((choice for choice in choices if choice >= rank), choices[-1])
