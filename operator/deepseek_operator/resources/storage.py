"""Where the engine finds the weights: what it is told as the model, and the volumes behind that.

A token is only ever referenced (``secretKeyRef``); its value never passes through the operator. Weights that already
lie somewhere, a filled cache among them, are mounted read-only, and the engine is kept off the hub. Without a cache
each pod downloads for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.api.base import SecretKeyRef
from deepseek_operator.api.spec_model import ModelCache, ModelSpec
from deepseek_operator.errors import InvalidSpecError, shortened
from deepseek_operator.resources.names import Manifest, Owner, metadata, object_name

CACHE_PATH = "/var/cache/huggingface"
"""``HF_HOME`` of the engine: what its libraries write, and downloads of the hub where there is no cache."""

CACHE_MOUNT = "/models/cache"
"""Where the cache is mounted; its root is ``HF_HOME`` of whoever fills it, so it has the hub's own layout."""

HOME_VOLUME: Manifest = {"name": "model-cache", "emptyDir": {}}
HOME_MOUNT: Manifest = {"name": "model-cache", "mountPath": CACHE_PATH}
"""The pod's own ``HF_HOME``: gone with the pod."""

MODEL_PATH = "/models/model"
"""Where weights from a claim, an image or the node are mounted."""

CACHE_SUFFIX = "cache"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """What a pod needs to reach the weights.

    Args:
        model: what ``vllm serve`` is given: a repository name or a directory.
        revision: revision of the repository; empty for the main branch and for directories.
        environment: variables of the engine container.
        volumes: volumes of the pod.
        mounts: mounts of the engine container, in the same order.
    """

    model: str
    revision: str
    environment: tuple[Manifest, ...]
    volumes: tuple[Manifest, ...]
    mounts: tuple[Manifest, ...]


def model_source(owner: str, model: ModelSpec, checkpoint: str = "") -> ModelSource:
    """Return how a pod reaches the weights that ``spec.model`` and ``spec.precision.checkpoint`` name.

    Args:
        owner: name of the DeepSeekDeployment; names the claim that the operator makes for the cache.
        model: ``spec.model``.
        checkpoint: repository with quantized weights, served instead of ``model.name`` (``model.revision`` is then its
            revision); empty for weights that are mounted.

    Raises:
        InvalidSpecError: a revision is given for mounted weights or can be none (git-check-ref-format, rules 3 and 6),
            or a path climbs out of its volume.
    """
    storage = model.storage
    if storage is None or storage.hugging_face is not None:
        return _from_hub(owner, model, checkpoint or model.name)
    if model.revision:
        raise InvalidSpecError(
            "spec.model.revision", "mounted weights have no revision; leave it out or use storage.huggingFace"
        )
    if storage.persistent_volume_claim is not None:
        claim = storage.persistent_volume_claim
        volume: Manifest = {"persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}}
        return _mounted(volume, claim.path, "spec.model.storage.persistentVolumeClaim.path")
    if storage.image is not None:
        image = storage.image
        volume = {"image": {"reference": image.reference, "pullPolicy": image.pull_policy.value}}
        return _mounted(volume, image.path, "spec.model.storage.image.path")
    assert storage.host_path is not None  # noqa: S101 - the type allows exactly one kind; narrows it for mypy
    if ".." in storage.host_path.path.split("/"):
        raise InvalidSpecError("spec.model.storage.hostPath.path", "holds '..'; write the directory itself")
    return _mounted({"hostPath": {"path": storage.host_path.path, "type": "Directory"}}, "", "")


def build_cache_claim(owner: Owner, model: ModelSpec) -> Manifest | None:
    """Return the claim that keeps downloads for all replicas, or None where none is asked for or it exists already.

    It is deleted with the DeepSeekDeployment, like everything that the operator makes.
    """
    cache = model.cache
    if cache is None or cache.claim_name or cache.size_bytes is None:
        return None
    claim: Manifest = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": str(cache.size_bytes)}},
    }
    if cache.storage_class_name is not None:
        claim["storageClassName"] = cache.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(owner, suffix=CACHE_SUFFIX, component="cache"),
        "spec": claim,
    }


def cache_claim_name(owner: str, cache: ModelCache) -> str:
    """Return the name of the claim that keeps downloads: the user's own, or the one that the operator makes."""
    return cache.claim_name or object_name(owner, CACHE_SUFFIX)


def hub_token(model: ModelSpec) -> SecretKeyRef | None:
    """Return where the hub's access token is kept; None is anonymous."""
    storage = model.storage
    return storage.hugging_face.token_secret_ref if storage and storage.hugging_face else None


def _from_hub(owner: str, model: ModelSpec, repository: str) -> ModelSource:
    if model.revision.startswith("/") or ".." in model.revision:
        # The hub's library keeps a branch under its name in the cache, where such a name would be another file.
        raise InvalidSpecError("spec.model.revision", f"{shortened(model.revision)!r} is no commit, tag or branch")
    environment: list[Manifest] = [{"name": "HF_HOME", "value": CACHE_PATH}]
    volumes: list[Manifest] = [HOME_VOLUME]
    mounts: list[Manifest] = [HOME_MOUNT]
    if model.cache is not None:
        claim = {"claimName": cache_claim_name(owner, model.cache)}
        volumes.append({"name": "shared-cache", "persistentVolumeClaim": claim})
        mounts.append({"name": "shared-cache", "mountPath": CACHE_MOUNT, "readOnly": True})
        offline = {"HF_HUB_CACHE": f"{CACHE_MOUNT}/hub", "HF_HUB_OFFLINE": "1"}
        environment += [{"name": name, "value": value} for name, value in offline.items()]
    elif (token := hub_token(model)) is not None:
        reference = {"secretKeyRef": {"name": token.name, "key": token.key}}
        environment.append({"name": "HF_TOKEN", "valueFrom": reference})
    return ModelSource(
        model=repository,
        revision=model.revision,
        environment=tuple(environment),
        volumes=tuple(volumes),
        mounts=tuple(mounts),
    )


def _mounted(volume: Manifest, path: str, field: str) -> ModelSource:
    """Weights from a read-only volume; the hub's library still needs a writable home for its locks."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidSpecError(field, f"{shortened(path)!r} leaves the volume; name a directory inside it")
    offline = {"HF_HOME": CACHE_PATH, "HF_HUB_OFFLINE": "1"}
    return ModelSource(
        model="/".join((MODEL_PATH, *parts)),
        revision="",
        environment=tuple({"name": name, "value": value} for name, value in offline.items()),
        volumes=({"name": "model", **volume}, HOME_VOLUME),
        mounts=({"name": "model", "mountPath": MODEL_PATH, "readOnly": True}, HOME_MOUNT),
    )
