"""The options of ``estimate``, grouped as its help shows them; names are those of vLLM where vLLM has the option."""

from __future__ import annotations

from typing import Annotated

import typer

MODEL = "Model"
HARDWARE = "GPU"
SPLIT = "Split of one replica (vLLM's names)"
ENGINE = "Engine (vLLM's names)"
SPEED = "Speed (all four, or none)"
ANSWER = "Answer"

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Name in the catalogue (`catalog models`).",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Config = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="FILE",
        help="config.json of a model that the catalogue does not know.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
GpuId = Annotated[
    str,
    typer.Option(
        "--gpu", metavar="ID", help="GPU product (`catalog gpus`).", rich_help_panel=HARDWARE, show_default=False
    ),
]
GpuMemoryBytes = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        help="Memory of one GPU as the driver reports it; wins over the product's.",
        rich_help_panel=HARDWARE,
    ),
]
TensorParallelSize = Annotated[
    int, typer.Option(metavar="RANKS", help="Ranks that share every layer.", rich_help_panel=SPLIT)
]
PipelineParallelSize = Annotated[
    int, typer.Option(metavar="STAGES", help="Stages of consecutive layers.", rich_help_panel=SPLIT)
]
DataParallelSize = Annotated[
    int, typer.Option(metavar="ENGINES", help="Attention replicas inside the engine.", rich_help_panel=SPLIT)
]
EnableExpertParallel = Annotated[
    bool,
    typer.Option("--enable-expert-parallel", help="Deal whole experts out over TP x DP ranks.", rich_help_panel=SPLIT),
]
QuantizationName = Annotated[
    str,
    typer.Option(
        "--quantization",
        metavar="NAME",
        help="As vLLM or the custom resource names it, also awq:64 or gguf:4.85; default: as stored.",
        rich_help_panel=ENGINE,
        show_default=False,
    ),
]
KvCacheDtypeName = Annotated[
    str, typer.Option("--kv-cache-dtype", metavar="DTYPE", help="auto, bfloat16 or fp8.", rich_help_panel=ENGINE)
]
MaxModelLen = Annotated[
    int | None,
    typer.Option(metavar="TOKENS", help="Longest context; default: the model's.", rich_help_panel=ENGINE),
]
MaxNumSeqs = Annotated[
    int | None,
    typer.Option(metavar="REQUESTS", help="Requests in a batch; default: vLLM's for the GPU.", rich_help_panel=ENGINE),
]
MaxNumBatchedTokens = Annotated[
    int | None,
    typer.Option(
        metavar="TOKENS", help="Tokens in a scheduler step; default: vLLM's for the GPU.", rich_help_panel=ENGINE
    ),
]
GpuMemoryUtilization = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the GPU's memory that the engine may use, 0 to 1; default: the release's.",
        rich_help_panel=ENGINE,
    ),
]
EnforceEager = Annotated[bool, typer.Option("--enforce-eager", help="No CUDA graphs.", rich_help_panel=ENGINE)]
EngineVersion = Annotated[
    str,
    typer.Option(
        "--engine-version", metavar="RELEASE", help="vLLM release whose overheads apply.", rich_help_panel=ENGINE
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Engine whose speed is predicted: vllm, sglang or trtllm; the memory is vLLM's.",
        rich_help_panel=SPEED,
        show_default=False,
    ),
]
InputTokens = Annotated[
    int | None, typer.Option(metavar="TOKENS", help="Mean tokens of a prompt.", rich_help_panel=SPEED)
]
OutputTokens = Annotated[
    int | None, typer.Option(metavar="TOKENS", help="Mean tokens of an answer.", rich_help_panel=SPEED)
]
Concurrency = Annotated[
    int | None,
    typer.Option(metavar="REQUESTS", help="Requests always in flight in the replica.", rich_help_panel=SPEED),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Print the formulas with the numbers put in.", rich_help_panel=ANSWER)
]
Batch = Annotated[
    str,
    typer.Option(
        "--batch",
        metavar="FILE",
        help="JSON lines with option names in camelCase as keys, answered as JSON lines; - reads standard input.",
        rich_help_panel=ANSWER,
        show_default=False,
    ),
]
