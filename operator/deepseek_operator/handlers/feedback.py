"""What engines have reported, as values: what the status keeps of it and how a new report is put there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.status import MAX_MEASUREMENTS, ObservedStatus
from deepseek_operator.capacity.measurements import stored_measurement
from deepseek_operator.engine_metrics import KvCacheReport
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import ceil_div

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What engines of one object have reported.

    Args:
        observed: what the engine of the plan reported; None when nothing was or when it cannot be read.
        stored: ``status.observed`` as stored.
        measurements: ``status.measurements`` as stored, newest first.
    """

    observed: ObservedStatus | None = None
    stored: JsonObject | None = None
    measurements: tuple[JsonObject, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return the fields of the status."""
        fields: dict[str, Any] = {}
        if self.observed is not None:
            fields["observed"] = self.stored
        if self.measurements:
            fields["measurements"] = list(self.measurements)
        return fields


def feedback_of(status: JsonObject) -> Feedback:
    """Return what a status holds; what an editor has damaged counts as not reported."""
    stored, measurements = status.get("observed"), tuple(status.get("measurements") or ())
    if not stored:
        return Feedback(measurements=measurements)
    try:
        observed = ObservedStatus.model_validate_json(json.dumps(stored))
    except ValidationError:
        return Feedback(measurements=measurements)
    return Feedback(observed=observed, stored=stored, measurements=measurements)


def with_report(
    feedback: Feedback, plan: Plan, report: KvCacheReport, *, variant: str, pod: str, image: str
) -> Feedback:
    """Return the feedback with a new report beside what was planned.

    Args:
        feedback: what was reported before.
        plan: that the pod runs.
        report: of its engine.
        variant: everything outside the plan that changes memory.
        pod: name of the pod.
        image: that it runs.
    """
    tokens = report.tokens_per_engine * plan.parallelism.data
    observed = {
        "planHash": plan_hash(plan),
        "variant": variant,
        "pod": pod,
        "image": image,
        "engineRelease": plan.engine_release,
        "kvCacheTokens": tokens,
        "kvCacheBlocks": report.num_gpu_blocks,
        "blockSize": report.block_size,
        "sizedByHand": report.sized_by_hand,
        "plannedKvCacheTokens": plan.kv_cache_tokens,
        "differencePercent": difference_percent(tokens, plan.kv_cache_tokens),
        "bandPercent": plan.kv_cache_error_percent,
    }
    measurements = feedback.measurements
    if not report.sized_by_hand and not plan.features.change_gpu_memory:  # which the kept form does not say
        new = stored_measurement(measurement(plan, variant, tokens))
        others = [each for each in measurements if _told(each) != _told(new)]
        measurements = (new, *others)[:MAX_MEASUREMENTS]
    return feedback_of({"observed": observed, "measurements": measurements})


def measurement(plan: Plan, variant: str, kv_cache_tokens: int) -> Measurement:
    """Return what an engine that runs a plan has reported, for the next plans."""
    return Measurement(
        model_name=plan.model_name,
        variant=variant,
        gpu=plan.gpu,
        total_memory_bytes=plan.memory.total_bytes,
        parallelism=plan.parallelism,
        settings=plan.engine_settings,
        kv_cache_tokens=kv_cache_tokens,
    )


def difference_percent(observed: int, planned: int) -> int:
    """Return observed minus planned in percent of planned, rounded away from zero.

    So it is beyond a band of whole percents exactly when the exact difference is.

    >>> difference_percent(94, 100), difference_percent(1051, 1000), difference_percent(100, 100)
    (-6, 6, 0)
    """
    size = ceil_div(100 * abs(observed - planned), max(1, planned))
    return size if observed > planned else -size


def _told(stored: JsonObject) -> JsonObject:
    return {key: value for key, value in stored.items() if key != "kvCacheTokens"}
