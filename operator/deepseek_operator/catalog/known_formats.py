"""The linear formats of engines and checkpoints, each as an engine keeps it and as a checkpoint stores it.

Source, where nothing else is said: ``create_weights`` of the classes below ``model_executor/layers/quantization`` of
vLLM 0.32.0.
"""

from __future__ import annotations

from fractions import Fraction

from deepseek_operator.catalog.linear_formats import Coverage, LinearFormat, SideTable

_ONE_FLOAT = SideTable(bits=32, rows=None, columns=None)
"""One 32-bit number for a whole matrix."""

NF4_BLOCK = 64
"""Consecutive elements that share an absolute maximum (bitsandbytes ``Linear4bit``, ``blocksize``)."""
NF4_NESTED_BLOCK = 256
"""Absolute maxima that share a second-level scale (bitsandbytes ``quantize_4bit``, ``compress_statistics``)."""
_NF4_CODE_BITS = 16 * 32
"""The sixteen values of the data type, stored with every matrix."""


_SMALLEST_HOPPER_GROUP = 64
"""Columns; smaller groups run on Marlin (``quantization/utils/machete_utils.py``)."""


def per_tensor(bits: int, covers: Coverage = Coverage.LINEAR) -> LinearFormat:
    """Return elements with one 32-bit scale for each matrix (``fp8.py``, ``PerTensorScaleParameter``)."""
    return LinearFormat(weight_bits=bits, side_tables=(_ONE_FLOAT,), covers=covers)


def per_channel(bits: int, covers: Coverage = Coverage.LINEAR) -> LinearFormat:
    """Return elements with one 32-bit scale for each output row (``compressed_tensors_w8a8_int8.py``)."""
    return LinearFormat(weight_bits=bits, group_rows=1, scale_bits=32, covers=covers)


def in_blocks(rows: int, columns: int, scale_bits: int = 32) -> LinearFormat:
    """Return 8-bit elements with one scale for each block of rows and columns (``fp8.py``)."""
    return LinearFormat(weight_bits=8, group_rows=rows, group_columns=columns, scale_bits=scale_bits)


def packed_integers(bits: int, group_size: int | None, *, zero_points: bool) -> LinearFormat:
    """Return weight-only integers with 16-bit scales (AWQ, and ``pack-quantized`` of compressed-tensors).

    Args:
        bits: of an element, 4 or 8.
        group_size: columns of a row that share a scale; None when the whole row shares one.
        zero_points: whether each group also has a zero point of ``bits`` bits; Hopper's kernel multiplies it with the
            scale and keeps 16 bits (``mixed_precision/machete.py``, groups of 64 and more).

    >>> packed_integers(4, 128, zero_points=True).bits_per_weight
    Fraction(133, 32)
    """
    widened = 16 if group_size is None or group_size >= _SMALLEST_HOPPER_GROUP else 0
    zeros = (SideTable(bits=bits, columns=group_size, hopper_bits=widened),) if zero_points else ()
    return LinearFormat(weight_bits=bits, group_rows=1, group_columns=group_size, scale_bits=16, side_tables=zeros)


def gptq(bits: int, group_size: int | None, *, desc_act: bool = False) -> LinearFormat:
    """Return GPTQ's integers as its symmetric checkpoints are run.

    The checkpoint stores zero points and the group of every column (``g_idx``), also where the engine needs neither.
    Hopper's kernel (``mixed_precision/machete.py``) leaves the zero points in memory, which a recorded start-up on an
    H100 confirms; Marlin on other GPUs drops them, so that 0.03 bits per weight are counted too many there. With
    ``desc_act`` the engine keeps the groups and the order that sorts them; vLLM 0.32 no longer runs that.

    >>> gptq(4, 128).bits_per_weight, gptq(4, 128, desc_act=True).side_tables[1].loaded
    (Fraction(133, 32), True)
    """
    zeros = SideTable(bits=bits, columns=group_size)
    groups = SideTable(bits=32, rows=None, columns=1, loaded=desc_act)
    order = (SideTable(bits=32, rows=None, columns=1, stored=False),) if desc_act else ()
    return LinearFormat(
        weight_bits=bits,
        group_rows=1,
        group_columns=group_size,
        scale_bits=16,
        side_tables=(zeros, groups, *order),
    )


def nvfp4(covers: Coverage = Coverage.LINEAR) -> LinearFormat:
    """Return 4-bit floats with an 8-bit scale per 16 and 32-bit scales of weights and inputs per matrix."""
    return LinearFormat(
        weight_bits=4,
        group_rows=1,
        group_columns=16,
        scale_bits=8,
        side_tables=(_ONE_FLOAT, _ONE_FLOAT),
        covers=covers,
    )


def microscaling(bits: int, covers: Coverage = Coverage.LINEAR) -> LinearFormat:
    """Return MXFP4 or MXFP8: floats with an 8-bit exponent per 32 (OCP Microscaling Formats 1.0).

    >>> microscaling(4).bits_per_weight
    Fraction(17, 4)
    """
    return LinearFormat(weight_bits=bits, group_rows=1, group_columns=32, scale_bits=8, covers=covers)


def nf4(*, double_quantized: bool, engine_widens: bool = True) -> LinearFormat:
    """Return bitsandbytes' 4-bit floats.

    Args:
        double_quantized: whether the checkpoint stores its absolute maxima in 8 bits with second-level scales.
        engine_widens: whether whoever loads them turns them back into 32 bits; vLLM does (``dequantize_dq`` of its
            ``bitsandbytes_loader.py``, until bitsandbytes moved to a plugin), training does not.

    >>> [float(nf4(double_quantized=True, engine_widens=widens).bits_per_weight) for widens in (True, False)]
    [4.5, 4.126953125]
    """
    code = SideTable(bits=_NF4_CODE_BITS, rows=None, columns=None)
    if not double_quantized:
        return LinearFormat(weight_bits=4, side_tables=(SideTable(bits=32, elements=NF4_BLOCK), code))
    kept = not engine_widens
    maxima = SideTable(bits=8, elements=NF4_BLOCK, loaded=kept)
    scales = SideTable(bits=32, elements=NF4_BLOCK * NF4_NESTED_BLOCK, loaded=kept)
    widened = (SideTable(bits=32, elements=NF4_BLOCK, stored=False),) if engine_widens else ()
    return LinearFormat(weight_bits=4, side_tables=(maxima, scales, *widened, code))


def sparse_24(bits: int) -> LinearFormat:
    """Return 2:4 sparse elements: two of four are kept, with a 2-bit position each; 8-bit ones have row scales.

    Source: NVIDIA's sparse matrix instructions; compressed-tensors ``sparse-24-bitmask`` stores a bit for every
    element, which is as much.

    >>> sparse_24(16).bits_per_weight
    Fraction(9, 1)
    """
    positions = SideTable(bits=8, elements=8)
    if bits == 16:
        return LinearFormat(weight_bits=8, side_tables=(positions,))
    return LinearFormat(weight_bits=Fraction(bits, 2), group_rows=1, scale_bits=32, side_tables=(positions,))


def gguf(bits_per_weight: Fraction) -> LinearFormat:
    """Return the mean of a GGUF file, which quantizes embeddings and output head too."""
    return LinearFormat(weight_bits=bits_per_weight, covers=Coverage.VOCABULARY)
