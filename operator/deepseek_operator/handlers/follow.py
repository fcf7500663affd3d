"""Following nodes, GPU pods and children: listed once before the first pass, then watched.

This is done beside kopf, which keeps a worker, a memory and several wrappers for every object that it watches; followed
here an event costs a tenth of that, and a broken watch ends in a new list that also finds what was deleted meanwhile.
kopf watches the DeepSeekDeployments themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from deepseek_operator.cluster import UNFINISHED_PODS, Cluster
from deepseek_operator.errors import ClusterError, ExpiredError, NotFoundError
from deepseek_operator.handlers.discovery import DISCOVERY_SECONDS
from deepseek_operator.handlers.observed import WORKLOADS, identity
from deepseek_operator.handlers.operator import Operator
from deepseek_operator.resources.names import FIELD_MANAGER, LABEL_MANAGED_BY

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Between two tries while the API server refuses or does not answer."""

OUR_CHILDREN = f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"
"""Label selector of everything that we made; nobody else's objects of these kinds cross the wire."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A kind of object to follow, with the server-side filters that keep others off the wire.

    One that is ``optional`` may be of a definition that is not installed, and is looked for again now and then.
    """

    kind: str
    label_selector: str = ""
    field_selector: str = ""
    optional: bool = False


OPTIONAL = frozenset({"LeaderWorkerSet", "PodMonitor", "ResourceClaimTemplate", "ResourceSlice"})
"""Kinds of other projects, whose definition may be missing, and those of newer releases of Kubernetes."""

NODES = Followed(kind="Node")
CAPACITY_PLANS = Followed(kind="CapacityPlan", optional=True)
"""Questions about the whole cluster; an operator of some namespaces answers none, and so never fights with another."""
QUOTAS = Followed(kind="ResourceQuota")
SLICES = Followed(kind="ResourceSlice", optional=True)
PODS = Followed(kind="Pod", field_selector=UNFINISHED_PODS)
CHILDREN = tuple(
    Followed(kind=kind, label_selector=OUR_CHILDREN, optional=kind in OPTIONAL)
    for kind in (
        "ConfigMap",
        "PersistentVolumeClaim",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "PodMonitor",
        "ResourceClaimTemplate",
        "Job",
        *sorted(WORKLOADS),
    )
)
"""Kinds that the builders make."""


class Followers:
    """One task per kind and namespace.

    Args:
        cluster: connection to the API server.
        operator: told about everything that exists, changes and goes.
        namespaces: where to look for pods and children; empty means everywhere.
    """

    def __init__(self, cluster: Cluster, operator: Operator, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._operator = operator
        self._what: list[tuple[Followed, str | None]] = [(NODES, None), (SLICES, None)]
        self._what += [] if namespaces else [(CAPACITY_PLANS, None)]
        self._what += [(each, namespace) for each in (PODS, QUOTAS, *CHILDREN) for namespace in namespaces or (None,)]
        self._listed = [asyncio.Event() for _ in self._what]

    async def listed(self) -> None:
        """Wait until everything has been listed once."""
        for event in self._listed:
            await event.wait()

    async def run(self) -> None:
        """Follow for ever."""
        async with asyncio.TaskGroup() as tasks:
            for (what, namespace), listed in zip(self._what, self._listed, strict=True):
                tasks.create_task(self._follow(what, namespace, listed))

    async def _follow(self, what: Followed, namespace: str | None, listed: asyncio.Event) -> None:
        version, told = "", ""
        while True:
            try:
                if not version:
                    version = await self._list(what, namespace)
                    listed.set()
                version = await self._watch(what, namespace, version)
                told = ""
            except ExpiredError:
                version = ""
            except ClusterError as error:
                if what.optional and isinstance(error, NotFoundError):
                    version = ""
                    await self._not_installed(what, namespace, listed)
                    continue
                if str(error) != told:
                    log.warning("following %s: %s", what.kind, error)
                    told = str(error)
                version = ""
                await asyncio.sleep(RETRY_SECONDS)

    async def _not_installed(self, what: Followed, namespace: str | None, listed: asyncio.Event) -> None:
        """Take in that there is nothing of a kind without definition, and wait until it may have been installed."""
        for each in sorted(self._operator.known(what.kind, namespace)):
            self._operator.gone(each)
        listed.set()
        await asyncio.sleep(DISCOVERY_SECONDS)

    async def _list(self, what: Followed, namespace: str | None) -> str:
        """Tell the operator what exists, and what it knew of and does not exist any more; return the version."""
        missing, version = self._operator.known(what.kind, namespace), ""
        filters = {"label_selector": what.label_selector, "field_selector": what.field_selector}
        async for version, items in self._cluster.pages(what.kind, namespace, **filters):  # noqa: B007 - used below
            for item in items:
                self._operator.listed({**item, "kind": what.kind})
                missing.discard(identity(item, what.kind))
        for each in sorted(missing):
            self._operator.gone(each)
        return version

    async def _watch(self, what: Followed, namespace: str | None, version: str) -> str:
        """Tell the operator what changes; return the version to go on from when the API server ends the watch."""
        filters = {"label_selector": what.label_selector, "field_selector": what.field_selector}
        async with aclosing(self._cluster.watch(what.kind, namespace, version, **filters)) as events:
            async for change, body in events:
                version = str(body["metadata"]["resourceVersion"])
                if change == "DELETED":
                    self._operator.gone(identity(body, what.kind))
                elif change != "BOOKMARK":
                    self._operator.seen(body)
        return version
