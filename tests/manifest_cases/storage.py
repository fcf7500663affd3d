"""Every place where weights may lie."""

from __future__ import annotations

from typing import Any

from manifest_cases.case import ManifestCase
from manifest_cases.groups import LEADER_WORKER_SET, STAGES
from model_factories import make_plan

NAME = "deepseek-ai/deepseek-llm-67b-chat"
COMMIT = "79648bef7658bb824e4630740f6e1484c1b0620b"


def stored(**model: object) -> dict[str, Any]:
    return {"model": {"name": NAME, **model}}


CASES = [
    ManifestCase(
        name="storage-hub",
        says="each pod downloads for itself, with a token, at a pinned commit",
        spec=stored(revision=COMMIT, storage={"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}}),
        plan=make_plan(),
    ),
    ManifestCase(
        name="storage-cache",
        says="one download into a claim of the operator, replicas read it offline",
        spec=stored(
            revision=COMMIT,
            storage={"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}},
            cache={"sizeBytes": 200_000_000_000, "storageClassName": "shared"},
        )
        | {"engine": {"env": [{"name": "HF_ENDPOINT", "value": "https://hub.example"}]}},
        plan=make_plan(),
        replicas=2,
    ),
    ManifestCase(
        name="storage-cache-group",
        says="a group over two nodes reads a shared cache",
        spec={
            "model": {
                "name": "deepseek-ai/DeepSeek-R1",
                "cache": {"claimName": "hub"},
            },
        },
        plan=STAGES,
        replicas=2,
        known={"features": LEADER_WORKER_SET},
    ),
    ManifestCase(
        name="network-policy",
        says="named clients and monitoring, and the hub for the download alone",
        spec=stored(revision=COMMIT, cache={"claimName": "hub"})
        | {
            "networkPolicy": {
                "fromNamespaces": ["gateway"],
                "metricsFromNamespaces": ["monitoring", "deepseek-operator"],
            },
        },
        plan=make_plan(),
    ),
    ManifestCase(
        name="storage-claim",
        says="weights on a claim that exists",
        spec=stored(storage={"persistentVolumeClaim": {"claimName": "weights", "path": "llm/67b"}}),
        plan=make_plan(),
    ),
    ManifestCase(
        name="storage-image",
        says="weights in an OCI image",
        spec=stored(storage={"image": {"reference": "registry.example/weights/67b@sha256:" + "0" * 64}}),
        plan=make_plan(),
    ),
    ManifestCase(
        name="storage-host-path",
        says="weights on the node",
        spec=stored(storage={"hostPath": {"path": "/models/67b"}}),
        plan=make_plan(),
    ),
]
