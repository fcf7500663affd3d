"""Which parts of its GPUs a node offers to pods: from labels, allocatable and HAMi's annotation, without guessing.

Facts that contradict each other (a label from before the last change of the device plugin, an annotation that its
writer left behind) make the node one on which no part is planned, with the contradiction as the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from deepseek_operator.capacity.facts import NodeFacts
from deepseek_operator.catalog.gpu_labels import GpuMatch, GpuSharing
from deepseek_operator.catalog.gpu_rows import usable_bytes_from_label
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.mig import mig_profile
from deepseek_operator.errors import UnknownMigProfileError, shortened
from deepseek_operator.planner.gpu_share import MIG_RESOURCE_PREFIX, GpuShare, ShareMechanism
from deepseek_operator.resources.gpu_share import (
    RENAMED_SUFFIX,
    REPLICAS_LABEL,
    STRATEGIES,
    STRATEGY_LABEL,
    label_values,
)
from deepseek_operator.units import MIB

FLEXIBLE_SLICES = (2, 3, 4, 5, 6, 7, 8)
"""Equal shares that are tried where a mechanism takes any amount. Source: judgement; below an eighth of a GPU not even
the smallest distilled model has room for its overheads."""

MOST_SHARES_PER_NODE = 16_384
"""More are a slip or a lie, and the planner would count through them. Source: judgement; 256 GPUs in 64 parts each."""

_MOST_DIGITS = 9
"""Of a number in a label that is believed."""

_MIG_LABEL = re.compile(r".+?-MIG-(?P<profile>.+?)(?P<shared>-SHARED)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOffer:
    """One kind of share that a node offers.

    Args:
        share: how large it is.
        slices: how many pods the node takes on such shares when it is empty.
    """

    share: GpuShare
    slices: int


def node_shares(node: NodeFacts, match: GpuMatch, usable_bytes: int | None) -> tuple[tuple[ShareOffer, ...], str]:
    """Return the shares that a node offers, and why it offers none that can be planned on.

    Args:
        node: a node whose GPUs are divided.
        match: what its labels say.
        usable_bytes: memory of one whole GPU; None when it is not known. Not asked for MIG.

    Returns:
        The offers, sorted by their share's size; with none of them a clause that says why.
    """
    gpu = match.gpu
    if gpu is None:
        return (), "its product is not known"
    try:
        if any(name.startswith(MIG_RESOURCE_PREFIX) and count for name, count in node.allocatable.items()):
            offers = list(_mig_mixed(node, gpu))
        elif match.sharing is GpuSharing.MIG:
            offers = [_mig_single(node, gpu, match)]
        elif node.hami is not None:
            offers = list(_hami(node, gpu, match, usable_bytes))
        else:
            offers = [_replicas(node, gpu, match, usable_bytes)]
    except (_ContradictionError, UnknownMigProfileError) as error:
        return (), str(error)
    if too_many := why_too_many(offers):
        return (), too_many
    label = node.labels.get(gpu.label_key or "", "")
    reachable = [offer for offer in offers if label in label_values(gpu, offer.share)]
    if not reachable:
        return (), f"pods that look for such a share would not find its label {shortened(label)!r}"
    return tuple(sorted(reachable, key=lambda offer: (-offer.share.memory_bytes, str(offer.share)))), ""


def why_too_many(offers: Iterable[ShareOffer]) -> str:
    """Return why a node cannot offer so many shares, as a clause; empty when it can."""
    most = max((offer.slices for offer in offers), default=0)
    if most <= MOST_SHARES_PER_NODE:
        return ""
    return f"it counts {most:,} shares of GPUs, and no node has more than {MOST_SHARES_PER_NODE:,}"


def flexible_offers(share: GpuShare, gpus: int, total_bytes: int, most: int = FLEXIBLE_SLICES[-1]) -> list[ShareOffer]:
    """Return the offers of a mechanism that takes any amount of memory.

    Args:
        share: the mechanism; its sizes are replaced.
        gpus: physical GPUs of the node.
        total_bytes: memory of one GPU.
        most: pods that one GPU takes at most.
    """
    return [
        ShareOffer(
            share=replace(share, slices_per_gpu=slices, memory_bytes=total_bytes // slices), slices=gpus * slices
        )
        for slices in FLEXIBLE_SLICES
        if slices <= most and total_bytes >= slices * MIB
    ]


class _ContradictionError(Exception):
    """Facts of a node that cannot all be right, or that do not suffice; the text is a clause."""


def _mig_mixed(node: NodeFacts, gpu: Gpu) -> Iterator[ShareOffer]:
    """Every profile has a resource of its own, and labels that tell its memory."""
    unknown = []
    for resource, count in node.allocatable.items():
        if not resource.startswith(MIG_RESOURCE_PREFIX) or not count:
            continue
        spelled = resource.removeprefix(MIG_RESOURCE_PREFIX)
        profile = mig_profile(gpu, spelled)
        mib = _number(node, f"{MIG_RESOURCE_PREFIX}{spelled}.memory")
        if mib is None:
            unknown.append(profile.name)
            continue
        share = GpuShare(
            mechanism=ShareMechanism.MIG,
            resource=resource,
            profile=profile.name,
            slices_per_gpu=profile.most_per_gpu,
            memory_bytes=usable_bytes_from_label(mib),
        )
        yield ShareOffer(share=share, slices=count)
    if unknown:
        raise _ContradictionError(f"no label tells the memory of its slices {', '.join(sorted(unknown))}")


def _mig_single(node: NodeFacts, gpu: Gpu, match: GpuMatch) -> ShareOffer:
    """All slices are alike and are asked for as if they were GPUs."""
    found = _MIG_LABEL.fullmatch(node.labels.get(gpu.label_key or "", ""))
    if found is None:
        raise _ContradictionError("no label names the MIG profile of its slices")
    if found["shared"]:
        raise _ContradictionError("its MIG slices are shared once more, which nothing is planned on")
    profile, offered = mig_profile(gpu, found["profile"]), node.allocatable.get(gpu.k8s_resource, 0)
    if match.usable_memory_bytes is None:
        raise _ContradictionError(f"no label tells the memory of its slices {profile.name}")
    if match.gpu_count is not None and offered > match.gpu_count:
        raise _ContradictionError(
            f"it offers {offered} {gpu.k8s_resource} but its label counts {match.gpu_count} slices"
        )
    if not offered:
        raise _ContradictionError(f"its device plugin offers no {gpu.k8s_resource}")
    share = GpuShare(
        mechanism=ShareMechanism.MIG,
        resource=gpu.k8s_resource,
        profile=profile.name,
        slices_per_gpu=profile.most_per_gpu,
        memory_bytes=match.usable_memory_bytes,
    )
    return ShareOffer(share=share, slices=offered)


def _replicas(node: NodeFacts, gpu: Gpu, match: GpuMatch, usable_bytes: int | None) -> ShareOffer:
    """Time slices or MPS clients: the device plugin offers each GPU several times."""
    strategy, replicas = node.labels.get(STRATEGY_LABEL, ""), _number(node, REPLICAS_LABEL) or 0
    mechanism = next((each for each, value in STRATEGIES.items() if value == strategy), None)
    if mechanism is None:
        raise _ContradictionError(f"no label says how they are shared ({STRATEGY_LABEL})")
    if replicas < 2:
        raise _ContradictionError(f"no label says among how many ({REPLICAS_LABEL})")
    if not match.gpu_count or not usable_bytes:
        raise _ContradictionError("no label tells how many GPUs there are and how large they are")
    renamed = f"{gpu.k8s_resource}{RENAMED_SUFFIX}"
    resource = renamed if node.allocatable.get(renamed) else gpu.k8s_resource
    offered, most = node.allocatable.get(resource, 0), match.gpu_count * replicas
    if not offered:
        raise _ContradictionError(f"its device plugin offers no {resource}")
    if offered > most or (resource != renamed and offered <= match.gpu_count):
        raise _ContradictionError(
            f"it offers {offered} {resource} but its labels say {match.gpu_count} GPUs with {replicas} replicas each"
        )
    share = GpuShare(
        mechanism=mechanism, resource=resource, slices_per_gpu=replicas, memory_bytes=usable_bytes // replicas
    )
    return ShareOffer(share=share, slices=offered)


def _hami(node: NodeFacts, gpu: Gpu, match: GpuMatch, usable_bytes: int | None) -> Iterator[ShareOffer]:
    """Any amount of memory of any GPU, and whole GPUs."""
    hami = node.hami
    if hami is None or hami.problem:
        raise _ContradictionError(hami.problem if hami else "")
    if not usable_bytes:
        raise _ContradictionError("neither a label nor the catalogue knows the memory of its GPUs")
    offered = node.allocatable.get(gpu.k8s_resource, 0)
    if match.gpu_count is not None and hami.gpus > match.gpu_count:
        raise _ContradictionError(f"HAMi registers {hami.gpus} GPUs but its label counts {match.gpu_count}")
    if not offered:
        raise _ContradictionError(f"its device plugin offers no {gpu.k8s_resource}")
    if offered > hami.gpus * hami.splits or (hami.splits > 1 and offered <= hami.gpus):
        raise _ContradictionError(
            f"it offers {offered} {gpu.k8s_resource} but HAMi registers {hami.gpus} GPUs for {hami.splits} pods each, "
            "as when its annotation is stale"
        )
    total_bytes = min(usable_bytes, hami.memory_mib * MIB)
    whole = GpuShare(
        mechanism=ShareMechanism.HAMI, resource=gpu.k8s_resource, slices_per_gpu=1, memory_bytes=total_bytes
    )
    yield ShareOffer(share=whole, slices=hami.gpus)
    yield from flexible_offers(whole, hami.gpus, total_bytes, hami.splits)


def _number(node: NodeFacts, label: str) -> int | None:
    """Return a label as a whole number; None when it is not there or is none."""
    text = node.labels.get(label, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None
