"""What HAMi's device plugin says of a node's GPUs, in the annotation that its scheduler reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.capacity.fields import integer_at, text_at
from deepseek_operator.errors import shortened

HAMI_ANNOTATION = "hami.io/node-nvidia-register"
"""Written by HAMi's device plugin, which multiplies allocatable GPUs. Source: Project-HAMi/HAMi."""

HAMI_CORE_MODE = "hami-core"
"""Mode of a device that HAMi divides by its hook of the CUDA library; ``mig`` and ``mps`` are others."""

_LEGACY_FIELDS = 7

MOST_GPUS = 256
"""More is no node but a slip or a lie, and free shares are counted through it. Source: judgement; servers hold 16."""

LEAST_MIB = 1024
"""Less is no GPU that an engine starts on, and its parts would be nothing at all. Source: judgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HamiNode:
    """A node whose GPUs HAMi divides.

    Args:
        gpus: healthy physical GPUs.
        splits: pods that one GPU takes at most, of the GPU that takes fewest.
        memory_mib: what HAMi gives away of one GPU, of the GPU with least; its administrator may let it give away
            more than there is.
        problem: why nothing is planned on it, as a clause; empty when something may be.
    """

    gpus: int = 0
    splits: int = 0
    memory_mib: int = 0
    problem: str = ""


def read_hami(annotation: str) -> HamiNode:
    """Return what the annotation says; one that cannot be read gives a node with a problem, never an error.

    Source: HAMi's protocol: a JSON list of devices; before version 2.6 text with a colon after each device and seven
    fields separated by commas (id, splits, MiB, cores, type, NUMA node, health).

    >>> read_hami('[{"id":"GPU-1","count":10,"devmem":81559,"devcore":100,"mode":"hami-core","health":true}]')
    HamiNode(gpus=1, splits=10, memory_mib=81559, problem='')
    >>> read_hami("GPU-1,10,32768,100,NVIDIA-Tesla V100-PCIE-32GB,0,true:GPU-2,10,32768,100,T,0,false:").gpus
    1
    >>> read_hami("GPU-1").problem
    'its annotation of HAMi cannot be read'
    """
    try:
        devices = _json_devices(annotation) if annotation.lstrip().startswith("[") else _legacy_devices(annotation)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return HamiNode(problem="its annotation of HAMi cannot be read")
    healthy = [(splits, mib) for splits, mib, usable in devices if usable]
    if not healthy:
        return HamiNode(problem="HAMi registers no healthy GPU that it divides by its own hook")
    return _believed(
        gpus=len(healthy),
        splits=min(splits for splits, _ in healthy),
        memory_mib=min(mib for _, mib in healthy),
    )


def _json_devices(annotation: str) -> list[tuple[int, int, bool]]:
    return [
        (
            int(device["count"]),
            int(device["devmem"]),
            device.get("health") is True and device.get("mode", HAMI_CORE_MODE) in ("", HAMI_CORE_MODE),
        )
        for device in json.loads(annotation)
    ]


def _legacy_devices(annotation: str) -> list[tuple[int, int, bool]]:
    found = []
    for text in filter(None, annotation.split(":")):
        fields = text.split(",")
        if len(fields) < _LEGACY_FIELDS:
            raise ValueError("a device with too few fields")
        found.append((int(fields[1]), int(fields[2]), fields[6] == "true"))
    return found


def _believed(*, gpus: int, splits: int, memory_mib: int) -> HamiNode:
    """Return a node whose numbers can be, or one with a problem."""
    if not 1 <= gpus <= MOST_GPUS or splits < 1 or memory_mib < LEAST_MIB:
        said = f"{gpus} GPUs of {memory_mib} MiB for {splits} pods each"
        return HamiNode(problem=f"HAMi registers {shortened(said)}, which no node has")
    return HamiNode(gpus=gpus, splits=splits, memory_mib=memory_mib)


def stored_hami(hami: HamiNode) -> dict[str, object]:
    """Return a node's facts as a snapshot stores them."""
    return {"gpus": hami.gpus, "splits": hami.splits, "memoryMib": hami.memory_mib, "problem": hami.problem}


def loaded_hami(stored: Mapping[str, object]) -> HamiNode:
    """Return the facts that ``stored_hami`` wrote.

    Raises:
        InventoryError: a field has the wrong type.
    """
    if problem := text_at(stored, "problem"):
        return HamiNode(problem=problem)
    return _believed(
        gpus=integer_at(stored, "gpus"),
        splits=integer_at(stored, "splits"),
        memory_mib=integer_at(stored, "memoryMib"),
    )
