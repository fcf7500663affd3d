"""A restart of the operator: the number that was left says for how much load it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.scaling.decide import Decision, Limit, decide
from deepseek_operator.scaling.history import History, Inherited
from deepseek_operator.scaling.signals import ABSENT
from scaling_values import CAPACITY, make_policy, measured_snapshot

TEN_MINUTES = 600.0
POLICY = make_policy(start_seconds=TEN_MINUTES, limits=(Limit(replicas=200, name="scaling.maxReplicas"),))


def after(history: History, *loads: float, current: int, slower: float = 1.0) -> list[Decision]:
    """Return the decisions on one load after the other, half a minute apart."""
    found: list[Decision] = []
    for place, load in enumerate(loads):
        snapshot = measured_snapshot(load, current, slower)
        found.append(decide(snapshot, CAPACITY, POLICY, history, 30.0 * place, current))
        history, current = found[-1].history, found[-1].replicas
    return found


def test_a_restart_does_not_bring_back_the_reserve_of_an_unknown_load():
    steady = [6000.0] * 20
    assert [each.replicas for each in after(History(), *steady[:2], current=8)] == [16, 20]
    assert {each.replicas for each in after(History(restored=8), *steady, current=8)} == {8}


def test_a_load_that_grows_after_a_restart_is_prepared_for_as_many_times():
    decisions = after(History(restored=8), *[6000.0] * 4, *[6300.0] * 4, *[12_000.0] * 8, current=8)
    assert [decisions[place].replicas for place in (3, 7, 15)] == [8, 8, 14]


def test_the_number_that_was_left_is_read_once():
    first, second = after(History(restored=8), 6000.0, 3000.0, current=8)
    assert (first.history.restored, first.history.inherited) == (None, second.history.inherited)


@pytest.mark.parametrize(
    ("restored", "current", "load"), [(8, 9, 6000.0), (2, 2, 6000.0), (30, 30, 6000.0), (8, 8, 0.0)]
)
def test_a_number_that_says_nothing_of_the_load_is_not_believed(restored: int, current: int, load: float):
    unknown, left = (after(each, load, current=current)[0] for each in (History(), History(restored=restored)))
    assert left.history.inherited is None
    assert left.terms == unknown.terms


def test_without_signals_the_number_waits_for_the_first_load():
    missing = replace(measured_snapshot(6000.0, 8), tokens_per_second=ABSENT)
    blind = decide(missing, CAPACITY, POLICY, History(restored=8), 0.0, 8)
    assert (blind.replicas, blind.history.restored) == (8, 8)


def test_how_fast_engines_are_is_taken_from_the_first_load():
    fast, learning = (after(each, 6000.0, current=8, slower=0.8)[0] for each in (History(restored=8), History()))
    measured = fast.history.step_factor
    assert measured == pytest.approx(0.829, abs=0.001)
    assert learning.history.step_factor == pytest.approx(1.0 + 0.03 * (measured - 1.0))


def test_more_than_was_left_is_never_less_than_a_burst_takes():
    tight = replace(History(), inherited=Inherited(load=6000.0, prepared=6000.0))
    assert after(tight, 6000.0, current=8)[0].terms.prepared_for == pytest.approx(6000.0 * 1.2)
