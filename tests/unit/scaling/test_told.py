"""What is told of scaling changes with news only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.scaling.decide import Decision, ScalingReason, Terms
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.readings import ProblemReason, SignalProblem
from deepseek_operator.scaling.told import RECOVERED_ROUNDS, UNLIMITED_ROUNDS, Told, next_told

ROUND = 30.0
PROBLEM = SignalProblem(reason=ProblemReason.STALE, message="vllm:generation_tokens is old", signals=("waiting",))
RISES, STEADY, LIMITED = ScalingReason.DEMAND_RISES, ScalingReason.STEADY, ScalingReason.LIMITED
MISSING = ScalingReason.SIGNALS_MISSING


def told(active: bool, reason: str, seen: float = 0.0) -> Told:
    return Told(active=active, reason=reason, message="as told before", seen=seen)


def after(
    old: Told | None, reason: ScalingReason, now: float, *, moved: bool = False, problem: SignalProblem | None = None
) -> Told:
    decision = Decision(replicas=3, reason=reason, message="decided", terms=Terms(), history=History())
    return next_told(old, decision, problem, current=2 if moved else 3, now=now, round_seconds=ROUND)


@pytest.mark.parametrize(
    ("old", "reason", "now", "moved", "expected"),
    [
        pytest.param(None, STEADY, 0.0, False, (True, "Steady", "decided"), id="nothing was told"),
        pytest.param(told(True, "Steady"), STEADY, 30.0, False, (True, "Steady", "as told before"), id="no news"),
        pytest.param(told(True, "Steady"), RISES, 30.0, True, (True, "DemandRises", "decided"), id="a change"),
        pytest.param(
            told(True, "DemandRises"), RISES, 30.0, True, (True, "DemandRises", "decided"), id="another change"
        ),
        pytest.param(
            told(True, "DemandRises"), STEADY, 30.0, False, (True, "DemandRises", "as told before"), id="rest after it"
        ),
        pytest.param(
            told(True, "Limited"), STEADY, ROUND, False, (True, "Limited", "as told before"), id="a limit that may last"
        ),
        pytest.param(
            told(True, "Limited"), STEADY, ROUND * UNLIMITED_ROUNDS, False, (True, "Steady", "decided"), id="it is over"
        ),
        pytest.param(
            told(False, "SignalsMissing"), STEADY, ROUND, False, (False, "SignalsMissing", "as told before"),
            id="signals are back for a moment",
        ),
        pytest.param(
            told(False, "SignalsMissing"), STEADY, ROUND * RECOVERED_ROUNDS, False, (True, "Steady", "decided"),
            id="signals are back",
        ),
        pytest.param(
            told(True, "Limited"), MISSING, ROUND, False, (False, "SignalsMissing", "decided"), id="signals are lost"
        ),
    ],
)  # fmt: skip
def test_what_is_told_next(old: Told | None, reason: ScalingReason, now: float, moved: bool, expected: object):
    found = after(old, reason, now, moved=moved)
    assert (found.active, found.reason, found.message) == expected


def test_a_problem_that_an_earlier_process_told_is_told_anew():
    """Its sentence may name the address of another Prometheus."""
    old = replace(told(False, PROBLEM.reason.value), adopted=True)
    found = after(old, MISSING, 30.0, problem=PROBLEM)
    assert (found.message, found.adopted) == ("vllm:generation_tokens is old; 3 replicas stay", False)
    assert after(found, MISSING, 60.0, problem=replace(PROBLEM, message="older still")).message == found.message


def test_lost_signals_are_told_with_the_problem_and_what_stays():
    found = after(told(True, "Steady"), MISSING, 30.0, problem=PROBLEM)
    assert (found.active, found.reason) == (False, "MetricsStale")
    assert found.message == "vllm:generation_tokens is old; 3 replicas stay"


def test_a_problem_of_other_signals_is_told_beside_the_decision():
    found = after(told(True, "Steady"), STEADY, 30.0, problem=PROBLEM)
    assert (found.active, found.reason) == (True, "MetricsStale")
    assert found.message == "decided; vllm:generation_tokens is old"


def test_a_state_that_lasts_is_found_so_again():
    assert after(told(True, "Limited"), LIMITED, 90.0).seen == 90.0
