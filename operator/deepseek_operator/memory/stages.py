"""Which layers a pipeline stage holds."""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.catalog.shapes import ModelShape


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Consecutive layers of one pipeline stage; the first also embeds, the last also computes logits."""

    index: int
    num_dense_layers: int
    num_moe_layers: int
    is_first: bool
    is_last: bool
    first_layer: int

    @property
    def num_layers(self) -> int:
        """All layers of the stage."""
        return self.num_dense_layers + self.num_moe_layers

    @property
    def layers(self) -> range:
        """Indices of the stage's layers."""
        return range(self.first_layer, self.first_layer + self.num_layers)


def layers_per_stage(num_layers: int, pipeline: int) -> tuple[int, ...]:
    """Return the number of layers of each stage, first stage first, as vLLM cuts them.

    Layers that remain after an even cut go one each to the stages before the last, last of those first.

    Source: vLLM ``vllm/distributed/utils.py`` ``get_pp_indices`` (0.8 and later).

    >>> layers_per_stage(61, 2), layers_per_stage(61, 4), layers_per_stage(60, 2)
    ((31, 30), (15, 15, 16, 15), (30, 30))
    """
    layers = [num_layers // pipeline] * pipeline
    for position in range(num_layers % pipeline):
        layers[-2 - position] += 1
    return tuple(layers)


def stages(shape: ModelShape, pipeline: int) -> tuple[Stage, ...]:
    """Return the stages of a model, first stage first."""
    num_dense = shape.num_layers if shape.experts is None else shape.experts.num_dense_layers
    result = []
    start = 0
    for index, count in enumerate(layers_per_stage(shape.num_layers, pipeline)):
        dense = max(0, min(num_dense - start, count))
        result.append(
            Stage(
                index=index,
                num_dense_layers=dense,
                num_moe_layers=count - dense,
                is_first=index == 0,
                is_last=index == pipeline - 1,
                first_layer=start,
            )
        )
        start += count
    return tuple(result)
