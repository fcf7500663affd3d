"""``simulate``: replays a request trace through the scaling code, on a model of the planned replicas."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.cli.files import ClusterFile, DeploymentFile, Kubeconfig, read_deployments, read_inventory
from deepseek_operator.cli.output import EXIT_NO, OutputFormat, PageFormat, write
from deepseek_operator.cli.plan import answer
from deepseek_operator.errors import InvalidSpecError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.capacity.inventory import Inventory
    from deepseek_operator.planner.result import Plan
    from deepseek_operator.scaling.rival_policies import ScalingPolicy
    from deepseek_operator.scaling.simulator import Faults, Scenario, SimulationResult


def simulate(
    filename: DeploymentFile,
    trace: Annotated[
        Path, typer.Option("--trace", help="CSV, or CSV.gz, with arrival_seconds, input_tokens, output_tokens.")
    ],
    cluster: ClusterFile = None,
    kubeconfig: Kubeconfig = None,
    policy: Annotated[
        str, typer.Option("--policy", help="operator, hpa-waiting, keda-inflight:N, static:N or clairvoyant.")
    ] = "operator",
    start_seconds: Annotated[
        float, typer.Option("--start-seconds", min=0, max=86_400, help="From order of a replica to its first request.")
    ] = 300.0,
    metric_age_seconds: Annotated[
        float, typer.Option("--metric-age-seconds", min=0, max=3600, help="Least age of metrics; up to 15 s are added.")
    ] = 15.0,
    scrape_gap_seconds: Annotated[
        float, typer.Option("--scrape-gap-seconds", min=0, max=86_400, help="One gap without metrics, of that length.")
    ] = 0.0,
    lost_replicas: Annotated[
        int, typer.Option("--lost-replicas", min=0, max=1000, help="Replicas that disappear with their requests.")
    ] = 0,
    max_replicas: Annotated[
        int | None, typer.Option("--max-replicas", min=1, max=1000, help="In place of scaling.maxReplicas.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of all draws: routing, faults, start-up times.")] = 1,
    output: Annotated[
        PageFormat, typer.Option("--output", "-o", help="table, json, yaml, or html: a page with a picture.")
    ] = PageFormat.TABLE,
) -> None:
    """Replay a trace on the planned replicas of one DeepSeekDeployment; exit code 2 when it has no plan."""
    from deepseek_operator.cli.trace import read_trace
    from deepseek_operator.planner.result import Infeasible
    from deepseek_operator.scaling.simulator import Faults
    from deepseek_operator.scaling.simulator import simulate as replay

    deployment = _only(read_deployments(filename))
    requests = read_trace(trace)
    inventory = read_inventory(cluster, kubeconfig)
    found = answer(deployment, inventory)
    if isinstance(found, Infeasible):
        typer.echo(f"{deployment.metadata.name}: {found.message}", err=True)
        raise typer.Exit(EXIT_NO)
    faults = Faults(
        metric_age_seconds=metric_age_seconds, scrape_gap_seconds=scrape_gap_seconds, lost_replicas=lost_replicas
    )
    scenario, chosen = _prepared(
        deployment, found, inventory, requests, faults, policy, start_seconds, max_replicas, seed
    )
    result = replay(scenario, chosen, _progress())
    if output is PageFormat.HTML:
        from deepseek_operator.cli.simulate_page import page

        sys.stdout.write(page(deployment.metadata.name, policy, result))
    elif output is PageFormat.TABLE:
        typer.echo("\n".join(_table(deployment.metadata.name, policy, result, scenario.most_replicas)))
    else:
        write(answer_of(result), OutputFormat(output.value))


def answer_of(result: SimulationResult) -> dict[str, Any]:
    """Return a result in the form of JSON and YAML."""
    return {
        "slaAttainmentPercent": round(result.sla_percent, 3),
        "ttftP99Milliseconds": round(1000 * result.ttft_p99_seconds),
        "tpotP99Milliseconds": round(1000 * result.tpot_p99_seconds, 1),
        "gpuHours": round(result.gpu_hours, 2),
        "replicaChanges": result.replica_changes,
        "flaps": result.flaps,
        "rejected": result.rejected,
        "secondsSimulated": round(result.seconds_simulated),
        "wallSeconds": round(result.wall_seconds, 2),
    }


def _only(deployments: list[DeepSeekDeployment]) -> DeepSeekDeployment:
    if len(deployments) != 1:
        raise InvalidSpecError("", f"the file holds {len(deployments)} DeepSeekDeployments; simulate one at a time")
    if deployments[0].spec.sla is None:
        raise InvalidSpecError("spec.sla", "is missing, and requests are judged by it; set TTFT and TPOT")
    return deployments[0]


def _prepared(
    deployment: DeepSeekDeployment,
    plan: Plan,
    inventory: Inventory,
    trace: Any,  # noqa: ANN401 - a Trace; its module is loaded when the verb runs
    faults: Faults,
    policy: str,
    start_seconds: float,
    max_replicas: int | None,
    seed: int,
) -> tuple[Scenario, ScalingPolicy]:
    """Return what is replayed, and what decides."""
    from deepseek_operator.api.to_request import plan_request
    from deepseek_operator.capacity.workload import supply_for
    from deepseek_operator.planner.replica import pace_of, replicas_held, request_of
    from deepseek_operator.scaling.fleet_values import ServiceLevel
    from deepseek_operator.scaling.simulated_object import capacity_of, limits_of, policy_of
    from deepseek_operator.scaling.simulator import Scenario

    request = plan_request(deployment)
    pace, sla = pace_of(request, plan), request_of(request, plan).sla
    if pace is None or sla is None:
        raise SimulationError(f"the speed of {plan.gpu} is not known, so nothing can be simulated on it")
    least = max(1, deployment.spec.scaling.min_replicas)
    most = min(
        max_replicas or deployment.spec.scaling.most_replicas, replicas_held(plan, supply_for(deployment, inventory))
    )
    scenario = Scenario(
        trace=trace,
        pace=pace,
        limits=limits_of(plan),
        level=ServiceLevel(ttft_seconds=sla.ttft_milliseconds / 1000, tpot_seconds=sla.tpot_milliseconds / 1000),
        gpus_per_replica=plan.gpus_per_replica,
        start_seconds=start_seconds,
        first_replicas=min(max(plan.replicas, least), most),
        most_replicas=most,
        faults=faults,
        seed=seed,
    )
    return scenario, policy_of(policy, scenario, capacity_of(plan, pace, sla), least, request.workload.output_tokens)


def _progress() -> Callable[[float], None] | None:
    """Return what tells people on a terminal how far it is; None elsewhere."""
    if not sys.stderr.isatty():
        return None

    def tell(share: float) -> None:
        sys.stderr.write(f"\rsimulated {100 * share:3.0f} %" + ("\n" if share >= 1 else ""))
        sys.stderr.flush()

    return tell


def _table(name: str, policy: str, result: SimulationResult, most: int) -> list[str]:
    return [
        f"{name}, policy {policy}: {result.requests:,} requests in {result.seconds_simulated / 3600:,.1f} hours",
        f"  within the service level  {result.sla_percent:.2f} %, {result.rejected:,} without an answer",
        f"  99 % of requests          TTFT {1000 * result.ttft_p99_seconds:,.0f} ms, "
        f"TPOT {1000 * result.tpot_p99_seconds:,.1f} ms",
        f"  GPU hours                 {result.gpu_hours:,.1f}, "
        f"at most {result.peak_replicas} of {most} allowed replicas served",
        f"  changes of replicas       {result.replica_changes:,}, of them {result.flaps:,} back within half an hour",
    ]
