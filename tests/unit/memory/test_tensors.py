from __future__ import annotations

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.tensors import (
    Axis,
    Component,
    Group,
    LinearFormat,
    Storage,
    WeightTensor,
    allocated_bytes,
)

BLOCKS = LinearFormat(weight_bits=8, group_rows=128, group_columns=128, scale_bits=32)
MIB = 2**20


def heads(count: int, width: int) -> WeightTensor:
    return WeightTensor(component=Component.ATTENTION, row_parts=((count * width, width),), columns=64, axis=Axis.ROWS)


def experts(axis: Axis) -> WeightTensor:
    return WeightTensor(
        component=Component.ROUTED_EXPERTS,
        row_parts=((512, 1),),
        columns=256,
        axis=axis,
        group=Group.ROUTED_EXPERTS,
        copies=64,
    )


@pytest.mark.parametrize(
    ("tensor", "split", "copies", "parts"),
    [
        pytest.param(heads(8, 128), Parallelism(tensor=4), 1, ((256, 64),), id="heads are cut between heads"),
        pytest.param(
            heads(8, 128), Parallelism(tensor=16), 1, ((128, 64),), id="one head is kept when TP exceeds them"
        ),
        pytest.param(heads(28, 128), Parallelism(tensor=8), 1, ((512, 64),), id="an uneven cut keeps the larger share"),
        pytest.param(
            experts(Axis.ROWS), Parallelism(tensor=2, data=4), 64, ((64, 256),), id="experts are cut by TP x DP"
        ),
        pytest.param(
            experts(Axis.COLUMNS),
            Parallelism(tensor=2, data=4, expert=True),
            8,
            ((512, 256),),
            id="expert parallelism deals whole experts out",
        ),
    ],
)
def test_rank_slice(tensor: WeightTensor, split: Parallelism, copies: int, parts: tuple[tuple[int, int], ...]):
    kept = tensor.rank_slice(split)
    assert (kept.copies, kept.parts) == (copies, parts)


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        pytest.param(Parallelism(tensor=8), 256, id="cut by TP"),
        pytest.param(Parallelism(tensor=8, expert=True), 256, id="cut by TP with experts dealt out"),
        pytest.param(Parallelism(tensor=4, data=2), 512, id="cut by TP with attention replicas"),
        pytest.param(Parallelism(tensor=4, data=2, expert=True), 2048, id="whole when experts are dealt over replicas"),
    ],
)
def test_shared_experts(split: Parallelism, rows: int):
    tensor = WeightTensor(
        component=Component.SHARED_EXPERTS, row_parts=((2048, 1),), axis=Axis.ROWS, group=Group.SHARED_EXPERTS
    )
    assert tensor.rank_slice(split).parts == ((rows, 1),)


def test_a_vocabulary_is_padded_before_it_is_cut():
    tensor = WeightTensor(
        component=Component.LM_HEAD, row_parts=((32_001, 1),), columns=8, axis=Axis.ROWS, row_padding=64
    )
    assert tensor.rank_slice(Parallelism(tensor=4)).parts == ((8016, 8),)
    assert tensor.parameters == 32_001 * 8


def test_block_scales_of_fused_matrices_are_counted_per_matrix():
    tensor = WeightTensor(component=Component.ATTENTION, row_parts=((1536, 1), (576, 1)), columns=7168)
    weights, scales = tensor.whole().allocations(BLOCKS)
    assert (weights, scales) == (2112 * 7168, (12 + 5) * 56 * 4)


@pytest.mark.parametrize(("storage", "size"), [(Storage.MODEL, 2), (Storage.FLOAT32, 4)])
def test_what_quantization_does_not_touch_keeps_its_size(storage: Storage, size: int):
    tensor = WeightTensor(component=Component.NORMS, row_parts=((7168, 1),), storage=storage)
    assert list(tensor.whole().allocations(BLOCKS)) == [7168 * size]


def test_a_derived_tensor_holds_no_parameters():
    tensor = WeightTensor(component=Component.ATTENTION, row_parts=((8, 1),), columns=8, derived=True)
    assert tensor.parameters == 0


@pytest.mark.parametrize(
    ("requested", "kept"),
    [
        pytest.param(513, 1024, id="small requests are rounded up to 512 B"),
        pytest.param(10 * MIB, 10 * MIB, id="an exact segment wastes nothing"),
        pytest.param(11 * MIB, 12 * MIB, id="a rest of 1 MiB is not split off"),
        pytest.param(11 * MIB - 512, 11 * MIB - 512, id="a larger rest is split off"),
    ],
)
def test_allocator(requested: int, kept: int):
    assert allocated_bytes(requested) == kept
