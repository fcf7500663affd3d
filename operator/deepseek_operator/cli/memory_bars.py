"""Memory of a GPU as a bar of coloured cells; without colours each part has a symbol of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.units import format_gib

if TYPE_CHECKING:
    from deepseek_operator.memory.training.result import TrainingRank

BAR_CELLS = 48

LEGEND_ENTRIES_PER_LINE = 3
"""So that a line fits 80 columns."""


@dataclass(frozen=True, kw_only=True)
class BarPart:
    """One part of a bar.

    Args:
        symbol: the cell where colour is missing.
        style: colour, as rich names it.
    """

    label: str
    symbol: str
    style: str
    size_bytes: int


def memory_parts(memory: RankMemory) -> tuple[BarPart, ...]:
    """Return what the engine takes, and as free what nothing does: their sum is the memory of a GPU that holds it.

    "Outside torch" is what driver and NCCL take beside the engine's allocator.
    """
    taken = (
        BarPart(label="weights", symbol="#", style="blue", size_bytes=memory.weights_bytes),
        BarPart(label="KV cache", symbol="=", style="green", size_bytes=max(0, memory.kv_cache_bytes)),
        BarPart(label="activations", symbol="+", style="yellow", size_bytes=memory.activations_bytes),
        BarPart(label="outside torch", symbol="o", style="magenta", size_bytes=memory.non_torch_bytes),
        BarPart(label="CUDA graphs", symbol="g", style="cyan", size_bytes=memory.cuda_graph_bytes),
    )
    free = max(0, memory.total_bytes - sum(part.size_bytes for part in taken))
    return (*taken, BarPart(label="free", symbol=".", style="dim", size_bytes=free))


def training_parts(rank: TrainingRank, total_bytes: int) -> tuple[BarPart, ...]:
    """Return weights, what the optimizer keeps of them, activations, buffers and runtime, and what is left."""
    states = rank.states_bytes - rank.parameters_bytes
    return (
        BarPart(label="weights", symbol="#", style="blue", size_bytes=rank.parameters_bytes),
        BarPart(label="gradients and optimizer", symbol="%", style="magenta", size_bytes=states),
        BarPart(label="activations", symbol="+", style="yellow", size_bytes=rank.activations_bytes),
        BarPart(
            label="buffers and runtime", symbol="-", style="cyan", size_bytes=rank.buffers_bytes + rank.runtime_bytes
        ),
        BarPart(label="free", symbol=".", style="dim", size_bytes=max(0, total_bytes - rank.total_bytes)),
    )


def bar_cells(sizes: Iterable[int], cells: int = BAR_CELLS) -> tuple[int, ...]:
    """Return how many cells each part gets; the sum is exactly ``cells``, and the largest remainders round up.

    >>> bar_cells((50, 25, 25, 0), 8)
    (4, 2, 2, 0)
    >>> sum(bar_cells((1, 1, 1), 8))
    8
    """
    shown = [max(0, size) for size in sizes]
    total = sum(shown) or 1
    whole = [size * cells // total for size in shown]
    rest = sorted(range(len(shown)), key=lambda index: (-(shown[index] * cells % total), index))
    for index in rest[: cells - sum(whole)]:
        whole[index] += 1
    return tuple(whole)


def print_bar(console: Console, label: str, parts: Sequence[BarPart], total_bytes: int) -> None:
    """Print one bar between its label and the memory of the GPU."""
    line = Text(f"{label}  ")
    for part, count in zip(parts, bar_cells(part.size_bytes for part in parts), strict=True):
        line.append((_cell(console, part)) * count, style=part.style)
    line.append(f"  {format_gib(total_bytes)}")
    console.print(line)


def print_legend(console: Console, parts: Sequence[BarPart]) -> None:
    """Print what the parts of a bar mean, with their sizes."""
    entries = [
        Text.assemble((_cell(console, part), part.style), f" {part.label} {format_gib(part.size_bytes)}")
        for part in parts
    ]
    for first in range(0, len(entries), LEGEND_ENTRIES_PER_LINE):
        console.print(Text("   ").join(entries[first : first + LEGEND_ENTRIES_PER_LINE]))


def _cell(console: Console, part: BarPart) -> str:
    return "█" if console.color_system and not console.no_color else part.symbol
