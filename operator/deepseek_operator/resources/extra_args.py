"""The user's own engine flags: they may add to the plan, never contradict it, and must exist in the release.

A flag that changes what the planner counted (memory, splits, context) or what the operator promises (ports, secrets,
metrics) has a field in the resource instead, and the refusal names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepseek_operator.catalog.engines import FlagSpec
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened

FIELD = "spec.engine.extraArgs"

_SET_BY_OPERATOR = "leave it out; the Service, the probes and the metrics rely on the operator's value"
_MANY_PODS = "leave it out; the plan decides how ranks are placed (spec.parallelism)"
_OFFLOAD = "set spec.engine.weightOffloadBytes instead"
_KV_OFFLOAD = "set spec.engine.kvOffload instead"
_SPECULATIVE = "set spec.engine.speculative instead"
_ADAPTERS = "set spec.model.loraAdapters instead"
_TLS = "set spec.engine.tlsSecretRef instead"
_MEMORY = "leave it out; the planner sizes the KV cache from the memory that is really left"

RESERVED_FLAGS: Mapping[str, str] = {
    "--api-key": "set spec.engine.apiKeySecretRef instead; an argument is readable by everyone who may read pods",
    "--config": "write the flags themselves; a file could contradict the plan unseen",
    "--cpu-offload-gb": _OFFLOAD,
    "--cpu-offload-params": _OFFLOAD,
    "--data-parallel-address": _MANY_PODS,
    "--data-parallel-backend": _MANY_PODS,
    "--data-parallel-external-lb": _MANY_PODS,
    "--data-parallel-hybrid-lb": _MANY_PODS,
    "--data-parallel-multi-port-external-lb": _MANY_PODS,
    "--data-parallel-rank": _MANY_PODS,
    "--data-parallel-rpc-port": _MANY_PODS,
    "--data-parallel-size": "set spec.parallelism.data instead",
    "--data-parallel-size-local": _MANY_PODS,
    "--data-parallel-start-rank": _MANY_PODS,
    "--decode-context-parallel-size": _MANY_PODS,
    "--device-ids": _MANY_PODS,
    "--disable-log-stats": _SET_BY_OPERATOR,
    "--distributed-executor-backend": _MANY_PODS,
    "--download-dir": "set spec.model.cache instead",
    "--dtype": "set spec.precision.quantization instead; the plan counts the bytes of the checkpoint's own type",
    "--enable-elastic-ep": _MANY_PODS,
    "--enable-expert-parallel": "set spec.parallelism.expert instead",
    "--enable-lora": _ADAPTERS,
    "--gpu-memory-utilization": "set spec.engine.gpuMemoryUtilizationPercent instead",
    "--grpc": _SET_BY_OPERATOR,
    "--headless": _MANY_PODS,
    "--help": "leave it out; the engine would not start",
    "--hf-overrides": "leave it out; the plan counts the config that the checkpoint has (spec.model.config)",
    "--hf-token": "set spec.model.storage.huggingFace.tokenSecretRef instead",
    "--host": _SET_BY_OPERATOR,
    "--kv-cache-dtype": "set spec.precision.kvCache instead",
    "--kv-cache-memory-bytes": _MEMORY,
    "--kv-offloading-backend": _KV_OFFLOAD,
    "--kv-offloading-size": _KV_OFFLOAD,
    "--lora-modules": _ADAPTERS,
    "--master-addr": _MANY_PODS,
    "--master-port": _MANY_PODS,
    "--max-loras": _ADAPTERS,
    "--max-lora-rank": _ADAPTERS,
    "--max-model-len": "set spec.workload.maxContextTokens instead",
    "--max-num-batched-tokens": "set spec.engine.maxNumBatchedTokens instead",
    "--max-num-seqs": "set spec.engine.maxNumSeqs instead",
    "--model": "set spec.model.name instead",
    "--nnodes": _MANY_PODS,
    "--node-rank": _MANY_PODS,
    "--num-gpu-blocks-override": _MEMORY,
    "--offload-backend": _OFFLOAD,
    "--offload-group-size": _OFFLOAD,
    "--offload-num-in-group": _OFFLOAD,
    "--offload-params": _OFFLOAD,
    "--offload-prefetch-step": _OFFLOAD,
    "--pipeline-parallel-size": "set spec.parallelism.pipeline instead",
    "--port": _SET_BY_OPERATOR,
    "--prefill-context-parallel-size": _MANY_PODS,
    "--quantization": "set spec.precision.quantization instead",
    "--revision": "set spec.model.revision instead",
    "--root-path": _SET_BY_OPERATOR,
    "--served-model-name": "set spec.model.servedName instead",
    "--shutdown-timeout": "set spec.engine.shutdownSeconds instead",
    "--spec-method": _SPECULATIVE,
    "--spec-model": _SPECULATIVE,
    "--spec-tokens": _SPECULATIVE,
    "--speculative-config": _SPECULATIVE,
    "--ssl-ca-certs": _TLS,
    "--ssl-cert-reqs": _TLS,
    "--ssl-certfile": _TLS,
    "--ssl-keyfile": _TLS,
    "--tensor-parallel-size": "set spec.parallelism.tensor instead",
    "--uds": _SET_BY_OPERATOR,
}
"""Flags that have an owner already, by their first spelling, with what to write instead."""


def merged_args(planned: Sequence[str], extra: Sequence[str], flags: Mapping[str, FlagSpec], release: str) -> list[str]:
    """Return the plan's arguments followed by those of the user's that add something.

    Args:
        planned: arguments of the plan, each one ``--flag`` or ``--flag=value``; positional ones first.
        extra: the user's arguments, one word per item: ``--flag``, ``--flag=value``, or ``--flag`` and its values.
        flags: the release's flags by every spelling (`catalog.engines.engine_flags`).
        release: engine release, for messages.

    Raises:
        InvalidSpecError: a flag does not exist in the release, belongs to the plan or to another field, lacks
            its value or is not written out; the text names the flag and what to write instead.

    >>> from deepseek_operator.catalog.engines import engine_flags
    >>> flags = engine_flags("vllm", "0.32.0")
    >>> merged_args(["m", "--max-num-seqs=64"], ["--seed", "7", "--max-num-seqs", "64"], flags, "0.32.0")
    ['m', '--max-num-seqs=64', '--seed', '7']
    """
    merged = list(planned)
    for words in _grouped(extra):
        spelling, _, value = words[0].partition("=")
        spec = flags.get(spelling.split(".", 1)[0])
        if spec is None:
            raise InvalidSpecError(FIELD, _unknown(spelling, flags, release))
        flag = spec.names[0]
        if "=".join((spelling, *filter(None, (value, *words[1:])))) in planned:
            continue  # says what the plan says
        if flag in RESERVED_FLAGS:
            raise InvalidSpecError(FIELD, f"{shortened(spelling)} contradicts the plan: {RESERVED_FLAGS[flag]}")
        _check_values(spelling, [*filter(None, (value,)), *words[1:]], spec)
        merged += words
    return merged


def _grouped(extra: Sequence[str]) -> list[list[str]]:
    """Put each flag together with the values that follow it as words of their own."""
    groups: list[list[str]] = []
    for word in extra:
        if word.startswith("--") and len(word) > 2:
            groups.append([word])
        elif word.startswith("-") and not word[1:].replace(".", "", 1).isdigit():
            raise InvalidSpecError(FIELD, f"{shortened(word)!r} is a short option; write the flag out, as in --seed=1")
        elif not groups:
            raise InvalidSpecError(FIELD, f"{shortened(word)!r} belongs to no flag; begin with one, as in --seed=1")
        else:
            groups[-1].append(word)
    return groups


def _check_values(spelling: str, values: Sequence[str], spec: FlagSpec) -> None:
    """Refuse what the engine's parser would refuse at start-up, where it costs a crash loop."""
    name = shortened(spelling)
    if spec.takes_value and not values:
        raise InvalidSpecError(FIELD, f"{name} needs a value; write {name}=VALUE")
    if len(values) > 1 and not spec.takes_many:
        raise InvalidSpecError(FIELD, f"{name} takes one value, {len(values)} follow it; write {name}=VALUE")
    wrong = [value for value in values if spec.choices and value not in spec.choices]
    if wrong:
        raise InvalidSpecError(
            FIELD, f"{name} does not take {shortened(wrong[0])!r}; write one of {', '.join(spec.choices)}"
        )


def _unknown(spelling: str, flags: Mapping[str, FlagSpec], release: str) -> str:
    near = near_matches(spelling, flags)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `vllm serve --help=all` of that release"
    return f"{shortened(spelling)} is no flag of vLLM {release}; {hint}"
