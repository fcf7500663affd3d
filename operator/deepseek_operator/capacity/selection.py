"""Which nodes a workload's pods may land on: node selector, tolerations and spot, as the scheduler reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.facts import Taint
from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.catalog.spot import spot_label
from deepseek_operator.errors import shortened
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.affinity import build_tolerations

_EXCLUDING_EFFECTS = frozenset({"NoSchedule", "NoExecute"})
"""``PreferNoSchedule`` only ranks nodes. Source: Kubernetes, taints and tolerations."""


def is_tolerated(taint: Taint, tolerations: Iterable[Mapping[str, object]]) -> bool:
    """Return whether one of the tolerations tolerates a taint.

    An empty effect tolerates every effect; an empty key with ``Exists`` tolerates every taint; an operator that
    is not known tolerates nothing.

    Args:
        taint: of a node.
        tolerations: in the shape of ``pod.spec.tolerations``; ``tolerationSeconds`` plays no part in placing.

    Source: ``Toleration.ToleratesTaint`` of Kubernetes 1.36, ``k8s.io/api/core/v1/toleration.go``.

    >>> gpu = Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule")
    >>> is_tolerated(gpu, [{"key": "nvidia.com/gpu", "operator": "Exists"}])
    True
    >>> is_tolerated(gpu, [{"key": "nvidia.com/gpu", "value": "absent"}])
    False
    """
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def why_excluded(
    node: NodeInventory,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, object]],
    spot: Spot = Spot.NEVER,
    *,
    for_share: bool = False,
) -> str:
    """Return the first thing that keeps a workload from being planned on a node, or an empty text.

    Args:
        node: from the inventory.
        node_selector: labels that the node must carry, with exactly these values.
        tolerations: the user's; those that the operator adds for GPU and spot taints are added here too.
        spot: whether interruptible nodes may be used.
        for_share: whether the workload runs on the shares that the node offers, whose GPUs are then no obstacle.
    """
    if node.exclusions and not (for_share and node.shares and node.schedulable):
        return node.exclusions[-1 if for_share and node.shares else 0]
    for key, value in sorted(node_selector.items()):
        if node.labels.get(key) != value:
            return f"it is not labelled {key}={value}"
    carried = build_tolerations(node.gpu, tolerations, spot) if node.gpu else tolerations
    for taint in node.taints:
        if taint.effect in _EXCLUDING_EFFECTS and not is_tolerated(taint, carried):
            return f"its taint {taint} is not tolerated"
    return _spot_exclusion(node.labels, spot)


def why_not_planned(node: NodeInventory, plan: Plan) -> str:
    """Return why a plan's pods cannot land on a node of its product, or an empty text.

    Args:
        node: with the planned GPU.
        plan: may keep to nodes with certain labels, and ask for the RDMA devices of one network.
    """
    if plan.pin is not None and not plan.pin.admits(node.labels):
        return f"the plan keeps to nodes with {shortened(str(plan.pin))}"
    rdma = plan.rdma
    if rdma is not None and (node.rdma_resource != rdma.resource or node.rdma_devices < rdma.devices):
        return f"it does not offer {rdma.devices} {rdma.resource}"
    return ""


def _spot_exclusion(labels: Mapping[str, str], spot: Spot) -> str:
    label = spot_label(labels)
    if label and spot is Spot.NEVER:
        return f"it is interruptible ({label}) and spec.hardware.spot is Never"
    if not label and spot is Spot.ONLY:
        return "no label says that it is interruptible and spec.hardware.spot is Only"
    return ""


def _tolerates(toleration: Mapping[str, object], taint: Taint) -> bool:
    effect, key = toleration.get("effect") or "", toleration.get("key") or ""
    if effect and effect != taint.effect:
        return False
    if key and key != taint.key:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Equal":
        return (toleration.get("value") or "") == taint.value
    return operator == "Exists"
