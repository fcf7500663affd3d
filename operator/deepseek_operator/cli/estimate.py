"""``estimate``: whether a model fits on a GPU with given engine options, and where every byte goes."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from deepseek_operator.catalog.engines import DEFAULT_VERSION
from deepseek_operator.cli import estimate_options as options
from deepseek_operator.cli.output import EXIT_NO, Output, OutputFormat, write
from deepseek_operator.cli.plain_command import PlainCommand

if TYPE_CHECKING:
    from deepseek_operator.cli.estimate_answer import EstimateAnswer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("estimate", cls=PlainCommand)
def estimate(
    context: typer.Context,
    model: options.Model = "",
    config: options.Config = "",
    gpu: options.GpuId = "",
    gpu_memory_bytes: options.GpuMemoryBytes = None,
    tensor_parallel_size: options.TensorParallelSize = 1,
    pipeline_parallel_size: options.PipelineParallelSize = 1,
    data_parallel_size: options.DataParallelSize = 1,
    enable_expert_parallel: options.EnableExpertParallel = False,
    quantization: options.QuantizationName = "",
    kv_cache_dtype: options.KvCacheDtypeName = "auto",
    max_model_len: options.MaxModelLen = None,
    max_num_seqs: options.MaxNumSeqs = None,
    max_num_batched_tokens: options.MaxNumBatchedTokens = None,
    gpu_memory_utilization: options.GpuMemoryUtilization = None,
    enforce_eager: options.EnforceEager = False,
    engine_version: options.EngineVersion = DEFAULT_VERSION,
    engine: options.Engine = "",
    input_tokens: options.InputTokens = None,
    output_tokens: options.OutputTokens = None,
    concurrency: options.Concurrency = None,
    explain: options.Explain = False,
    batch: options.Batch = "",
    output: Output = OutputFormat.TABLE,
) -> None:
    """Estimate the memory of every GPU; exit code 0 when the model fits, 2 when it does not.

    The names of options are vLLM's. See docs/estimate.md for examples.
    """
    from deepseek_operator.cli.estimate_question import EstimateQuestion

    given = {field.name: context.params[field.name] for field in fields(EstimateQuestion)}
    question = EstimateQuestion(**given)
    if batch:
        if question != EstimateQuestion() or explain or output is OutputFormat.YAML:
            raise typer.BadParameter("--batch takes every option from its lines and answers in JSON; give no other")
        from deepseek_operator.cli.estimate_batch import answer_lines

        answer_lines(batch)
        return
    from deepseek_operator.cli.estimate_answer import answer

    found = answer(question)
    _print(found, found.explanation() if explain else (), output)
    if not found.fits:
        raise typer.Exit(EXIT_NO)


def _print(found: EstimateAnswer, explanation: tuple[str, ...], form: OutputFormat) -> None:
    if form is OutputFormat.TABLE:
        from deepseek_operator.cli.estimate_text import print_answer

        print_answer(found, explanation)
        return
    content = found.as_json()
    if explanation:
        content["explanation"] = list(explanation)
    write(content, form)
