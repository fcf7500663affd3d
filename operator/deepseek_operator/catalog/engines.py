"""Engine releases: images, the defaults that decide memory, and the recorded table of their flags."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.errors import UnknownEngineReleaseError

DEFAULT_ENGINE = "vllm"
DEFAULT_VERSION = "0.32.0"


@dataclass(frozen=True, kw_only=True)
class EngineRelease:
    """One release of an engine.

    Args:
        images: container image by GPU vendor (``nvidia``, ``amd``).
        image_digests: its digest, ``sha256:...``; empty until a release of this package has read it.
        image_notes: how far the image name is verified.
        gpu_memory_utilization_percent: the engine's default share of a GPU's memory.
        block_size: tokens of a KV cache block before an attention backend overrides it.
        cuda_graph_largest_batch: ceiling of the captured batch sizes.
        cuda_graph_largest_batch_datacenter_blackwell: the same on compute capability 10.x.
        source: where the defaults were read.
    """

    engine: str
    version: str
    images: Mapping[str, str]
    image_digests: Mapping[str, str]
    image_notes: Mapping[str, str]
    gpu_memory_utilization_percent: int
    block_size: int
    cuda_graph_largest_batch: int
    cuda_graph_largest_batch_datacenter_blackwell: int
    flags_file: str
    source: str

    def image(self, vendor: str) -> str:
        """Return the image for a GPU vendor, with its digest once that is known.

        Raises:
            UnknownEngineReleaseError: upstream publishes none for this vendor; the remedy is ``spec.engine.image``.
        """
        name = self.images.get(vendor)
        if name is None:
            raise UnknownEngineReleaseError(
                f"image of {self.engine} {self.version} for GPU vendor",
                vendor,
                (),
                f"images exist for {', '.join(sorted(self.images))}; name your own as spec.engine.image",
            )
        digest = self.image_digests.get(vendor, "")
        return f"{name}@{digest}" if digest else name

    def capture_sizes(self, max_num_seqs: int, *, datacenter_blackwell: bool) -> tuple[int, ...]:
        """Return the batch sizes that are captured as CUDA graphs (without speculative decoding).

        Args:
            max_num_seqs: requests in one batch.
            datacenter_blackwell: whether the GPU is of compute capability 10.x, which captures larger ones.

        Source: vLLM 0.32.0 ``config/vllm.py``: 1, 2, 4, then steps of 8 below 256, then of 16, up to twice
        ``max_num_seqs``. The engine may append the largest step of its scheduler.

        >>> engine_release("vllm", "0.32.0").capture_sizes(8, datacenter_blackwell=False)
        (1, 2, 4, 8, 16)
        """
        if datacenter_blackwell:
            ceiling = self.cuda_graph_largest_batch_datacenter_blackwell
        else:
            ceiling = self.cuda_graph_largest_batch
        largest = min(2 * max_num_seqs, ceiling)
        sizes = [1, 2, 4, *range(8, 256, 8), *range(256, largest + 1, 16)]
        return tuple(size for size in sizes if size <= largest)


@dataclass(frozen=True, kw_only=True)
class FlagSpec:
    """One option of the engine's command line.

    Args:
        names: every spelling, the main one first (aliases and ``--no-`` forms included).
        takes_value: whether a value must follow.
        takes_many: whether several values may follow.
        choices: the only values that are accepted; empty when any is.
        default: the engine's default, as its parser reports it; None when there is none or it is decided later.
        is_switch: whether it takes no value at all.
    """

    names: tuple[str, ...]
    takes_value: bool
    takes_many: bool
    choices: tuple[str, ...]
    default: object
    is_switch: bool = False


@functools.cache
def engine_releases() -> tuple[EngineRelease, ...]:
    """Return every release that can be planned, by engine and version."""
    rows = read_json("engine_releases.json")["releases"]
    if not isinstance(rows, list):
        raise TypeError("engine_releases.json holds no list")
    return tuple(sorted(map(_release, rows), key=lambda release: (release.engine, release.version)))


def engine_release(engine: str, version: str) -> EngineRelease:
    """Return one release.

    Raises:
        UnknownEngineReleaseError: its defaults and flags are not recorded; the text lists those that are.
    """
    for release in engine_releases():
        if (release.engine, release.version) == (engine, version):
            return release
    known = ", ".join(f"{release.engine} {release.version}" for release in engine_releases())
    raise UnknownEngineReleaseError("engine release", f"{engine} {version}", (), f"known are {known}")


@functools.cache
def engine_flags(engine: str, version: str) -> Mapping[str, FlagSpec]:
    """Return the release's options by every spelling, sorted; the same ``FlagSpec`` stands under its aliases.

    Raises:
        UnknownEngineReleaseError: no such release.
    """
    rows = read_json(engine_release(engine, version).flags_file)["flags"]
    if not isinstance(rows, list):
        raise TypeError(f"flag table of {engine} {version} holds no list")
    by_name = {name: spec for spec in map(_flag, rows) for name in spec.names}
    return MappingProxyType(dict(sorted(by_name.items())))


def _release(row: Mapping[str, Any]) -> EngineRelease:
    return EngineRelease(
        engine=row["engine"],
        version=row["version"],
        images=MappingProxyType(row["images"]),
        image_digests=MappingProxyType(row["image_digests"]),
        image_notes=MappingProxyType(row["image_notes"]),
        gpu_memory_utilization_percent=row["gpu_memory_utilization_percent"],
        block_size=row["block_size"],
        cuda_graph_largest_batch=row["cuda_graph_largest_batch"],
        cuda_graph_largest_batch_datacenter_blackwell=row["cuda_graph_largest_batch_datacenter_blackwell"],
        flags_file=row["flags"],
        source=row["source"],
    )


def _flag(row: Mapping[str, Any]) -> FlagSpec:
    return FlagSpec(
        names=tuple(row["flags"]),
        takes_value=row["nargs"] not in (0, "?"),
        takes_many=row["nargs"] in ("+", "*"),
        choices=tuple(str(choice) for choice in row["choices"] or ()),
        default=row["default"],
        is_switch=row["nargs"] == 0,
    )
