"""``render``: the manifests that the operator would apply, for Git pipelines and reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.cli.autoscaler import Autoscaler, adapter_rule, autoscaler_of, refuse_options
from deepseek_operator.cli.files import (
    ClusterFile,
    DeploymentFile,
    Kubeconfig,
    read_deployments,
    read_inventory,
)
from deepseek_operator.cli.output import EXIT_NO, OutputFormat, write
from deepseek_operator.cli.plan import answer

if TYPE_CHECKING:
    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.planner.result import Plan
    from deepseek_operator.resources.features import ClusterFeatures


def render(
    filename: DeploymentFile,
    cluster: ClusterFile = None,
    kubeconfig: Kubeconfig = None,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="yaml: one document per object; json: a List.")
    ] = OutputFormat.YAML,
    autoscaler: Annotated[
        Autoscaler | None,
        typer.Option(help="In place of the operator's manifests: what scales objects with scaling.owner External."),
    ] = None,
    prometheus_url: Annotated[
        str, typer.Option(metavar="URL", help="Prometheus that KEDA asks, as pods of the cluster reach it.")
    ] = "",
) -> None:
    """Print the manifests for the DeepSeekDeployments of a file, in a stable order; exit code 2 if pods are missing."""
    from deepseek_operator.planner.result import Infeasible
    from deepseek_operator.resources.runnable import is_runnable

    if output is OutputFormat.TABLE:
        raise typer.BadParameter("manifests have no table form; use -o yaml or -o json")
    refuse_options(autoscaler, prometheus_url)
    inventory = None
    manifests: list[dict[str, Any]] = []
    refused = False
    for deployment in read_deployments(filename):
        inventory = inventory or read_inventory(cluster, kubeconfig)
        features = inventory.features
        found = answer(deployment, inventory)
        if isinstance(found, Infeasible):
            typer.echo(f"{deployment.metadata.name}: {found.message}", err=True)
            refused = True
            continue
        if found.compromise is not None:
            typer.echo(f"{deployment.metadata.name}: not what was asked: {found.reasons[0]}", err=True)
        if why_not := is_runnable(found, deployment, features):
            typer.echo(f"{deployment.metadata.name}: no pods are rendered: {why_not}", err=True)
            refused = True
        if autoscaler is None:
            manifests += manifests_of(deployment, found, features)
            continue
        manifest, notes = autoscaler_of(deployment, found, autoscaler, prometheus_url)
        manifests.append(manifest)
        for note in notes:
            typer.echo(f"{deployment.metadata.name}: {note}", err=True)
    if manifests and autoscaler is Autoscaler.HPA and output is OutputFormat.YAML:
        typer.echo(adapter_rule(), nl=False)
    _print(manifests, output)
    if refused:
        raise typer.Exit(EXIT_NO)


def manifests_of(deployment: DeepSeekDeployment, plan: Plan, features: ClusterFeatures) -> list[dict[str, Any]]:
    """Return what the operator would apply for a new object with this plan, without owner references."""
    from deepseek_operator.api.fingerprint import plan_hash
    from deepseek_operator.resources.desired import desired
    from deepseek_operator.scaling.decision import desired_replicas
    from deepseek_operator.scaling.schedules import outside_windows

    decision = desired_replicas(
        owner=deployment.spec.scaling.owner,
        limits=outside_windows(deployment.spec.scaling),
        plan_replicas=plan.replicas,
        spec_replicas=deployment.spec.replicas,
        running=0,
    )
    return desired(deployment, plan, uid="", replicas=decision.replicas, plan_hash=plan_hash(plan), features=features)


def _print(manifests: list[dict[str, Any]], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        write({"apiVersion": "v1", "kind": "List", "items": manifests}, output)
        return
    for manifest in manifests:
        typer.echo("---")
        write(manifest, output)
