"""Merging observations into conditions."""

from __future__ import annotations

from typing import Any

from deepseek_operator.api.conditions import (
    ORDER,
    PLANNED,
    READY,
    RECONCILING,
    STALLED,
    Observation,
    set_conditions,
)

MONDAY, TUESDAY = "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"


def observed(kind: str, holds: bool | None, reason: str = "Because", message: str = "because") -> Observation:
    return Observation(type=kind, holds=holds, reason=reason, message=message)


def condition(kind: str, status: str, since: str = MONDAY, **fields: object) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Because",
        "message": "because",
        "lastTransitionTime": since,
        "observedGeneration": 1,
    } | fields


def test_a_first_observation_begins_now() -> None:
    assert set_conditions([], [observed(READY, None)], MONDAY, 1) == [condition(READY, "Unknown")]


def test_the_same_observation_changes_nothing() -> None:
    old = [condition(READY, "True")]
    assert set_conditions(old, [observed(READY, True)], TUESDAY, 1) == old


def test_new_words_and_generation_keep_the_time() -> None:
    new = set_conditions([condition(READY, "True")], [observed(READY, True, "Other", "other")], TUESDAY, 2)
    assert new == [condition(READY, "True", reason="Other", message="other", observedGeneration=2)]


def test_a_flip_moves_the_time() -> None:
    new = set_conditions([condition(READY, "True")], [observed(READY, False)], TUESDAY, 1)
    assert new == [condition(READY, "False", since=TUESDAY)]


def test_progress_is_there_only_while_it_is_true() -> None:
    old = [condition(RECONCILING, "True"), condition(STALLED, "True")]
    new = set_conditions(old, [observed(RECONCILING, False), observed(STALLED, None)], TUESDAY, 1)
    assert new == []


def test_what_is_not_observed_any_more_goes() -> None:
    assert set_conditions([condition(PLANNED, "True")], [observed(READY, True)], MONDAY, 1) == [
        condition(READY, "True")
    ]


def test_the_order_never_depends_on_the_observer_and_strangers_come_last_by_name() -> None:
    kinds = ["Zebra", *reversed(ORDER), "Ape"]
    made = set_conditions([], [observed(kind, True) for kind in kinds], MONDAY, 1)
    assert [each["type"] for each in made] == [*ORDER, "Ape", "Zebra"]


def test_a_long_message_is_cut() -> None:
    [made] = set_conditions([], [observed(READY, True, message="x" * 5000)], MONDAY, 1)
    assert made["message"] == "x" * 1023 + "…"


def test_a_condition_that_somebody_damaged_is_written_anew() -> None:
    assert set_conditions([{"status": "True"}], [observed(READY, True)], MONDAY, 1) == [condition(READY, "True")]
