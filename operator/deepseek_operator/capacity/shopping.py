"""What to buy for a deployment that has no room: the cheapest node pool that holds its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.fits import gpus_per_node
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.what_if import with_nodes
from deepseek_operator.capacity.workload import supply_for
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.instances import CloudInstance, instances
from deepseek_operator.planner.choose import cheapest
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.result import Infeasible, Plan
from deepseek_operator.units import ceil_div

HOURS_PER_MONTH = 730
"""365 days of 24 hours over 12 months."""

MOST_NODES = 64
"""Nodes of one pool that are looked at; more are no purchase that a list should decide."""

MOST_SUGGESTIONS = 3


@dataclass(frozen=True, kw_only=True)
class NodePool:
    """A purchase: nodes of one instance type.

    Args:
        nodes: of the instance type.
        replicas: that they hold.
        plan: how a replica would run there.
    """

    instance: CloudInstance
    nodes: int
    replicas: int
    plan: Plan
    cost_per_hour_usd: Decimal

    @property
    def cost_per_month_usd(self) -> Decimal:
        """For 730 hours, on demand."""
        return self.cost_per_hour_usd * HOURS_PER_MONTH


def node_pools(deployment: DeepSeekDeployment, missing: int, asked: int) -> list[NodePool]:
    """Return the cheapest node pools that hold what a deployment lacks, cheapest first, one per GPU product.

    The deployment is planned anew on each instance type, because other hardware needs another split, and one replica
    may then serve more or less; the pool holds the same share of the demand as the replicas that are missing.

    Args:
        deployment: whose limits, service level and pins are obeyed; its node selector is not, for nodes to be bought.
        missing: replicas of today's plan that found no room, 1 or more.
        asked: replicas of today's plan that serve the demand.
    """
    found: dict[str, NodePool] = {}
    anywhere = _without_selector(deployment)
    for each in instances():
        pool = _pool(anywhere, each, missing, asked)
        best = found.get(each.gpu_id)
        if pool is not None and (best is None or _order(pool) < _order(best)):
            found[each.gpu_id] = pool
    return sorted(found.values(), key=_order)[:MOST_SUGGESTIONS]


def _without_selector(deployment: DeepSeekDeployment) -> DeepSeekDeployment:
    hardware = deployment.spec.hardware.model_copy(update={"node_selector": {}})
    return deployment.model_copy(update={"spec": deployment.spec.model_copy(update={"hardware": hardware})})


def _order(pool: NodePool) -> tuple[Decimal, int, str]:
    return pool.cost_per_hour_usd, pool.nodes, pool.instance.name


def _pool(deployment: DeepSeekDeployment, instance: CloudInstance, missing: int, asked: int) -> NodePool | None:
    if instance.price_per_hour_usd is None or not instance.gpus or gpu(instance.gpu_id).label_value is None:
        return None
    nodes = with_nodes([], instance, MOST_NODES)
    request, supply = plan_request(deployment), supply_for(deployment, inventory(nodes, []))
    if cheapest(request, supply) is None:  # a refusal would search on for what is nearest
        return None
    answer = plan(request, supply)
    if isinstance(answer, Infeasible):
        return None
    replicas = ceil_div(answer.replicas * missing, asked)
    count = _nodes(answer, instance, replicas)
    if count > MOST_NODES:
        return None
    cost = instance.price_per_hour_usd * count
    return NodePool(instance=instance, nodes=count, replicas=replicas, plan=answer, cost_per_hour_usd=cost)


def _nodes(answer: Plan, instance: CloudInstance, replicas: int) -> int:
    """Return the nodes that hold so many replicas."""
    per_node = instance.gpus // gpus_per_node(answer)
    if answer.nodes_per_replica == 1:
        return ceil_div(replicas, per_node)
    return max(answer.nodes_per_replica, ceil_div(replicas * answer.nodes_per_replica, per_node))
