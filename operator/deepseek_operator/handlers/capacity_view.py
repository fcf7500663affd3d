"""The capacity of the cluster as metrics and as a page: from what the watches show and the accepted plans.

Nothing is asked of the API server, and nothing is computed while somebody waits for an answer: GPUs by product are
counted when nodes or pods changed, the whole answer (who fits, what is stranded) more rarely and in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.api.parse import parse
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.fleet import PACKING_SECONDS
from deepseek_operator.capacity.gpu_states import GPU_STATES
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.page import capacity_page
from deepseek_operator.capacity.report import fleet_report, gpu_products
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.handlers.acceptance import genuine_plan
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.metrics import Metrics

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]

LOOK_SECONDS = 15.0
"""Between two looks whether nodes or pods changed; a scrape interval."""

REPORT_SECONDS = 300.0
"""Between two whole answers that nobody asked for; a thousand objects take some seconds in a thread."""

ASKED_SECONDS = 10.0
"""Between two whole answers that somebody asks for by opening the page."""

STRANDED = "stranded"
"""State of GPUs that are free and useless; it overlaps with the others."""


class CapacityView:
    """Keeps the metrics of the cluster's GPUs up to date, and a page when it is wanted.

    Args:
        nodes: what the watches show of nodes and GPU pods.
        observed: what they show of our objects.
        metrics: where to show it.
    """

    def __init__(self, nodes: ClusterState, observed: Observed, metrics: Metrics) -> None:
        self._nodes, self._observed, self._metrics = nodes, observed, metrics
        self._counted: Inventory | None = None
        self._products: set[str] = set()
        self._reported: object = None
        self._next_report = 0.0
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        self._page: bytes | None = None
        self._page_at = -ASKED_SECONDS

    def page(self) -> bytes | None:
        """Return the newest page and ask for a newer one; None while there is none yet. Safe in any thread."""
        if time.monotonic() >= self._page_at + ASKED_SECONDS:
            self._loop.call_soon_threadsafe(self._asked.set)
        return self._page

    async def run(self) -> None:
        """Look again and again until cancelled; a failure is logged and tried again."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("cannot tell the cluster's capacity; tried again in %.0f s", LOOK_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LOOK_SECONDS)

    async def look(self) -> None:
        """Bring the metrics up to date, and the page when somebody asked for it since it was made."""
        asked, inventory, now = self._asked.is_set(), self._nodes.inventory(), time.monotonic()
        self._asked.clear()  # first, so that a look that fails is not repeated at once
        if inventory is not self._counted:
            self._count(inventory)
            self._counted = inventory
        bodies = tuple(self._observed.deployments.values())
        state = (inventory, tuple(body["metadata"]["resourceVersion"] for body in bodies))
        if not asked and (now < self._next_report or state == self._reported):
            return
        report, page = await asyncio.to_thread(_answer, bodies, inventory, wanted=asked)
        self._next_report, self._reported = now + REPORT_SECONDS, state
        self._tell(report)
        if page is not None:
            self._page, self._page_at = page, time.monotonic()

    def _count(self, inventory: Inventory) -> None:
        """Show the GPUs of each product; a product that is gone is shown no more. What is stranded the report tells."""
        gpus, cost, rows = self._metrics.cluster_gpus, self._metrics.cluster_cost, gpu_products(inventory)
        products = {row["gpu"] for row in rows}
        for gpu in self._products - products:
            for state in (*GPU_STATES, STRANDED):
                gpus.remove(gpu, state)
        for gpu in products - self._products:
            gpus.labels(gpu, STRANDED).set(0)
        self._products = products
        cost.clear()
        for row in rows:
            for state in GPU_STATES:
                gpus.labels(row["gpu"], state).set(row[state])
            if row["costPerHourUsd"] is not None:
                cost.labels(row["gpu"]).set(float(row["costPerHourUsd"]))

    def _tell(self, report: JsonObject) -> None:
        stranded = Counter[str]()
        for node in report["nodes"]:
            stranded[node["gpu"]] += node["stranded"]
        for gpu in self._products:
            self._metrics.cluster_gpus.labels(gpu, STRANDED).set(stranded[gpu])
        self._metrics.placeable_replicas.clear()
        for row in report["placed"]:
            self._metrics.placeable_replicas.labels(row["namespace"], row["name"]).set(row["moreFit"])


def _answer(bodies: Sequence[JsonObject], inventory: Inventory, *, wanted: bool) -> tuple[JsonObject, bytes | None]:
    report = fleet_report(list(members(bodies)), inventory, packing_seconds=PACKING_SECONDS if wanted else 0.0)
    as_of = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return report, capacity_page(report, as_of=as_of).encode() if wanted else None


def members(bodies: Iterable[JsonObject]) -> Iterable[Member]:
    """Yield the objects that have an accepted plan, with the replicas that were decided last."""
    for body in bodies:
        status = body.get("status") or {}
        found = genuine_plan(status.get("plan") or {})
        if found is None:
            continue
        try:
            deployment = parse(body)
        except InvalidSpecError:
            continue  # its own status says so
        replicas = (status.get("scaling") or {}).get("desiredReplicas")
        wanted = found.replicas if replicas is None else int(replicas)
        if wanted > 0:
            yield Member(deployment=deployment, plan=found, replicas=wanted)
