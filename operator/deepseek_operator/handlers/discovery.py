"""Keeps looking at which APIs the cluster serves, at a bounded rate; a definition may be installed at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import ClusterError
from deepseek_operator.resources.features import ClusterFeatures, features_of

log = logging.getLogger(__name__)

DISCOVERY_SECONDS = 30.0
"""Between two looks: one small call each, and nobody waits longer for a scheduler that was just installed."""


class Discovery:
    """The features of the cluster as last seen; those of a bare cluster until the first look.

    Args:
        cluster: connection to the API server.
        on_change: called after the features have changed.
        seconds: between two looks.
    """

    def __init__(self, cluster: Cluster, on_change: Callable[[], None], *, seconds: float = DISCOVERY_SECONDS) -> None:
        self.features = ClusterFeatures()
        self._cluster = cluster
        self._on_change = on_change
        self._seconds = seconds

    async def look(self) -> None:
        """Ask the API server once; what was known stays while it does not answer."""
        try:
            found = features_of(await self._cluster.served_versions())
        except ClusterError as error:
            log.warning("the served APIs are not known anew: %s", error)
            return
        if found != self.features:
            log.info("the cluster serves: %s", ", ".join(found.names()) or "nothing beside the common APIs")
            self.features = found
            self._on_change()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)
