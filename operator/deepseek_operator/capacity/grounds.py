"""Which nodes a deployment's pods may land on, whatever runs there."""

from __future__ import annotations

import json

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.selection import why_excluded, why_not_planned
from deepseek_operator.capacity.workload import tolerations_of
from deepseek_operator.planner.result import Plan


class Grounds:
    """Nodes by what is asked of them; deployments that ask alike are looked up once.

    Args:
        inventory: of the cluster.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._by_gpu: dict[str, list[NodeInventory]] = {}
        for node in inventory.nodes:
            if node.gpu is not None:
                self._by_gpu.setdefault(node.gpu.id, []).append(node)
        self._nodes: dict[str, tuple[str, ...]] = {}

    @staticmethod
    def key(deployment: DeepSeekDeployment, plan: Plan) -> str:
        """Return what a deployment asks of its nodes, as a text."""
        spec = deployment.spec.hardware
        asked = [plan.gpu, sorted(spec.node_selector.items()), tolerations_of(deployment), spec.spot]
        return json.dumps([*asked, plan.share is not None, str(plan.pin), str(plan.rdma)], sort_keys=True)

    def nodes(self, deployment: DeepSeekDeployment, plan: Plan) -> tuple[str, ...]:
        """Return the nodes with its GPU that take its pods, by name."""
        key, spec = self.key(deployment, plan), deployment.spec.hardware
        if key not in self._nodes:
            tolerations, shares = tolerations_of(deployment), plan.share is not None
            self._nodes[key] = tuple(
                node.name
                for node in self._by_gpu.get(plan.gpu, ())
                if not why_excluded(node, spec.node_selector, tolerations, spec.spot, for_share=shares)
                and not why_not_planned(node, plan)
            )
        return self._nodes[key]
