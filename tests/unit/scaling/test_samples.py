from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.scaling.percentiles import percentile, summed
from deepseek_operator.scaling.samples import MAX_ROWS, AnswerError, Row, rows_of


def answer(*samples: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(samples)}}


def test_values_that_are_no_number_are_unknown():
    samples = [
        {"metric": {"pod": name}, "value": [10.0, text]} for name, text in zip("abc", ["NaN", "+Inf", "3"], strict=True)
    ]
    assert rows_of(answer(*samples)) == [Row(labels={"pod": "c"}, value=3.0, time=10.0)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param([], "no JSON object", id="list"),
        pytest.param("<html>", "no JSON object", id="text"),
        pytest.param({}, "no status", id="empty"),
        pytest.param({"status": "error", "errorType": "bad_data", "error": "parse error"}, "parse error", id="error"),
        pytest.param({"status": "success"}, "holds no vector", id="no-data"),
        pytest.param({"status": "success", "data": {"resultType": "matrix", "result": []}}, "no vector", id="matrix"),
        pytest.param(answer({"metric": {}}), "no labels and value", id="no-value"),
        pytest.param(answer({"metric": {}, "value": [1.0, "x"]}), "no labels and value", id="no-number"),
        pytest.param(answer({"metric": {}, "value": 3}), "no labels and value", id="scalar"),
        pytest.param(answer({"metric": [], "value": [1.0, "2"]}), "no labels", id="labels"),
        pytest.param(answer(None), "no labels and value", id="nothing"),
        pytest.param(answer(*[None] * (MAX_ROWS + 1)), "at most 200000", id="too-many"),
    ],
)
def test_another_answer_is_refused_in_words(content: object, why: str):
    with pytest.raises(AnswerError, match=why) as raised:
        rows_of(content)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("histogram", "percent", "expected"),
    [
        pytest.param({}, 95, None, id="nothing"),
        pytest.param({1.0: 0.0, math.inf: 0.0}, 95, None, id="no-requests"),
        pytest.param({1.0: 3.0}, 95, None, id="no-last-bucket"),
        pytest.param({1.0: 100.0, math.inf: 100.0}, 50, 0.5, id="inside-the-first"),
        pytest.param({1.0: 0.0, 2.0: 100.0, math.inf: 100.0}, 50, 1.5, id="inside"),
        pytest.param({1.0: 10.0, 2.0: 20.0, math.inf: 100.0}, 95, 2.0, id="above-the-largest"),
        pytest.param({1.0: 50.0, 2.0: 49.9, 4.0: 100.0, math.inf: 100.0}, 75, 3.0, id="off-by-a-scrape"),
    ],
)
def test_percentiles(histogram: dict[float, float], percent: float, expected: float | None):
    assert percentile(histogram, percent) == expected


@given(st.lists(st.floats(0, 1000), min_size=3, max_size=3), st.floats(1, 98))
def test_a_larger_share_never_keeps_to_a_smaller_bound(counts: list[float], percent: float):
    rising = [sum(counts[: place + 1]) for place in range(3)]
    histogram = dict(zip([1.0, 2.0, math.inf], rising, strict=True))
    low, high = percentile(histogram, percent), percentile(histogram, percent + 1)
    assert (low is None) == (high is None)
    assert low is None or high is None or low <= high


def test_nothing_is_summed_to_nothing():
    assert summed([]) == {}
