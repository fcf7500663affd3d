"""``estimate``: whether a model fits on a GPU with given engine options, and where every byte goes."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from deepseek_operator.catalog.engines import DEFAULT_VERSION
from deepseek_operator.cli import estimate_options as options
from deepseek_operator.cli.output import EXIT_NO, Output, OutputFormat, write
from deepseek_operator.cli.plain_command import PlainCommand

if TYPE_CHECKING:
    from deepseek_operator.cli.estimate_answer import Answer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("estimate", cls=PlainCommand)
def estimate(
    context: typer.Context,
    mode: options.Mode = "serving",
    model: options.Model = "",
    config: options.Config = "",
    parameters: options.Parameters = "",
    layers: options.Layers = None,
    hidden_size: options.HiddenSize = None,
    num_attention_heads: options.NumAttentionHeads = None,
    num_key_value_heads: options.NumKeyValueHeads = None,
    intermediate_size: options.IntermediateSize = None,
    vocab_size: options.VocabSize = None,
    gpu: options.GpuId = "",
    gpu_memory_bytes: options.GpuMemoryBytes = None,
    tensor_parallel_size: options.TensorParallelSize = 1,
    pipeline_parallel_size: options.PipelineParallelSize = 1,
    data_parallel_size: options.DataParallelSize = 1,
    enable_expert_parallel: options.EnableExpertParallel = False,
    decode_context_parallel_size: options.DecodeContextParallelSize = 1,
    quantization: options.QuantizationName = "",
    kv_cache_dtype: options.KvCacheDtypeName = "auto",
    indexer_kv_dtype: options.IndexerKvDtypeName = "auto",
    kv_cache_memory_bytes: options.KvCacheMemoryBytes = None,
    max_model_len: options.MaxModelLen = None,
    max_num_seqs: options.MaxNumSeqs = None,
    max_num_batched_tokens: options.MaxNumBatchedTokens = None,
    gpu_memory_utilization: options.GpuMemoryUtilization = None,
    enforce_eager: options.EnforceEager = False,
    engine_version: options.EngineVersion = DEFAULT_VERSION,
    spec_tokens: options.SpecTokens = None,
    no_async_scheduling: options.NoAsyncScheduling = False,
    cpu_offload_gb: options.CpuOffloadGb = None,
    kv_offloading_size: options.KvOffloadingSize = None,
    engine: options.Engine = "",
    input_tokens: options.InputTokens = None,
    output_tokens: options.OutputTokens = None,
    concurrency: options.Concurrency = None,
    micro_batch_size: options.MicroBatchSize = None,
    sequence_length: options.SequenceLength = None,
    gradient_accumulation_steps: options.GradientAccumulationSteps = None,
    optimizer: options.Optimizer = "",
    training_dtype: options.TrainingDtype = "",
    no_master_weights: options.NoMasterWeights = False,
    fp32_gradients: options.Fp32Gradients = False,
    activation_checkpointing: options.ActivationCheckpointing = "",
    no_flash_attention: options.NoFlashAttention = False,
    dropout: options.Dropout = False,
    no_fused_kernels: options.NoFusedKernels = False,
    sequence_parallel: options.SequenceParallel = False,
    zero_stage: options.ZeroStage = None,
    offload_optimizer: options.OffloadOptimizer = False,
    offload_parameters: options.OffloadParameters = False,
    lora_rank: options.LoraRank = None,
    lora_target_modules: options.LoraTargetModules = "",
    lora_routed_experts: options.LoraRoutedExperts = False,
    qlora: options.Qlora = False,
    no_double_quantization: options.NoDoubleQuantization = False,
    explain: options.Explain = False,
    batch: options.Batch = "",
    output: Output = OutputFormat.TABLE,
) -> None:
    """Estimate the memory of every GPU, to serve or to train; exit code 0 when the model fits, 2 when it does not.

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


def _print(found: Answer, explanation: tuple[str, ...], form: OutputFormat) -> None:
    if form is OutputFormat.TABLE:
        found.print()
        sys.stdout.writelines(f"  {line}\n" for line in explanation)
        return
    content = found.as_json()
    if explanation:
        content["explanation"] = list(explanation)
    write(content, form)
