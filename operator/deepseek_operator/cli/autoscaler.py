"""``render --autoscaler``: an HPA or a KEDA ScaledObject that owns the replicas, aimed by the plan."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from deepseek_operator.errors import InvalidSpecError

if TYPE_CHECKING:
    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.planner.result import Plan
    from deepseek_operator.scaling.in_flight_target import InFlightTarget


class Autoscaler(StrEnum):
    """Projects that can own the replicas."""

    HPA = "hpa"
    KEDA = "keda"


def autoscaler_of(
    deployment: DeepSeekDeployment, plan: Plan, autoscaler: Autoscaler, prometheus_url: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the autoscaler of a deployment, and what its user must know, in sentences.

    Args:
        deployment: the parsed object.
        plan: of its replicas.
        autoscaler: which one.
        prometheus_url: for KEDA.

    Raises:
        InvalidSpecError: the operator owns the replicas, or nothing measures them.
    """
    from deepseek_operator.resources.autoscaler import refuse_autoscaler
    from deepseek_operator.resources.horizontal_pod_autoscaler import build_horizontal_pod_autoscaler
    from deepseek_operator.resources.names import Owner
    from deepseek_operator.resources.scaled_object import build_scaled_object
    from deepseek_operator.scaling.in_flight_query import in_flight_query

    refuse_autoscaler(deployment)
    scaling, target = deployment.spec.scaling, target_of(deployment, plan)
    owner = Owner(name=deployment.metadata.name, namespace=deployment.metadata.namespace)
    least, most = scaling.min_replicas, scaling.most_replicas
    notes = [f"aims at {target.requests} requests in flight per replica, {target.message}"]
    if least == 0:
        notes.append("keeps one replica where scaling.minReplicas is 0: the engine's metrics end with the last one")
    if deployment.spec.replicas is not None:
        notes.append("leave spec.replicas out of the file, else every apply of it sets the autoscaler back")
    if autoscaler is Autoscaler.HPA:
        return build_horizontal_pod_autoscaler(owner, target=target.requests, least=least, most=most), notes
    query = in_flight_query(owner.namespace, owner.name, plan.nodes_per_replica, plan.engine_release)
    made = build_scaled_object(
        owner, target=target.requests, least=least, most=most, prometheus_url=prometheus_url, query=query
    )
    return made, notes


def target_of(deployment: DeepSeekDeployment, plan: Plan) -> InFlightTarget:
    """Return the requests in flight per replica to aim at."""
    from deepseek_operator.api.to_request import plan_request
    from deepseek_operator.planner.replica import pace_of, request_of
    from deepseek_operator.scaling.in_flight_target import in_flight_target
    from deepseek_operator.scaling.simulated_object import capacity_of

    request = request_of(plan_request(deployment), plan)
    pace = pace_of(request, plan)
    capacity = capacity_of(plan, pace, request.sla) if pace is not None and request.sla is not None else None
    return in_flight_target(plan, request.workload, capacity)


def adapter_rule() -> str:
    """Return the values of prometheus-adapter that serve the metric of the HPA, as YAML comments."""
    import yaml

    from deepseek_operator.resources.horizontal_pod_autoscaler import build_adapter_rule
    from deepseek_operator.scaling.in_flight_query import in_flight_series

    text = yaml.safe_dump(build_adapter_rule(in_flight_series()), sort_keys=False, width=1000)
    head = "The metric comes from prometheus-adapter; values of its chart, once for a cluster:"
    return "".join(f"# {line}\n" for line in [head, *text.splitlines()])


def refuse_options(autoscaler: Autoscaler | None, prometheus_url: str) -> None:
    """Refuse options that do not go together.

    Raises:
        InvalidSpecError: the URL is missing, or belongs to nothing that is rendered.
    """
    if autoscaler is Autoscaler.KEDA and not prometheus_url:
        raise InvalidSpecError(
            "--prometheus-url", "is missing; KEDA asks Prometheus itself, e.g. http://prometheus.monitoring.svc:9090"
        )
    if autoscaler is not Autoscaler.KEDA and prometheus_url:
        raise InvalidSpecError("--prometheus-url", "belongs to --autoscaler keda; leave it out")
