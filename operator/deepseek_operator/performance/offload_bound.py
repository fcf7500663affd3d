"""The speed that no engine can pass when part of the weights lies in host memory or on disk.

For one token every active weight is read once from where it lies, so tokens per second are at most bandwidth / bytes
there. Computing, copies and latency only lower it; batching shares reads between requests and is not bounded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.catalog.host_links import HostLink
from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.stated_weights import stated_bytes
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.weights import parameter_counts

GB = 10**9

_NEVER_READ = frozenset({Component.ENGRAM_TABLES, Component.VISION, Component.PROJECTOR})
"""A token looks up some rows of a table; images are encoded once, before the first token."""


@dataclass(frozen=True, kw_only=True)
class OffloadBound:
    """An upper bound of the decoding speed of one request.

    Args:
        tokens_per_second: at most so many; 0.0 is never returned.
        gpu_bytes_per_token: active weights read from GPU memory.
        host_bytes_per_token: active weights read from host memory.
        disk_bytes_per_token: active weights read from disk, because neither holds them.
        slowest: name of the memory that sets the bound.
    """

    tokens_per_second: float
    gpu_bytes_per_token: int
    host_bytes_per_token: int
    disk_bytes_per_token: int
    slowest: str

    def explanation(self) -> str:
        """Return the bound with the numbers put in."""
        return (
            f"at most {self.tokens_per_second:.1f} tokens/s for one request: every token reads "
            f"{self.gpu_bytes_per_token / GB:.1f} GB from GPU memory, {self.host_bytes_per_token / GB:.1f} GB from "
            f"host memory and {self.disk_bytes_per_token / GB:.1f} GB from disk, and {self.slowest} is the slowest"
        )


def offload_bound(
    shape: ModelShape,
    linear: LinearFormat,
    *,
    gpu_weights_bytes: int,
    host_weights_bytes: int,
    gpu_memory_gb_per_second: float,
    host: HostLink,
    disk: HostLink,
) -> OffloadBound:
    """Return the bound for the best placement: what every token needs lies on the GPU first, then routed experts.

    Args:
        shape: the model.
        linear: format of its weights; embeddings are taken in the same, which only raises the bound.
        gpu_weights_bytes: weights that the GPU can hold.
        host_weights_bytes: weights that host memory can hold.
        gpu_memory_gb_per_second: bandwidth of the GPU's memory, above 0.
        host: what host weights are read through: ``pcie-*`` when they are copied to the GPU for computing, ``ddr*``
            when the CPU computes with them.
        disk: what the rest is read through; it passes ``host`` as well.

    Routing is taken as uniform, so that the active experts lie on the GPU, the host and the disk in the proportion of
    all experts. Tables of which a token reads only a row, and image encoders, are not read and take no room here, which
    only raises the bound.
    """
    counts = parameter_counts(shape)
    all_routed = counts.get(Component.ROUTED_EXPERTS, 0)
    unread = sum(counts.get(component, 0) for component in _unread(counts))
    always = stated_bytes(sum(counts.values()) - unread - all_routed, linear)
    routed = stated_bytes(all_routed, linear)
    always_places = _fill(always, gpu_weights_bytes, host_weights_bytes)
    left = (max(0, gpu_weights_bytes - always_places[0]), max(0, host_weights_bytes - always_places[1]))
    routed_places = _fill(routed, *left)
    share = shape.experts.num_experts_per_token / shape.experts.num_experts if shape.experts else 0.0
    gpu, on_host, on_disk = (
        round(fixed + share * expert) for fixed, expert in zip(always_places, routed_places, strict=True)
    )
    seconds = {
        "GPU memory": gpu / (gpu_memory_gb_per_second * GB),
        host.name: (on_host + on_disk) / (host.gb_per_second * GB),
        disk.name: on_disk / (disk.gb_per_second * GB),
    }
    slowest = max(seconds, key=lambda name: seconds[name])
    return OffloadBound(
        tokens_per_second=1 / seconds[slowest],
        gpu_bytes_per_token=gpu,
        host_bytes_per_token=on_host,
        disk_bytes_per_token=on_disk,
        slowest=slowest,
    )


def _unread(counts: Mapping[Component, int]) -> frozenset[Component]:
    """Return what generating a token does not read; an embedding that is the output head as well is read."""
    tied = not counts.get(Component.LM_HEAD) and not counts.get(Component.STATED_PARAMETERS)
    return _NEVER_READ if tied else _NEVER_READ | {Component.EMBEDDINGS}


def _fill(size: int, gpu: int, host: int) -> tuple[int, int, int]:
    """Return how much of a size lies on the GPU, the host and the disk."""
    on_gpu = min(size, gpu)
    on_host = min(size - on_gpu, host)
    return on_gpu, on_host, size - on_gpu - on_host
