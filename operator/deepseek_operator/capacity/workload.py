"""What one DeepSeekDeployment may be planned on: the nodes that its selector names and its pods tolerate."""

from __future__ import annotations

from deepseek_operator.api.fingerprint import engine_variant
from deepseek_operator.api.served_model import served_model
from deepseek_operator.api.to_request import model_shape
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.fits import FitsNow, OwnPods, fits_now
from deepseek_operator.capacity.host_use import MILLI, HostUse
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.supply import supply
from deepseek_operator.planner.request import Supply
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.group_pods import group_cpu_cores
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.pod_resources import cpu_cores, node_memory, requested_memory_bytes


def supply_for(deployment: DeepSeekDeployment, inventory: Inventory) -> Supply:
    """Return the GPUs that the deployment may be planned on, free today or not, with what engines like it reported."""
    hardware = deployment.spec.hardware
    variant = engine_variant(deployment) if inventory.measurements else ""
    alike = [
        each
        for each in inventory.measurements
        if each.model_name in planned_models(deployment) and each.variant == variant
    ]
    return supply(inventory, hardware.node_selector, tolerations_of(deployment), hardware.spot, alike)


def planned_models(deployment: DeepSeekDeployment) -> tuple[str, ...]:
    """Return the models that may run for the deployment: the asked one, then its fallbacks."""
    return (deployment.spec.model.name, *(each.model for each in deployment.spec.fallbacks))


def room_for(
    deployment: DeepSeekDeployment, plan: Plan, inventory: Inventory, replicas: int, own: OwnPods | None = None
) -> FitsNow:
    """Return whether replicas of a plan fit what is free now.

    Args:
        deployment: says which nodes they may use.
        plan: says product, GPUs and nodes of a replica.
        inventory: of the whole cluster.
        replicas: how many must fit together, 0 or more.
        own: pods whose GPUs count as free; None for all of the deployment's own.
    """
    return fits_now(
        plan,
        inventory,
        own=own or OwnPods.of(deployment.metadata.namespace, deployment.metadata.name),
        replicas=replicas,
        node_selector=deployment.spec.hardware.node_selector,
        tolerations=tolerations_of(deployment),
        spot=deployment.spec.hardware.spot,
        pod_host=pod_host(deployment, plan),
    )


def pod_host(deployment: DeepSeekDeployment, plan: Plan) -> HostUse:
    """Return what each pod of a replica requests of its host; of a group, the leader's, which requests most."""
    memory = node_memory(model_shape(served_model(deployment.spec, plan)), plan)
    cores = cpu_cores(plan.parallelism) if plan.nodes_per_replica == 1 else group_cpu_cores(plan, leads=True)
    return HostUse(cpu_milli=cores * MILLI, memory_bytes=requested_memory_bytes(memory), pods=1)


def tolerations_of(deployment: DeepSeekDeployment) -> list[Manifest]:
    """Return the tolerations of the spec as a pod carries them."""
    return [
        each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in deployment.spec.hardware.tolerations
    ]
