"""One active operator at a time, by a Lease.

The clocks of two machines are never compared: a candidate watches whether the Lease changes, and takes it over only
when it has not changed for the lease time on the candidate's own clock (the rule of client-go's leader election).
The Lease is given back on a clean stop, so that a rollout of the operator does not wait. The leader election of the
Python client is not used because an unreachable API server ends it, it never gives the Lease back, and it has no
separate deadline for renewing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import ClusterError, ConflictError, NotFoundError

log = logging.getLogger(__name__)


class LeadershipLostError(Exception):
    """The Lease could not be renewed in time; the process must stop, because another may be active now."""


class Leadership:
    """A candidate for one Lease.

    Args:
        cluster: connection to the API server.
        namespace: namespace of the Lease.
        name: name of the Lease.
        identity: this candidate.
        lease_seconds: how long a silent holder keeps the Lease. Renewed at a third of it; given up at two thirds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._seen_version = ""
        self._seen_at = clock()
        self._lease: dict[str, Any] | None = None

    async def acquire(self) -> None:
        """Wait until this candidate holds the Lease."""
        waiting = False
        while not await self.try_once():
            if not waiting:
                waiting = True
                log.info("waiting for the lease %s/%s", self._namespace, self._name)
            await asyncio.sleep(min(2.0, self._lease_seconds / 3))
        log.info("leading as %s", self._identity)

    async def hold(self) -> None:
        """Renew the Lease for ever; raise LeadershipLostError when that failed for two thirds of the lease time."""
        renewed_at = self._clock()
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            if await self._renewed_soon():
                renewed_at = self._clock()
            elif self._clock() - renewed_at >= self._lease_seconds * 2 / 3:
                raise LeadershipLostError(f"lease {self._namespace}/{self._name} was not renewed in time")

    async def _renewed_soon(self) -> bool:
        """Renew within a third of the lease time: a call that hangs must not outlast the Lease."""
        try:
            async with asyncio.timeout(self._lease_seconds / 3):
                return await self.try_once()
        except TimeoutError:
            return False

    async def release(self) -> None:
        """Give the Lease back if this candidate holds it; failing to is no error, it runs out by itself."""
        if self._lease is None:
            return
        lease = {
            **self._lease,
            "spec": {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1},
        }
        try:
            await self._cluster.replace(lease)
        except ClusterError as error:
            log.info("lease not given back: %s", error)
        self._lease = None

    async def try_once(self) -> bool:
        """Take or renew the Lease once; False when another holds it or the API server did not help."""
        try:
            lease = await self._cluster.get("Lease", self._namespace, self._name)
        except NotFoundError:
            return await self._write(None)
        except ClusterError as error:
            log.warning("lease not read: %s", error)
            return False
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, self._clock()
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        expired = self._clock() - self._seen_at > (spec.get("leaseDurationSeconds") or self._lease_seconds)
        if holder not in ("", self._identity) and not expired:
            self._lease = None
            return False
        return await self._write(lease)

    async def _write(self, lease: dict[str, Any] | None) -> bool:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec") or {}
        mine = old.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._lease_seconds,
            "renewTime": now,
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if mine or lease is None else 1),
        }
        try:
            if lease is None:
                metadata = {"namespace": self._namespace, "name": self._name}
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": spec,
                }
                self._lease = await self._cluster.create(body)
            else:
                metadata = lease["metadata"]
                self._lease = await self._cluster.replace({**lease, "metadata": metadata, "spec": spec})
        except ConflictError:
            return False
        except ClusterError as error:
            log.warning("lease not written: %s", error)
            return False
        self._seen_version, self._seen_at = self._lease["metadata"]["resourceVersion"], self._clock()
        return True
