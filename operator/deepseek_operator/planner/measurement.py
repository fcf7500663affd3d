"""What started engines reported, and how it corrects the next estimate of the same model on the same GPUs.

A measurement is kept as the engine told it, never as a correction: each version of the planner compares it with its
own estimate of what was started, so better figures in the catalogue need no new measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import estimate
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings

MOST_BANDS_RAISED = 2
"""By how many 90 % bands a report may raise overheads: 99.9 % of errors with a normal law are smaller.

Source: 1.645 standard deviations are the 90 % band of a normal law, 3.29 contain 99.9 %.
"""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The KV cache of one replica as its engine reported it.

    Args:
        model_name: what runs.
        variant: digest of everything outside the plan that changes the engine's memory (image, further arguments,
            variables, other weights); empty for an engine as the release ships it.
        gpu: catalogue id.
        total_memory_bytes: of one GPU, as it was planned with.
        parallelism: split of the replica.
        settings: what the engine was told.
        kv_cache_tokens: tokens that the replica's cache holds, all its engines together, 1 or more.
    """

    model_name: str
    variant: str = ""
    gpu: str
    total_memory_bytes: int
    parallelism: Parallelism
    settings: EngineSettings
    kv_cache_tokens: int


def without_tokens(measurement: Measurement) -> Measurement:
    """Return what was started, without what it reported; equal for engines that were started alike."""
    return replace(measurement, kv_cache_tokens=0)


def distinct(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """Return one measurement per setting, the one with the smallest cache, in an order that depends on nothing else.

    The smallest, because a plan must hold on every node.
    """
    smallest: dict[Measurement, Measurement] = {}
    for each in measurements:
        key = without_tokens(each)
        known = smallest.get(key)
        if known is None or each.kv_cache_tokens < known.kv_cache_tokens:
            smallest[key] = each
    return tuple(sorted(smallest.values(), key=repr))


def overhead_correction_bytes(
    measurements: tuple[Measurement, ...],
    shape: ModelShape,
    split: Parallelism,
    settings: EngineSettings,
    total_memory_bytes: int,
    compute_capability: tuple[int, int] | None,
) -> int:
    """Return what to add to the estimated overhead of each rank so that it agrees with what engines reported.

    Measurements of the same split, engine release, quantization and cache format count; those of exactly these
    settings before others. Of several the largest correction is taken, because a plan must hold on every node. One
    that would leave less than nothing for overheads tells of something else and is left out. Overheads are lessened by
    no more than the 90 % band of the estimate that is corrected, and raised by no more than ``MOST_BANDS_RAISED`` of
    them: whoever can reach a pod could make its engine tell of more cache than the GPU can have, or of next to none,
    and the next plans of everybody must hold, and be no dearer for it, all the same.

    Args:
        measurements: of this model on this GPU product.
        shape: the model.
        split: of the replica that is planned.
        settings: of the engine that is planned.
        total_memory_bytes: of one GPU that is planned with.
        compute_capability: of the GPU product.

    Returns:
        Bytes per GPU, below 0 where the release takes less than it was known to; 0 without a measurement that counts.
    """
    alike = [each for each in measurements if each.parallelism == split and _is_alike(each.settings, settings)]
    same = [each for each in alike if each.settings == settings]
    found = [_difference_bytes(each, shape, compute_capability) for each in same or alike]
    correction = max((each for each in found if each is not None), default=0)
    if correction == 0:
        return 0
    band = estimate(shape, split, settings, total_memory_bytes, compute_capability).kv_cache_error_bytes
    return min(max(correction, -band), MOST_BANDS_RAISED * band)


def _is_alike(measured: EngineSettings, asked: EngineSettings) -> bool:
    return (measured.release, measured.quantization, measured.kv_cache_dtype, measured.enforce_eager) == (
        asked.release,
        asked.quantization,
        asked.kv_cache_dtype,
        asked.enforce_eager,
    )


@lru_cache(maxsize=1024)
def _difference_bytes(
    measured: Measurement, shape: ModelShape, compute_capability: tuple[int, int] | None
) -> int | None:
    """Return estimated less measured KV bytes on the rank with the least room; None when it cannot be so.

    Tokens are proportional to the bytes of that rank, because all ranks use the blocks that it holds.
    """
    known = estimate(shape, measured.parallelism, measured.settings, measured.total_memory_bytes, compute_capability)
    worst = known.worst_rank
    if worst.kv_cache_bytes <= 0 or known.kv_cache_tokens <= 0:
        return None
    difference = worst.kv_cache_bytes - worst.kv_cache_bytes * measured.kv_cache_tokens // known.kv_cache_tokens
    overheads = worst.budget_bytes - worst.weights_bytes - worst.kv_cache_bytes
    return None if -difference > overheads else difference
