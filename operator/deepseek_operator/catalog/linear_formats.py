"""How the elements of a quantizable matrix are stored: bits of an element, scales, zero points, metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from deepseek_operator.units import ceil_div


class Coverage(StrEnum):
    """Which weights a format applies to."""

    LINEAR = "linear"
    """Every linear layer; embeddings, output head, norms and router keep 16 bits."""
    ROUTED_EXPERTS = "routed-experts"
    """The routed experts alone; the other linear layers keep 16 bits."""
    VOCABULARY = "vocabulary"
    """Every linear layer, the embeddings and the output head (GGUF files)."""


@dataclass(frozen=True, kw_only=True)
class SideTable:
    """Numbers beside the elements, each shared by a group of them.

    Args:
        bits: of one number.
        rows: rows that share one; None means all of them.
        columns: columns that share one; None means all of them.
        elements: when not 0, that many consecutive elements share one, across rows, whatever ``rows`` and
            ``columns`` say.
        loaded: whether the engine keeps it; False for what only the checkpoint stores.
        stored: whether the checkpoint has it; False for what the engine makes while loading.
        hopper_bits: of one number where the kernel of Hopper prepares it otherwise; 0 where it does not.
    """

    bits: int
    rows: int | None = 1
    columns: int | None = None
    elements: int = 0
    loaded: bool = True
    stored: bool = True
    hopper_bits: int = 0

    def table_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes for one matrix; a group cut by the edge still has its own number.

        >>> SideTable(bits=32).table_bytes(4096, 11008), SideTable(bits=32, elements=64).table_bytes(2, 96)
        (16384, 12)
        """
        if self.elements:
            groups = ceil_div(rows * columns, self.elements)
        else:
            groups = ceil_div(rows, self.rows or rows) * ceil_div(columns, self.columns or columns)
        return ceil_div(groups * self.bits, 8)


@dataclass(frozen=True, kw_only=True)
class LinearFormat:
    """Bytes of a quantizable matrix.

    Args:
        weight_bits: bits per element, above 0 and at most 32; a fraction for a mean over kinds of blocks.
        group_rows: rows that share one scale; None means all of them.
        group_columns: columns that share one scale; None means all of them.
        scale_bits: bits of scale (and zero point) per group; 0 means that there are none.
        side_tables: what else lies beside the elements.
        covers: which weights have the format.
    """

    weight_bits: int | Fraction
    group_rows: int | None = None
    group_columns: int | None = None
    scale_bits: int = 0
    side_tables: tuple[SideTable, ...] = ()
    covers: Coverage = Coverage.LINEAR

    def weight_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes of the elements alone.

        >>> LinearFormat(weight_bits=4).weight_bytes(4096, 4096)
        8388608
        """
        bits = self.weight_bits
        return ceil_div(rows * columns * bits.numerator, 8 * bits.denominator)

    def scale_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes of the scales of one matrix; a group cut by the edge still has its own scale.

        >>> LinearFormat(weight_bits=8, group_rows=128, group_columns=128, scale_bits=32).scale_bytes(576, 7168)
        1120
        """
        if not self.scale_bits:
            return 0
        return SideTable(bits=self.scale_bits, rows=self.group_rows, columns=self.group_columns).table_bytes(
            rows, columns
        )

    @property
    def bits_per_weight(self) -> Fraction:
        """Bits of one weight with its share of everything that the engine keeps per group of columns or elements.

        What whole rows or matrices share is left out: it is below 0.02 bits in any model that is planned.

        >>> LinearFormat(weight_bits=4, group_rows=1, group_columns=16, scale_bits=8).bits_per_weight
        Fraction(9, 2)
        """
        bits = Fraction(self.weight_bits)
        if self.scale_bits and self.group_columns:
            bits += Fraction(self.scale_bits, (self.group_rows or 1) * self.group_columns)
        for table in self.side_tables:
            if table.loaded and (table.elements or (table.columns and table.rows)):
                bits += Fraction(table.bits, table.elements or (table.rows or 1) * (table.columns or 1))
        return bits


def on_hopper(linear: LinearFormat) -> LinearFormat:
    """Return a format as the kernel of Hopper (compute capability 9.0) keeps it in dense layers."""
    if not any(table.hopper_bits for table in linear.side_tables):
        return linear
    tables = (replace(table, bits=table.hopper_bits or table.bits) for table in linear.side_tables)
    return replace(linear, side_tables=tuple(tables))


SIXTEEN_BIT = LinearFormat(weight_bits=16)
"""What is not quantized: float32 checkpoints are loaded in half precision."""


@dataclass(frozen=True, kw_only=True)
class FormatException:
    """Modules of some layers whose format is not the checkpoint's general one.

    Args:
        linear: their format.
        modules: (name of the engine's module within a layer, layer) pairs, such as ``("self_attn.o_proj", 0)``.
    """

    linear: LinearFormat
    modules: frozenset[tuple[str, int]]
