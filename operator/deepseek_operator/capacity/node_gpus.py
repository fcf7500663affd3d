"""How many whole GPUs a node really offers, of which product: from labels and allocatable, without guessing.

Device plugins multiply allocatable when GPUs are shared, and a node with two products carries one label. Where
the facts of a node contradict each other, the node is listed and nothing is planned on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.dra import CLAIMED
from deepseek_operator.capacity.dra_gpus import dra_match, dra_shares
from deepseek_operator.capacity.facts import NodeFacts
from deepseek_operator.capacity.node_shares import ShareOffer, node_shares
from deepseek_operator.catalog.gpu_labels import GpuMatch, GpuSharing, match_label
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.mig import mig_profile
from deepseek_operator.errors import shortened
from deepseek_operator.planner.gpu_share import MIG_RESOURCE_PREFIX
from deepseek_operator.resources.affinity import build_node_affinity
from deepseek_operator.resources.gpu_share import STRATEGY_LABEL
from deepseek_operator.units import format_gib

DEFAULT_RESOURCE = "nvidia.com/gpu"

_PRODUCT_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "gpu.nvidia.com/model",
    "karpenter.k8s.aws/instance-gpu-name",
    "node.kubernetes.io/npu.chip.name",
)
"""Labels that name a product, for display, in the order in which they are trusted."""

MOST_GPUS_PER_NODE = 256
"""More is no node but a slip or a lie, and the planner would count through it. Source: judgement; servers hold 16."""

MEMORY_TOLERANCE_PERCENT = 10
"""How far a node's own memory may lie from the catalogue's before it must be a slice or another product.

Source: turning on ECC takes 6.25 % (A40: 49140 to 46068 MiB), the largest honest difference seen for one product;
the largest vGPU profile below a whole board is half of it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGpus:
    """The GPUs of one node.

    Args:
        gpu: the product; None when no label names one that the catalogue knows.
        product: the product as the node's label spells it; empty without such a label.
        resource: what a pod requests to get one.
        sharing: whether what the scheduler hands out is a whole GPU.
        physical_gpus: GPUs in the node, never multiplied by sharing; the fewest that hold its MIG slices where no
            label counts them, 0 when that cannot be told.
        allocatable_gpus: whole, healthy GPUs that pods can request, those beside MIG slices too; 0 when facts
            contradict or all GPUs are shared.
        usable_memory_bytes: of one GPU, as an engine sees it; None when not known.
        exclusions: why nothing is planned on it, as clauses; empty when something may be.
        warnings: what an owner of the cluster should know, as sentences.
        shares: parts of its GPUs that it offers, where it divides them.
    """

    gpu: Gpu | None
    product: str
    resource: str
    sharing: GpuSharing
    physical_gpus: int
    allocatable_gpus: int
    usable_memory_bytes: int | None
    exclusions: tuple[str, ...]
    warnings: tuple[str, ...]
    shares: tuple[ShareOffer, ...] = ()


def node_gpus(node: NodeFacts) -> NodeGpus:
    """Return the GPUs that a node offers.

    Args:
        node: labels and allocatable of a node; one without GPUs gets zeros.
    """
    if node.devices:
        return _by_claim(node)
    match = match_label(node.labels)
    product = next((node.labels[label] for label in _PRODUCT_LABELS if label in node.labels), "")
    resource = _resource(match.gpu, node.allocatable)
    reported, labelled = node.allocatable.get(resource, 0), match.gpu_count
    sharing = _sharing(node, match)
    whole = sharing is GpuSharing.WHOLE
    beside = reported if _whole_beside_slices(match, sharing, resource) else 0
    impossible = max(reported, labelled or 0) > MOST_GPUS_PER_NODE
    contradicts = bool(whole or beside) and (impossible or (labelled is not None and reported > labelled))
    usable_bytes = _usable_memory_bytes(node, match)
    shares, no_share = ((), "") if whole else _shares(node, match, sharing, product, usable_bytes)
    if whole or beside:
        exclusions = [
            *_product_exclusions(match.gpu, product, usable_bytes),
            *_affinity_exclusions(match.gpu, node.labels),
            *_count_exclusions(resource, reported, labelled),
        ]
    else:
        exclusions = [_sharing_exclusion(node, sharing)]
    warnings = [*match.warnings]
    if whole and labelled is not None and 0 < reported < labelled:
        warnings.append(
            f"{labelled - reported} of {labelled} GPUs are not offered as {resource}, as if unhealthy; "
            "planning counts the others"
        )
    if beside and no_share:
        warnings.append(f"nothing is planned on its MIG slices: {no_share}")
    if (not whole and not beside and not shares) or contradicts:
        warnings.append(f"nothing is planned on it: {exclusions[-1]}{f'; {no_share}' if no_share else ''}")
    return NodeGpus(
        gpu=match.gpu,
        product=product,
        resource=resource,
        sharing=sharing,
        physical_gpus=0 if impossible else _physical_gpus(match, sharing, reported, beside, shares),
        allocatable_gpus=0 if contradicts or not (whole or beside) else reported,
        usable_memory_bytes=usable_bytes,
        exclusions=tuple(exclusions),
        warnings=tuple(warnings),
        shares=shares,
    )


def _by_claim(node: NodeFacts) -> NodeGpus:
    """Return the GPUs of a node whose ResourceSlices tell of them; its labels and resources do not count."""
    products = sorted({each.product for each in node.devices})
    match, product = dra_match(node.devices), products[0]
    wrong = _product_exclusions(match.gpu, product, match.usable_memory_bytes or 0)
    if len(products) > 1:
        wrong = [f"it has GPUs of several products ({shortened(', '.join(products))})"]
    slices_only = all(each.profile for each in node.devices)
    shares: tuple[ShareOffer, ...] = ()
    why_not = wrong[0] if wrong else ""
    if match.gpu is not None and len(products) == 1 and (slices_only or not wrong):
        shares, why_not = dra_shares(node.devices, match.gpu, match.usable_memory_bytes)
    warnings = [*match.warnings] if not slices_only else []
    offered = {name: count for name, count in node.allocatable.items() if count}
    if offered:
        told = ", ".join(f"{count} {name}" for name, count in offered.items())
        warnings.append(f"its device plugin offers {told} as well; the GPUs of its ResourceSlices count once, by claim")
    labelled = node.labels.get(_PRODUCT_LABELS[0], product)
    if labelled.replace(" ", "-") != product.replace(" ", "-"):
        warnings.append(f"its labels say {shortened(labelled)!r} and its ResourceSlices {product!r}, which count")
    if not shares:
        warnings.append(f"nothing is planned on it: {why_not}")
    return NodeGpus(
        gpu=match.gpu,
        product=product,
        resource=CLAIMED,
        sharing=GpuSharing.MIG if slices_only else GpuSharing.WHOLE,
        physical_gpus=sum(each.count for each in node.devices if not each.profile),
        allocatable_gpus=0,
        usable_memory_bytes=match.usable_memory_bytes,
        exclusions=("its GPUs are given by claims only",),
        warnings=tuple(warnings),
        shares=shares,
    )


def _shares(
    node: NodeFacts, match: GpuMatch, sharing: GpuSharing, product: str, usable_bytes: int | None
) -> tuple[tuple[ShareOffer, ...], str]:
    """Return the parts of its GPUs that a node offers, and why none can be planned on."""
    wrong = [] if sharing is GpuSharing.MIG else _product_exclusions(match.gpu, product, usable_bytes)
    return ((), wrong[0]) if wrong else node_shares(node, match, usable_bytes)


def _resource(gpu: Gpu | None, allocatable: Mapping[str, int]) -> str:
    """Return the product's own resource, else the one that the node offers most of."""
    if gpu is not None and gpu.k8s_resource in allocatable:
        return gpu.k8s_resource
    whole = [name for name in allocatable if not name.startswith(MIG_RESOURCE_PREFIX)]
    most = max(sorted(whole or allocatable), key=lambda name: allocatable[name], default="")
    return most or (gpu.k8s_resource if gpu is not None else DEFAULT_RESOURCE)


def _sharing(node: NodeFacts, match: GpuMatch) -> GpuSharing:
    if any(name.startswith(MIG_RESOURCE_PREFIX) and count for name, count in node.allocatable.items()):
        return GpuSharing.MIG
    if node.hami is not None and match.sharing is GpuSharing.WHOLE:
        return GpuSharing.SHARED
    return match.sharing


def _whole_beside_slices(match: GpuMatch, sharing: GpuSharing, resource: str) -> bool:
    """Return whether the node offers whole GPUs beside MIG slices that have resources of their own.

    Source: NVIDIA/k8s-device-plugin, README, MIG strategy ``mixed``: GPUs that are not in MIG mode stay whole ones.
    """
    return (
        sharing is GpuSharing.MIG and match.sharing is GpuSharing.WHOLE and not resource.startswith(MIG_RESOURCE_PREFIX)
    )


def _physical_gpus(
    match: GpuMatch, sharing: GpuSharing, reported: int, beside: int, shares: Sequence[ShareOffer]
) -> int:
    """Return the GPUs of the node, ``beside`` of them whole beside MIG slices; allocatable is not trusted if shared.

    Under the MIG strategy ``single`` the label counts slices; then the fewest GPUs that hold the slices are counted.
    Source: NVIDIA GPU feature discovery, ``internal/lm/resource.go``: the label of full GPUs counts those in MIG mode
    too, and the strategy ``single`` writes the number of slices over it.
    """
    labelled = match.gpu_count
    if match.sharing is GpuSharing.MIG or (sharing is GpuSharing.MIG and labelled is None):
        if match.gpu is None:
            return 0
        slices = ((mig_profile(match.gpu, each.share.profile), each.slices) for each in shares)
        cut = math.ceil(sum(profile.gpu_share * count for profile, count in slices))
        return min(MOST_GPUS_PER_NODE, beside + cut)
    if labelled is not None:
        return labelled
    return reported if sharing is GpuSharing.WHOLE else 0


def _usable_memory_bytes(node: NodeFacts, match: GpuMatch) -> int | None:
    """Return one GPU's memory; where it is the host's own, no more than what the host leaves to pods."""
    usable_bytes = match.usable_memory_bytes
    if usable_bytes is not None and match.gpu is not None and match.gpu.unified_memory and node.host.memory_bytes:
        return min(usable_bytes, node.host.memory_bytes)
    return usable_bytes


def _product_exclusions(gpu: Gpu | None, product: str, usable_bytes: int | None) -> list[str]:
    if gpu is None:
        named = f"its label {shortened(product)!r} names no product that can be planned on"
        return [named if product else "no label names its GPU product"]
    if usable_bytes is None:
        return [f"neither a label nor the catalogue knows the memory of its {gpu.id}"]
    expected = gpu.usable_memory_bytes
    if not expected or gpu.unified_memory:
        return []
    if abs(usable_bytes - expected) * 100 > expected * MEMORY_TOLERANCE_PERCENT:
        return [
            f"its label gives {format_gib(usable_bytes)} per GPU where {gpu.id} has {format_gib(expected)}, "
            "so it is a slice, a vGPU or another product"
        ]
    return []


def _affinity_exclusions(gpu: Gpu | None, labels: Mapping[str, str]) -> list[str]:
    """Return a clause when a pod built for this product could not land on its own node."""
    affinity = build_node_affinity(gpu) if gpu is not None else {}
    if not affinity:
        return []
    terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    if any(
        all(labels.get(expression["key"]) in expression["values"] for expression in term["matchExpressions"])
        for term in terms
    ):
        return []
    keys = sorted({expression["key"] for term in terms for expression in term["matchExpressions"]})
    return [f"it lacks the value of {' or '.join(keys)} by which pods select their GPU product"]


def _sharing_exclusion(node: NodeFacts, sharing: GpuSharing) -> str:
    if sharing is GpuSharing.MIG:
        return "its GPUs are cut into MIG slices and not offered whole"
    how = "HAMi" if node.hami is not None else node.labels.get(STRATEGY_LABEL, "")
    return f"its GPUs are shared{f' ({shortened(how)})' if how else ''} and not offered whole"


def _count_exclusions(resource: str, reported: int, labelled: int | None) -> list[str]:
    if max(reported, labelled or 0) > MOST_GPUS_PER_NODE:
        return [f"it counts {max(reported, labelled or 0):,} GPUs, and no node has more than {MOST_GPUS_PER_NODE}"]
    if labelled is not None and reported > labelled:
        return [f"it offers {reported} {resource} but its label counts {labelled} GPUs"]
    if reported == 0:
        return [f"its device plugin offers no {resource}"]
    return []
