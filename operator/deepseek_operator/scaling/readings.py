"""What is asked of the metrics store for one object, and what came back: signals, or named reasons why they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from deepseek_operator.scaling.signals import ABSENT, Signal


class ProblemReason(StrEnum):
    """Why signals cannot be had; used as the reason of the ScalingActive condition."""

    NOT_CONFIGURED = "MetricsNotConfigured"
    UNREACHABLE = "MetricsUnreachable"
    UNIT = "MetricsUnit"
    STALE = "MetricsStale"
    ABSENT = "MetricsAbsent"


@dataclass(frozen=True, kw_only=True)
class SignalProblem:
    """One reason why not all signals are there.

    Args:
        message: one sentence that names the metric or the server, and the pod where one is at fault.
        signals: fields of `Readings` that cannot be used because of it, sorted; empty when none can.
        unscraped: whether nothing at all is known of a pod, so that the remedy lies with Prometheus' scrapes.
    """

    reason: ProblemReason
    message: str
    signals: tuple[str, ...] = ()
    unscraped: bool = False


@dataclass(frozen=True, kw_only=True)
class MeasuredObject:
    """One object whose replicas are measured.

    Args:
        name: of the DeepSeekDeployment.
        engine: ``vllm`` or ``triton``, as in the catalogue's table of signals.
        release: of vLLM, also of the one inside Triton, such as ``0.32.0``; empty where an image of the owner's own
            makes it unknown, then every known name of a metric is looked for.
        pods: that serve, one per replica (the leader of a group).
        served_name: model name that requests carry.
        percentile: share of the requests that the percentiles are of, 1-99.
    """

    uid: str
    namespace: str
    name: str
    engine: str
    release: str
    pods: tuple[str, ...]
    served_name: str
    percentile: int = 95


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Signals of one object over all its replicas; each absent unless it was really measured, never a zero instead.

    Rates are means over about a minute.

    Args:
        tokens_per_second: of all answers.
        prompt_tokens_per_second: of all prompts, those found in the prefix cache included.
        arrivals_per_second: requests that came, rejected ones included.
        starts_per_second: requests that got their first token.
        seconds_per_token: mean time between the tokens of one answer; 0 while no token is made.
        seconds_to_first_token: mean; absent while no request got one.
        running: requests in the batches.
        waiting: requests that no batch has room for.
        kv_cache_used_fraction: of the replica (and engine) whose KV cache is fullest, 0-1.
        cached_tokens: in the KV caches of all replicas.
        prompt_work: seconds per second that requests spend in prefill, summed over requests and replicas; requests
            that are read in one step count once each, so it is an upper bound of the time that engines read.
        preemptions_per_second: requests that lost their cache to others.
        rejections_per_second: requests refused because the queue was full.
        ttft_percentile_seconds: time to first token that the asked share of requests kept to, over five minutes.
        tpot_percentile_seconds: the same of each request's mean time per output token.
        gpu_memory_used_fraction: of the GPU of any replica that is fullest, 0-1; engines reserve nearly all of it.
        queued_at_gateway: requests that wait in front of the replicas.
        running_by_pod: requests in the batch of each pod that told it.
        problem: why signals are missing; None when all that the engine's release exports are there.
    """

    tokens_per_second: Signal = ABSENT
    prompt_tokens_per_second: Signal = ABSENT
    arrivals_per_second: Signal = ABSENT
    starts_per_second: Signal = ABSENT
    seconds_per_token: Signal = ABSENT
    seconds_to_first_token: Signal = ABSENT
    running: Signal = ABSENT
    waiting: Signal = ABSENT
    kv_cache_used_fraction: Signal = ABSENT
    cached_tokens: Signal = ABSENT
    prompt_work: Signal = ABSENT
    preemptions_per_second: Signal = ABSENT
    rejections_per_second: Signal = ABSENT
    ttft_percentile_seconds: Signal = ABSENT
    tpot_percentile_seconds: Signal = ABSENT
    gpu_memory_used_fraction: Signal = ABSENT
    queued_at_gateway: Signal = ABSENT
    running_by_pod: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    problem: SignalProblem | None = None
