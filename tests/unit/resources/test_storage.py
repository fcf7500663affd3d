"""Where the engine finds the weights."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.api.spec_model import ModelSpec
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.resources.names import Owner
from deepseek_operator.resources.storage import ModelSource, build_cache_claim, model_source
from model_factories import make_deployment

OFFLINE = ({"name": "HF_HOME", "value": "/var/cache/huggingface"}, {"name": "HF_HUB_OFFLINE", "value": "1"})
CACHE_MOUNT = {"name": "model-cache", "mountPath": "/var/cache/huggingface"}
MODEL_MOUNT = {"name": "model", "mountPath": "/models/model", "readOnly": True}
SCRATCH = {"name": "model-cache", "emptyDir": {}}


def source_of(checkpoint: str = "", **model: object) -> ModelSource:
    spec = make_deployment(model={"name": "a/b"} | model).spec
    return model_source("r1", spec.model, checkpoint)


def mounted(volume: dict[str, Any], model: str = "/models/model") -> ModelSource:
    volumes = ({"name": "model", **volume}, SCRATCH)
    return ModelSource(
        model=model, revision="", environment=OFFLINE, volumes=volumes, mounts=(MODEL_MOUNT, CACHE_MOUNT)
    )


def downloaded(model: str = "a/b", revision: str = "") -> ModelSource:
    return ModelSource(
        model=model, revision=revision, environment=OFFLINE[:1], volumes=(SCRATCH,), mounts=(CACHE_MOUNT,)
    )


def cached(claim: str) -> ModelSource:
    return ModelSource(
        model="a/b",
        revision="",
        environment=(OFFLINE[0], {"name": "HF_HUB_CACHE", "value": "/models/cache/hub"}, OFFLINE[1]),
        volumes=(SCRATCH, {"name": "shared-cache", "persistentVolumeClaim": {"claimName": claim}}),
        mounts=(CACHE_MOUNT, {"name": "shared-cache", "mountPath": "/models/cache", "readOnly": True}),
    )


@pytest.mark.parametrize(
    ("model", "checkpoint", "source"),
    [
        pytest.param({}, "", downloaded(), id="the hub by default, each replica for itself"),
        pytest.param({"revision": "v1"}, "", downloaded(revision="v1"), id="a pinned revision"),
        pytest.param({}, "a/b-awq", downloaded("a/b-awq"), id="a quantized checkpoint is served instead"),
        pytest.param(
            {"cache": {"claimName": "shared"}},
            "",
            cached("shared"),
            id="an existing claim keeps downloads, and its readers are offline",
        ),
        pytest.param(
            {"cache": {"sizeBytes": 1}, "storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "t"}}}},
            "",
            cached("r1-cache"),
            id="a claim of the operator keeps downloads, and its readers need no token",
        ),
        pytest.param(
            {"storage": {"persistentVolumeClaim": {"claimName": "w", "path": "llm//./67b/"}}},
            "",
            mounted({"persistentVolumeClaim": {"claimName": "w", "readOnly": True}}, "/models/model/llm/67b"),
            id="a directory of a claim, read-only and offline",
        ),
        pytest.param(
            {"storage": {"image": {"reference": "r/w:1"}}},
            "",
            mounted({"image": {"reference": "r/w:1", "pullPolicy": "IfNotPresent"}}),
            id="an image volume",
        ),
        pytest.param(
            {"storage": {"hostPath": {"path": "/data"}}},
            "",
            mounted({"hostPath": {"path": "/data", "type": "Directory"}}),
            id="a directory of the node, which must exist",
        ),
    ],
)
def test_sources(model: dict[str, Any], checkpoint: str, source: ModelSource) -> None:
    assert source_of(checkpoint, **model) == source


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(
            {"revision": "v1", "storage": {"hostPath": {"path": "/data"}}},
            "spec.model.revision: mounted weights have no revision; leave it out or use storage.huggingFace",
            id="a revision of mounted weights",
        ),
        *(
            pytest.param(
                {"revision": revision},
                f"spec.model.revision: {revision!r} is no commit, tag or branch",
                id=f"revision {revision}",
            )
            for revision in ("../../../etc", "/etc/passwd", "refs/../x")
        ),
        pytest.param(
            {"storage": {"persistentVolumeClaim": {"claimName": "w", "path": "a/../../etc"}}},
            "spec.model.storage.persistentVolumeClaim.path: 'a/../../etc' leaves the volume; "
            "name a directory inside it",
            id="a path out of the volume",
        ),
    ],
)
def test_sources_that_cannot_be_obeyed(model: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        source_of(**model)
    assert str(caught.value) == message


def test_the_claim_for_downloads_is_shared_by_all_replicas() -> None:
    model = make_deployment(model={"name": "a/b", "cache": {"sizeBytes": 1024, "storageClassName": "nfs"}}).spec.model
    claim = build_cache_claim(Owner(name="r1", namespace="chat", uid="u"), model)
    assert claim is not None
    assert (claim["metadata"]["name"], claim["spec"]) == (
        "r1-cache",
        {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1024"}},
            "storageClassName": "nfs",
        },
    )


@pytest.mark.parametrize(
    "cache", [pytest.param(None, id="no cache"), pytest.param({"claimName": "mine"}, id="a claim that exists")]
)
def test_no_claim_is_made_that_nobody_asked_for(cache: dict[str, Any] | None) -> None:
    model = make_deployment(model={"name": "a/b"} | ({"cache": cache} if cache else {})).spec.model
    assert build_cache_claim(Owner(name="r1", namespace="chat", uid="u"), model) is None


@pytest.mark.parametrize("path", ["/../etc", "/models/../../etc", "/.."])
def test_a_host_path_does_not_climb(path: str):
    model = ModelSpec.model_validate({"name": "a/b", "storage": {"hostPath": {"path": path}}})
    with pytest.raises(InvalidSpecError, match=r"hostPath\.path"):
        model_source("m", model)
