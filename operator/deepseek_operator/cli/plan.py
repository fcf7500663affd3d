"""``plan``: what each DeepSeekDeployment of a file would get on a cluster, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from deepseek_operator.cli.files import (
    ClusterFile,
    DeploymentFile,
    Kubeconfig,
    read_deployments,
    read_inventory,
)
from deepseek_operator.cli.output import EXIT_NO, Output, OutputFormat, console, write
from deepseek_operator.cli.prices import PricesFile, read_prices
from deepseek_operator.units import counted

if TYPE_CHECKING:
    from deepseek_operator.api.ladder import Position
    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.capacity.inventory import Inventory
    from deepseek_operator.planner.result import Infeasible, Plan
    from deepseek_operator.resources.features import ClusterFeatures


def plan(
    filename: DeploymentFile,
    cluster: ClusterFile = None,
    kubeconfig: Kubeconfig = None,
    prices: PricesFile = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Plan the DeepSeekDeployments of a file; exit code 2 when one of them has no plan."""
    from deepseek_operator.api.plan_status import infeasible_status, plan_status
    from deepseek_operator.cli.plan_windows import window_sentences
    from deepseek_operator.planner.result import Infeasible

    deployments = read_deployments(filename)
    usd_per_hour = read_prices(prices)
    inventory = read_inventory(cluster, kubeconfig)
    features = inventory.features
    answers = [answer(each, inventory, usd_per_hour) for each in deployments]
    why_not = [
        "" if isinstance(found, Infeasible) else _why_no_pods(each, found, features)
        for each, found in zip(deployments, answers, strict=True)
    ]
    rows = list(zip(deployments, answers, why_not, strict=True))
    for each, found, _ in rows:
        if not isinstance(found, Infeasible):
            for sentence in window_sentences(each, inventory, usd_per_hour):
                typer.echo(f"{each.metadata.name}: {sentence}", err=True)
    if output is OutputFormat.TABLE:
        from deepseek_operator.cli.plan_text import print_plan

        screen = console()
        rooms = _rooms([(each, found) for each, found, _ in rows if not isinstance(found, Infeasible)], inventory)
        for each, found, reason in rows:
            room = rooms.get((each.metadata.namespace, each.metadata.name), "")
            print_plan(screen, each.metadata.name, found, engine=each.spec.engine.type, not_runnable=reason, room=room)
    else:
        items: list[dict[str, Any]] = [
            {
                "name": each.metadata.name,
                "feasible": not isinstance(found, Infeasible),
                "plan": None if isinstance(found, Infeasible) else plan_status(found),
                "infeasible": infeasible_status(found) if isinstance(found, Infeasible) else None,
                "notRunnable": reason or None,
            }
            for each, found, reason in rows
        ]
        write({"items": items}, output)
    if any(isinstance(found, Infeasible) for found in answers):
        raise typer.Exit(EXIT_NO)


def _rooms(planned: Sequence[tuple[DeepSeekDeployment, Plan]], inventory: Inventory) -> dict[tuple[str, str], str]:
    """Return by namespace and name what has no room now beside what runs, one sentence each; none where all has."""
    from deepseek_operator.capacity.fleet import place_fleet
    from deepseek_operator.capacity.members import Member

    members = [Member(deployment=each, plan=found, replicas=found.replicas) for each, found in planned]
    return {
        (verdict.member.deployment.metadata.namespace, verdict.member.deployment.metadata.name): (
            f"{verdict.now} of {counted(verdict.member.replicas, 'replica')} can run now: {verdict.reason}"
        )
        for verdict in place_fleet(members, inventory, seconds=0).verdicts
        if verdict.now < verdict.member.replicas
    }


def _why_no_pods(deployment: DeepSeekDeployment, found: Plan, features: ClusterFeatures) -> str:
    """Return why no pods are made of a plan, and say what it gives up; raise what the builders refuse.

    Both are also said on the standard error, which a program that reads the output leaves to people.
    """
    from deepseek_operator.cli.render import manifests_of
    from deepseek_operator.resources.runnable import is_runnable

    name = deployment.metadata.name
    if found.compromise is not None:
        typer.echo(f"{name}: not what was asked: {found.reasons[0]}", err=True)
    why_not = is_runnable(found, deployment, features)
    if why_not:
        typer.echo(f"{name}: planned, but no pods are made: {why_not}", err=True)
    manifests_of(deployment, found, features)
    return why_not


def answer(
    deployment: DeepSeekDeployment,
    inventory: Inventory,
    usd_per_hour: Mapping[str, Decimal] | None = None,
    position: Position | None = None,
) -> Plan | Infeasible:
    """Return the planner's answer to one deployment, exactly as the operator asks for it.

    Args:
        deployment: the parsed object.
        inventory: of the cluster.
        usd_per_hour: prices of one GPU by catalogue id that replace what node labels and the catalogue say.
        position: where on its ladder; None for what runs outside of windows.

    Raises:
        InvalidSpecError: the spec cannot be obeyed.
    """
    from deepseek_operator.aiconfigurator import installed
    from deepseek_operator.api.ladder import AS_ASKED
    from deepseek_operator.api.to_request import plan_request
    from deepseek_operator.capacity.workload import supply_for
    from deepseek_operator.planner.entry import plan_with
    from deepseek_operator.planner.price import with_prices

    supply = with_prices(supply_for(deployment, inventory), usd_per_hour or {})
    return plan_with(installed(), plan_request(deployment, position or AS_ASKED), supply)
