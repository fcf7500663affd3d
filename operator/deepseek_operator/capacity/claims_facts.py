"""What planning needs to know of quotas, priority classes and DeepSeekDeployments of a cluster, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deepseek_operator.capacity.fields import count_of, integer_at, items_at, mapping_at, text_at
from deepseek_operator.capacity.gpu_resources import is_gpu_resource
from deepseek_operator.errors import InventoryError
from deepseek_operator.resources.priorityclass import priority_class_name

_REQUESTS = "requests."
"""Prefix of extended resources in a ResourceQuota. Source: Kubernetes, "Resource Quotas"."""

DEFAULT_PRIORITY = "Standard"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class QuotaFacts:
    """A ResourceQuota that limits GPUs for all pods of its namespace.

    Args:
        limits: GPUs that pods may request together, by resource name.
    """

    namespace: str
    name: str
    limits: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PriorityFacts:
    """A PriorityClass.

    Args:
        value: higher ones are served first.
        is_default: whether pods that name no class get it.
    """

    name: str
    value: int
    is_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PromiseFacts:
    """What a DeepSeekDeployment may grow to.

    Args:
        priority_class: that its pods name; empty for none.
        gpu: product of its accepted plan; empty without one.
        gpus_per_replica: of its accepted plan; 0 without one.
        max_replicas: that it may run, 0 or more.
    """

    namespace: str
    name: str
    priority_class: str
    gpu: str
    gpus_per_replica: int
    max_replicas: int


def read_quota(quota: Mapping[str, object]) -> QuotaFacts | None:
    """Return the GPU limits of a ResourceQuota; None where it has none, or counts only some of the pods (scopes).

    Raises:
        InventoryError: a field that is read has the wrong type.

    >>> hard = {"requests.nvidia.com/gpu": "16", "pods": "100"}
    >>> read_quota({"metadata": {"name": "q", "namespace": "n"}, "spec": {"hard": hard}})
    QuotaFacts(namespace='n', name='q', limits=(('nvidia.com/gpu', 16),))
    """
    metadata, spec = mapping_at(quota, "metadata"), mapping_at(quota, "spec")
    hard = mapping_at(spec, "hard")
    named = {key.removeprefix(_REQUESTS): value for key, value in hard.items() if key.startswith(_REQUESTS)}
    namespace, name = text_at(metadata, "namespace"), text_at(metadata, "name")
    try:
        limits = tuple((key, count_of(key, named[key])) for key in sorted(named) if is_gpu_resource(key))
    except InventoryError as error:
        raise InventoryError(f"resource quota {namespace}/{name}: {error}") from error
    if not limits or spec.get("scopes") or spec.get("scopeSelector"):
        return None
    return QuotaFacts(namespace=namespace, name=name, limits=limits)


def read_priority_class(found: Mapping[str, object]) -> PriorityFacts:
    """Return the facts of a PriorityClass.

    Raises:
        InventoryError: a field that is read has the wrong type.

    >>> read_priority_class({"metadata": {"name": "high"}, "value": 1000})
    PriorityFacts(name='high', value=1000, is_default=False)
    """
    return PriorityFacts(
        name=text_at(mapping_at(found, "metadata"), "name"),
        value=integer_at(found, "value"),
        is_default=found.get("globalDefault") is True,
    )


def read_promise(deployment: Mapping[str, object]) -> PromiseFacts:
    """Return what a DeepSeekDeployment may grow to.

    Raises:
        InventoryError: a field that is read has the wrong type.

    >>> spec = {"scaling": {"maxReplicas": 4}, "priority": "High"}
    >>> plan = {"gpu": "l40s", "gpusPerReplica": 2}
    >>> made = {"metadata": {"name": "d", "namespace": "n"}, "spec": spec, "status": {"plan": plan}}
    >>> read_promise(made).max_replicas, read_promise(made).priority_class
    (4, 'deepseek-high')
    """
    metadata, spec = mapping_at(deployment, "metadata"), mapping_at(deployment, "spec")
    status, scaling = mapping_at(deployment, "status"), mapping_at(spec, "scaling")
    plan = mapping_at(status, "plan")
    runs = max(integer_at(status, "replicas"), integer_at(spec, "replicas"), integer_at(scaling, "minReplicas"))
    return PromiseFacts(
        namespace=text_at(metadata, "namespace"),
        name=text_at(metadata, "name"),
        priority_class=priority_class_name(
            text_at(spec, "priority") or DEFAULT_PRIORITY, text_at(spec, "priorityClassName")
        ),
        gpu=text_at(plan, "gpu"),
        gpus_per_replica=max(0, integer_at(plan, "gpusPerReplica")),
        max_replicas=max(0, runs, integer_at(scaling, "maxReplicas")),
    )


def stored_claims(
    quotas: Iterable[QuotaFacts], classes: Iterable[PriorityFacts], promises: Iterable[PromiseFacts]
) -> dict[str, object]:
    """Return quotas, priority classes and deployments as a snapshot keeps them; empty lists are left out."""
    stored: dict[str, list[dict[str, object]]] = {
        "quotas": [{"namespace": each.namespace, "name": each.name, "limits": dict(each.limits)} for each in quotas],
        "priorityClasses": [
            {"name": each.name, "value": each.value} | ({"default": True} if each.is_default else {})
            for each in classes
        ],
        "deployments": [
            {
                "namespace": each.namespace,
                "name": each.name,
                "priorityClass": each.priority_class,
                "gpu": each.gpu,
                "gpusPerReplica": each.gpus_per_replica,
                "maxReplicas": each.max_replicas,
            }
            for each in promises
        ],
    }
    return {key: value for key, value in stored.items() if value}


def loaded_claims(
    data: Mapping[str, object],
) -> tuple[tuple[QuotaFacts, ...], tuple[PriorityFacts, ...], tuple[PromiseFacts, ...]]:
    """Return quotas, priority classes and deployments of a snapshot; none where it holds none.

    Raises:
        InventoryError: a field has the wrong type.
    """
    quotas = []
    for each in items_at(data, "quotas"):
        limits = mapping_at(each, "limits")
        counted = tuple((key, count_of(key, limits[key])) for key in sorted(limits))
        quotas.append(QuotaFacts(namespace=text_at(each, "namespace"), name=text_at(each, "name"), limits=counted))
    classes = [
        PriorityFacts(
            name=text_at(each, "name"), value=integer_at(each, "value"), is_default=each.get("default") is True
        )
        for each in items_at(data, "priorityClasses")
    ]
    promises = [
        PromiseFacts(
            namespace=text_at(each, "namespace"),
            name=text_at(each, "name"),
            priority_class=text_at(each, "priorityClass"),
            gpu=text_at(each, "gpu"),
            gpus_per_replica=max(0, integer_at(each, "gpusPerReplica")),
            max_replicas=max(0, integer_at(each, "maxReplicas")),
        )
        for each in items_at(data, "deployments")
    ]
    return tuple(quotas), tuple(classes), tuple(promises)
