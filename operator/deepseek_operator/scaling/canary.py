"""A change on trial: how many replicas run it, how long it is watched, and whether it is promoted or rolled back.

A canary is judged by what its requests took, next to those of the replicas before it: it is rolled back only for a
violation that is no accident, and promoted only when enough requests have shown that it keeps the service level or is
no worse than what runs. Without metrics nothing is decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from deepseek_operator.api.spec_scaling import CanarySpec, Promotion
from deepseek_operator.api.spec_service import SlaSpec
from deepseek_operator.scaling.latency import Histogram, Latency

LEAST_REQUESTS = 100
"""Requests that a verdict needs: were 5 % above the limit, all of 100 would be within it in 0.6 % of cases."""

NORMAL_95 = 1.645
"""One-sided 95 % point of the normal distribution. Source: standard tables."""

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class CanaryPhase(StrEnum):
    """Where a trial stands."""

    TRIAL = "Trial"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"


class CanaryReason(StrEnum):
    """What a trial does now; used as the reason of conditions."""

    WAITING_FOR_GPUS = "CanaryWaitingForGpus"
    STARTING = "CanaryStarting"
    OBSERVING = "CanaryObserving"
    HELD = "CanaryHeld"
    PROMOTED = "CanaryPromoted"
    ROLLED_BACK = "CanaryRolledBack"


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A change on trial, as the status keeps it.

    Args:
        revision: identifies the change: digest of what the owner decided about its pods.
        fingerprint: of the part of the spec that its plan answers.
        phase: where the trial stands.
        replicas: that run the change; 0 while they find no GPUs.
        replaces: replicas before it that gave their GPUs to the trial.
        since: when all its replicas served first, as RFC 3339; empty until then.
        reason: what it does now.
        message: one sentence.
    """

    revision: str
    fingerprint: str
    phase: CanaryPhase = CanaryPhase.TRIAL
    replicas: int = 0
    replaces: int = 0
    since: str = ""
    reason: CanaryReason = CanaryReason.STARTING
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class CanaryView:
    """What is seen of a trial.

    Args:
        ready: whether all its replicas serve.
        failure: why they never will, one sentence; empty while they may.
        stable: replicas beside it.
        canary_latency: of its requests; None when it is not known.
        stable_latency: of requests to the replicas beside it; None when it is not known.
        unreadable: why latency cannot be known, one sentence; empty when it can.
    """

    ready: bool
    failure: str = ""
    stable: int = 0
    canary_latency: Latency | None = None
    stable_latency: Latency | None = None
    unreadable: str = ""


def canary_replicas(traffic_percent: int, stable: int) -> int:
    """Return how many replicas get about that share of the requests beside the others: at least one, never more.

    The Service spreads requests evenly over pods, so the share is that of the pods.

    >>> canary_replicas(10, 9), canary_replicas(10, 2), canary_replicas(50, 4)
    (1, 1, 4)
    """
    return max(1, traffic_percent * stable // (100 - traffic_percent))


def next_canary(canary: Canary, spec: CanarySpec, sla: SlaSpec | None, view: CanaryView, now: datetime) -> Canary:
    """Return the trial after a look at it.

    Args:
        canary: in phase Trial, with replicas.
        spec: ``spec.rollout.canary``.
        sla: ``spec.sla``; without it only readiness is judged.
        view: what is seen.
        now: time in UTC.
    """
    automatic = spec.promotion is Promotion.AUTO
    if view.failure and automatic:
        return _rolled_back(canary, f"its replicas do not serve: {view.failure}")
    if not view.ready:
        detail = f": {view.failure}" if view.failure else ""
        return replace(canary, reason=CanaryReason.STARTING, message=f"{_share(canary, view)} start{detail}")
    since = canary.since or now.strftime(TIME_FORMAT)
    watched = replace(canary, since=since)
    violation = _violation(sla, view)
    if violation and automatic:
        return _rolled_back(watched, violation)
    if not automatic:
        detail = f"; {violation}" if violation else ""
        return _says(
            watched, CanaryReason.HELD, f"{_share(canary, view)} run the change until promotion is Auto{detail}"
        )
    ends = datetime.strptime(since, TIME_FORMAT).replace(tzinfo=now.tzinfo) + timedelta(seconds=spec.for_seconds)
    if now < ends:
        until = ends.strftime(TIME_FORMAT)
        return _says(watched, CanaryReason.OBSERVING, f"{_share(canary, view)} run the change, watched until {until}")
    missing = _missing(sla, view)
    if missing:
        return _says(watched, CanaryReason.OBSERVING, f"{_share(canary, view)} run the change; {missing}")
    return replace(watched, phase=CanaryPhase.PROMOTED, reason=CanaryReason.PROMOTED, message=_kept(sla, view))


def _says(canary: Canary, reason: CanaryReason, message: str) -> Canary:
    return replace(canary, reason=reason, message=message)


def _rolled_back(canary: Canary, why: str) -> Canary:
    return replace(
        canary,
        phase=CanaryPhase.ROLLED_BACK,
        replaces=0,
        reason=CanaryReason.ROLLED_BACK,
        message=f"the change was rolled back: {why}; it is not tried again until the spec changes",
    )


def _share(canary: Canary, view: CanaryView) -> str:
    pods = canary.replicas + view.stable
    return f"{canary.replicas} of {pods} replicas ({100 * canary.replicas // max(1, pods)} % of requests)"


def _limits(sla: SlaSpec, latency: Latency) -> tuple[tuple[str, int, Histogram], ...]:
    return ("TTFT", sla.ttft_milliseconds, latency.ttft), ("TPOT", sla.tpot_milliseconds, latency.tpot)


def _violation(sla: SlaSpec | None, view: CanaryView) -> str:
    """Return the violation that is no accident and worse than what runs beside it, one sentence, or ""."""
    if sla is None or view.canary_latency is None:
        return ""
    allowed = 1 - sla.percentile / 100
    for number, (name, milliseconds, histogram) in enumerate(_limits(sla, view.canary_latency)):
        missed = histogram.surely_above(milliseconds / 1000)
        if histogram.total < LEAST_REQUESTS or at_least(missed, histogram.total) <= allowed:
            continue
        before = _limits(sla, view.stable_latency)[number][2] if view.stable_latency else None
        share = before.surely_above(milliseconds / 1000) / before.total if before and before.total else 0.0
        if missed / histogram.total > share:
            return (
                f"{name} was above {milliseconds} ms in {missed} of its {histogram.total} requests, where "
                f"{100 - sla.percentile} % may be and {100 * share:.0f} % are of the replicas beside it"
            )
    return ""


def _missing(sla: SlaSpec | None, view: CanaryView) -> str:
    """Return what a promotion still lacks, one clause, or ""."""
    if sla is None:
        return ""
    if view.canary_latency is None:
        return f"its latency is not known, so nothing is decided: {view.unreadable or 'no page was read yet'}"
    for number, (name, milliseconds, histogram) in enumerate(_limits(sla, view.canary_latency)):
        if histogram.total < LEAST_REQUESTS:
            return f"it needs {LEAST_REQUESTS} requests to be judged"
        share = histogram.above(milliseconds / 1000) / histogram.total
        before = _limits(sla, view.stable_latency)[number][2] if view.stable_latency else None
        worse = before is None or not before.total or share > before.above(milliseconds / 1000) / before.total
        if share > 1 - sla.percentile / 100 and worse:
            return f"its {name} seems to miss the service level, and more requests must show it"
    return ""


def _kept(sla: SlaSpec | None, view: CanaryView) -> str:
    if sla is None or view.canary_latency is None:
        return "the canary stayed ready; without spec.sla its speed is not judged"
    return f"the canary kept the service level, or was no worse, over {view.canary_latency.ttft.total} requests"


def at_least(hits: int, total: int) -> float:
    """Return the share that is exceeded with 95 % certainty when so many of all were seen.

    Source: lower end of the score interval, E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.

    >>> round(at_least(10, 100), 3), at_least(0, 100), at_least(0, 0)
    (0.061, 0.0, 0.0)
    """
    if total == 0 or hits == 0:
        return 0.0
    square = NORMAL_95**2
    share = hits / total
    middle = share + square / (2 * total)
    spread = NORMAL_95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    return (middle - spread) / (1 + square / total)
