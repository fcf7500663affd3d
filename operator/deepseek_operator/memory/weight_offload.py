"""Weights that the engine keeps in pinned host memory (``--cpu-offload-gb``): what leaves the GPU, what the host pins.

Source: vLLM 0.32 ``model_executor/offloader/uva.py``: image encoders first, then decoder layers in order; parameters
are moved whole until the limit is reached or passed. Embeddings, output head and rotary tables are never moved, nor
is what the engine derives after loading (``model_loader/utils.py`` ``device_loading_context`` keeps new parameters on
the GPU).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from deepseek_operator.memory.tensors import Component, WeightTensor, allocated_bytes

_STAYS_ON_GPU = frozenset({Component.EMBEDDINGS, Component.LM_HEAD})
_IMAGE_ENCODER = frozenset({Component.VISION, Component.PROJECTOR})

Parameters = tuple[tuple[tuple[int, ...], int], ...]
"""Bytes of the parameters of one layer in order, and how many such layers follow each other."""


@dataclass(frozen=True, kw_only=True)
class OffloadedWeights:
    """What one rank moves to the host.

    Args:
        device_bytes: memory of the GPU that is saved.
        host_bytes: bytes of the parameters, as the engine logs them.
        pinned_bytes: host memory that they take, see ``pinned_bytes``.
    """

    device_bytes: int
    host_bytes: int
    pinned_bytes: int


def offloadable_parameters(
    tensors: Iterable[tuple[WeightTensor, int]], allocations: Callable[[WeightTensor], Iterable[int]]
) -> Parameters:
    """Return what a rank could move, image encoder first.

    Args:
        tensors: of the stage, each with how often it is repeated.
        allocations: bytes that one rank requests for a tensor.
    """
    movable = [row for row in tensors if row[0].component not in _STAYS_ON_GPU and not row[0].derived]
    ordered = sorted(movable, key=lambda row: row[0].component not in _IMAGE_ENCODER)
    return tuple(
        (tuple(size for tensor, _ in group for size in allocations(tensor)), repeats)
        for repeats, group in groupby(ordered, key=lambda row: row[1])
    )


@lru_cache(maxsize=1024)
def offload(parameters: Parameters, limit_bytes: int) -> OffloadedWeights:
    """Return what a rank moves to the host under a limit.

    Args:
        parameters: of ``offloadable_parameters``.
        limit_bytes: ``--cpu-offload-gb`` of one GPU in bytes, 0 or more; the last parameter may pass it.

    >>> offload((((600, 500), 2),), 1200)
    OffloadedWeights(device_bytes=2560, host_bytes=1700, pinned_bytes=2560)
    """
    moved: list[tuple[int, int]] = []
    taken = 0
    for sizes, repeats in parameters:
        layer = sum(sizes)
        whole = min(repeats, max(0, limit_bytes - taken) // layer) if layer else 0
        moved += [(size, whole) for size in sizes]
        taken += whole * layer
        if whole == repeats:
            continue
        for size in sizes:
            if taken >= limit_bytes:
                break
            moved.append((size, 1))
            taken += size
    return OffloadedWeights(
        device_bytes=sum(count * allocated_bytes(size) for size, count in moved),
        host_bytes=taken,
        pinned_bytes=sum(count * pinned_bytes(size) for size, count in moved),
    )


def pinned_bytes(requested_bytes: int) -> int:
    """Return the host memory behind one pinned tensor: PyTorch rounds it up to a power of two.

    Source: PyTorch 2.13 ``ATen/core/CachingHostAllocator.h`` (``PowerOf2Ceil``; ``pinned_max_round_threshold`` is
    unlimited by default). Users measured it: ``--cpu-offload-gb 305`` took about 504 GiB (vllm-project/vllm#58185).

    >>> pinned_bytes(3), pinned_bytes(4096), pinned_bytes(0)
    (4, 4096, 0)
    """
    return 1 << (requested_bytes - 1).bit_length() if requested_bytes > 0 else 0
