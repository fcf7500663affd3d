"""The options of ``estimate``, grouped as its help shows them; names are those of vLLM where vLLM has the option."""

from __future__ import annotations

from typing import Annotated, Any

import typer

MODEL = "Model"
HARDWARE = "GPU"
SPLIT = "Split of one replica (vLLM's names)"
ENGINE = "Engine (vLLM's names)"
HOST = "Host memory (vLLM's names)"
SPEED = "Speed (with a load: tokens and concurrency)"
TRAINING = "Modes training and lora"
LORA = "Mode lora"
ANSWER = "Answer"


def _option(name: str, panel: str, text: str, metavar: str | None = None, *, default: bool = False) -> Any:  # noqa: ANN401 - typer's own annotation
    """Declare an option; its default is shown in the help only where the text does not say it."""
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel, show_default=default)


Mode = Annotated[
    str,
    _option(
        "--mode",
        MODEL,
        "serving, training (every parameter) or lora (adapters beside frozen weights).",
        "MODE",
        default=True,
    ),
]
Model = Annotated[str, _option("--model", MODEL, "Name in the catalogue (`catalog models`).", "NAME")]
Config = Annotated[str, _option("--config", MODEL, "config.json of a model that the catalogue does not know.", "FILE")]
Parameters = Annotated[
    str,
    _option(
        "--parameters", MODEL, "Stands in for a model of which only the size is known, such as 13e9 or 65B.", "NUMBER"
    ),
]
Layers = Annotated[int | None, _option("--layers", MODEL, "With parameters: decoder layers.", "NUMBER")]
HiddenSize = Annotated[
    int | None, _option("--hidden-size", MODEL, "With parameters: width of the residual stream.", "ELEMENTS")
]
NumAttentionHeads = Annotated[
    int | None, _option("--num-attention-heads", MODEL, "With parameters: query heads.", "HEADS")
]
NumKeyValueHeads = Annotated[
    int | None, _option("--num-key-value-heads", MODEL, "With parameters: key-value heads.", "HEADS")
]
IntermediateSize = Annotated[
    int | None, _option("--intermediate-size", MODEL, "With parameters: width of the MLP.", "ELEMENTS")
]
VocabSize = Annotated[int | None, _option("--vocab-size", MODEL, "With parameters: vocabulary.", "TOKENS")]
GpuId = Annotated[str, _option("--gpu", HARDWARE, "GPU product (`catalog gpus`).", "ID")]
GpuMemoryBytes = Annotated[
    int | None,
    _option(
        "--gpu-memory-bytes", HARDWARE, "Memory of one GPU as the driver reports it; wins over the product's.", "BYTES"
    ),
]
TensorParallelSize = Annotated[
    int, _option("--tensor-parallel-size", SPLIT, "Ranks that share every layer.", "RANKS", default=True)
]
PipelineParallelSize = Annotated[
    int, _option("--pipeline-parallel-size", SPLIT, "Stages of consecutive layers.", "STAGES", default=True)
]
DataParallelSize = Annotated[
    int,
    _option(
        "--data-parallel-size",
        SPLIT,
        "Attention replicas inside the engine; copies of the model in training.",
        "RANKS",
        default=True,
    ),
]
EnableExpertParallel = Annotated[
    bool, _option("--enable-expert-parallel", SPLIT, "Deal whole experts out over TP x DP ranks.")
]
DecodeContextParallelSize = Annotated[
    int,
    _option(
        "--decode-context-parallel-size",
        SPLIT,
        "TP ranks that share the tokens of a KV cache; adds no GPU.",
        "RANKS",
        default=True,
    ),
]
QuantizationName = Annotated[
    str,
    _option(
        "--quantization",
        ENGINE,
        "As vLLM or the custom resource names it, also awq:64 or gguf:Q4_K_M; default: as stored.",
        "NAME",
    ),
]
KvCacheDtypeName = Annotated[
    str,
    _option(
        "--kv-cache-dtype",
        ENGINE,
        "auto, bfloat16, float16, fp8, fp8_e4m3, fp8_e5m2, fp8_ds_mla or nvfp4_ds_mla.",
        "DTYPE",
        default=True,
    ),
]
IndexerKvDtypeName = Annotated[
    str,
    _option(
        "--attention-config.indexer_kv_dtype",
        ENGINE,
        "Keys of the sparse indexer: auto, fp8 or mxfp4.",
        "DTYPE",
        default=True,
    ),
]
KvCacheMemoryBytes = Annotated[
    int | None, _option("--kv-cache-memory-bytes", ENGINE, "KV cache of a GPU; replaces the utilization.", "BYTES")
]
MaxModelLen = Annotated[
    int | None, _option("--max-model-len", ENGINE, "Longest context; default: the model's.", "TOKENS")
]
MaxNumSeqs = Annotated[
    int | None, _option("--max-num-seqs", ENGINE, "Requests in a batch; default: vLLM's for the GPU.", "REQUESTS")
]
MaxNumBatchedTokens = Annotated[
    int | None,
    _option("--max-num-batched-tokens", ENGINE, "Tokens in a scheduler step; default: vLLM's for the GPU.", "TOKENS"),
]
GpuMemoryUtilization = Annotated[
    float | None,
    _option(
        "--gpu-memory-utilization",
        ENGINE,
        "Share of the GPU's memory that the engine may use, 0 to 1; default: the release's.",
        "SHARE",
    ),
]
EnforceEager = Annotated[bool, _option("--enforce-eager", ENGINE, "No CUDA graphs.")]
EngineVersion = Annotated[
    str, _option("--engine-version", ENGINE, "vLLM release whose overheads apply.", "RELEASE", default=True)
]
SpecTokens = Annotated[
    int | None,
    _option(
        "--spec-tokens",
        ENGINE,
        "Tokens that the checkpoint's own draft layers propose; default: no drafting.",
        "TOKENS",
    ),
]
NoAsyncScheduling = Annotated[
    bool, _option("--no-async-scheduling", ENGINE, "The next step is not scheduled while one runs.")
]
CpuOffloadGb = Annotated[
    float | None, _option("--cpu-offload-gb", HOST, "Weights of each GPU that stay in host memory.", "GIB")
]
KvOffloadingSize = Annotated[
    float | None, _option("--kv-offloading-size", HOST, "Host memory for KV blocks of one engine.", "GIB")
]
Engine = Annotated[
    str,
    _option("--engine", SPEED, "Engine whose speed is predicted: vllm, sglang or trtllm; default: vllm.", "NAME"),
]
InputTokens = Annotated[int | None, _option("--input-tokens", SPEED, "Mean tokens of a prompt.", "TOKENS")]
OutputTokens = Annotated[int | None, _option("--output-tokens", SPEED, "Mean tokens of an answer.", "TOKENS")]
Concurrency = Annotated[
    int | None, _option("--concurrency", SPEED, "Requests always in flight in the replica.", "REQUESTS")
]
MicroBatchSize = Annotated[
    int | None,
    _option(
        "--micro-batch-size",
        TRAINING,
        "Sequences of one forward pass of one data-parallel rank; default: 1.",
        "SEQUENCES",
    ),
]
SequenceLength = Annotated[
    int | None, _option("--sequence-length", TRAINING, "Tokens of a sequence; default: 4096.", "TOKENS")
]
GradientAccumulationSteps = Annotated[
    int | None,
    _option("--gradient-accumulation-steps", TRAINING, "Forward passes of one optimizer step; default: 1.", "STEPS"),
]
Optimizer = Annotated[
    str, _option("--optimizer", TRAINING, "adamw, adamw-8bit, lion or adafactor; default: adamw.", "NAME")
]
TrainingDtype = Annotated[
    str,
    _option(
        "--training-dtype",
        TRAINING,
        "Weights and activations: bfloat16, float16 or float32; default: bfloat16.",
        "DTYPE",
    ),
]
NoMasterWeights = Annotated[bool, _option("--no-master-weights", TRAINING, "No FP32 copy of 16-bit weights.")]
Fp32Gradients = Annotated[
    bool, _option("--fp32-gradients", TRAINING, "Gradients of 16-bit training accumulate in FP32.")
]
ActivationCheckpointing = Annotated[
    str,
    _option(
        "--activation-checkpointing", TRAINING, "none, selective (attention alone) or full; default: none.", "WHAT"
    ),
]
NoFlashAttention = Annotated[
    bool, _option("--no-flash-attention", TRAINING, "The matrix of attention scores is stored.")
]
Dropout = Annotated[bool, _option("--dropout", TRAINING, "Dropout as GPT-3 had it.")]
NoFusedKernels = Annotated[bool, _option("--no-fused-kernels", TRAINING, "Plain PyTorch, which keeps FP32 copies.")]
SequenceParallel = Annotated[
    bool, _option("--sequence-parallel", TRAINING, "Tensor parallelism cuts norms and residuals too.")
]
ZeroStage = Annotated[
    int | None,
    _option("--zero-stage", TRAINING, "DeepSpeed ZeRO, 0 to 3: what data parallelism divides; default: 0.", "STAGE"),
]
OffloadOptimizer = Annotated[
    bool, _option("--offload-optimizer", TRAINING, "Optimizer states lie in host memory (ZeRO 1 to 3).")
]
OffloadParameters = Annotated[
    bool, _option("--offload-parameters", TRAINING, "16-bit parameters lie in host memory (ZeRO 3).")
]
LoraRank = Annotated[int | None, _option("--lora-rank", LORA, "Inner width of every adapter; default: 16.", "RANK")]
LoraTargetModules = Annotated[
    str,
    _option(
        "--lora-target-modules",
        LORA,
        "Linear modules with an adapter, separated by commas; default: all-linear.",
        "NAMES",
    ),
]
LoraRoutedExperts = Annotated[bool, _option("--lora-routed-experts", LORA, "Adapters in each routed expert too.")]
Qlora = Annotated[bool, _option("--qlora", LORA, "The frozen linear weights are stored in NF4.")]
NoDoubleQuantization = Annotated[
    bool, _option("--no-double-quantization", LORA, "The scales of NF4 are not quantized.")
]
Explain = Annotated[bool, _option("--explain", ANSWER, "Print the formulas with the numbers put in.")]
Batch = Annotated[
    str,
    _option(
        "--batch",
        ANSWER,
        "JSON lines with option names in camelCase as keys, answered as JSON lines; - reads standard input.",
        "FILE",
    ),
]
