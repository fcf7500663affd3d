"""The GPUs that objects may be planned on, computed once per change of nodes for all that choose nodes alike."""

from __future__ import annotations

from deepseek_operator.api.fingerprint import engine_variant
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.workload import planned_models, supply_for
from deepseek_operator.planner.request import Supply


class Supplies:
    """Remembers supplies while nothing but pods has changed; what pods hold is no matter of planning.

    Args:
        nodes: what the watches show of nodes and GPU pods.
    """

    def __init__(self, nodes: ClusterState) -> None:
        self._nodes = nodes
        self._known: tuple[int, dict[str, Supply]] = (0, {})

    def of(self, deployment: DeepSeekDeployment) -> Supply:
        """Return the supply of a deployment; all that choose nodes alike share it."""
        inventory, offers = self._nodes.inventory(), self._nodes.offers()
        if self._known[0] != offers:
            self._known = (offers, {})
        hardware = deployment.spec.hardware
        alike = (planned_models(deployment), engine_variant(deployment)) if inventory.measurements else ()
        key = repr((sorted(hardware.node_selector.items()), hardware.tolerations, hardware.spot, alike))
        known = self._known[1]
        if key not in known:
            known[key] = supply_for(deployment, inventory)
        return known[key]
