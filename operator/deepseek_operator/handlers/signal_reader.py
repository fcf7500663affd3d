"""Reads what engines measure, of all objects in one batch of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings, SignalProblem

NOT_CONFIGURED = SignalProblem(
    reason=ProblemReason.NOT_CONFIGURED,
    message="the operator was started without --prometheus-url, so replicas stay as planned",
)


class SignalReader:
    """Asks Prometheus for the signals of objects."""

    async def read(self, objects: Sequence[MeasuredObject], now: float) -> Mapping[str, Readings]:
        """Return the readings of every object by its UID; what cannot be read has a problem and raises nothing.

        Args:
            objects: any number, of any engines.
            now: seconds of a monotonic clock, for what is remembered between two calls.
        """
        return {each.uid: Readings(problem=NOT_CONFIGURED) for each in objects}
