"""LeaderWorkerSet in the local control plane: everything stays on loopback and keeps the project's own rules."""

from __future__ import annotations

import re
from pathlib import Path

from deepseek_operator.sandbox.leader_worker_set import OF_GROUPS, configuration, webhooks
from deepseek_operator.sandbox.leader_worker_set_build import (
    GO_MODULE,
    LEADER_WORKER_SET_VERSION,
    MODULE,
    fingerprint,
)

DECLARED = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "mutating-webhook-configuration"},
    "webhooks": [
        {
            "name": name,
            "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "webhook-service", "namespace": "system", "path": path}},
            "rules": [{"apiGroups": [""], "resources": [resource], "operations": ["CREATE"]}],
        }
        for name, path, resource in (("a", "/mutate-set", "leaderworkersets"), ("b", "/mutate--v1-pod", "pods"))
    ],
}


def test_webhooks_are_called_on_loopback_and_only_for_pods_of_groups() -> None:
    made = webhooks([DECLARED], 4711, "Q0E=")
    [configured] = made["items"]
    assert configured["metadata"] == {"name": "lws-mutating"}
    assert [hook["clientConfig"] for hook in configured["webhooks"]] == [
        {"url": "https://127.0.0.1:4711/mutate-set", "caBundle": "Q0E="},
        {"url": "https://127.0.0.1:4711/mutate--v1-pod", "caBundle": "Q0E="},
    ]
    assert [hook.get("objectSelector") for hook in configured["webhooks"]] == [None, OF_GROUPS]
    assert {hook["failurePolicy"] for hook in configured["webhooks"]} == {"Fail"}


def test_the_controller_listens_on_loopback_alone() -> None:
    made = configuration(4711)
    assert (made["webhook"]["host"], made["webhook"]["port"]) == ("127.0.0.1", 4711)
    assert (made["metrics"]["bindAddress"], made["health"]["healthProbeBindAddress"]) == ("0", "0")


def test_the_pinned_module_is_the_version_that_is_told() -> None:
    pinned = re.search(rf"{re.escape(MODULE)} (v\S+)", (GO_MODULE / "go.mod").read_text())
    assert pinned is not None
    assert pinned.group(1) == LEADER_WORKER_SET_VERSION
    assert f"{MODULE} {LEADER_WORKER_SET_VERSION} h1:" in (GO_MODULE / "go.sum").read_text()
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint())


def test_nothing_of_a_module_cache_is_carried() -> None:
    assert sorted(path.name for path in Path(GO_MODULE).iterdir()) == ["go.mod", "go.sum"]
