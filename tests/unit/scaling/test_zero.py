"""To zero only when it was read that nobody asks, and back when somebody waits or the clock says so."""

from __future__ import annotations

import pytest

from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import ABSENT, Signal
from deepseek_operator.scaling.zero import Idle, ZeroRule, ZeroStep, next_idle, not_seen_idle, zero_step

QUIET = Readings(arrivals_per_second=Signal(), running=Signal(), waiting=Signal())
RULE = ZeroRule(least=0, most=4, after_seconds=600, requests_per_replica=8)


def quiet(**changes: Signal) -> Readings:
    fields = {"arrivals_per_second": Signal(), "running": Signal(), "waiting": Signal()}
    return Readings(**(fields | changes))


@pytest.mark.parametrize(
    ("idle", "readings", "ready", "after"),
    [
        pytest.param(Idle(), QUIET, 1, Idle(since=1000, seen=1000), id="the first quiet reading"),
        pytest.param(Idle(since=400, seen=970), QUIET, 1, Idle(since=400, seen=1000), id="a further one"),
        pytest.param(Idle(since=400, seen=970), QUIET, 0, Idle(), id="nobody serves"),
        pytest.param(Idle(since=400, seen=970), quiet(arrivals_per_second=Signal(value=0.1)), 1, Idle(), id="one came"),
        pytest.param(Idle(since=400, seen=970), quiet(running=Signal(value=1)), 1, Idle(), id="one runs"),
        pytest.param(Idle(since=400, seen=970), quiet(waiting=Signal(value=1)), 1, Idle(), id="one waits"),
        pytest.param(
            Idle(since=400, seen=970),
            quiet(queued_at_gateway=Signal(value=1)),
            1,
            Idle(),
            id="at the gateway",
        ),
        pytest.param(Idle(since=400, seen=970), quiet(running=ABSENT), 1, Idle(since=400, seen=970), id="a short gap"),
        pytest.param(Idle(since=400, seen=800), quiet(running=ABSENT), 1, Idle(), id="a long gap"),
        pytest.param(Idle(since=400, seen=800), QUIET, 1, Idle(since=1000, seen=1000), id="after a long gap"),
        pytest.param(Idle(), Readings(), 1, Idle(), id="nothing is read"),
        pytest.param(Idle(), quiet(running=Signal(age_seconds=600)), 1, Idle(), id="what is read is old"),
    ],
)
def test_idle_time(idle: Idle, readings: Readings, ready: int, after: Idle) -> None:
    assert next_idle(idle, readings, ready=ready, now=1000) == after


@pytest.mark.parametrize(
    ("rule", "idle", "queued", "current", "step"),
    [
        pytest.param(
            RULE, Idle(since=400, seen=1000), ABSENT, 2,
            ZeroStep(replicas=0, message="2 to 0 replicas: no request for 600 s (scaleToZeroAfterSeconds: 600)"),
            id="idle for long enough",
        ),
        pytest.param(RULE, Idle(since=401, seen=1000), ABSENT, 2, None, id="not yet"),
        pytest.param(RULE, Idle(), ABSENT, 2, None, id="not idle"),
        pytest.param(
            ZeroRule(least=1, most=4, after_seconds=600, requests_per_replica=8), Idle(since=0, seen=1000), ABSENT, 1,
            None, id="a window keeps one",
        ),
        pytest.param(RULE, Idle(), ABSENT, 0, None, id="zero stays while nobody tells of a queue"),
        pytest.param(RULE, Idle(), Signal(value=0), 0, None, id="zero stays while the queue is empty"),
        pytest.param(RULE, Idle(), Signal(value=3, age_seconds=300), 0, None, id="an old queue starts nothing"),
        pytest.param(
            RULE, Idle(), Signal(value=1), 0,
            ZeroStep(replicas=1, message="0 to 1 replica: 1 request waits at the gateway"), id="one waits",
        ),
        pytest.param(
            RULE, Idle(), Signal(value=17), 0,
            ZeroStep(replicas=3, message="0 to 3 replicas: 17 requests wait at the gateway"), id="many wait",
        ),
        pytest.param(
            RULE, Idle(), Signal(value=1700), 0,
            ZeroStep(replicas=4, message="0 to 4 replicas: 1,700 requests wait at the gateway"), id="more than may run",
        ),
        pytest.param(
            ZeroRule(least=2, most=4, after_seconds=600, requests_per_replica=8), Idle(), ABSENT, 0,
            ZeroStep(replicas=2, message="0 to 2 replicas: minReplicas is 2 now"), id="a window opens",
        ),
        pytest.param(
            ZeroRule(least=0, most=4, after_seconds=0, requests_per_replica=8), Idle(), ABSENT, 0,
            ZeroStep(replicas=1, message="0 to 1 replica: scaleToZeroAfterSeconds is 0, which keeps the last"),
            id="a window allows zero, its owner does not",
        ),
    ],
)  # fmt: skip
def test_steps(rule: ZeroRule, idle: Idle, queued: Signal, current: int, step: ZeroStep | None) -> None:
    assert zero_step(rule, idle, queued, current=current, now=1000) == step


def test_what_is_missing_is_said() -> None:
    assert not_seen_idle(QUIET) == ""
    assert not_seen_idle(quiet(waiting=ABSENT, running=ABSENT)) == (
        "running requests and waiting requests cannot be read, so it is not known whether anybody asks"
    )
