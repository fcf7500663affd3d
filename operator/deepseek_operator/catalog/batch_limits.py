"""Limits of one scheduler step that an engine release sets itself, from the data file by release and GPU."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.errors import UnknownEngineReleaseError
from deepseek_operator.units import GIB

_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


STEP_TOKENS = (4096, 8192)
"""Tokens of a scheduler step that a plan may choose where the engine's own default misses a service level.

Shorter ones are better for the time between tokens, longer ones for the first token. Source: section "Chunked Prefill"
of https://docs.vllm.ai/en/stable/configuration/optimization/.
"""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Limits of one scheduler step when the user sets none."""

    max_num_batched_tokens: int
    max_num_seqs: int


@dataclass(frozen=True, kw_only=True)
class BatchLimitClass:
    """A class of GPUs with the same defaults: at least so much memory, and a name without ``excluded_name``."""

    smallest_memory_bytes: int
    excluded_name: str
    limits: BatchLimits


def default_batch_limits(total_memory_bytes: int, gpu_id: str, release: str) -> BatchLimits:
    """Return the limits that a release of vLLM sets itself on a GPU (API server, chunked prefill on).

    Args:
        total_memory_bytes: total as the driver reports it.
        gpu_id: catalogue id; the engine looks for ``a100`` in the device name, which the id keeps.
        release: such as ``0.32.0``.

    Raises:
        UnknownEngineReleaseError: the release is no number.

    >>> default_batch_limits(80 * 2**30, "a100-sxm4-80gb", "0.32.0")
    BatchLimits(max_num_batched_tokens=2048, max_num_seqs=256)
    >>> default_batch_limits(180 * 2**30, "b200", "0.32.0").max_num_batched_tokens
    16384
    >>> default_batch_limits(180 * 2**30, "b200", "0.27.1").max_num_batched_tokens
    8192
    """
    classes = _classes(release)
    for limit_class in classes:
        excluded = limit_class.excluded_name
        if total_memory_bytes >= limit_class.smallest_memory_bytes and not (excluded and excluded in gpu_id):
            return limit_class.limits
    return classes[-1].limits


@functools.lru_cache(maxsize=64)
def _classes(release: str) -> tuple[BatchLimitClass, ...]:
    rows = read_json("batch_limits.json")["releases"]
    if not isinstance(rows, list):
        raise TypeError("batch_limits.json holds no list")
    asked = _key(release)
    known = [row for row in rows if _key(row["since"]) <= asked] or rows[:1]
    return tuple(
        BatchLimitClass(
            smallest_memory_bytes=int(entry["smallest_memory_gib"]) * GIB,
            excluded_name=entry["excluded_name"],
            limits=BatchLimits(
                max_num_batched_tokens=entry["max_num_batched_tokens"], max_num_seqs=entry["max_num_seqs"]
            ),
        )
        for entry in known[-1]["classes"]
    )


def _key(release: str) -> tuple[int, int, int]:
    match = _NUMBERS.match(release.strip())
    if match is None:
        raise UnknownEngineReleaseError("engine release", release, (), "write a number such as 0.32.0")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)
