"""Host memory of every node that one replica runs on, and the disk that its checkpoint takes.

Bytes that a host must have and bytes that it only wants for speed (page cache) are kept apart. Figures are those of
vLLM 0.32 on NVIDIA GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import gcd

from deepseek_operator.catalog.quantizations import named_quantization
from deepseek_operator.catalog.shapes import Engram, ModelShape
from deepseek_operator.memory.lora import lora_host_bytes
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.stages import layers_per_stage
from deepseek_operator.memory.weight_offload import offload, pinned_bytes
from deepseek_operator.memory.weights import checkpoint_bytes
from deepseek_operator.units import GIB, ceil_div

BASE_HOST_MEMORY_BYTES = 4 * GIB
"""API server, scheduler and tokenizer of one engine: 1.2 GB seen on a CPU build of vLLM 0.32.0, times three."""

HOST_MEMORY_PER_GPU_BYTES = 4 * GIB
"""One worker: 1.7 GB seen on a CPU build of vLLM 0.32.0, a CUDA context and one checkpoint shard in flight.

Users saw 3 GB per worker beside its offload buffers (vllm-project/vllm#48436). Weights are memory-mapped: their pages
are cache that the kernel may drop, so they are not requested.
"""

TOKEN_ID_BYTES = 4
"""The engine keeps the token ids of every request slot in pinned memory, one int32 per position.

Source: vLLM 0.32 ``v1/worker/gpu/states.py`` ``all_token_ids``.
"""

ENGRAM_SCALE_BLOCK = 32
"""Elements of a row that share one 8-bit scale (vLLM 0.32 ``models/deepseek_v41/common/engram.py``)."""


@dataclass(frozen=True, kw_only=True)
class NodeMemory:
    """Host memory of one node, in bytes.

    Args:
        node: index, first node 0.
        num_ranks: GPUs of the replica on it.
        process_bytes: the engine's processes themselves.
        weight_offload_bytes: weights moved off the GPUs (``--cpu-offload-gb``), as PyTorch pins them: every tensor
            is rounded up to a power of two, so that it can be nearly twice what was asked for.
        kv_offload_bytes: the node's share of ``--kv-offloading-size``, shared memory of exactly that size.
        engram_bytes: look-up tables (V4.1), in shared memory or pinned and rounded up, see ``host_memory``.
        buffer_bytes: pinned token ids of all request slots.
        adapter_bytes: copies of LoRA adapters, whole on every rank.
        shared_memory_bytes: what ``/dev/shm`` must hold for offloading and tables, beside the engine's usual needs;
            already counted in the fields above, except that the engine wants room for the KV offload of all its ranks
            on every node.
        page_cache_bytes: part of the checkpoint that this node reads; with less free memory loading is slower, and
            a second start reads the disk again. The kernel may drop it, so it is no part of ``needed_bytes``.
    """

    node: int
    num_ranks: int
    process_bytes: int
    weight_offload_bytes: int
    kv_offload_bytes: int
    engram_bytes: int
    buffer_bytes: int
    shared_memory_bytes: int
    page_cache_bytes: int
    adapter_bytes: int = 0

    @property
    def needed_bytes(self) -> int:
        """Memory that the node must have for this replica, page cache excluded."""
        return (
            self.process_bytes
            + self.weight_offload_bytes
            + self.kv_offload_bytes
            + self.engram_bytes
            + self.buffer_bytes
            + self.adapter_bytes
        )


@dataclass(frozen=True, kw_only=True)
class HostMemory:
    """Host memory of one replica.

    Args:
        nodes: one entry per node, first node first.
        disk_bytes: tensors of the checkpoint that the engine loads. It downloads only the safetensors files; a full
            clone of deepseek-coder-1.3b-instruct, -6.7b and -33b takes twice that, because these repositories hold
            the weights a second time as ``.bin`` files.
    """

    nodes: tuple[NodeMemory, ...]
    disk_bytes: int

    @property
    def worst_node(self) -> NodeMemory:
        """The node that needs most; the first of equals."""
        return max(self.nodes, key=lambda node: node.needed_bytes)


@dataclass(frozen=True, kw_only=True)
class _Rank:
    """Where one GPU stands in the replica; tensor parallelism is innermost, data parallelism outermost.

    Source: vLLM 0.32 ``distributed/parallel_state.py`` ``initialize_model_parallel``.
    """

    engine: int
    stage: int
    tensor: int


def host_memory(
    shape: ModelShape,
    parallelism: Parallelism,
    settings: EngineSettings,
    *,
    gpus_per_node: int | None = None,
    kv_offload_bytes: int = 0,
    compute_capability: tuple[int, int] | None = None,
) -> HostMemory:
    """Return what one replica takes of its nodes' memory and disk.

    Args:
        shape: the model.
        parallelism: how one replica is split.
        settings: what the engine is told; ``cpu_offload_bytes`` is per GPU, as ``--cpu-offload-gb`` is.
        gpus_per_node: GPUs of the replica on one node, 1 or more; None puts all on one node. The last node may
            have fewer.
        kv_offload_bytes: ``--kv-offloading-size`` in bytes: the total of one engine's ranks. Every data-parallel
            engine has its own.
        compute_capability: of the GPU; some keep quantized weights in another form.

    Engram tables are cut by hash heads over the TP ranks. Without data parallelism each rank pins its own part, so that
    one replica holds the tables once (rounded up per rank). Data-parallel engines that share a node share one copy of
    the tables in ``/dev/shm``, unrounded, as long as it has room for them; engines that span nodes pin their own parts.

    Raises:
        UnknownQuantizationError: ``settings.quantization`` is not in the catalogue.

    Source: vLLM 0.32 ``config/offload.py`` and ``config/cache.py`` (units of the options), ``v1/kv_offload/cpu/``
    (one region per engine and node in ``/dev/shm``), ``config/engram.py`` and ``models/deepseek_v41/common/engram.py``
    (``cpu_offload`` and, with data parallelism, ``dp_shared_memory`` are on by default).
    """
    per_node = gpus_per_node or parallelism.world_size
    disk = _disk_bytes(shape, settings.quantization)
    weights = quantized_weights(shape, parallelism, settings.quantization, compute_capability)
    moved = tuple(offload(each.offloadable, settings.cpu_offload_bytes).pinned_bytes for each in weights)
    tokens = pinned_bytes(TOKEN_ID_BYTES * settings.max_num_seqs * settings.max_model_len)
    ranks = _ranks(parallelism)
    nodes = []
    for node in range(ceil_div(parallelism.world_size, per_node)):
        local = ranks[node * per_node : (node + 1) * per_node]
        engram, engram_shared = _engram_bytes(shape, parallelism, local, per_node)
        engines = {rank.engine for rank in local}
        nodes.append(
            NodeMemory(
                node=node,
                num_ranks=len(local),
                process_bytes=BASE_HOST_MEMORY_BYTES + len(local) * HOST_MEMORY_PER_GPU_BYTES,
                weight_offload_bytes=sum(moved[rank.stage] for rank in local),
                kv_offload_bytes=ceil_div(kv_offload_bytes * len(local), parallelism.tensor * parallelism.pipeline),
                engram_bytes=engram,
                buffer_bytes=tokens * len(local),
                adapter_bytes=lora_host_bytes(shape, settings) * len(local),
                shared_memory_bytes=kv_offload_bytes * len(engines) + engram_shared,
                page_cache_bytes=_read_bytes(shape, parallelism, {rank.stage for rank in local}, disk),
            )
        )
    return HostMemory(nodes=tuple(nodes), disk_bytes=disk)


def _ranks(parallelism: Parallelism) -> tuple[_Rank, ...]:
    return tuple(
        _Rank(engine=engine, stage=stage, tensor=tensor)
        for engine in range(parallelism.data)
        for stage in range(parallelism.pipeline)
        for tensor in range(parallelism.tensor)
    )


@lru_cache(maxsize=256)
def _disk_bytes(shape: ModelShape, quantization_name: str) -> int:
    """Return the stored checkpoint, or the quantized one where the rung needs its own."""
    wanted = named_quantization(quantization_name)
    if not wanted.needs_checkpoint:
        return checkpoint_bytes(shape)
    return checkpoint_bytes(replace(shape, stored_linear=wanted.linear, format_exceptions=()))


def _read_bytes(shape: ModelShape, parallelism: Parallelism, local_stages: set[int], disk_bytes: int) -> int:
    """Return the part of the checkpoint that some stages read, by their share of the layers."""
    layers = layers_per_stage(shape.num_layers, parallelism.pipeline)
    return ceil_div(disk_bytes * sum(layers[stage] for stage in local_stages), shape.num_layers)


def _engram_bytes(
    shape: ModelShape, parallelism: Parallelism, local: tuple[_Rank, ...], per_node: int
) -> tuple[int, int]:
    """Return the bytes of the tables on one node, and how many of them lie in ``/dev/shm``."""
    if shape.engram is None:
        return 0, 0
    replica = parallelism.tensor * parallelism.pipeline
    whole_replicas = per_node // replica if per_node % replica == 0 and parallelism.world_size % per_node == 0 else 1
    sharers = gcd(parallelism.data, whole_replicas)
    if sharers > 1:
        row_bytes = shape.engram.head_dim + shape.engram.head_dim // ENGRAM_SCALE_BLOCK
        shared = whole_replicas // sharers * sum(shape.engram.num_embeddings) * row_bytes
        return shared, shared
    private = 0
    for rank in local:
        for rows in _rank_rows(shape, shape.engram, parallelism, rank):
            private += pinned_bytes(rows * shape.engram.head_dim)
            private += pinned_bytes(rows * shape.engram.head_dim // ENGRAM_SCALE_BLOCK)
    return private, 0


def _rank_rows(shape: ModelShape, engram: Engram, parallelism: Parallelism, rank: _Rank) -> Iterator[int]:
    """Yield the rows of each table of a rank's stage that it holds: the rows of its hash heads.

    Heads of all n-gram sizes lie side by side and have nearly the same number of rows each.
    """
    heads = (engram.max_ngram_size - 1) * engram.num_heads
    share = ceil_div(heads, parallelism.tensor)
    own = max(0, min(share, heads - rank.tensor * share))
    ends = tuple(accumulate(layers_per_stage(shape.num_layers, parallelism.pipeline)))
    start = ends[rank.stage] - layers_per_stage(shape.num_layers, parallelism.pipeline)[rank.stage]
    for layer, rows in zip(engram.layers, engram.num_embeddings, strict=True):
        if start <= layer < ends[rank.stage]:
            yield ceil_div(rows * own, heads)
