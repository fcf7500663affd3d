"""A plan, or why there is none, as people read it: a summary, memory bars per GPU, reasons and alternatives."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deepseek_operator.api.spec_engine import EngineType
from deepseek_operator.cli.memory_bars import memory_parts, print_bar, print_legend
from deepseek_operator.planner.result import Alternative, Infeasible, NearestPlan, Plan
from deepseek_operator.units import format_tokens, format_usd

MOST_BARS = 8


def print_plan(
    console: Console,
    name: str,
    answer: Plan | Infeasible,
    *,
    engine: EngineType = EngineType.AUTO,
    not_runnable: str = "",
    room: str = "",
) -> None:
    """Print one answer of the planner; without a terminal it is plain text and ASCII bars.

    Args:
        console: where to print.
        name: of the object that was planned.
        answer: the plan, or why there is none.
        engine: the server that the object asks for.
        not_runnable: why no pods are made of the plan; empty when they are.
        room: how many replicas have no room now, and why; empty when all have.
    """
    if isinstance(answer, Infeasible):
        _print_infeasible(console, name, answer)
    else:
        _print_feasible(console, name, answer, engine, not_runnable, room)


def _print_feasible(console: Console, name: str, plan: Plan, engine: EngineType, not_runnable: str, room: str) -> None:
    console.print(f"[bold]{escape(name)}[/bold]: {escape(plan.model_name)}", style=None)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True, min_width=len("Precision"))
    table.add_column()
    for row in _summary(plan, engine):
        table.add_row(*map(escape, row))
    if not_runnable:
        table.add_row("Pods", f"[bold red]none are made:[/bold red] {escape(not_runnable)}")
    if room:
        table.add_row("Room", f"[bold yellow]{escape(room)}[/bold yellow]")
    console.print(table)
    _print_bars(console, plan)
    _print_sentences(console, "Why this plan", plan.reasons)
    _print_alternatives(console, plan.alternatives, plan)


def _summary(plan: Plan, engine: EngineType) -> list[tuple[str, str]]:
    nodes = f" on {plan.nodes_per_replica} nodes" if plan.nodes_per_replica > 1 else " on one node"
    replicas = f"{plan.replicas} replica{'s' if plan.replicas > 1 else ''} of "
    rows = [
        ("GPUs", f"{replicas}{plan.gpus_per_replica} x {plan.gpu_name}{nodes} ({plan.parallelism})"),
        ("Precision", f"{plan.quantization}, KV cache {plan.kv_cache_dtype.value}"),
        (
            "Engine",
            f"{_engine(plan, engine)}: context {format_tokens(plan.max_model_len)}, up to {plan.max_num_seqs} "
            f"requests and {format_tokens(plan.max_num_batched_tokens)} in a step{_of_each_engine(plan)}",
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
                f"mean TTFT {predicted.ttft_milliseconds:,} ms (± {ttft_error} %), "
                f"TPOT {predicted.tpot_milliseconds:,} ms (± {tpot_error} %, 90 % bands), "
                f"{predicted.tokens_per_second:,} tokens/s per replica; {predicted.source_text}",
            )
        )
    rows.append(("Cost", _costs(plan)))
    return rows


def _of_each_engine(plan: Plan) -> str:
    engines = plan.parallelism.data
    return f" of each of {engines} engines" if engines > 1 else ""


def _engine(plan: Plan, engine: EngineType) -> str:
    """Return the server of a plan; Triton's image decides which release of vLLM it holds, the plan assumes one."""
    return f"{'Triton, planned as ' if engine is EngineType.TRITON else ''}vLLM {plan.engine_release}"


def _costs(plan: Plan) -> str:
    if plan.cost_per_hour_usd is None:
        return "no known price"
    per_million = plan.cost_per_million_tokens_usd
    at_load = "" if per_million is None else f", {per_million} USD per million output tokens at this load"
    return f"{format_usd(plan.cost_per_hour_usd)} USD per hour{at_load}"


def _print_bars(console: Console, plan: Plan) -> None:
    """One bar per GPU of a replica, at most eight: every GPU is shown as the one with the least room."""
    parts = memory_parts(plan.memory)
    console.print()
    for index in range(min(plan.gpus_per_replica, MOST_BARS)):
        print_bar(console, f"GPU {index}", parts, plan.memory.total_bytes)
    more = plan.gpus_per_replica - MOST_BARS
    if more > 0:
        console.print(f"and {more} more; every bar shows the GPU with the least room")
    print_legend(console, parts)


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


def _print_alternatives(console: Console, alternatives: tuple[Alternative, ...], plan: Plan | None = None) -> None:
    """One row each; below the plan itself, where there is one, so that they can be compared."""
    if not alternatives:
        return
    console.print("\n[bold]Alternatives[/bold]")
    table = Table(box=_edges(console), pad_edge=False)
    for heading in ("GPUs", "Split", "Quantization"):
        table.add_column(heading, no_wrap=True)
    table.add_column("USD/h", justify="right", no_wrap=True)
    table.add_column("Works")
    table.add_column("Why, or why not")
    if plan is not None:
        table.add_row(*map(escape, _hardware(plan)), _cost(plan), "[green]yes[/green]", "This is the plan.")
    for other in alternatives:
        works = "[green]yes[/green]" if other.feasible else "[red]no[/red]"
        table.add_row(*map(escape, _hardware(other)), _cost(other), works, escape(other.detail))
    console.print(table)


def _hardware(row: Plan | Alternative) -> tuple[str, str, str]:
    replicas = f"{row.replicas} x " if isinstance(row, Plan) and row.replicas > 1 else ""
    name = row.gpu_name if isinstance(row, Plan) else row.gpu
    return f"{replicas}{row.gpus_per_replica} x {name}", str(row.parallelism), row.quantization


def _cost(row: Plan | Alternative | NearestPlan) -> str:
    return "-" if row.cost_per_hour_usd is None else format_usd(row.cost_per_hour_usd)


def _print_infeasible(console: Console, name: str, answer: Infeasible) -> None:
    console.print(f"[bold]{escape(name)}[/bold]: [bold red]infeasible[/bold red] ({answer.reason.value})")
    console.print(escape(answer.message))
    if answer.nearest:
        console.print(f"[bold]What would work:[/bold] {escape(answer.nearest)}")
    _print_nearest_plans(console, answer.nearest_plans)
    _print_alternatives(console, answer.alternatives)


def _print_nearest_plans(console: Console, nearest: tuple[NearestPlan, ...]) -> None:
    if not nearest:
        return
    console.print("\n[bold]Changes that would work[/bold]")
    table = Table(box=_edges(console), pad_edge=False)
    table.add_column("Axis", no_wrap=True)
    table.add_column("Change")
    table.add_column("Plan")
    table.add_column("USD/h", justify="right", no_wrap=True)
    for row in nearest:
        table.add_row(row.axis.value, escape(row.change), escape(row.plan), _cost(row))
    console.print(table)


def _edges(console: Console) -> box.Box:
    return box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
