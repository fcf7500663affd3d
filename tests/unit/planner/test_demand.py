from __future__ import annotations

import pytest

from deepseek_operator.performance.prediction import Prediction, PredictionSource
from deepseek_operator.planner.demand import batch_limit, requests_for_rate
from planner_values import request


def _speed(ttft: int, tpot: int) -> Prediction:
    return Prediction(
        ttft_milliseconds=ttft,
        tpot_milliseconds=tpot,
        tokens_per_second=1,
        source=PredictionSource.ROOFLINE,
        error_percent=0,
    )


def test_little_s_law_with_a_constant_latency_is_rate_times_latency():
    # 120 per minute over two replicas is 1 per second; 1,000 ms + 99 x 50 ms is 5.95 s in the system
    assert requests_for_rate(120, 2, 100, lambda _: _speed(1000, 50)) == 6


def test_latency_that_grows_with_the_load_is_followed_to_its_fixed_point():
    found = requests_for_rate(60, 1, 101, lambda requests: _speed(500, 10 + requests))
    assert found is not None
    seconds = (500 + 100 * (10 + found)) / 1000
    assert found - 1 < seconds <= found


def test_the_number_in_flight_varies_by_the_root_of_its_mean():
    # a mean of 5.95 as above, and three deviations of 2.44 above it
    assert requests_for_rate(120, 2, 100, lambda _: _speed(1000, 50), 3.0) == 14


def test_a_burst_that_slows_the_engine_prolongs_itself():
    found = requests_for_rate(60, 1, 101, lambda requests: _speed(500, 10 + requests), 3.0)
    assert found is not None
    mean = (500 + 100 * (10 + found)) / 1000
    assert found == 1 + round(mean + 3 * mean**0.5)


def test_a_request_that_comes_is_one_more_than_it_finds():
    # a mean of 0.1: hardly ever two at once for a level of half the requests, and two within three deviations
    assert [requests_for_rate(6, 1, 100, lambda _: _speed(10, 10), each) for each in (None, 0.0, 3.0)] == [1, 1, 2]


@pytest.mark.parametrize(
    "predict",
    [
        pytest.param(lambda requests: _speed(0, 1000 * requests), id="latency grows faster than the load"),
        pytest.param(lambda _: None, id="the speed is not known"),
    ],
)
def test_a_replica_that_cannot_keep_up_has_no_load(predict: object):
    assert requests_for_rate(6000, 1, 100, predict) is None  # type: ignore[arg-type]  # lambdas of the table


@pytest.mark.parametrize(
    ("pinned", "requests", "default", "limit"),
    [
        pytest.param(None, 32, 256, 64, id="room for twice the load"),
        pytest.param(None, 5, 256, 16, id="rounded up to a power of two"),
        pytest.param(None, 200, 256, 256, id="at most the engine's default"),
        pytest.param(None, 300, 256, 300, id="unless the load itself is above it"),
        pytest.param(40, 5, 256, 40, id="what is pinned is obeyed"),
    ],
)
def test_batches_have_room_for_a_burst(pinned: int | None, requests: int, default: int, limit: int):
    assert batch_limit(request(max_num_seqs=pinned), requests, default) == limit
