"""What one DeepSeekDeployment may be planned on: the nodes that its selector names and its pods tolerate."""

from __future__ import annotations

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.supply import supply
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.planner.request import Supply
from deepseek_operator.resources.affinity import build_tolerations
from deepseek_operator.resources.names import Manifest


def written_tolerations(deployment: DeepSeekDeployment) -> list[Manifest]:
    """Return ``spec.hardware.tolerations`` as a pod carries them."""
    return [
        each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in deployment.spec.hardware.tolerations
    ]


def pod_tolerations(deployment: DeepSeekDeployment, *gpus: Gpu) -> list[Manifest]:
    """Return all tolerations of the pods when they run on one of these products."""
    tolerations = written_tolerations(deployment)
    for gpu in gpus:
        tolerations = build_tolerations(gpu, tolerations)
    return tolerations


def supply_for(deployment: DeepSeekDeployment, inventory: Inventory) -> Supply:
    """Return the GPUs that the deployment may be planned on, free today or not."""
    by_resource = {node.gpu.k8s_resource: node.gpu for node in inventory.nodes if node.gpu is not None}
    gpus = [by_resource[resource] for resource in sorted(by_resource)]
    return supply(inventory, deployment.spec.hardware.node_selector, pod_tolerations(deployment, *gpus))
