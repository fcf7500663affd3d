"""Answers of Prometheus' query API as rows: JSON in, values out, and nothing believed before it is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.errors import DeepSeekOperatorError, shortened

MAX_ROWS = 200_000
"""Rows of one answer: 500 pods with 24 buckets of eight engines are half of it."""


class AnswerError(DeepSeekOperatorError):
    """An answer that is no answer to an instant query; the text says what it is instead."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sample of an instant vector.

    Args:
        labels: of the series.
        value: finite.
        time: at which the query was evaluated, in seconds of Unix time on the server's clock.
    """

    labels: Mapping[str, str]
    value: float
    time: float


def rows_of(answer: object) -> list[Row]:
    """Return the rows of an answer of ``/api/v1/query``; values that are no finite number are left out, as unknown.

    Source: Prometheus documentation, "HTTP API": ``resultType`` ``vector``.

    Raises:
        AnswerError: an error, another type of result, or another shape.

    >>> rows_of({"status": "success", "data": {"resultType": "vector",
    ...          "result": [{"metric": {"pod": "a"}, "value": [1700000000.5, "2"]}]}})
    [Row(labels={'pod': 'a'}, value=2.0, time=1700000000.5)]
    """
    if not isinstance(answer, dict):
        raise AnswerError("the answer is no JSON object; is this the address of a Prometheus?")
    if answer.get("status") != "success":
        kind, why = str(answer.get("errorType", "no status")), str(answer.get("error", ""))
        raise AnswerError(f"the query was refused ({shortened(kind)}): {shortened(why)}")
    data = answer.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "vector" or not isinstance(data.get("result"), list):
        raise AnswerError("the answer holds no vector; is this the address of a Prometheus?")
    result = data["result"]
    if len(result) > MAX_ROWS:
        raise AnswerError(f"the answer holds {len(result)} samples; at most {MAX_ROWS} are read")
    rows = map(_row, result)
    return [row for row in rows if math.isfinite(row.value)]


def _row(sample: object) -> Row:
    try:
        labels, (time, value) = sample["metric"], sample["value"]  # type: ignore[index]  # - checked by the except
        row = Row(labels=labels, value=float(value), time=float(time))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise AnswerError("a sample of the answer has no labels and value") from error
    if not isinstance(labels, dict):
        raise AnswerError("a sample of the answer has no labels")
    return row
