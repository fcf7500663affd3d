"""The verdict about the service level changes when latencies have said otherwise for a while."""

from __future__ import annotations

from deepseek_operator.planner.request import Sla
from deepseek_operator.scaling.attainment import (
    KEPT_SECONDS,
    MISSED_SECONDS,
    RENEWED_SECONDS,
    UNMEASURED_SECONDS,
    Attainment,
    attained,
)
from deepseek_operator.scaling.readings import ProblemReason, Readings, SignalProblem
from deepseek_operator.scaling.signals import Signal

SLA = Sla(ttft_milliseconds=2000, tpot_milliseconds=60, percentile=95)
LOST = SignalProblem(reason=ProblemReason.UNREACHABLE, message="Prometheus at p:9090 does not answer")


def latencies(ttft_seconds: float, tpot_seconds: float) -> Readings:
    return Readings(
        ttft_percentile_seconds=Signal(value=ttft_seconds), tpot_percentile_seconds=Signal(value=tpot_seconds)
    )


GOOD, BAD = latencies(1.234, 0.0456), latencies(1.0, 0.09)


def test_the_first_reading_is_told_at_once_with_its_numbers():
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    assert (verdict.holds, verdict.reason) == (True, "SlaKept")
    assert verdict.message == "p95 TTFT 1,200 ms of 2,000 ms asked, TPOT 46 ms of 60 ms, over five minutes"


def test_one_limit_of_two_that_is_exceeded_is_a_miss():
    verdict = attained(Attainment(), BAD, SLA, 0.0)
    assert (verdict.holds, verdict.reason) == (False, "SlaMissed")


def test_a_miss_is_told_when_it_lasts_and_its_end_when_that_lasts():
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    early = attained(verdict, BAD, SLA, MISSED_SECONDS - 1)
    assert early.says_as(verdict)
    missed = attained(early, BAD, SLA, MISSED_SECONDS)
    assert missed.holds is False
    later = MISSED_SECONDS + KEPT_SECONDS
    assert attained(missed, GOOD, SLA, later - 1).says_as(missed)
    assert attained(missed, GOOD, SLA, later).holds is True


def test_a_short_spike_starts_the_patience_anew():
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    for now in range(15, 1500, 15):
        verdict = attained(verdict, BAD if now % 90 == 0 else GOOD, SLA, float(now))
        assert verdict.holds is True


def test_numbers_that_move_are_told_anew_only_when_far_off_and_after_a_while():
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    near, far = latencies(1.3, 0.05), latencies(0.4, 0.05)
    assert attained(verdict, near, SLA, RENEWED_SECONDS).says_as(verdict)
    assert attained(verdict, far, SLA, RENEWED_SECONDS - 1).says_as(verdict)
    renewed = attained(verdict, far, SLA, RENEWED_SECONDS)
    assert renewed.message.startswith("p95 TTFT 400 ms of 2,000 ms asked")


def test_an_idle_service_keeps_its_verdict():
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    idle = attained(verdict, Readings(), SLA, 86_400.0)
    assert idle.says_as(verdict)
    assert (idle.ttft_ratio, idle.tpot_ratio) == (None, None)


def test_without_a_request_so_far_nothing_is_known():
    verdict = attained(Attainment(), Readings(), SLA, 0.0)
    assert (verdict.holds, verdict.reason) == (None, "NoRequests")
    assert attained(verdict, Readings(), SLA, 30.0).says_as(verdict)


def test_lost_metrics_end_the_verdict_after_a_while():
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    lost = Readings(problem=LOST)
    assert attained(verdict, lost, SLA, UNMEASURED_SECONDS - 1).says_as(verdict)
    unknown = attained(verdict, lost, SLA, UNMEASURED_SECONDS)
    assert (unknown.holds, unknown.reason, unknown.message) == (None, "MetricsUnreachable", LOST.message)
    assert attained(unknown, lost, SLA, 10_000.0).says_as(unknown)
    assert attained(unknown, GOOD, SLA, 10_030.0).holds is True


def test_a_problem_of_other_signals_is_no_problem_of_latencies():
    other = SignalProblem(reason=ProblemReason.ABSENT, message="no DCGM", signals=("gpu_memory_used_fraction",))
    verdict = attained(Attainment(), GOOD, SLA, 0.0)
    assert attained(verdict, Readings(problem=other), SLA, 1000.0).says_as(verdict)
