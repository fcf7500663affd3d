"""One simulated replica: when tokens come, what waits, and what happens when the cache is full."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.engine_model import NEVER, EngineLimits, EngineModel, Request, step_table
from scaling_values import LIMITS, PACE


def engine(limits: EngineLimits = LIMITS, pace: ReplicaPace = PACE) -> EngineModel:
    return EngineModel(pace, limits, step_table(pace, limits.batch), 0.0)


def request(number: int = 0, arrived: float = 0.0, prompt: int = 1000, output: int = 11) -> Request:
    return Request(number, arrived, prompt, output, PACE.prompt(prompt))


def run(model: EngineModel) -> None:
    while (due := model.next_event()) < NEVER:
        model.happen(due)


def test_a_lone_request_reads_its_prompt_and_decodes_at_the_pace_of_one():
    model, asked = engine(), request()
    assert model.arrive(asked, 0.0)
    run(model)
    assert asked.first_token == pytest.approx(0.1 + 0.05)
    assert asked.ended == pytest.approx(0.1 + 10 * 0.02)
    assert (model.in_flight, model.cached, model.prompt_tokens_read) == (0, 0.0, 1000)


def test_a_second_prompt_waits_for_the_first_and_stalls_its_answer():
    model, first, second = engine(), request(0), request(1)
    model.arrive(first, 0.0)
    assert not model.arrive(second, 0.0)
    run(model)
    assert second.first_token == pytest.approx(0.2 + 0.05)
    assert first.ended == pytest.approx(0.2 + 10 * 0.0202)


def test_a_full_batch_keeps_requests_waiting():
    model = engine(replace(LIMITS, batch=1))
    asked = [request(number) for number in range(3)]
    for each in asked:
        model.arrive(each, 0.0)
    assert (model.running, len(model.waiting)) == (1, 2)
    run(model)
    assert [round(each.ended, 3) for each in asked] == [0.3, 0.6, 0.9]


def test_a_full_cache_puts_the_newest_request_off_and_it_still_ends():
    model = engine(replace(LIMITS, kv_tokens=2030))
    asked = [request(number, output=40) for number in range(2)]
    for each in asked:
        model.arrive(each, 0.0)
    run(model)
    assert model.preemptions == 1
    assert asked[0].ended < asked[1].ended < 3.0
    assert model.token_count == pytest.approx(80, abs=2)


def test_steps_grow_with_what_is_cached():
    pace = replace(PACE, seconds_per_cached_token=1e-6)
    model, asked = engine(pace=pace), request(output=101)
    model.arrive(asked, 0.0)
    run(model)
    assert asked.ended == pytest.approx(0.1 + 100 * (0.02 + 1e-6 * 1050), rel=1e-6)


def test_a_lost_replica_gives_back_what_it_had():
    model = engine()
    for number in range(3):
        model.arrive(request(number), 0.0)
    assert len(model.lost()) == 3
    assert (model.in_flight, model.next_event()) == (0, NEVER)
