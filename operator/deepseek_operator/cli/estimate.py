"""``estimate``: whether a model fits on a GPU with given engine options, and where every byte goes."""

from __future__ import annotations

import io
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from deepseek_operator.cli.output import EXIT_NO, Output, OutputFormat, console, write

if TYPE_CHECKING:
    from deepseek_operator.cli.estimate_question import EstimateAnswer

MAX_LINE_CHARACTERS = 2**20
"""A line of ``--batch`` has some 500 characters, with a config some 3,000; a longer one is a mistake."""


def estimate(
    model: Annotated[str, typer.Option(help="Model name in the catalogue.")] = "",
    config: Annotated[str, typer.Option(help="config.json of a model that the catalogue does not know.")] = "",
    gpu: Annotated[str, typer.Option(help="GPU id of `catalog gpus`.")] = "",
    gpu_memory_bytes: Annotated[
        int | None, typer.Option(help="Memory of one GPU as the driver reports it; wins over the catalogue's.")
    ] = None,
    tensor_parallel_size: Annotated[int, typer.Option(help="Ranks that share every layer.")] = 1,
    pipeline_parallel_size: Annotated[int, typer.Option(help="Stages of consecutive layers.")] = 1,
    data_parallel_size: Annotated[int, typer.Option(help="Attention replicas inside the engine.")] = 1,
    enable_expert_parallel: Annotated[bool, typer.Option(help="Deal whole experts out over TP x DP ranks.")] = False,
    quantization: Annotated[str, typer.Option(help="As the engine or the custom resource names it.")] = "",
    kv_cache_dtype: Annotated[str, typer.Option(help="auto, bfloat16 or fp8.")] = "auto",
    max_model_len: Annotated[int | None, typer.Option(help="Longest context in tokens; default: the model's.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Requests in a batch; default: vLLM's for the GPU.")] = None,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(help="Tokens in a scheduler step; default: vLLM's for the GPU.")
    ] = None,
    gpu_memory_utilization: Annotated[
        float | None, typer.Option(help="Share of the GPU's memory that the engine may use; default: 0.92.")
    ] = None,
    enforce_eager: Annotated[bool, typer.Option(help="No CUDA graphs.")] = False,
    engine_version: Annotated[
        str | None, typer.Option(help="vLLM release whose overheads apply; default: the release that plans run.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print the formulas with the numbers put in.")] = False,
    batch: Annotated[
        Path | None,
        typer.Option(help="JSON lines with option names in camelCase as keys, answered as JSON lines; - reads stdin."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Estimate the memory of every GPU; exit code 0 when the model fits, 2 when it does not."""
    from deepseek_operator.catalog.engines import DEFAULT_VERSION
    from deepseek_operator.cli.estimate_question import EstimateQuestion, answer

    question = EstimateQuestion(
        model=model,
        config=config,
        gpu=gpu,
        gpu_memory_bytes=gpu_memory_bytes,
        tensor_parallel_size=tensor_parallel_size,
        pipeline_parallel_size=pipeline_parallel_size,
        data_parallel_size=data_parallel_size,
        enable_expert_parallel=enable_expert_parallel,
        quantization=quantization,
        kv_cache_dtype=kv_cache_dtype,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        gpu_memory_utilization=gpu_memory_utilization,
        enforce_eager=enforce_eager,
        engine_version=engine_version or DEFAULT_VERSION,
    )
    if batch is not None:
        if question != EstimateQuestion() or explain:
            raise typer.BadParameter("--batch takes every option from its lines; give no other")
        answer_lines(batch)
        return
    found = answer(question)
    _print(found, _explanation(found) if explain else (), output)
    if not found.memory.fits:
        raise typer.Exit(EXIT_NO)


def answer_lines(batch: Path) -> None:
    """Answer each line of a file on one line of standard output, in order; empty lines are skipped."""
    from deepseek_operator.cli.estimate_question import answer, parse_question
    from deepseek_operator.errors import DeepSeekOperatorError

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    source = nullcontext(sys.stdin) if str(batch) == "-" else batch.open(encoding="utf-8", errors="replace")
    with source as lines:
        for line in iter(lambda: lines.readline(MAX_LINE_CHARACTERS + 1), ""):
            if not line.strip() and line.endswith("\n"):
                continue
            try:
                _refuse_long(line, lines)
                content = answer(parse_question(line)).as_json()
            except DeepSeekOperatorError as error:
                content = {"error": str(error)}
            except OSError as error:
                content = {"error": f"{error.strerror}: {error.filename}"}
            sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")


def _refuse_long(line: str, lines: TextIO) -> None:
    """Raise for a line of more than ``MAX_LINE_CHARACTERS``, after passing over the rest of it."""
    from deepseek_operator.errors import InvalidSpecError

    if len(line) <= MAX_LINE_CHARACTERS:
        return
    while line and not line.endswith("\n"):
        line = lines.readline(MAX_LINE_CHARACTERS)
    raise InvalidSpecError("", f"the line is longer than {MAX_LINE_CHARACTERS:,} characters")


def _explanation(found: EstimateAnswer) -> tuple[str, ...]:
    from deepseek_operator.memory.explanation import explanation

    return explanation(found.shape, found.memory, found.compute_capability)


def _print(found: EstimateAnswer, explanation: tuple[str, ...], form: OutputFormat) -> None:
    if form is OutputFormat.TABLE:
        _print_table(found, explanation)
        return
    content = found.as_json()
    if explanation:
        content["explanation"] = list(explanation)
    write(content, form)


def _print_table(found: EstimateAnswer, explanation: tuple[str, ...]) -> None:
    from rich.table import Table

    from deepseek_operator.units import format_gib, format_tokens

    memory = found.memory
    table = Table(box=None, pad_edge=False)
    for heading in ("STAGE", "WEIGHTS", "ACTIVATIONS", "OUTSIDE TORCH", "CUDA GRAPHS", "KV CACHE", "BUDGET", "TOTAL"):
        table.add_column(heading, justify="right")
    for rank in memory.ranks:
        sizes = (
            rank.weights_bytes,
            rank.activations_bytes,
            rank.non_torch_bytes,
            rank.cuda_graph_bytes,
            rank.kv_cache_bytes,
            rank.budget_bytes,
            rank.total_bytes,
        )
        table.add_row(str(rank.stage), *(format_gib(size) for size in sizes))
    out = console()
    out.print(table)
    verdict = "fits" if memory.fits else f"does not fit: {memory.limit}"
    out.print(f"{memory.parallelism} on {memory.parallelism.world_size} GPUs: {verdict}", soft_wrap=True)
    out.print(
        f"KV cache: {format_tokens(memory.kv_cache_tokens)} (± {memory.kv_cache_error_percent} %), "
        f"{memory.kv_cache_bytes_per_token:,} B per token and rank, {memory.max_concurrency:.2f} requests of "
        f"{format_tokens(memory.settings.max_model_len)} at once",
        soft_wrap=True,
    )
    for line in explanation:
        out.print(f"  {line}", soft_wrap=True, markup=False)
