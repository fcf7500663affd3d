"""Layers that a checkpoint stores in another format than the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deepseek_operator.catalog.linear_formats import FormatException, LinearFormat
from deepseek_operator.memory.tensors import Component, WeightTensor


def differences(
    tensors: Iterable[tuple[WeightTensor, int]],
    layers: range,
    general: LinearFormat,
    exceptions: tuple[FormatException, ...],
    size: Callable[[WeightTensor, LinearFormat], int],
) -> dict[Component, int]:
    """Return by component how many bytes the exceptions add to sizes that assume the general format.

    Args:
        tensors: of the layers; how often each is repeated does not matter.
        layers: indices of the layers that are counted.
        general: format of everything that is no exception.
        exceptions: modules of some layers with another format.
        size: bytes of one tensor in one format.
    """
    added: dict[Component, int] = {}
    if not exceptions:
        return added
    distinct = {tensor for tensor, _ in tensors if tensor.module}
    for exception in exceptions:
        for tensor in distinct:
            repeats = sum((tensor.module, layer) in exception.modules for layer in layers)
            if repeats:
                difference = repeats * (size(tensor, exception.linear) - size(tensor, general))
                added[tensor.component] = added.get(tensor.component, 0) + difference
    return added
