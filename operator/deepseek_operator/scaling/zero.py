"""To zero after idle time and back when somebody waits: pure, and only on what was really read.

At zero nobody measures an engine, so the way back is a queue in front of it: a gateway that holds requests and exports
how many, or a window of the clock with ``minReplicas`` 1 or more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import Signal
from deepseek_operator.units import counted

LONGEST_GAP_SECONDS = 150.0
"""Between readings that idle time may span: a scrape gap of two minutes and a round; a longer one proves nothing."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """How long nobody has asked for anything; the default has seen nothing yet.

    Args:
        since: seconds at which the first of unbroken idle readings was made; None while not idle.
        seen: seconds of the last of them.
    """

    since: float | None = None
    seen: float = 0.0

    def seconds(self, now: float) -> float:
        """Return how long it lasts, 0 while not idle."""
        return 0.0 if self.since is None else max(0.0, now - self.since)


@dataclass(frozen=True, kw_only=True)
class ZeroRule:
    """What the owner allows.

    Args:
        least: fewest replicas now, windows considered.
        most: most replicas now, 1 or more.
        after_seconds: idle time before the last replica stops; 0 keeps it.
        requests_per_replica: that one replica works on at once, for how many start when some wait.
    """

    least: int
    most: int
    after_seconds: int
    requests_per_replica: int

    @property
    def allows_zero(self) -> bool:
        """Whether the last replica may stop."""
        return self.least == 0 and self.after_seconds > 0


@dataclass(frozen=True, kw_only=True)
class ZeroStep:
    """A change between zero and some replicas, with its sentence."""

    replicas: int
    message: str


def next_idle(idle: Idle, readings: Readings, *, ready: int, now: float) -> Idle:
    """Return the idle time with one more reading.

    Idle is: at least one replica serves, and it was read that no request came, none runs and none waits, neither in an
    engine nor at a gateway that tells. A signal that is absent is never read as idle; a reading that is missing pauses.

    Args:
        idle: before.
        readings: of this moment.
        ready: replicas that serve.
        now: seconds, never before ``idle.seen``.
    """
    needed = (readings.arrivals_per_second, readings.running, readings.waiting)
    gateway = readings.queued_at_gateway
    if ready == 0 or any(signal.present and signal.value > 0 for signal in (*needed, gateway)):
        return Idle()
    if not all(signal.present for signal in needed):
        return idle if now - idle.seen <= LONGEST_GAP_SECONDS else Idle()
    if idle.since is None or now - idle.seen > LONGEST_GAP_SECONDS:
        return Idle(since=now, seen=now)
    return replace(idle, seen=now)


def not_seen_idle(readings: Readings) -> str:
    """Return which signals idle time needs and does not have, in words; empty when all are there."""
    needed = (
        ("arrivals", readings.arrivals_per_second),
        ("running requests", readings.running),
        ("waiting requests", readings.waiting),
    )
    missing = [name for name, signal in needed if not signal.present]
    return f"{' and '.join(missing)} cannot be read, so it is not known whether anybody asks" if missing else ""


def zero_step(rule: ZeroRule, idle: Idle, queued: Signal, *, current: int, now: float) -> ZeroStep | None:
    """Return the step to or from zero; None where the number of replicas is decided by load, or stays zero.

    Args:
        rule: what the owner allows.
        idle: time without requests.
        queued: requests that wait at a gateway.
        current: replicas that are asked for.
        now: seconds.
    """
    if current == 0:
        return _from_zero(rule, queued)
    if not rule.allows_zero or idle.since is None or idle.seconds(now) < rule.after_seconds:
        return None
    return ZeroStep(
        replicas=0,
        message=f"{current} to 0 replicas: no request for {idle.seconds(now):,.0f} s "
        f"(scaleToZeroAfterSeconds: {rule.after_seconds})",
    )


def _from_zero(rule: ZeroRule, queued: Signal) -> ZeroStep | None:
    if rule.least > 0:
        return ZeroStep(
            replicas=rule.least, message=f"0 to {counted(rule.least, 'replica')}: minReplicas is {rule.least} now"
        )
    if not rule.allows_zero:
        return ZeroStep(replicas=1, message="0 to 1 replica: scaleToZeroAfterSeconds is 0, which keeps the last")
    if not queued.present or queued.value <= 0:
        return None
    waiting = math.ceil(queued.value)
    verb = "s" if waiting == 1 else ""
    wanted = min(rule.most, max(1, math.ceil(queued.value / max(1, rule.requests_per_replica))))
    return ZeroStep(
        replicas=wanted,
        message=f"0 to {counted(wanted, 'replica')}: {counted(waiting, 'request')} wait{verb} at the gateway",
    )
