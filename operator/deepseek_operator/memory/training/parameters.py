"""The parameters that one rank trains: matrices as the framework holds them, one entry per separate tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.attention_tensors import attention_tensors, norm
from deepseek_operator.memory.feed_forward_tensors import dense_mlp_tensors, mixture_tensors
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import Stage
from deepseek_operator.memory.tensors import Axis, Component, Group, Storage, WeightTensor
from deepseek_operator.memory.training.activations import covered_attention


@dataclass(frozen=True, kw_only=True)
class RankMatrix:
    """Equal matrices (or vectors, with one column) of one rank.

    Args:
        component: the part of the model.
        rows: output features.
        columns: input features; 1 for a vector.
        count: how many there are, layers and experts together.
        is_linear: whether quantization may touch it (QLoRA).
        copies_over_data: ranks of the data-parallel group that hold the same one.
    """

    component: Component
    rows: int
    columns: int
    count: int
    is_linear: bool
    copies_over_data: int

    @property
    def parameters(self) -> int:
        """Parameters of all of them."""
        return self.rows * self.columns * self.count


@lru_cache(maxsize=1024)
def rank_matrices(shape: ModelShape, stage: Stage, split: Parallelism) -> tuple[RankMatrix, ...]:
    """Return everything that one rank of a pipeline stage holds.

    Args:
        shape: a covered model; multi-token-prediction layers are left out.
        stage: the rank's layers.
        split: tensor ranks cut heads and widths as serving does; data ranks hold copies. With ``expert`` whole
            experts are dealt out over tensor x data ranks.

    Raises:
        UnsupportedModelError: the architecture is not covered.
    """
    return tuple(
        matrix
        for tensor, repeats in _stage_tensors(shape, stage)
        if repeats and not tensor.derived
        for matrix in _cut(tensor, repeats, split)
    )


def largest_unit_parameters(shape: ModelShape, stage: Stage, split: Parallelism) -> int:
    """Return the parameters of the largest unit that ZeRO-3 gathers at once: a layer, or a vocabulary table."""
    layers = [_layer_tensors(shape, is_moe=False)] if stage.num_dense_layers else []
    if stage.num_moe_layers:
        layers.append(_layer_tensors(shape, is_moe=True))
    units = [*layers, (_vocabulary(shape, Component.EMBEDDINGS),)]
    return max(_parameters(unit, split) for unit in units)


def largest_linear_parameters(shape: ModelShape, stage: Stage, split: Parallelism) -> int:
    """Return the elements of the largest quantizable matrix, which QLoRA turns back into 16 bits before it is used."""
    sizes = (each.rows * each.columns for each in rank_matrices(shape, stage, split) if each.is_linear)
    return max(sizes, default=0)


def _parameters(tensors: tuple[WeightTensor, ...], split: Parallelism) -> int:
    return sum(matrix.parameters for tensor in tensors if not tensor.derived for matrix in _cut(tensor, 1, split))


def _cut(tensor: WeightTensor, repeats: int, split: Parallelism) -> Iterator[RankMatrix]:
    """Yield one rank's part of a tensor; training replicates experts over data ranks unless they are dealt out."""
    is_routed = tensor.group is Group.ROUTED_EXPERTS
    dealt = is_routed and split.expert
    ways = split if dealt else Parallelism(tensor=split.tensor)
    share = tensor.rank_slice(ways)
    for rows, columns in share.parts:
        yield RankMatrix(
            component=tensor.component,
            rows=rows,
            columns=columns,
            count=share.copies * repeats,
            is_linear=tensor.storage is Storage.LINEAR,
            copies_over_data=1 if dealt else split.data,
        )


def _stage_tensors(shape: ModelShape, stage: Stage) -> list[tuple[WeightTensor, int]]:
    tensors = [(tensor, stage.num_dense_layers) for tensor in _layer_tensors(shape, is_moe=False)]
    if stage.num_moe_layers:
        tensors += [(tensor, stage.num_moe_layers) for tensor in _layer_tensors(shape, is_moe=True)]
    if stage.is_first or (stage.is_last and shape.tie_word_embeddings):
        tensors.append((_vocabulary(shape, Component.EMBEDDINGS), 1))
    if stage.is_last:
        tensors.append((norm(shape.hidden_size), 1))
        if not shape.tie_word_embeddings:
            tensors.append((_vocabulary(shape, Component.LM_HEAD), 1))
    return tensors


@lru_cache(maxsize=256)
def _layer_tensors(shape: ModelShape, *, is_moe: bool) -> tuple[WeightTensor, ...]:
    hidden = shape.hidden_size
    if is_moe and shape.experts is not None:
        feed_forward = mixture_tensors(shape.experts, hidden)
    else:
        feed_forward = dense_mlp_tensors(hidden, shape.intermediate_size, shape.mlp_bias)
    return (norm(hidden), *attention_tensors(covered_attention(shape), hidden), norm(hidden), *feed_forward)


def _vocabulary(shape: ModelShape, component: Component) -> WeightTensor:
    """Trainers pad the vocabulary only to what tensor parallelism divides."""
    return WeightTensor(
        component=component,
        row_parts=((shape.vocab_size, 1),),
        columns=shape.hidden_size,
        axis=Axis.ROWS,
        storage=Storage.MODEL,
    )
