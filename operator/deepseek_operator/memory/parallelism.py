"""How a model is cut: the split as a value, and the one place that counts its GPUs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Parallelism:
    """A split of one replica over GPUs.

    Args:
        tensor: ranks that share every layer, 1 or more.
        pipeline: stages that hold consecutive layers, 1 or more.
        data: attention replicas inside the engine (``--data-parallel-size``), 1 or more.
        expert: whether routed experts are spread over all tensor x data ranks instead of being cut.
        decode_context: tensor-parallel ranks that share the tokens of a KV cache which they would otherwise each
            hold whole (``--decode-context-parallel-size``), 1 or more; it adds no GPU.

    >>> Parallelism(tensor=8, pipeline=2).world_size
    16
    >>> str(Parallelism(tensor=4, data=2, expert=True))
    'TP4 DP2 EP'
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    decode_context: int = 1

    @property
    def world_size(self) -> int:
        """GPUs that one replica uses: tensor x pipeline x data. No other code computes this."""
        return self.tensor * self.pipeline * self.data

    def __str__(self) -> str:
        parts = [f"TP{self.tensor}"]
        if self.pipeline > 1:
            parts.append(f"PP{self.pipeline}")
        if self.data > 1:
            parts.append(f"DP{self.data}")
        if self.expert:
            parts.append("EP")
        if self.decode_context > 1:
            parts.append(f"DCP{self.decode_context}")
        return " ".join(parts)
