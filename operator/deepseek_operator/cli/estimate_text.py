"""An estimate as people read it: a row per stage, the verdict in words; bars when somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepseek_operator.cli.output import aligned, console
from deepseek_operator.units import format_gib, format_tokens

if TYPE_CHECKING:
    from deepseek_operator.cli.estimate_serving import ServingAnswer
    from deepseek_operator.cli.estimate_training import TrainingAnswer
    from deepseek_operator.cli.memory_bars import BarPart
    from deepseek_operator.memory.parallelism import Parallelism

MOST_BARS = 8
"""Stages that get a bar of their own."""


def print_serving(found: ServingAnswer) -> None:
    """Print an estimate of serving on standard output; rich is loaded for terminals only."""
    memory = found.memory
    headings = ("STAGE", "WEIGHTS", "ACTIVATIONS", "OUTSIDE TORCH", "CUDA GRAPHS", "KV CACHE", "BUDGET", "TOTAL")
    sizes = [
        (
            rank.weights_bytes,
            rank.activations_bytes,
            rank.non_torch_bytes,
            rank.cuda_graph_bytes,
            rank.kv_cache_bytes,
            rank.budget_bytes,
            rank.total_bytes,
        )
        for rank in memory.ranks
    ]
    _print_lines([*_table(headings, sizes), *_serving_sentences(found), *_made_up(found.approximation)])
    if sys.stdout.isatty():
        from deepseek_operator.cli.memory_bars import memory_parts

        parts = [memory_parts(rank) for rank in memory.ranks]
        _print_bars(parts, memory.worst_rank.stage, memory.worst_rank.total_bytes)


def print_training(found: TrainingAnswer) -> None:
    """Print an estimate of training on standard output."""
    memory = found.memory
    headings = ("STAGE", "WEIGHTS", "MASTER", "GRADIENTS", "OPTIMIZER", "ACTIVATIONS", "BUFFERS", "RUNTIME", "TOTAL")
    sizes = [
        (
            rank.parameters_bytes,
            rank.master_weights_bytes,
            rank.gradients_bytes,
            rank.optimizer_bytes,
            rank.activations_bytes,
            rank.buffers_bytes,
            rank.runtime_bytes,
            rank.total_bytes,
        )
        for rank in memory.ranks
    ]
    host = f"; host memory of the offloaded states {format_gib(memory.host_bytes)}" if memory.host_bytes else ""
    trained = f"{memory.trainable_parameters:,} of {memory.parameters:,} parameters are trained"
    sentences = [
        _verdict(memory.parallelism, memory.fits, memory.limit),
        f"{trained}; largest rank {format_gib(memory.worst_rank.total_bytes)} (± {memory.error_percent} %) of "
        f"{format_gib(memory.total_memory_bytes)}{host}",
    ]
    _print_lines([*_table(headings, sizes), *sentences, *_made_up(found.approximation)])
    if sys.stdout.isatty():
        from deepseek_operator.cli.memory_bars import training_parts

        parts = [training_parts(rank, memory.total_memory_bytes) for rank in memory.ranks]
        _print_bars(parts, memory.worst_rank.stage, memory.total_memory_bytes)


def _table(headings: Sequence[str], sizes: Sequence[Sequence[int]]) -> list[str]:
    return aligned([headings, *((str(stage), *map(format_gib, row)) for stage, row in enumerate(sizes))])


def _verdict(split: Parallelism, fits: bool, limit: str) -> str:
    gpus = split.world_size
    return f"{split} on {gpus} GPU{'' if gpus == 1 else 's'}: {'fits' if fits else f'does not fit: {limit}'}"


def _serving_sentences(found: ServingAnswer) -> list[str]:
    memory, host = found.memory, found.host
    node = host.worst_node
    nodes = f" on each of {len(host.nodes)} nodes at most" if len(host.nodes) > 1 else ""
    unsure = ", but not for sure: the error of the estimate is larger than what remains"
    lines = [
        _verdict(memory.parallelism, memory.fits, memory.limit)
        + (unsure if memory.fits and not memory.fits_surely else ""),
        f"KV cache: {format_tokens(memory.kv_cache_tokens)} (± {memory.kv_cache_error_percent} %), "
        f"{memory.kv_cache_bytes_per_token:,} B per token and rank, {memory.max_concurrency:.2f} requests of "
        f"{format_tokens(memory.settings.max_model_len)} at once",
        f"Overheads: {memory.basis}",
        f"Host: {format_gib(node.needed_bytes)} of memory{nodes}, {format_gib(node.page_cache_bytes)} of page cache "
        f"for fast loading; {format_gib(host.disk_bytes)} of disk",
    ]
    speed = found.speed
    if speed is not None:
        lines.append(
            f"Speed: TTFT {speed.ttft_milliseconds:,} ms (± {speed.ttft_error_percent or speed.error_percent} %), TPOT "
            f"{speed.tpot_milliseconds:,} ms (± {speed.tpot_error_percent or speed.error_percent} %), "
            f"{speed.tokens_per_second:,} tokens/s; source {speed.source_text}"
        )
    return lines


def _made_up(approximation: str) -> list[str]:
    return [approximation[0].upper() + approximation[1:]] if approximation else []


def _print_lines(lines: Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _print_bars(ranks: Sequence[Sequence[BarPart]], worst: int, total_bytes: int) -> None:
    from deepseek_operator.cli.memory_bars import print_bar, print_legend

    out = console()
    for stage, parts in enumerate(ranks[:MOST_BARS]):
        print_bar(out, f"stage {stage}", parts, total_bytes)
    print_legend(out, ranks[worst])
