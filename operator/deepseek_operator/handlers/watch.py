"""The kopf wiring: which objects are watched, and whose loop each event wakes. No decisions here.

Only low-level event handlers are used: they add no finalizer and no annotation, so objects can be deleted while the
operator is down. Nodes and pods also have an index handler, because kopf fills indices before it calls any event
handler: the first plan sees the whole cluster and not the half that was listed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import kopf

from deepseek_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from deepseek_operator.cluster import UNFINISHED_PODS
from deepseek_operator.errors import InventoryError
from deepseek_operator.handlers.operator import Operator
from deepseek_operator.resources.names import FIELD_MANAGER, LABEL_MANAGED_BY

JsonObject = Mapping[str, Any]

CHILD_RESOURCES = (
    ("", "v1", "configmaps"),
    ("", "v1", "persistentvolumeclaims"),
    ("", "v1", "services"),
    ("apps", "v1", "deployments"),
    ("policy", "v1", "poddisruptionbudgets"),
)
"""Kinds that the builders make; watched by our label, so that nobody else's objects cross the wire."""

WATCH_SERVER_SECONDS = 300
"""The API server ends a watch after this time, and a dead connection is noticed at the latest then."""

WATCH_CLIENT_SECONDS = 330
"""The client gives up a silent watch shortly after the server should have ended it."""

WORKER_IDLE_SECONDS = 1.0
"""kopf keeps a worker per object; an idle one ends soon, so that a thousand quiet objects cost nothing."""


def build_registry(operator: Operator) -> kopf.OperatorRegistry:
    """Return the handlers that feed an operator."""
    registry = kopf.OperatorRegistry()
    _register_login(registry)
    _register_inventory(registry, operator)
    _register_objects(registry, operator)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: server-side filters, bounded watches, events under our own name."""
    settings = kopf.OperatorSettings()
    settings.posting.reporting_component = FIELD_MANAGER
    settings.posting.event_name_prefix = "deepseek-"
    settings.watching.server_timeout = WATCH_SERVER_SECONDS
    settings.watching.client_timeout = WATCH_CLIENT_SECONDS
    settings.queueing.idle_timeout = WORKER_IDLE_SECONDS
    settings.queueing.exit_timeout = 1.0
    settings.scanning.disabled = True
    for group, version, plural in CHILD_RESOURCES:
        settings.watching.label_selectors[group, version, plural] = f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"
    settings.watching.field_selectors["", "v1", "pods"] = UNFINISHED_PODS
    return settings


def _register_login(registry: kopf.OperatorRegistry) -> None:
    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - kopf's own signature
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _register_inventory(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """Feed nodes and GPU pods into the inventory; whoever waits for GPUs is woken by the operator."""

    @kopf.index("", "v1", "nodes", registry=registry)
    async def node_seen(body: kopf.Body, logger: kopf.Logger, **_: object) -> None:
        try:
            operator.node_seen(body)
        except InventoryError as error:
            logger.warning("%s", error)

    @kopf.on.event("", "v1", "nodes", registry=registry)
    async def node_event(event: kopf.RawEvent, **_: object) -> None:
        if event["type"] == "DELETED":
            operator.node_gone(event["object"]["metadata"]["name"])

    @kopf.index("", "v1", "pods", registry=registry)
    async def pod_seen(body: kopf.Body, logger: kopf.Logger, **_: object) -> None:
        try:
            operator.pod_seen(body)
        except InventoryError as error:
            logger.warning("%s", error)

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def pod_event(event: kopf.RawEvent, **_: object) -> None:
        if event["type"] == "DELETED":
            operator.pod_gone(event["object"])


def _register_objects(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def deployment_event(event: kopf.RawEvent, **_: object) -> None:
        if event["type"] == "DELETED":
            operator.deployment_gone(event["object"])
        else:
            operator.deployment_seen(event["object"])

    for group, version, plural in CHILD_RESOURCES:
        _register_child(registry, operator, group, version, plural)


def _register_child(registry: kopf.OperatorRegistry, operator: Operator, group: str, version: str, plural: str) -> None:
    """Watch one kind of child; an index handler first, so that known children are not taken for missing."""

    @kopf.index(group, version, plural, registry=registry, id=f"{plural}-seen")
    async def child_seen(body: kopf.Body, **_: object) -> None:
        operator.child_seen(body)

    @kopf.on.event(group, version, plural, registry=registry, id=f"{plural}-event")
    async def child_event(event: kopf.RawEvent, **_: object) -> None:
        if event["type"] == "DELETED":
            operator.child_gone(event["object"])


async def turn(operator: Operator, seconds: float = 5.0) -> None:
    """Beat the operator's heart for as long as its event loop turns."""
    while True:
        operator.heartbeat.beat()
        await asyncio.sleep(seconds)
