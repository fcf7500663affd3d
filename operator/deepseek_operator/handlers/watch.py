"""The kopf wiring: DeepSeekDeployments are watched, and their loops woken. No decisions here.

Only low-level event handlers are used: they add no finalizer and no annotation, so objects can be deleted while the
operator is down. Nodes, pods and children are followed beside kopf (``follow.py``).
"""

from __future__ import annotations

import asyncio
from typing import Any

import kopf

from deepseek_operator.api.v1alpha1 import GROUP, KIND, PLURAL, VERSION
from deepseek_operator.cluster import WATCH_SECONDS
from deepseek_operator.handlers.observed import identity
from deepseek_operator.handlers.operator import Operator
from deepseek_operator.resources.names import FIELD_MANAGER

WATCH_CLIENT_SECONDS = WATCH_SECONDS + 30
"""The client gives up a silent watch shortly after the server should have ended it."""


class NoDiffs(kopf.DiffBaseStorage):
    """Tells kopf that nothing has to be compared: its diffs serve change handlers, and there are none.

    Comparing copies each object several times, three quarters of the cost of an event.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """Return an empty essence."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        """Return that no essence was stored."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


WORKER_IDLE_SECONDS = 1.0
"""kopf keeps a worker per object; an idle one ends soon, so that a thousand quiet objects cost nothing."""


def build_registry(operator: Operator) -> kopf.OperatorRegistry:
    """Return the handlers that feed an operator."""
    registry = kopf.OperatorRegistry()
    _register_login(registry)
    _register_objects(registry, operator)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: server-side filters, bounded watches, events under our own name."""
    settings = kopf.OperatorSettings()
    settings.posting.reporting_component = FIELD_MANAGER
    settings.posting.event_name_prefix = "deepseek-"
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_CLIENT_SECONDS
    settings.queueing.idle_timeout = WORKER_IDLE_SECONDS
    settings.queueing.exit_timeout = 1.0
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDiffs()
    return settings


def _register_login(registry: kopf.OperatorRegistry) -> None:
    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - kopf's own signature
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _register_objects(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def deployment_event(event: kopf.RawEvent, **_: object) -> None:
        if event["type"] == "DELETED":
            operator.deployment_gone(identity(event["object"], KIND))
        else:
            operator.deployment_seen(event["object"])


async def turn(operator: Operator, seconds: float = 5.0) -> None:
    """Beat the operator's heart for as long as its event loop turns."""
    while True:
        operator.heartbeat.beat()
        await asyncio.sleep(seconds)
