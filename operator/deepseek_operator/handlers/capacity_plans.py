"""CapacityPlans: each answered when its question or the cluster changed, at a bounded rate, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.api.capacity_plan import CAPACITY_KIND, parse_capacity_plan
from deepseek_operator.api.conditions import READY, STALLED, Observation, set_conditions
from deepseek_operator.api.parse import parse
from deepseek_operator.api.v1alpha1 import API_VERSION
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.facts import NodeFacts, PodFacts
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.question import Asked, answer, bounded_answer
from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import CatalogError, ClusterError, InvalidSpecError, InventoryError
from deepseek_operator.handlers.acceptance import genuine_plan
from deepseek_operator.handlers.observed import Identity, Observed

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]

FITS = "Fits"
"""Everything that was asked for has room now."""

LEAST_SECONDS = 60.0
"""Between two answers to one question while the cluster keeps changing."""

LOOK_SECONDS = 15.0
"""Between two looks whether the cluster changed."""


class CapacityPlans:
    """Every CapacityPlan, and when it was answered last.

    Args:
        cluster: the connection for writing status.
        nodes: what the watches show of nodes and GPU pods.
        observed: what they show of our objects.
    """

    def __init__(self, cluster: Cluster, nodes: ClusterState, observed: Observed) -> None:
        self._cluster, self._nodes, self._observed = cluster, nodes, observed
        self._plans: dict[str, JsonObject] = {}
        self._answered: dict[str, tuple[float, object]] = {}
        self._changed = asyncio.Event()
        self._expected: set[str] | None = None
        self._expected_until = 0.0

    def expect(self, uids: Iterable[str], now: float) -> None:
        """Answer nothing before these DeepSeekDeployments were seen; none of them would count in an answer.

        Args:
            uids: of those that exist; one that is deleted before it is seen is waited for a minute.
            now: monotonic time in seconds.
        """
        self._expected, self._expected_until = set(uids), now + LEAST_SECONDS

    def expect_no_more(self, uid: str) -> None:
        """A DeepSeekDeployment was deleted."""
        if self._expected:
            self._expected.discard(uid)

    def _sees_all(self, now: float) -> bool:
        if self._expected is None:
            return False
        return self._expected <= self._observed.deployments.keys() or now >= self._expected_until

    def put(self, body: JsonObject) -> None:
        """Take in a CapacityPlan that was listed, added or changed."""
        self._plans[body["metadata"]["name"]] = body
        self._changed.set()

    def drop(self, name: str) -> None:
        """Forget one that was deleted."""
        self._plans.pop(name, None)
        self._answered.pop(name, None)

    def known(self) -> set[Identity]:
        """Return every CapacityPlan that is known."""
        return {Identity(CAPACITY_KIND, "", name, body["metadata"]["uid"]) for name, body in self._plans.items()}

    async def run(self) -> None:
        """Answer for ever; one question that fails is logged and keeps no other waiting."""
        while True:
            for name in sorted(self._plans):
                try:
                    await self.look(name, time.monotonic())
                except ClusterError as error:
                    log.warning("CapacityPlan %s: %s", name, error)
                except Exception:
                    log.exception("CapacityPlan %s is not answered; tried again in %.0f s", name, LOOK_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)
            self._changed.clear()

    async def look(self, name: str, now: float) -> None:
        """Answer one question if it or the cluster changed since it was answered.

        Args:
            name: of the CapacityPlan.
            now: monotonic time in seconds.

        Raises:
            ClusterError: the status cannot be written; the next look tries again.
        """
        body = self._plans.get(name)
        if body is None or not self._sees_all(now):
            return
        self._expected = set()
        generation, inventory = int(body["metadata"].get("generation") or 0), self._nodes.inventory()
        asked = {uid: _relevant(each) for uid, each in self._observed.deployments.items()}
        state = (generation, inventory, asked)
        then, before = self._answered.get(name, (-LEAST_SECONDS, None))
        if state == before or (now - then < LEAST_SECONDS and _generation(before) == generation):
            return
        nodes, pods = self._nodes.facts()
        objects = tuple(self._observed.deployments.values())
        status = await asyncio.to_thread(_status, body, objects, nodes, pods, inventory)
        if status != body.get("status"):
            await self._write(body, status)
        self._answered[name] = (now, state)

    async def _write(self, body: JsonObject, status: dict[str, Any]) -> None:
        identity = {field: body["metadata"][field] for field in ("name", "uid")}
        manifest = {"apiVersion": API_VERSION, "kind": CAPACITY_KIND, "metadata": identity, "status": status}
        stored = await self._cluster.apply(manifest, subresource="status")
        if body["metadata"]["name"] in self._plans:
            self._plans[body["metadata"]["name"]] = stored


def _status(
    body: JsonObject,
    objects: Sequence[JsonObject],
    nodes: Sequence[NodeFacts],
    pods: Sequence[PodFacts],
    inventory: Inventory,
) -> dict[str, Any]:
    """Return the whole status; a question that cannot be answered says why."""
    try:
        spec = parse_capacity_plan(body)
        asked = [each for each in map(_asked, objects) if each is not None]
        report = answer(spec, asked, nodes, pods, inventory)
    except (InvalidSpecError, InventoryError, CatalogError) as error:
        invalid = "InvalidQuestion"
        ready = Observation(type=READY, holds=False, reason=invalid, message=str(error))
        fits = Observation(type=FITS, holds=None, reason=invalid, message="the question has no answer")
        return _with_conditions(body, {}, (ready, fits, replace(ready, type=STALLED, holds=True)))
    told, fits_all = bounded_answer(report), not report["unplaced"]
    ready = Observation(type=READY, holds=True, reason="Answered", message="the answer is in status")
    reason = "EverythingFits" if fits_all else "NotEverythingFits"
    fits = Observation(type=FITS, holds=fits_all, reason=reason, message=told["summary"])
    return _with_conditions(body, told, (ready, fits))


def _with_conditions(body: JsonObject, told: JsonObject, observations: Sequence[Observation]) -> dict[str, Any]:
    old = (body.get("status") or {}).get("conditions") or ()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    generation = int(body["metadata"].get("generation") or 0)
    return {
        "observedGeneration": generation,
        "conditions": set_conditions(old, observations, now, generation),
        **told,
    }


def _generation(state: object) -> object:
    return state[0] if isinstance(state, tuple) else None


def _relevant(body: JsonObject) -> tuple[object, ...]:
    """Return what of an object changes an answer: its spec, its plan and its replicas."""
    status = body.get("status") or {}
    return (
        body["metadata"].get("generation"),
        (status.get("plan") or {}).get("hash"),
        (status.get("scaling") or {}).get("desiredReplicas"),
    )


def _asked(body: JsonObject) -> Asked | None:
    """Return an object as part of a question; None where its spec cannot be read, which its own status says."""
    try:
        deployment = parse(body)
    except InvalidSpecError:
        return None
    status = body.get("status") or {}
    return Asked(
        deployment=deployment,
        accepted=genuine_plan(status.get("plan") or {}),
        replicas=(status.get("scaling") or {}).get("desiredReplicas"),
    )
