"""Repairs are told, and not over and over."""

from __future__ import annotations

from deepseek_operator.handlers.repair_events import QUIET_SECONDS, Repairs

BODY = {"metadata": {"uid": "u1", "name": "chat"}}
OTHER = {"metadata": {"uid": "u2", "name": "chat-2"}}
SERVICE, PLAN = ("Service", "chat"), ("ConfigMap", "chat-plan")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_object_is_told_once_in_a_while() -> None:
    told: list[tuple[str, str, str]] = []
    clock = Clock()
    repairs = Repairs(lambda _, *said: told.append(said), clock)
    one = "Service chat was changed or deleted by another and is as planned again; change the spec instead"
    two = (
        "children of kind ConfigMap and Service were changed or deleted by another and are as planned again; "
        "change the spec instead"
    )

    repairs.undone(BODY, [])
    repairs.undone(BODY, [SERVICE])
    repairs.undone(BODY, [SERVICE, PLAN])
    assert told == [("Warning", "EditUndone", one)]
    repairs.undone(OTHER, [PLAN, SERVICE])
    assert told[1:] == [("Warning", "EditUndone", two)]
    clock.now = QUIET_SECONDS
    repairs.undone(BODY, [SERVICE])
    assert told[2:] == [("Warning", "EditUndone", one)]
    repairs.forget("u1")
    repairs.undone(BODY, [SERVICE])
    assert told[3:] == [("Warning", "EditUndone", one)]


def test_a_group_that_starts_anew_is_told_with_its_reason() -> None:
    told: list[tuple[str, str, str]] = []
    repairs = Repairs(lambda _, *said: told.append(said))
    repairs.restarted(BODY, "")
    repairs.restarted(BODY, "group 1 of r1-nodes is restarted as a unit: pod r1-nodes-1-1 is gone")
    assert told == [
        ("Warning", "GroupRestarted", "group 1 of r1-nodes is restarted as a unit: pod r1-nodes-1-1 is gone")
    ]
