"""The inference engine: which one, its own settings, and what passes through to it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from deepseek_operator.api.base import (
    MAX_BYTES,
    ApiModel,
    OptionalRepositoryName,
    RelativePath,
    Rule,
    SecretKeyRef,
    SecretRef,
    list_map,
)
from deepseek_operator.planner.engine_features import KvOffloadBackend, SpeculativeMethod

LEAKING_ARGUMENT = r"^--(api[-_]k|hf[-_]t)"
"""Arguments that would put a secret where everyone who may read pods can read it.

Only the beginning is compared, because vLLM's parser accepts abbreviations and underscores. Every other clash of
``extraArgs`` with the plan is judged where the command line is built, which knows the release's flags.
Source: ``--api-key`` and ``--hf-token`` of ``vllm serve --help=all``, vLLM 0.32.
"""


class EngineType(StrEnum):
    """The server that runs the model."""

    AUTO = "Auto"
    VLLM = "VLLM"
    TRITON = "Triton"


class EnvValueSource(ApiModel):
    """Where the value of an environment variable comes from."""

    secret_key_ref: SecretKeyRef = Field(description="A key of a Secret in the same namespace.")


class EnvVar(ApiModel):
    """An environment variable of the engine's container."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.value) != has(self.valueFrom)",
            holds=lambda variable: (variable.value is None) != (variable.value_from is None),
            message="give an environment variable exactly one of value and valueFrom",
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")] = Field(
        description="Name of the variable."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(default=None, description="Its text.")
    value_from: EnvValueSource | None = Field(default=None, description="Its source, for secrets.")


class SpeculativeSpec(ApiModel):
    """Speculative decoding: draft tokens that the model only verifies."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.method == 'DraftModel') == (has(self.draftModel) && self.draftModel != '')",
            holds=lambda speculative: (
                (speculative.method is SpeculativeMethod.DRAFT_MODEL) == bool(speculative.draft_model)
            ),
            message="draftModel belongs to method DraftModel, and that method needs it",
            field="draftModel",
        ),
    )

    method: SpeculativeMethod = Field(
        description="MTP uses the checkpoint's own draft layers; NGram repeats the prompt; "
        "DraftModel runs a second model."
    )
    tokens: int = Field(default=1, ge=1, le=16, description="Draft tokens per step.")
    draft_model: OptionalRepositoryName = Field(
        default="", description="Repository of the draft model, for method DraftModel."
    )


class KvStore(ApiModel):
    """A store that all replicas share, such as Redis."""

    url: Annotated[str, Field(max_length=512, pattern=r"^rediss?://[^@\s$]+$")] = Field(
        description="Such as redis://kv.cache:6379; without user and password."
    )
    password_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Its password, percent-encoded. Default: none."
    )


class KvOffloadSpec(ApiModel):
    """KV cache blocks that are kept in host memory after the GPU has dropped them."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.store) || (has(self.backend) && self.backend == 'LMCache')",
            holds=lambda offload: offload.store is None or offload.backend is KvOffloadBackend.LMCACHE,
            message="store belongs to backend LMCache",
            field="store",
        ),
    )

    host_memory_bytes: int = Field(
        ge=1, le=MAX_BYTES, description="Host memory for KV blocks, in bytes per replica; requested by its pods."
    )
    backend: KvOffloadBackend = Field(
        default=KvOffloadBackend.NATIVE, description="Native is the engine's own; LMCache needs an image with it."
    )
    store: KvStore | None = Field(default=None, description="Shared store behind it, for LMCache. Default: none.")


class TritonBackend(StrEnum):
    """What runs the model inside Triton."""

    VLLM = "VLLM"
    TENSORRT_LLM = "TensorRTLLM"


class TritonSpec(ApiModel):
    """Settings of the Triton Inference Server."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(has(self.backend) && self.backend == 'TensorRTLLM') "
            "== (has(self.engineDirectory) && self.engineDirectory != '')",
            holds=lambda triton: (triton.backend is TritonBackend.TENSORRT_LLM) == bool(triton.engine_directory),
            message="engineDirectory belongs to backend TensorRTLLM, and that backend needs it",
            field="engineDirectory",
        ),
    )

    backend: TritonBackend = Field(
        default=TritonBackend.VLLM, description="What runs the model: vLLM, or an engine built with TensorRT-LLM."
    )
    engine_directory: RelativePath = Field(
        default="", description="Directory of the TensorRT-LLM engine inside the volume of model.storage."
    )


Argument = Annotated[str, Field(min_length=1, max_length=1024)]


class EngineSpec(ApiModel):
    """The inference engine."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"!has(self.extraArgs) || !self.extraArgs.exists(argument, argument.matches('{LEAKING_ARGUMENT}'))",
            holds=lambda engine: not any(re.match(LEAKING_ARGUMENT, argument) for argument in engine.extra_args),
            message="secrets do not belong into extraArgs; use engine.apiKeySecretRef "
            "or model.storage.huggingFace.tokenSecretRef",
            field="extraArgs",
        ),
        Rule(
            cel="!has(self.triton) || (has(self.type) && self.type == 'Triton')",
            holds=lambda engine: engine.triton is None or engine.type is EngineType.TRITON,
            message="triton belongs to type Triton; set engine.type, or leave triton out",
            field="triton",
        ),
    )

    type: EngineType = Field(
        default=EngineType.AUTO,
        description="Auto is VLLM. Triton serves the same plan; it needs image.",
    )
    triton: TritonSpec | None = Field(default=None, description="Settings of Triton. Default: its vLLM backend.")
    release: Annotated[str, Field(max_length=32, pattern=r"^([0-9]+(\.[0-9]+){1,3})?$")] = Field(
        default="",
        description="Release whose memory law and arguments apply, such as 0.32.0. Default: the operator's newest.",
    )
    image: Annotated[str, Field(max_length=512, pattern=r"^[^\s]*$")] = Field(
        default="",
        description="Container image; set release to what is in it. Default: the upstream image of release.",
    )
    extra_args: Annotated[tuple[Argument, ...], Field(max_length=64)] = Field(
        default=(),
        description="Arguments added to the engine's command line, one list item each, in this order.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = Field(
        default=(),
        description="Environment variables of the engine's container.",
        json_schema_extra=list_map("name"),
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Key that clients must send as bearer token. Default: no authentication."
    )
    tls_secret_ref: SecretRef | None = Field(
        default=None, description="Secret of type kubernetes.io/tls for the endpoint. Default: plain HTTP."
    )
    max_num_seqs: int | None = Field(
        default=None, ge=1, le=65_536, description="Requests in one batch. Default: planned."
    )
    max_num_batched_tokens: int | None = Field(
        default=None, ge=1, le=1_048_576, description="Tokens in one scheduler step. Default: planned."
    )
    gpu_memory_utilization_percent: int | None = Field(
        default=None, ge=1, le=99, description="Share of each GPU's memory that the engine may use. Default: planned."
    )
    speculative: SpeculativeSpec | None = Field(default=None, description="Speculative decoding. Default: off.")
    kv_offload: KvOffloadSpec | None = Field(
        default=None, description="KV cache in host memory besides GPU memory. Default: off."
    )
    weight_offload_bytes: int = Field(
        default=0,
        ge=0,
        le=MAX_BYTES,
        description="Weights kept in host memory, in bytes per GPU; each step streams them over PCIe.",
    )
    startup_seconds: int | None = Field(
        default=None,
        ge=60,
        le=86_400,
        description="Seconds for loading before the replica counts as failed. Default: as long as the weights need on "
        "a slow link, at least an hour.",
    )
    shutdown_seconds: int | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="Seconds that requests in flight may take when a replica stops. Default: as long as the longest "
        "answer takes, 2 minutes to an hour.",
    )
