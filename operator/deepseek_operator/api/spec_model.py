"""Which model is served and where its weights come from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from deepseek_operator.api.base import (
    MAX_BYTES,
    AbsolutePath,
    ApiModel,
    DnsLabel,
    DnsSubdomain,
    OptionalDnsSubdomain,
    RelativePath,
    RepositoryName,
    Rule,
    SecretKeyRef,
    list_map,
)


class PullPolicy(StrEnum):
    """When a model image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class HuggingFaceStorage(ApiModel):
    """Weights from the Hugging Face hub."""

    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Access token for gated repositories. Default: anonymous."
    )


class ClaimStorage(ApiModel):
    """Weights that already lie on a PersistentVolumeClaim of the same namespace."""

    claim_name: DnsSubdomain = Field(description="Name of the claim; mounted read-only.")
    path: RelativePath = Field(default="", description="Directory of the model inside the volume. Default: its root.")


class ImageStorage(ApiModel):
    """Weights inside an OCI image or artifact, mounted as an image volume (Kubernetes 1.33 or newer)."""

    reference: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")] = Field(
        description="Image reference; a digest keeps every replica on the same weights."
    )
    path: RelativePath = Field(default="", description="Directory of the model inside the image. Default: its root.")
    pull_policy: PullPolicy = Field(default=PullPolicy.IF_NOT_PRESENT, description="When the image is pulled.")


class HostPathStorage(ApiModel):
    """Weights that lie on each node; forbidden by restricted Pod Security, so an administrator must allow it."""

    path: AbsolutePath = Field(description="Absolute directory of the model on the node; mounted read-only.")


def _storage_kinds(storage: ModelStorage) -> int:
    kinds = (storage.hugging_face, storage.persistent_volume_claim, storage.image, storage.host_path)
    return sum(kind is not None for kind in kinds)


class ModelStorage(ApiModel):
    """Where the weights come from: exactly one kind."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="[has(self.huggingFace), has(self.persistentVolumeClaim), has(self.image), has(self.hostPath)]"
            ".filter(kind, kind).size() == 1",
            holds=lambda storage: _storage_kinds(storage) == 1,
            message="name exactly one of huggingFace, persistentVolumeClaim, image and hostPath",
        ),
    )

    hugging_face: HuggingFaceStorage | None = Field(default=None, description="Download from the hub.")
    persistent_volume_claim: ClaimStorage | None = Field(
        default=None, description="Read from an existing volume; nothing is downloaded."
    )
    image: ImageStorage | None = Field(default=None, description="Read from an OCI image volume.")
    host_path: HostPathStorage | None = Field(default=None, description="Read from a directory of the node.")


class ModelCache(ApiModel):
    """A shared volume that keeps downloaded weights, so that a replica never downloads what another one has."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.claimName) && self.claimName != '' "
            "? !has(self.storageClassName) && !has(self.sizeBytes) : has(self.sizeBytes)",
            holds=lambda cache: (
                cache.storage_class_name is None and cache.size_bytes is None
                if cache.claim_name
                else cache.size_bytes is not None
            ),
            message="give either claimName of an existing claim, or sizeBytes (and storageClassName) of a new one",
        ),
    )

    claim_name: OptionalDnsSubdomain = Field(
        default="", description="An existing claim that all replicas can mount (ReadWriteMany)."
    )
    storage_class_name: DnsSubdomain | None = Field(
        default=None,
        description="Class of the claim that the operator makes. Default: the cluster's default class.",
    )
    size_bytes: int | None = Field(
        default=None, ge=1, le=MAX_BYTES, description="Size in bytes of the claim that the operator makes."
    )


class LoraAdapter(ApiModel):
    """A LoRA adapter that is served beside the model under its own name."""

    name: DnsLabel = Field(description="Name of the adapter in requests.")
    source: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")] = Field(
        description="Hub repository, or directory inside the model's volume."
    )
    rank: int = Field(default=16, ge=1, le=512, description="Rank of the adapter; its memory is part of the plan.")


class ModelSpec(ApiModel):
    """The model."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.cache) || !has(self.storage) || has(self.storage.huggingFace)",
            holds=lambda model: model.cache is None or model.storage is None or model.storage.hugging_face is not None,
            message="cache keeps what is downloaded; leave it out, or use storage.huggingFace",
            field="cache",
        ),
    )

    name: RepositoryName = Field(
        description="Name in the catalogue (`kubectl deepseek catalog models`), or any name when config is given."
    )
    revision: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9._/-]*$")] = Field(
        default="",
        description="Commit, tag or branch. A commit keeps every restart on the same weights. "
        "Default: the main branch.",
    )
    served_name: Annotated[str, Field(max_length=128, pattern=r"^[^\s]*$")] = Field(
        default="", description="Name of the model in API requests. Default: name."
    )
    config: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Fields of the model's Hugging Face config.json, for planning; wins over the catalogue. The engine "
        "reads the checkpoint's own. Needed for a model that the catalogue does not hold.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    storage: ModelStorage | None = Field(
        default=None, description="Where the weights come from. Default: huggingFace without a token."
    )
    cache: ModelCache | None = Field(
        default=None, description="Shared volume for downloads. Default: each replica downloads for itself."
    )
    lora_adapters: Annotated[tuple[LoraAdapter, ...], Field(max_length=32)] = Field(
        default=(),
        description="LoRA adapters that every replica loads. Default: none.",
        json_schema_extra=list_map("name"),
    )
