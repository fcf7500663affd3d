"""The operator's own metrics: names, labels and help in one place, on a registry that is passed in."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from deepseek_operator.planner.result import Plan

RECONCILE_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a reconcile that finds nothing to do up to an API server that answers slowly."""


class Metrics:
    """Every metric of the operator, registered on one registry.

    Args:
        registry: where to register; tests pass a fresh one.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._plans: dict[str, tuple[str, float, float]] = {}
        self._plan_errors: dict[str, tuple[tuple[str, str], int]] = {}
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.reconcile_seconds = Histogram(
            "deepseek_operator_reconcile_seconds",
            "Time of one reconcile of one DeepSeekDeployment, with its API calls.",
            buckets=RECONCILE_SECONDS_BUCKETS,
            registry=registry,
        )
        self.reconciles = Counter(
            "deepseek_operator_reconciles",
            "Reconciles by result: ok, cluster-error (the API server refused or did not answer), bug (unexpected).",
            ["result"],
            registry=registry,
        )
        self.api_calls = Counter(
            "deepseek_operator_api_calls",
            "Calls to the Kubernetes API by verb, resource and HTTP status (0: no answer).",
            ["verb", "resource", "status"],
            registry=registry,
        )
        self.plans = Counter(
            "deepseek_operator_plans",
            "Plans computed by result: Planned, or the reason of the refusal.",
            ["result"],
            registry=registry,
        )
        self.plan_seconds = Histogram(
            "deepseek_operator_plan_seconds",
            "Time to compute one plan.",
            buckets=RECONCILE_SECONDS_BUCKETS,
            registry=registry,
        )
        self.objects = Gauge(
            "deepseek_operator_deployments",
            "DeepSeekDeployments that this operator looks after.",
            registry=registry,
        )
        self.planned_gpus = Gauge(
            "deepseek_operator_planned_gpus",
            "GPUs of the accepted plans by product, all replicas together; a share counts as its part.",
            ["gpu"],
            registry=registry,
        )
        self.planned_cost = Gauge(
            "deepseek_operator_planned_cost_usd_per_hour",
            "Cost of the accepted plans in US dollars per hour, at catalogue prices.",
            registry=registry,
        )
        self.engine_reads = Counter(
            "deepseek_operator_engine_reads",
            "Reads of engines' metrics pages by result: ok, failed (no answer, or no page of vLLM).",
            ["result"],
            registry=registry,
        )
        self.plan_error = Gauge(
            "deepseek_operator_plan_kv_cache_error_percent",
            "Tokens of the KV cache that the engine reported less those planned, in percent of planned.",
            ["namespace", "name"],
            registry=registry,
        )
        self.cluster_gpus = Gauge(
            "deepseek_operator_cluster_gpus",
            "Physical GPUs of the cluster by product and state: used, free, unusable (on a node that nothing can be "
            "planned on), shared (offered in parts or by claim), unhealthy (not offered); stranded ones are among the "
            "free and unusable (no replica of a DeepSeekDeployment can use them).",
            ["gpu", "state"],
            registry=registry,
        )
        self.cluster_cost = Gauge(
            "deepseek_operator_cluster_cost_usd_per_hour",
            "Cost of all GPUs of a product in US dollars per hour; missing where one of them has no price.",
            ["gpu"],
            registry=registry,
        )
        self.placeable_replicas = Gauge(
            "deepseek_operator_placeable_replicas",
            "Replicas of a DeepSeekDeployment that fit on what is free now besides those it asks for, looked at alone.",
            ["namespace", "name"],
            registry=registry,
        )
        self.leading = Gauge(
            "deepseek_operator_leading",
            "1 while this process is the active operator, else 0.",
            registry=registry,
        )

    def set_plan(self, uid: str, plan: Plan, replicas: int) -> None:
        """Count the accepted plan of an object with so many replicas, in place of what was counted before."""
        cost = float(plan.cost_per_hour_usd or 0) * replicas / max(1, plan.replicas)
        shares = 1 if plan.share is None else plan.share.slices_per_gpu
        planned = (plan.gpu, plan.gpus_per_replica * replicas / shares, cost)
        if self._plans.get(uid) == planned:
            return
        self.drop_plan(uid)
        self._plans[uid] = planned
        self.planned_gpus.labels(gpu=plan.gpu).inc(planned[1])
        self.planned_cost.inc(cost)

    def drop_plan(self, uid: str) -> None:
        """Stop counting the plan of an object."""
        gpu, gpus, cost = self._plans.pop(uid, ("", 0.0, 0.0))
        if gpu:
            self.planned_gpus.labels(gpu=gpu).dec(gpus)
            self.planned_cost.dec(cost)

    def set_plan_error(self, uid: str, where: tuple[str, str], percent: int) -> None:
        """Show how far an engine's report is from the plan of the object with that namespace and name."""
        self._plan_errors.pop(uid, None)
        self._plan_errors[uid] = where, percent
        self.plan_error.labels(*where).set(percent)

    def drop_plan_error(self, uid: str) -> None:
        """Stop showing it; that of an object made anew under the same name is shown on."""
        where, _ = self._plan_errors.pop(uid, (None, 0))
        if where is None:
            return
        namesakes = [percent for other, percent in self._plan_errors.values() if other == where]
        if namesakes:
            self.plan_error.labels(*where).set(namesakes[-1])
        else:
            self.plan_error.remove(*where)

    def on_call(self, verb: str, resource: str, status: int) -> None:
        """Count one finished API call."""
        self.api_calls.labels(verb=verb, resource=resource, status=str(status)).inc()
