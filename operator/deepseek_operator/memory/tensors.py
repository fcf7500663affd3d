"""A weight matrix as the engine allocates it, and what one rank keeps of it.

Values and arithmetic only; which matrices a model has lies in the ``*_tensors`` modules beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from deepseek_operator.catalog.linear_formats import SIXTEEN_BIT, Coverage
from deepseek_operator.catalog.linear_formats import LinearFormat as LinearFormat
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.units import MIB, ceil_div


class Component(StrEnum):
    """Parts of a model that people ask about, in reading order."""

    EMBEDDINGS = "embeddings"
    ATTENTION = "attention"
    COMPRESSOR = "compressor"
    INDEXER = "indexer"
    DENSE_MLP = "dense_mlp"
    ROUTER = "router"
    ROUTER_HASH_TABLE = "router_hash_table"
    ROUTED_EXPERTS = "routed_experts"
    SHARED_EXPERTS = "shared_experts"
    HYPER_CONNECTIONS = "hyper_connections"
    ENGRAM_TABLES = "engram_tables"
    ENGRAM_PROJ = "engram_proj"
    NORMS = "norms"
    LM_HEAD = "lm_head"
    DRAFT_PROJECTION = "draft_projection"
    DRAFT_HEADS = "draft_heads"
    ROTARY_TABLE = "rotary_table"
    VISION = "vision"
    PROJECTOR = "projector"
    STATED_PARAMETERS = "stated_parameters"


class Storage(StrEnum):
    """Who decides the bytes of an element."""

    LINEAR = "linear"
    """The checkpoint's precision or the chosen quantization."""
    MODEL = "model"
    """Always the 16-bit activation dtype: embeddings, norms, router, indexer head weights."""
    FLOAT32 = "float32"
    """Always 4 bytes: router correction bias, indexer norm, hyper-connections."""
    INT64 = "int64"
    """Always 8 bytes and no parameters: the table by which hash layers choose experts."""


_FIXED_BYTES = {Storage.MODEL: 2, Storage.FLOAT32: 4, Storage.INT64: 8}


class Axis(StrEnum):
    """The dimension that tensor parallelism cuts."""

    NONE = "none"
    ROWS = "rows"
    COLUMNS = "columns"


class Group(StrEnum):
    """Which ranks share a tensor."""

    TENSOR = "tensor"
    ROUTED_EXPERTS = "routed-experts"
    SHARED_EXPERTS = "shared-experts"


@dataclass(frozen=True, kw_only=True)
class WeightTensor:
    """One allocation of the engine; matrices that it fuses are parts of one tensor.

    Args:
        row_parts: (rows, rows of one indivisible unit) of each fused matrix; a unit is a head or a single row.
        columns: input features; 1 for a vector.
        column_unit: columns of one indivisible unit (a head's width for the output projection).
        copies: experts that lie side by side in the allocation.
        row_padding: rows are padded to a multiple of this before they are cut (vocabularies).
        derived: computed by the engine while loading and not stored in the checkpoint.
        module: name of the engine's module within its layer, which a checkpoint may leave unquantized; see
            ``catalog.linear_modules``. Empty for what is never quantized.
        stored: format in the checkpoint where it differs from the model's other linear layers.
    """

    component: Component
    row_parts: tuple[tuple[int, int], ...]
    columns: int = 1
    column_unit: int = 1
    axis: Axis = Axis.NONE
    group: Group = Group.TENSOR
    storage: Storage = Storage.LINEAR
    copies: int = 1
    row_padding: int = 1
    derived: bool = False
    module: str = ""
    stored: LinearFormat | None = None

    @property
    def parameters(self) -> int:
        """Parameters in the checkpoint; 0 for what the engine derives and for tables of integers."""
        if self.derived or self.storage is Storage.INT64:
            return 0
        return self.copies * self.columns * sum(rows for rows, _ in self.row_parts)

    def whole(self) -> Slice:
        """Return the tensor as the checkpoint stores it."""
        return Slice(
            storage=self.storage,
            copies=self.copies,
            parts=tuple((rows, self.columns) for rows, _ in self.row_parts),
        )

    def rank_slice(self, split: Parallelism) -> Slice:
        """Return what one rank of a split keeps; ranks are alike, the largest share is returned.

        Source: vLLM ``layers/linear.py`` (column and row parallel), ``fused_moe/config.py`` (experts are cut by
        tensor x data ranks, or dealt out whole when expert parallelism is on), ``config/parallel.py``
        ``use_sequence_parallel_moe`` (shared experts are replicated with expert parallelism, TP > 1 and DP > 1).
        """
        copies, ways = self.copies, split.tensor
        if self.group is Group.ROUTED_EXPERTS:
            ways = split.tensor * split.data
            if split.expert:
                copies, ways = ceil_div(copies, ways), 1
        elif self.group is Group.SHARED_EXPERTS and split.expert and split.data > 1:
            ways = 1
        row_ways = ways if self.axis is Axis.ROWS else 1
        column_ways = ways if self.axis is Axis.COLUMNS else 1
        columns = _share(self.columns, self.column_unit, column_ways)
        parts = tuple(
            (_share(ceil_div(rows, self.row_padding) * self.row_padding, unit, row_ways), columns)
            for rows, unit in self.row_parts
        )
        return Slice(storage=self.storage, copies=copies, parts=parts)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The (rows, columns) parts of a tensor that lie in one place."""

    storage: Storage
    copies: int
    parts: tuple[tuple[int, int], ...]

    def allocations(self, linear: LinearFormat, *, in_checkpoint: bool = False) -> Iterator[int]:
        """Yield the bytes of each allocation: the elements, the scales and whatever else lies beside them.

        Args:
            linear: format of the elements when the storage is ``LINEAR``.
            in_checkpoint: whether to count what the checkpoint stores instead of what the engine keeps.
        """
        if self.storage is not Storage.LINEAR:
            yield self.copies * _FIXED_BYTES[self.storage] * sum(rows * columns for rows, columns in self.parts)
            return
        yield self.copies * sum(linear.weight_bytes(rows, columns) for rows, columns in self.parts)
        if scales := sum(linear.scale_bytes(rows, columns) for rows, columns in self.parts):
            yield self.copies * scales
        for table in linear.side_tables:
            if table.stored if in_checkpoint else table.loaded:
                yield self.copies * sum(table.table_bytes(rows, columns) for rows, columns in self.parts)


def covered(tensor: WeightTensor, linear: LinearFormat) -> tuple[WeightTensor, LinearFormat]:
    """Return the tensor with the format that it has when linear layers have ``linear``.

    >>> head = WeightTensor(component=Component.LM_HEAD, row_parts=((64, 1),), storage=Storage.MODEL)
    >>> covered(head, LinearFormat(weight_bits=4, covers=Coverage.VOCABULARY))[0].storage
    <Storage.LINEAR: 'linear'>
    """
    vocabulary = tensor.component in {Component.EMBEDDINGS, Component.LM_HEAD}
    if linear.covers is Coverage.VOCABULARY and vocabulary:
        return replace(tensor, storage=Storage.LINEAR), linear
    if linear.covers is Coverage.ROUTED_EXPERTS and tensor.component is not Component.ROUTED_EXPERTS:
        return tensor, SIXTEEN_BIT
    return tensor, linear


def allocated_bytes(requested_bytes: int) -> int:
    """Return what PyTorch's caching allocator keeps for one request.

    A request of 10 MiB or more gets a segment rounded up to 2 MiB; a rest of 1 MiB or less is not split off
    and stays unused. Smaller requests are rounded up to 512 bytes.

    Source: ``c10/cuda/CUDACachingAllocator.cpp`` (``kMinLargeAlloc``, ``kRoundLarge``, ``kSmallSize``). It
    explains why a 7B Qwen2 model logs 14.2487 GiB for 14.185 GiB of tensors.

    >>> allocated_bytes(1000), allocated_bytes(10 * MIB + MIB), allocated_bytes(10 * MIB + 100)
    (1024, 12582912, 10486272)
    """
    rounded = ceil_div(requested_bytes, 512) * 512
    if rounded < 10 * MIB:
        return rounded
    segment = ceil_div(rounded, 2 * MIB) * 2 * MIB
    return segment if segment - rounded <= MIB else rounded


def _share(length: int, unit: int, ways: int) -> int:
    """Return the largest share of a dimension that is cut between units; at least one unit is kept."""
    return ceil_div(ceil_div(length, unit), ways) * unit
