"""What the metrics say of objects: as their statuses, summed, and nothing of an object that is gone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from prometheus_client import CollectorRegistry

from deepseek_operator.handlers.object_metrics import ObjectMetrics, Shown, shown
from deepseek_operator.metrics import Metrics

A, B = ("team", "a"), ("team", "b")


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": ""}


RUNS = {
    "conditions": [
        condition("Planned", "True", "Planned"),
        condition("MemoryPressure", "True", "KvCacheFull"),
        condition("CapacityAvailable", "True", "Placed"),
    ],
    "plan": {"gpu": "h100-sxm5-80gb", "gpusPerReplica": 4},
    "readyReplicas": 2,
    "observed": {"plannedKvCacheTokens": 1000, "kvCacheTokens": 900},
    "proposedPlan": {"gpu": "l40s"},
}
SHARES = {
    "conditions": [condition("Planned", "True", "Planned"), condition("MemoryPressure", "Unknown", "NotMeasured")],
    "plan": {"gpu": "h100-sxm5-80gb", "gpusPerReplica": 1, "share": {"slicesPerGpu": 7}},
    "readyReplicas": 7,
}
REFUSED = {"conditions": [condition("Planned", "False", "MemoryInsufficient")], "readyReplicas": 0}


def samples(registry: CollectorRegistry) -> dict[str, float]:
    """Return the value of each series but those that are zero, by its name and labels."""
    return {
        " ".join((each.name.removeprefix("deepseek_operator_"), *each.labels.values())): each.value
        for family in registry.collect()
        for each in family.samples
        if each.value
    }


def test_a_status_says_what_is_shown() -> None:
    assert shown(A, RUNS) == Shown(
        where=A,
        proposed=True,
        gpu="h100-sxm5-80gb",
        running_gpus=Fraction(8),
        planned_tokens=1000,
        reported_tokens=900,
        pressure=True,
        placed=True,
    )
    assert shown(A, SHARES) == Shown(where=A, gpu="h100-sxm5-80gb", running_gpus=Fraction(1))
    assert shown(A, REFUSED) == Shown(where=A, refused="MemoryInsufficient")
    assert shown(A, {}) == Shown(where=A)


def test_a_replica_that_waits_for_gpus_is_told_as_zero() -> None:
    waits = {"conditions": [condition("CapacityAvailable", "False", "InsufficientFreeGpus")]}
    registry = CollectorRegistry()
    ObjectMetrics(registry).show("1", shown(A, waits))
    place = {"namespace": "team", "name": "a"}
    assert registry.get_sample_value("deepseek_operator_capacity_available", place) == 0


def test_what_runs_stays_counted_while_its_spec_is_wrong() -> None:
    wrong = {**RUNS, "conditions": [condition("Planned", "False", "InvalidSpec")]}
    found = shown(A, wrong)
    assert (found.refused, found.running_gpus) == ("InvalidSpec", 8)


def test_objects_are_summed_and_dropped_without_a_trace() -> None:
    registry = CollectorRegistry()
    metrics = ObjectMetrics(registry)
    metrics.show("1", shown(A, RUNS))
    metrics.show("2", shown(B, SHARES))
    metrics.show("3", shown(("other", "c"), REFUSED))
    metrics.show("3", shown(("other", "c"), REFUSED))
    assert samples(registry) == {
        "running_gpus h100-sxm5-80gb": 9.0,
        "refused_deployments MemoryInsufficient": 1.0,
        "proposed_plans": 1.0,
        "planned_kv_cache_tokens team a": 1000.0,
        "reported_kv_cache_tokens team a": 900.0,
        "memory_pressure team a": 1.0,
        "capacity_available team a": 1.0,
    }
    metrics.show("1", shown(A, REFUSED))
    assert samples(registry) == {"running_gpus h100-sxm5-80gb": 1.0, "refused_deployments MemoryInsufficient": 2.0}
    for uid in ("1", "2", "3", "never seen"):
        metrics.drop(uid)
    assert samples(registry) == {}


def test_an_object_made_anew_under_its_name_is_shown_on_when_the_old_one_is_dropped() -> None:
    registry = CollectorRegistry()
    metrics = ObjectMetrics(registry)
    metrics.show("old", shown(A, RUNS))
    metrics.show("new", shown(A, {**RUNS, "observed": {"plannedKvCacheTokens": 500, "kvCacheTokens": 400}}))
    metrics.drop("old")
    assert samples(registry) == {
        "running_gpus h100-sxm5-80gb": 8.0,
        "proposed_plans": 1.0,
        "planned_kv_cache_tokens team a": 500.0,
        "reported_kv_cache_tokens team a": 400.0,
        "memory_pressure team a": 1.0,
        "capacity_available team a": 1.0,
    }
    metrics.drop("new")
    assert samples(registry) == {}


def test_the_plan_error_of_an_object_made_anew_outlives_the_old_one() -> None:
    registry, place = CollectorRegistry(), {"namespace": "team", "name": "a"}
    metrics = Metrics(registry)
    metrics.set_plan_error("old", A, 12)
    metrics.set_plan_error("new", A, 3)
    metrics.drop_plan_error("old")
    assert registry.get_sample_value("deepseek_operator_plan_kv_cache_error_percent", place) == 3
    metrics.drop_plan_error("new")
    assert registry.get_sample_value("deepseek_operator_plan_kv_cache_error_percent", place) is None
