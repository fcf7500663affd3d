"""What must be there before pods are made: the claim that the owner names, and the weights in the cache.

A claim is read by its name, and only when pods are about to be made or changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import NotFoundError
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.handlers.situation import Hold
from deepseek_operator.handlers.staging import Stage, changes_pods, staged
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.claim_check import claim_need, claim_problem
from deepseek_operator.resources.download_job import COMPONENT
from deepseek_operator.resources.names import Manifest

LOOK_AGAIN_SECONDS = 15.0
"""Between two looks at a claim that cannot do; nobody else's claims are watched. Source: judgement."""


class Preparation:
    """Looks at claims and downloads, and again later at a claim that cannot do.

    Args:
        cluster: the connection.
        observed: what the watches show.
        wake: wakes the loop of an object.
    """

    def __init__(self, cluster: Cluster, observed: Observed, wake: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._observed = observed
        self._wake = wake
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def stage(self, uid: str, deployment: DeepSeekDeployment, plan: Plan, manifests: Sequence[Manifest]) -> Stage:
        """Return what may be made now.

        Args:
            uid: of the DeepSeekDeployment.
            deployment: parsed.
            plan: its accepted plan.
            manifests: everything that is desired.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        metadata, children = deployment.metadata, self._observed.children(uid)
        self.forget(uid)
        problem = await self._problem(uid, deployment, plan) if changes_pods(manifests, children) else None
        pods = self._observed.pods(metadata.namespace, metadata.name, COMPONENT)
        return staged(manifests, children, pods, problem)

    async def _problem(self, uid: str, deployment: DeepSeekDeployment, plan: Plan) -> Hold | None:
        """Return why nothing may be made, None when all may."""
        need = claim_need(deployment.spec, plan)
        if need is None:
            return None
        try:
            claim = await self._cluster.get("PersistentVolumeClaim", deployment.metadata.namespace, need.name)
        except NotFoundError:
            claim = None
        found = claim_problem(need, claim)
        if found is None:
            return None
        self._timers[uid] = asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._wake, uid)
        return Hold(reason=found[0], message=found[1], stuck=True)

    def forget(self, uid: str) -> None:
        """Look no more on behalf of an object."""
        if (timer := self._timers.pop(uid, None)) is not None:
            timer.cancel()
