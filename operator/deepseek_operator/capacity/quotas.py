"""Who holds GPUs, who may still ask for them, and what happens when everybody scales to the maximum.

Counted are whole GPUs. A deployment is promised its most replicas; pods of others stay as they are. In the worst case
GPUs go to the higher priority first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.capacity.claims_facts import PriorityFacts, PromiseFacts, QuotaFacts
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.errors import UnknownGpuError
from deepseek_operator.resources.names import LABEL_DEPLOYMENT, label_value
from deepseek_operator.resources.priorityclass import build_priority_classes, priority_class_name

NO_CLASS = "(none)"
"""Row of pods that name no priority class where the cluster has no default."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """GPUs of one owner, of one product.

    Args:
        namespace: of the owner.
        priority_class: of its pods; empty for none.
        gpu: product; empty where it is not known.
        used: GPUs that its pods hold.
        promised: GPUs that it may hold when it scales to the maximum, at least what it holds.
        is_ours: whether it is a DeepSeekDeployment.
    """

    namespace: str
    priority_class: str
    gpu: str
    used: int
    promised: int
    is_ours: bool


def promises_of(members: Iterable[Member], known: Iterable[PromiseFacts] = ()) -> list[PromiseFacts]:
    """Return what deployments may grow to: those of the cluster, where a file does not say otherwise.

    Args:
        members: planned deployments of the file.
        known: deployments of the cluster.
    """
    found = {(each.namespace, each.name): each for each in known}
    for member in members:
        metadata, spec = member.deployment.metadata, member.deployment.spec
        found[metadata.namespace, metadata.name] = PromiseFacts(
            namespace=metadata.namespace,
            name=metadata.name,
            priority_class=priority_class_name(spec.priority or "Standard", spec.priority_class_name),
            gpu=member.plan.gpu,
            gpus_per_replica=0 if member.plan.share is not None else member.plan.gpus_per_replica,
            max_replicas=max(member.replicas, spec.scaling.most_replicas),
        )
    return [found[key] for key in sorted(found)]


def claims_of(inventory: Inventory, promises: Sequence[PromiseFacts]) -> list[Claim]:
    """Return every owner of GPUs, one entry per DeepSeekDeployment and product, and one per pod of others."""
    owners = {(each.namespace, label_value(each.name)): each for each in promises}
    held: Counter[tuple[tuple[str, str], str]] = Counter()
    claims: list[Claim] = []
    for node in inventory.nodes:
        for pod in node.pods:
            gpus = _whole_gpus(node, pod)
            owner = (pod.namespace, pod.labels.get(LABEL_DEPLOYMENT, ""))
            if owner in owners:
                held[owner, _product(node)] += gpus
            elif gpus:
                named, product = pod.priority_class, _product(node)
                claims.append(
                    Claim(
                        namespace=pod.namespace,
                        priority_class=named,
                        gpu=product,
                        used=gpus,
                        promised=gpus,
                        is_ours=False,
                    )
                )
    for key, promise in owners.items():
        products = {product for owner, product in held if owner == key} | {promise.gpu}
        for product in sorted(products):
            used = held[key, product]
            grows_to = promise.gpus_per_replica * promise.max_replicas if product == promise.gpu else 0
            claims.append(
                Claim(
                    namespace=promise.namespace,
                    priority_class=promise.priority_class,
                    gpu=product,
                    used=used,
                    promised=max(used, grows_to),
                    is_ours=True,
                )
            )
    return claims


def quota_view(
    inventory: Inventory,
    promises: Sequence[PromiseFacts],
    quotas: Sequence[QuotaFacts] = (),
    classes: Sequence[PriorityFacts] = (),
) -> dict[str, Any]:
    """Return used, promised and over-committed GPUs by namespace, priority class and product, as JSON values.

    Args:
        inventory: of the cluster.
        promises: what DeepSeekDeployments may grow to.
        quotas: limits of GPUs by namespace.
        classes: priority classes of the cluster; the product's own where it tells none.
    """
    claims = claims_of(inventory, promises)
    values = {each.name: each.value for each in classes} or _own_values()
    default = next((each.name for each in classes if each.is_default), NO_CLASS)
    totals = _totals(inventory)
    return {
        "namespaces": [_namespace(name, claims, quotas) for name in sorted({each.namespace for each in claims})],
        "priorities": _priorities(claims, values, default, totals),
        "products": [_product_row(product, total, claims) for product, total in sorted(totals.items())],
    }


def _namespace(name: str, claims: Sequence[Claim], quotas: Sequence[QuotaFacts]) -> dict[str, Any]:
    here = [each for each in claims if each.namespace == name]
    limits: dict[str, int] = {}
    for quota in quotas:
        for resource, limit in quota.limits if quota.namespace == name else ():
            limits[resource] = min(limit, limits.get(resource, limit))
    over = [
        f"{resource}: {worst} of {limits[resource]}"
        for resource in sorted(limits)
        if (worst := sum(each.promised for each in here if _resource(each.gpu) == resource)) > limits[resource]
    ]
    return {
        "namespace": name,
        "usedGpus": sum(each.used for each in here),
        "promisedGpus": sum(each.promised for each in here if each.is_ours),
        "worstCaseGpus": sum(each.promised for each in here),
        "limits": limits,
        "overLimit": over,
    }


def _priorities(
    claims: Sequence[Claim], values: Mapping[str, int], default: str, totals: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the classes, the highest first, with the GPUs that each lacks when everybody scales to the maximum."""
    named = {each.priority_class or default for each in claims}
    left, rows = dict(totals), []
    for name in sorted(named, key=lambda each: (-values.get(each, 0), each)):
        here = [each for each in claims if (each.priority_class or default) == name]
        short = 0
        for claim in here:
            given = min(claim.promised, left.get(claim.gpu, 0))
            left[claim.gpu] = left.get(claim.gpu, 0) - given
            short += claim.promised - given
        rows.append(
            {
                "priorityClass": name,
                "value": values.get(name, 0),
                "usedGpus": sum(each.used for each in here),
                "promisedGpus": sum(each.promised for each in here if each.is_ours),
                "worstCaseGpus": sum(each.promised for each in here),
                "shortGpus": short,
            }
        )
    return rows


def _product_row(product: str, total: int, claims: Sequence[Claim]) -> dict[str, Any]:
    worst = sum(each.promised for each in claims if each.gpu == product)
    return {
        "gpu": product,
        "totalGpus": total,
        "usedGpus": sum(each.used for each in claims if each.gpu == product),
        "worstCaseGpus": worst,
        "overCommittedGpus": max(0, worst - total),
    }


def _totals(inventory: Inventory) -> dict[str, int]:
    """Return the whole GPUs that pods can hold, by product: of nodes that take no new pods those that are held."""
    found: Counter[str] = Counter()
    for node in inventory.nodes:
        if node.allocatable_gpus:
            held = min(node.requested_gpus, node.allocatable_gpus)
            found[_product(node)] += node.allocatable_gpus if node.schedulable else held
    return dict(found)


def _product(node: NodeInventory) -> str:
    return node.gpu.id if node.gpu else node.product or "unknown"


def _resource(product: str) -> str:
    try:
        return gpu(product).k8s_resource
    except UnknownGpuError:
        return ""


def _whole_gpus(node: NodeInventory, pod: PodFacts) -> int:
    return node.held_by(pod) if node.allocatable_gpus else 0


def _own_values() -> dict[str, int]:
    return {each["metadata"]["name"]: each["value"] for each in build_priority_classes()}
