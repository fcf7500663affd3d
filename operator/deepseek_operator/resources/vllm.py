"""The command line of vLLM: the plan written out flag by flag, so that nothing is left to a default that may change.

Three kinds of arguments stand in one line: those of the plan and the spec (`planned_args`), which nobody may
contradict; the operator's defaults (`default_args`), which ``spec.engine.extraArgs`` may change; and what the user
adds. Every flag that is written here exists in the flag table of the release (checked by ``tests/engine``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.catalog.chat_parsers import NO_PARSERS, ChatParsers
from deepseek_operator.catalog.engines import FlagSpec
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.extra_args import merged_args
from deepseek_operator.resources.gpu_share import lacks_peer_copies
from deepseek_operator.resources.service import ENGINE_PORT
from deepseek_operator.resources.vllm_features import feature_options

COMMAND = ("vllm", "serve")

TLS_PATH = "/var/run/secrets/engine-tls"
"""Where the TLS Secret is mounted; its keys are the standard ones of ``kubernetes.io/tls``."""


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """What the command line says beside the plan.

    Args:
        model: repository or directory of the weights.
        revision: revision of the repository; empty for its main branch and for directories.
        served_names: names of the model in requests, 1 or more; responses carry the first.
        quantization: value of ``--quantization``; empty runs the checkpoint as stored.
        tls: whether a TLS Secret is mounted at ``TLS_PATH``.
        shutdown_seconds: how long requests in flight may take after a stop, 0 or more.
        extra_args: the user's own arguments.
        parsers: how the model's reasoning and tool calls are read.
        prefix_caching: whether requests with the same beginning share its KV cache; False leaves it to the engine.
        block_draft: whether the checkpoint's own draft is of the block kind (DSpark).
        adapters: LoRA adapters, each ``name=where``.
    """

    model: str
    revision: str = ""
    served_names: tuple[str, ...]
    quantization: str = ""
    tls: bool = False
    shutdown_seconds: int
    extra_args: tuple[str, ...] = ()
    parsers: ChatParsers = NO_PARSERS
    prefix_caching: bool = False
    block_draft: bool = False
    adapters: tuple[str, ...] = ()


def planned_args(plan: Plan, settings: VllmSettings) -> list[str]:
    """Return the arguments of ``vllm serve`` that the plan and the spec decide, the model first.

    Each is one word (``--flag=value``), so that a list in a manifest reads line by line and a value is never taken
    for a flag; only several served names and the adapters follow their flag as words.
    """
    split = plan.parallelism
    values: list[tuple[str, object]] = [
        ("--revision", settings.revision or None),
        ("--port", ENGINE_PORT),
        ("--tensor-parallel-size", split.tensor),
        ("--pipeline-parallel-size", split.pipeline),
        ("--data-parallel-size", split.data),
        ("--enable-expert-parallel", True if split.expert else None),
        ("--max-model-len", plan.max_model_len),
        ("--max-num-seqs", plan.max_num_seqs),
        ("--max-num-batched-tokens", plan.max_num_batched_tokens),
        ("--gpu-memory-utilization", format_share(_utilization_percent(plan))),
        ("--disable-custom-all-reduce", True if split.tensor > 1 and lacks_peer_copies(plan.share) else None),
        ("--kv-cache-memory-bytes", plan.fixed_kv_cache_bytes or None),
        ("--kv-cache-dtype", plan.kv_cache_dtype.value),
        ("--quantization", settings.quantization or None),
        *feature_options(plan.features, split.data, block_draft=settings.block_draft),
        ("--shutdown-timeout", settings.shutdown_seconds),
        ("--ssl-certfile", f"{TLS_PATH}/tls.crt" if settings.tls else None),
        ("--ssl-keyfile", f"{TLS_PATH}/tls.key" if settings.tls else None),
    ]
    words = [flag if value is True else f"{flag}={value}" for flag, value in values if value is not None]
    adapters = ["--lora-modules", *settings.adapters] if settings.adapters and plan.features.max_loras else []
    return [settings.model, *_served(settings.served_names), *words, *adapters]


def default_args(settings: VllmSettings) -> list[str]:
    """Return the arguments that the operator sets unless the user names the same flags: parsers and prefix caching."""
    parsers = settings.parsers
    values = [
        ("--enable-prefix-caching", settings.prefix_caching),
        ("--tokenizer-mode", parsers.tokenizer),
        ("--reasoning-parser", parsers.reasoning),
        ("--enable-auto-tool-choice", bool(parsers.tool)),
        ("--tool-call-parser", parsers.tool),
    ]
    return [flag if value is True else f"{flag}={value}" for flag, value in values if value]


def _utilization_percent(plan: Plan) -> int:
    """Return the utilization of the device that the engine sees, which may be more than its share."""
    percent = plan.gpu_memory_utilization_percent
    return percent if plan.share is None else plan.share.engine_utilization_percent(percent)


def _served(names: tuple[str, ...]) -> list[str]:
    """Return the served names; several are words of their own, because the parser takes one after an equals sign."""
    return [f"--served-model-name={names[0]}"] if len(names) == 1 else ["--served-model-name", *names]


def literal(argument: str) -> str:
    """Return an argument as a manifest writes it, so that the kubelet puts no variable into it.

    ``$(HF_TOKEN)`` in a served name would otherwise show the token to every client.

    >>> literal("$(HF_TOKEN)"), literal("7")
    ('$$(HF_TOKEN)', '7')
    """
    return argument.replace("$", "$$")


def build_args(plan: Plan, settings: VllmSettings, flags: Mapping[str, FlagSpec]) -> list[str]:
    """Return all arguments of ``vllm serve``: the planned ones, the defaults, then what the user adds.

    Args:
        plan: the accepted plan.
        settings: what is said beside the plan.
        flags: the release's flags by every spelling (`catalog.engines.engine_flags`).

    Raises:
        InvalidSpecError: one of the user's arguments does not exist in the release or contradicts the plan.
    """
    words = merged_args(
        planned_args(plan, settings), settings.extra_args, flags, plan.engine_release, default_args(settings)
    )
    return [literal(word) for word in words]


def format_share(percent: int) -> str:
    """Return a percentage as the decimal fraction that the engine reads.

    >>> format_share(92), format_share(5), format_share(100)
    ('0.92', '0.05', '1.00')
    """
    return f"{percent // 100}.{percent % 100:02d}"
