"""A plan, or why there is none, as people read it: a summary, memory bars per GPU, reasons and alternatives."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.planner.result import Alternative, Infeasible, Plan
from deepseek_operator.units import format_gib, format_tokens, format_usd

BAR_CELLS = 48
MOST_BARS = 8

_PARTS = (
    ("weights", "#", "blue"),
    ("activations and overhead", "+", "yellow"),
    ("KV cache", "=", "green"),
    ("free", ".", "dim"),
)
"""Parts of a GPU's memory in the order of the bar: name, the cell where colour is missing, colour."""


def print_plan(console: Console, name: str, answer: Plan | Infeasible) -> None:
    """Print one answer of the planner; without a terminal it is plain text and ASCII bars.

    Args:
        console: where to print.
        name: of the object that was planned.
        answer: the plan, or why there is none.
    """
    if isinstance(answer, Infeasible):
        _print_infeasible(console, name, answer)
    else:
        _print_feasible(console, name, answer)


def memory_parts(memory: RankMemory) -> tuple[int, int, int, int]:
    """Return bytes of weights, activations and overhead, KV cache, and what lies outside the engine's budget."""
    kv_cache = max(0, memory.kv_cache_bytes)
    free = memory.total_bytes - memory.budget_bytes
    return memory.weights_bytes, memory.budget_bytes - memory.weights_bytes - kv_cache, kv_cache, free


def bar_cells(parts: Iterable[int], cells: int = BAR_CELLS) -> tuple[int, ...]:
    """Return how many cells each part gets; the sum is exactly ``cells``, and the largest remainders round up.

    >>> bar_cells((50, 25, 25, 0), 8)
    (4, 2, 2, 0)
    >>> sum(bar_cells((1, 1, 1), 8))
    8
    """
    sizes = [max(0, part) for part in parts]
    total = sum(sizes) or 1
    whole = [size * cells // total for size in sizes]
    rest = sorted(range(len(sizes)), key=lambda index: (-(sizes[index] * cells % total), index))
    for index in rest[: cells - sum(whole)]:
        whole[index] += 1
    return tuple(whole)


def _print_feasible(console: Console, name: str, plan: Plan) -> None:
    console.print(f"[bold]{escape(name)}[/bold]: {escape(plan.model_name)}", style=None)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for row in _summary(plan):
        table.add_row(*map(escape, row))
    console.print(table)
    _print_bars(console, plan)
    _print_sentences(console, "Why this plan", plan.reasons)
    _print_alternatives(console, plan.alternatives)


def _summary(plan: Plan) -> list[tuple[str, str]]:
    nodes = f" on {plan.nodes_per_replica} nodes" if plan.nodes_per_replica > 1 else " on one node"
    replicas = f"{plan.replicas} replica{'s' if plan.replicas > 1 else ''} of "
    cost = "no known price" if plan.cost_per_hour_usd is None else f"{format_usd(plan.cost_per_hour_usd)} USD per hour"
    rows = [
        ("GPUs", f"{replicas}{plan.gpus_per_replica} x {plan.gpu}{nodes} ({plan.parallelism})"),
        ("Precision", f"{plan.quantization}, KV cache {plan.kv_cache_dtype.value}"),
        (
            "Engine",
            f"vLLM {plan.engine_release}: context {format_tokens(plan.max_model_len)}, up to {plan.max_num_seqs} "
            f"requests and {format_tokens(plan.max_num_batched_tokens)} in a step",
        ),
        (
            "KV cache",
            f"{format_tokens(plan.kv_cache_tokens)} per replica (± {plan.kv_cache_error_percent} %), "
            f"{plan.kv_cache_bytes_per_token:,} bytes per token and GPU",
        ),
    ]
    predicted = plan.predicted
    if predicted is not None:
        ttft_error = predicted.ttft_error_percent or predicted.error_percent
        tpot_error = predicted.tpot_error_percent or predicted.error_percent
        rows.append(
            (
                "Speed",
                f"TTFT {predicted.ttft_milliseconds:,} ms (median error {ttft_error} %), "
                f"TPOT {predicted.tpot_milliseconds:,} ms ({tpot_error} %), "
                f"{predicted.tokens_per_second:,} tokens/s per replica; source {predicted.source.value}",
            )
        )
    rows.append(("Cost", cost))
    return rows


def print_bar(console: Console, label: str, memory: RankMemory) -> None:
    """Print the memory of one GPU as a bar."""
    line = Text(f"{label}  ")
    parts = memory_parts(memory)
    for (_, symbol, style), count in zip(_PARTS, bar_cells(parts), strict=True):
        line.append(("█" if console.is_terminal else symbol) * count, style=style)
    line.append(f"  {format_gib(memory.total_bytes)}")
    console.print(line)


def print_legend(console: Console, memory: RankMemory) -> None:
    """Print what the parts of a bar mean, with their sizes."""
    legend = Text("       ")
    for (label, symbol, style), size in zip(_PARTS, memory_parts(memory), strict=True):
        legend.append("█" if console.is_terminal else symbol, style=style)
        legend.append(f" {label} {format_gib(size)}   ")
    console.print(legend)


def _print_bars(console: Console, plan: Plan) -> None:
    """One bar per GPU of a replica, at most eight: every GPU is shown as the one with the least room."""
    console.print()
    for index in range(min(plan.gpus_per_replica, MOST_BARS)):
        print_bar(console, f"GPU {index}", plan.memory)
    more = plan.gpus_per_replica - MOST_BARS
    if more > 0:
        console.print(f"and {more} more; every bar shows the GPU with the least room")
    print_legend(console, plan.memory)


def _print_sentences(console: Console, title: str, sentences: Iterable[str]) -> None:
    lines = list(sentences)
    if not lines:
        return
    console.print(f"\n[bold]{title}[/bold]")
    for sentence in lines:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=1)
        table.add_column()
        table.add_row("-", escape(sentence))
        console.print(table)


def _print_alternatives(console: Console, alternatives: tuple[Alternative, ...]) -> None:
    if not alternatives:
        return
    console.print("\n[bold]Alternatives[/bold]")
    edges = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    table = Table(box=edges, pad_edge=False)
    table.add_column("GPUs", no_wrap=True)
    table.add_column("Split", no_wrap=True)
    table.add_column("USD/h", justify="right", no_wrap=True)
    table.add_column("Works")
    table.add_column("Why")
    for other in alternatives:
        split = str(other.parallelism) + ("" if other.quantization == "Native" else f" {other.quantization}")
        cost = "-" if other.cost_per_hour_usd is None else format_usd(other.cost_per_hour_usd)
        table.add_row(
            escape(f"{other.gpus_per_replica} x {other.gpu}"),
            escape(split),
            cost,
            "[green]yes[/green]" if other.feasible else "[red]no[/red]",
            escape(other.detail),
        )
    console.print(table)


def _print_infeasible(console: Console, name: str, answer: Infeasible) -> None:
    console.print(f"[bold]{escape(name)}[/bold]: [bold red]infeasible[/bold red] ({answer.reason.value})")
    console.print(escape(answer.message))
    if answer.nearest:
        console.print(f"[bold]What would work:[/bold] {escape(answer.nearest)}")
    _print_alternatives(console, answer.alternatives)
