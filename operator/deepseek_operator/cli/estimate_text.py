"""An estimate as people read it: a row per stage, the verdict, the KV cache; bars when somebody looks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deepseek_operator.cli.output import aligned, console
from deepseek_operator.units import format_gib, format_tokens

if TYPE_CHECKING:
    from deepseek_operator.cli.estimate_answer import EstimateAnswer
    from deepseek_operator.memory.estimate import MemoryEstimate

MOST_BARS = 8
"""Stages that get a bar of their own."""

_HEADINGS = ("STAGE", "WEIGHTS", "ACTIVATIONS", "OUTSIDE TORCH", "CUDA GRAPHS", "KV CACHE", "BUDGET", "TOTAL")


def print_answer(found: EstimateAnswer, explanation: tuple[str, ...] = ()) -> None:
    """Print an estimate on standard output; rich is loaded for terminals only."""
    memory = found.memory
    lines = [*aligned([_HEADINGS, *_rows(memory)]), *_sentences(found)]
    sys.stdout.write("\n".join(lines) + "\n")
    if sys.stdout.isatty():
        _print_bars(memory)
    sys.stdout.writelines(f"  {line}\n" for line in explanation)


def _rows(memory: MemoryEstimate) -> list[tuple[str, ...]]:
    return [
        (
            str(rank.stage),
            *map(
                format_gib,
                (
                    rank.weights_bytes,
                    rank.activations_bytes,
                    rank.non_torch_bytes,
                    rank.cuda_graph_bytes,
                    rank.kv_cache_bytes,
                    rank.budget_bytes,
                    rank.total_bytes,
                ),
            ),
        )
        for rank in memory.ranks
    ]


def _sentences(found: EstimateAnswer) -> list[str]:
    memory = found.memory
    gpus = memory.parallelism.world_size
    verdict = "fits" if memory.fits else f"does not fit: {memory.limit}"
    if memory.fits and not memory.fits_surely:
        verdict = "fits, but not for sure: the error of the estimate is larger than what remains"
    lines = [
        f"{memory.parallelism} on {gpus} GPU{'' if gpus == 1 else 's'}: {verdict}",
        f"KV cache: {format_tokens(memory.kv_cache_tokens)} (± {memory.kv_cache_error_percent} %), "
        f"{memory.kv_cache_bytes_per_token:,} B per token and rank, {memory.max_concurrency:.2f} requests of "
        f"{format_tokens(memory.settings.max_model_len)} at once",
        f"Overheads: {memory.basis}",
    ]
    speed = found.speed
    if speed is not None:
        lines.append(
            f"Speed: TTFT {speed.ttft_milliseconds:,} ms, TPOT {speed.tpot_milliseconds:,} ms, "
            f"{speed.tokens_per_second:,} tokens/s (median error {speed.error_percent} %, {speed.source.value})"
        )
    return lines


def _print_bars(memory: MemoryEstimate) -> None:
    from deepseek_operator.cli.plan_text import print_bar, print_legend

    out = console()
    for rank in memory.ranks[:MOST_BARS]:
        print_bar(out, f"stage {rank.stage}", rank)
    print_legend(out, memory.worst_rank)
