"""Where a pod may run: on the planned GPU product, where the user's own selector and tolerations allow it.

The instance type is not asked for. A plan is made for a GPU product, of which every node will do unless the plan itself
keeps to some of them; a list of the types that exist today would be cluster state, and a new type would change the pods
of running models. Who wants one type names it in ``spec.hardware.nodeSelector``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.spot import SPOT_LABELS, SPOT_TAINTS
from deepseek_operator.planner.gpu_share import GpuShare
from deepseek_operator.planner.node_pin import LabelRule, NodePin
from deepseek_operator.resources.gpu_share import label_rules, label_values
from deepseek_operator.resources.names import Manifest, selector_labels
from deepseek_operator.resources.resource_claim_template import takes_claim


def build_node_affinity(
    gpu: Gpu, spot: Spot = Spot.ALLOW, share: GpuShare | None = None, pin: NodePin | None = None
) -> Manifest:
    """Return the affinity that keeps a pod on the planned GPU product and on the allowed kind of nodes.

    The label is compared exactly with every spelling that the catalogue knows, sorted. A partitioned or shared
    GPU carries another value (``...-MIG-1g.10gb``, ``...-SHARED``) and is therefore never taken for a whole one.

    Args:
        gpu: the product; one that no label names is not asked for.
        share: of the plan; a node that offers it is labelled otherwise than one with whole GPUs.
        spot: Never keeps away from every label of interruptible nodes, Only asks for one of them.
        pin: of the plan; keeps to some of the product's nodes.

    Returns:
        The ``affinity`` of a pod; ``{}`` when nothing is asked for.

    Source: the labels of GPU feature discovery, as the catalogue records them.
    """
    expressions: list[Manifest] = []
    if gpu.label_key is not None and gpu.label_value is not None and not takes_claim(share):
        expressions.append({"key": gpu.label_key, "operator": "In", "values": label_values(gpu, share)})
        expressions += label_rules(share)
    if spot is Spot.ONLY:
        alternatives = [[*expressions, _label_rule(key, "In", value)] for key, value in SPOT_LABELS]
    elif spot is Spot.NEVER:
        alternatives = [[*expressions, *(_label_rule(key, "NotIn", value) for key, value in SPOT_LABELS)]]
    else:
        alternatives = [expressions] if expressions else []
    if pin is not None:
        alternatives = [_together(each, term) for each in alternatives or [[]] for term in pin.terms]
    if not alternatives:
        return {}
    terms = [{"matchExpressions": each} for each in alternatives]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _together(expressions: Sequence[Manifest], term: Sequence[LabelRule]) -> list[Manifest]:
    """Return the expressions and the rules of a term that they do not state yet."""
    rules: list[Manifest] = [
        {"key": rule.key, "operator": rule.operator.value, **({"values": list(rule.values)} if rule.values else {})}
        for rule in term
    ]
    return [*deepcopy(list(expressions)), *(rule for rule in rules if rule not in expressions)]


def _label_rule(key: str, operator: str, value: str) -> Manifest:
    return {"key": key, "operator": operator, "values": [value]}


def implied_toleration(gpu: Gpu) -> Manifest:
    """Return the one toleration that every model pod gets: the GPU taint named like its resource.

    GPU node pools are commonly tainted ``nvidia.com/gpu:NoSchedule`` to keep other pods away; a pod that asks for
    that very resource is whom the taint waits for (Kubernetes' own ExtendedResourceToleration plugin adds the same).
    Every other taint means what it says and needs ``spec.hardware.tolerations``.
    """
    return {"key": gpu.k8s_resource, "operator": "Exists", "effect": "NoSchedule"}


def build_tolerations(gpu: Gpu, tolerations: Sequence[Mapping[str, object]], spot: Spot = Spot.NEVER) -> list[Manifest]:
    """Return the user's tolerations as written, then the implied ones unless the user already wrote them.

    Args:
        gpu: the planned product.
        tolerations: ``spec.hardware.tolerations``.
        spot: anything but Never also tolerates the taints by which clouds keep pods off interruptible nodes.
    """
    written = [dict(toleration) for toleration in tolerations]
    implied = [implied_toleration(gpu)]
    if spot is not Spot.NEVER:
        implied += [
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in SPOT_TAINTS
        ]
    return [*written, *(each for each in implied if each not in written)]


SPREAD_OVER = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
"""Labels of the failure domains. Source: Kubernetes, "Well-Known Labels, Annotations and Taints"."""


def build_spread(owner: str) -> list[Manifest]:
    """Return the wish that the replicas of one model lie on different nodes and in different zones.

    Only a wish (``ScheduleAnyway``): GPUs that are free decide first. It stands in every template, also for one
    replica, where it does nothing: a template that changed with the number of replicas would restart them all.

    Args:
        owner: name of the DeepSeekDeployment; the pods that answer requests are counted, one per replica.
    """
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector_labels(owner)},
        }
        for key in SPREAD_OVER
    ]
