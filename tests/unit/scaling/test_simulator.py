"""The simulator as a whole: closed forms where there are some, faults, and that it counts what it promises."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from deepseek_operator.scaling.fleet_model import FleetModel
from deepseek_operator.scaling.rival_policies import (
    ClairvoyantPolicy,
    HpaWaitingPolicy,
    KedaInFlightPolicy,
    StaticPolicy,
)
from deepseek_operator.scaling.simulator import Faults, offered_in_flight, simulate
from scaling_values import LEVEL, LIMITS, PACE, make_scenario, make_trace, operator_policy

STEADY = make_trace((second / 2, 1000, 500) for second in range(3600))
"""Two requests per second for half an hour: 1,000 tokens per second, some 27 in flight."""

_DRAWS = random.Random(3)  # noqa: S311 - arrivals of a test
RISING = make_trace((at, 1000, 500) for at in sorted(_DRAWS.triangular(0, 7200, 6000) for _ in range(40_000)))
"""A swell of two hours, at most 11 requests per second."""


def test_a_static_fleet_costs_what_it_is():
    result = simulate(make_scenario(STEADY), StaticPolicy(2))
    assert result.gpu_hours == pytest.approx(2 * 2 * 0.5, rel=0.02)
    assert (result.sla_percent, result.rejected, result.replica_changes) == (100.0, 0, 0)
    assert result.requests == 3600


def test_in_flight_follows_little():
    result = simulate(make_scenario(STEADY, first_replicas=1), StaticPolicy(1))
    middle = [point.running for point in result.timeline if 300 <= point.time <= 1700]
    # b requests: 500 tokens of (20 ms + 0.2 ms x (b - 1)), stretched by 2 x 0.1 s of prompts per second.
    batch = sum(middle) / len(middle)
    tpot = (0.02 + 0.0002 * (batch - 1)) / 0.8
    assert batch == pytest.approx(2 * (500 * tpot + 0.1), rel=0.05)


def test_too_small_a_fleet_keeps_requests_waiting_and_serves_them_late():
    result = simulate(make_scenario(RISING, first_replicas=1), StaticPolicy(1))
    assert result.sla_percent < 50
    assert max(point.waiting for point in result.timeline) > 1000


def test_equal_scenarios_give_equal_results():
    scenario = make_scenario(RISING, faults=Faults(scrape_gap_seconds=120, lost_replicas=1))
    first, second = (simulate(scenario, operator_policy(scenario)) for _ in range(2))
    assert replace(first, wall_seconds=0) == replace(second, wall_seconds=0)


def test_a_lost_replica_loses_its_requests_and_is_replaced():
    scenario = make_scenario(STEADY, faults=Faults(lost_replicas=1))
    result = simulate(scenario, StaticPolicy(2))
    assert 5 <= result.rejected <= 40
    assert {point.ready for point in result.timeline} == {1, 2}
    assert result.timeline[-1].ready == 2


def test_without_replicas_requests_are_refused():
    result = simulate(make_scenario(STEADY, first_replicas=0), StaticPolicy(0))
    assert (result.rejected, result.sla_percent, result.gpu_hours) == (3600, 0.0, 0.0)


def test_a_prompt_beyond_the_context_is_refused_and_an_answer_ends_there():
    trace = make_trace([(0.0, LIMITS.context_tokens, 10), (0.0, LIMITS.context_tokens - 5, 100)])
    result = simulate(make_scenario(trace), StaticPolicy(2))
    assert (result.rejected, result.requests) == (1, 2)


def test_gpus_bound_what_is_asked_for():
    result = simulate(make_scenario(RISING, first_replicas=1, most_replicas=3), StaticPolicy(8))
    assert result.peak_replicas == 3


def test_a_replica_that_goes_ends_its_requests_and_holds_its_gpus_until_then():
    fleet = FleetModel(PACE, LIMITS, LEVEL, start_seconds=lambda: 120.0, most_replicas=4, seed=1)
    fleet.begin(2)
    trace = make_trace([(0.0, 1000, 1001), (0.0, 1000, 1001)])
    done = fleet.run(trace, 5.0, 0)
    fleet.set_desired(1)
    assert (done, fleet.ready, fleet.in_flight) == (2, 1, 2)
    fleet.run(trace, 60.0, done)
    assert (fleet.in_flight, fleet.answered, fleet.rejected) == (0, 2, 0)
    assert 60 + 20 < fleet.replica_seconds < 60 + 25


@pytest.mark.parametrize("start", [60.0, 300.0])
def test_the_operator_keeps_the_service_level_of_a_swell_with_few_changes(start: float):
    scenario = make_scenario(RISING, start_seconds=start, faults=Faults())
    operator = simulate(scenario, operator_policy(scenario))
    keda = simulate(scenario, KedaInFlightPolicy(50, 1, 40))
    assert operator.sla_percent > 99.5
    assert operator.reversals <= keda.reversals
    assert operator.gpu_hours < simulate(scenario, StaticPolicy(operator.peak_replicas)).gpu_hours


def test_scaling_on_waiting_requests_is_worse_than_knowing():
    scenario = make_scenario(RISING, faults=Faults())
    waiting = simulate(scenario, HpaWaitingPolicy(5, 1, 40))
    knowing = simulate(scenario, ClairvoyantPolicy(offered_in_flight(scenario), 15.0, 60, 160, 1))
    assert waiting.sla_percent < knowing.sla_percent
    assert knowing.sla_percent > 99


def test_offered_load_is_requests_times_their_time():
    offered = offered_in_flight(make_scenario(STEADY))
    tpot = PACE.step(LIMITS.batch, 0)
    assert offered[60] == pytest.approx(2 * (500 * tpot + 0.15), abs=32)
    assert math.isfinite(sum(offered))


def test_idle_replicas_go_together_and_no_more_of_them_than_asked():
    fleet = FleetModel(PACE, LIMITS, LEVEL, start_seconds=lambda: 120.0, most_replicas=9, seed=1)
    fleet.begin(9)
    fleet.set_desired(4)
    assert fleet.ready == 4
