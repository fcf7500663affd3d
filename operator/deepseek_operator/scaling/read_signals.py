"""From samples of pods to the signals of one object: sums and means over its replicas, and what is wrong by name.

A pod that tells nothing makes a signal unusable: the rest would be less than the load, and replicas would be stopped
for it. Pods that were asked about for the first time a moment ago are waited for only when no other pod tells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from deepseek_operator.catalog.signals import most_plausible
from deepseek_operator.scaling.percentiles import percentile, summed
from deepseek_operator.scaling.pod_samples import Pod, PodSamples
from deepseek_operator.scaling.promql import AGE
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings, SignalProblem
from deepseek_operator.scaling.signals import ABSENT, Availability, Signal

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tokens": ("tokens_per_second", "seconds_per_token"),
        "prompt_tokens": ("prompt_tokens_per_second",),
        "first_tokens": ("starts_per_second", "seconds_to_first_token", "seconds_per_token", "arrivals_per_second"),
        "first_token_seconds": ("seconds_to_first_token",),
        "ttft_buckets": ("ttft_percentile_seconds",),
        "token_seconds": ("seconds_per_token",),
        "tpot_buckets": ("tpot_percentile_seconds",),
        "prefill_seconds": ("prompt_work",),
        "running": ("running",),
        "waiting": ("waiting",),
        "waiting_growth": ("arrivals_per_second",),
        "kv_usage": ("kv_cache_used_fraction", "cached_tokens"),
        "kv_capacity": ("cached_tokens",),
        "preemptions": ("preemptions_per_second",),
        "rejections": ("rejections_per_second",),
    }
)
"""What needs a measure; a test compares with the table of signals."""

_ORDER = (ProblemReason.UNIT, ProblemReason.STALE, ProblemReason.ABSENT)
_AVAILABILITY = {
    ProblemReason.UNIT: Availability.WRONG_UNIT,
    ProblemReason.STALE: Availability.STALE,
    ProblemReason.ABSENT: Availability.ABSENT,
}


@dataclass(frozen=True)
class _Fault:
    reason: ProblemReason
    message: str
    fields: tuple[str, ...]
    unscraped: bool = False


def readings_of(measured: MeasuredObject, samples: PodSamples, new: Collection[Pod]) -> Readings:
    """Return the signals of one object; without pods nothing is measured and nothing is wrong.

    Args:
        measured: the object.
        samples: of the batch that its pods were in.
        new: pods that may not have been scraped twice yet.
    """
    if not measured.pods:
        return Readings()
    return _Reading(measured, samples, new).readings()


class _Reading:
    """Puts the signals of one object together and collects what is wrong."""

    def __init__(self, measured: MeasuredObject, samples: PodSamples, new: Collection[Pod]) -> None:
        self._measured = measured
        self._samples = samples
        self._pods = tuple((measured.namespace, name) for name in measured.pods)
        self._new = new
        self._faults: dict[str, _Fault] = {}
        ages = [age for pod in self._pods if (age := samples.age(pod)) is not None and age <= samples.stale_seconds]
        self._age = max(ages, default=0.0)
        for measure, query in samples.queries.items():
            missing = () if measure == AGE else self._missing(measure)
            if missing and not query.optional:
                self._faults[measure] = self._fault(measure, missing[0])

    def readings(self) -> Readings:
        tokens, starts = self._total("tokens"), self._total("first_tokens")
        rejections, waiting = self._total("rejections"), self._total("waiting")
        found = Readings(
            tokens_per_second=tokens,
            prompt_tokens_per_second=self._total("prompt_tokens"),
            arrivals_per_second=self._arrivals(starts, self._total("waiting_growth"), rejections),
            starts_per_second=starts,
            seconds_per_token=self._seconds_per_token(tokens, starts),
            seconds_to_first_token=self._seconds_to_first_token(starts),
            running=self._total("running"),
            waiting=waiting,
            kv_cache_used_fraction=self._kv_usage(),
            cached_tokens=self._cached_tokens(),
            prompt_work=self._total("prefill_seconds"),
            preemptions_per_second=self._total("preemptions"),
            rejections_per_second=rejections,
            ttft_percentile_seconds=self._percentile("ttft_buckets"),
            tpot_percentile_seconds=self._percentile("tpot_buckets"),
            running_by_pod=self._by_pod("running"),
        )
        mixed: dict[str, Any] = {
            field: Signal(availability=Availability.WRONG_UNIT)
            for fault in self._faults.values()
            if fault.reason is ProblemReason.UNIT
            for field in fault.fields
        }
        return replace(found, problem=self._problem(), **mixed)

    def _missing(self, measure: str) -> tuple[Pod, ...]:
        """Return the pods whose value is missed."""
        lacking = tuple(pod for pod in self._pods if not self._tells(measure, pod))
        known = tuple(pod for pod in lacking if pod not in self._new)
        return known if known or len(lacking) < len(self._pods) else lacking

    def _tells(self, measure: str, pod: Pod) -> bool:
        return pod in self._samples.tokens if measure == "kv_capacity" else self._samples.told(measure, pod)

    def _fault(self, measure: str, pod: Pod) -> _Fault:
        metric, name, age = self._samples.queries[measure].metrics[0], pod[1], self._samples.age(pod)
        if age is None:
            reason = ProblemReason.ABSENT
            first = next(query.metrics[0] for query in self._samples.queries.values() if not query.optional)
            text = f"there is no {first} and no other metric of pod {name}: it is not scraped, or its series do not "
            text += "have the labels namespace and pod"
        elif age > self._samples.stale_seconds:
            reason = ProblemReason.STALE
            text = f"pod {name} was scraped {age:.0f} s ago for the last time, and nothing older than two "
            text += f"scrapes ({self._samples.stale_seconds:.0f} s) is believed"
        else:
            reason = ProblemReason.ABSENT
            text = f"{metric} of pod {name} is absent although the pod is scraped: {self._engine()} exports it, so the "
            text += "image is of another release or the metric was renamed"
        return _Fault(reason, text, FIELDS[measure], unscraped=age is None)

    def _engine(self) -> str:
        return f"{self._measured.engine} {self._measured.release}".strip()

    def _present(self, value: float) -> Signal:
        return Signal(value=value, age_seconds=self._age, stale_seconds=self._samples.stale_seconds)

    def _unusable(self, *measures: str) -> Signal | None:
        """Return what a signal is that needs these measures, None when it can be made."""
        for measure in measures:
            if measure in self._faults:
                return Signal(availability=_AVAILABILITY[self._faults[measure].reason])
            if measure not in self._samples.queries or self._missing(measure):
                return ABSENT
        return None

    def _by_pod(self, measure: str) -> Mapping[str, float]:
        values = self._samples.values.get(measure, {})
        return MappingProxyType({pod[1]: values[pod] for pod in self._pods if pod in values})

    def _total(self, measure: str) -> Signal:
        return self._unusable(measure) or self._present(sum(self._by_pod(measure).values()))

    def _plausible(self, field: str, measure: str, value: float) -> Signal:
        """Return a value that can be, else note that its unit is another one."""
        most = most_plausible(field)
        if value <= most:
            return self._present(value)
        metric = self._samples.queries[measure].metrics[0]
        self._wrong_unit(measure, f"{metric} makes {field} {value:.4g}, which cannot be more than {most:g}", (field,))
        return Signal(availability=Availability.WRONG_UNIT)

    def _wrong_unit(self, measure: str, text: str, fields: tuple[str, ...]) -> None:
        self._faults[f"{measure} unit"] = _Fault(ProblemReason.UNIT, f"{text}: it has another unit", fields)

    def _arrivals(self, starts: Signal, growth: Signal, rejections: Signal) -> Signal:
        if not (starts.present and growth.present):
            return growth if starts.present else starts
        refused = rejections.value if rejections.present else 0.0
        return self._present(max(0.0, starts.value + growth.value + refused))

    def _seconds_per_token(self, tokens: Signal, starts: Signal) -> Signal:
        unusable = self._unusable("tokens", "first_tokens", "token_seconds")
        if unusable is not None:
            return unusable
        seconds, further = self._total("token_seconds").value, tokens.value - starts.value
        # Tokens, not the histogram's own count: with speculative decoding one gap is followed by several tokens.
        value = seconds / further if further > 0 and seconds > 0 else 0.0
        return self._plausible("seconds_per_token", "token_seconds", value)

    def _seconds_to_first_token(self, starts: Signal) -> Signal:
        unusable = self._unusable("first_tokens", "first_token_seconds")
        if unusable is not None:
            return unusable
        if starts.value <= 0:
            return ABSENT
        value = self._total("first_token_seconds").value / starts.value
        return self._plausible("seconds_to_first_token", "first_token_seconds", value)

    def _kv_usage(self) -> Signal:
        fullest = max(self._by_pod("kv_usage").values(), default=0.0)
        return self._unusable("kv_usage") or self._plausible("kv_cache_used_fraction", "kv_usage", fullest)

    def _cached_tokens(self) -> Signal:
        unusable = self._unusable("kv_usage", "kv_capacity")
        if unusable is not None:
            return unusable
        usage, tokens = self._samples.means["kv_usage"], self._samples.tokens
        return self._present(sum(usage[pod] * tokens[pod] for pod in self._pods if pod in usage and pod in tokens))

    def _percentile(self, measure: str) -> Signal:
        unusable = self._unusable(measure)
        if unusable is not None:
            return unusable
        parts = self._samples.buckets[measure]
        histogram = summed(parts[pod] for pod in self._pods if pod in parts)
        least, most = min(histogram, default=0.0), most_plausible("least_bucket_seconds")
        if least > most:
            metric = self._samples.queries[measure].metrics[0]
            fields = (*FIELDS[measure], "seconds_to_first_token" if measure == "ttft_buckets" else "seconds_per_token")
            self._wrong_unit(measure, f"{metric} begins at {least:g}, where seconds begin below 1", fields)
            return Signal(availability=Availability.WRONG_UNIT)
        value = percentile(histogram, self._measured.percentile)
        return ABSENT if value is None else self._present(value)

    def _problem(self) -> SignalProblem | None:
        faults = sorted(self._faults.values(), key=lambda fault: _ORDER.index(fault.reason))
        if not faults:
            return None
        messages = list(dict.fromkeys(fault.message for fault in faults))
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        return SignalProblem(
            reason=faults[0].reason,
            message=messages[0] + more,
            signals=tuple(sorted({field for fault in faults for field in fault.fields})),
            unscraped=faults[0].unscraped,
        )
