"""``capacity``: what runs, what fits, what is stranded, and what to buy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.cli.files import ClusterFile, Kubeconfig, read_deployments, read_facts
from deepseek_operator.cli.output import EXIT_NO, OutputFormat, PageFormat, console, write
from deepseek_operator.errors import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepseek_operator.capacity.facts import NodeFacts, PodFacts
    from deepseek_operator.capacity.inventory import Inventory
    from deepseek_operator.capacity.jobs import Job
    from deepseek_operator.capacity.moves import Wanted

Filename = Annotated[
    str | None, typer.Option("--filename", "-f", help="DeepSeekDeployments to place; - reads standard input.")
]
AddNodes = Annotated[
    list[str] | None,
    typer.Option("--add-nodes", help="INSTANCE=N as if N more nodes of a cloud instance type were there; repeatable."),
]
RemoveNodes = Annotated[
    list[str] | None,
    typer.Option("--remove-nodes", help="Name or pattern (a100-*) of nodes that would be gone; repeatable."),
]
AtMax = Annotated[bool, typer.Option("--at-max", help="Place scaling.maxReplicas of each instead of what it needs.")]
GroupDomain = Annotated[
    str,
    typer.Option("--group-domain", help="Node label on which the nodes of one replica must agree, as of a rack."),
]
Free = Annotated[
    list[str] | None,
    typer.Option("--free", help="GPU=N: which moves would free N GPUs of a product on one node; repeatable."),
]
Jobs = Annotated[
    Path | None,
    typer.Option("--jobs", help="JSON lines of training jobs: as for estimate --batch, and name, preemptible, copies."),
]
Quotas = Annotated[bool, typer.Option("--quotas", help="Say who holds GPUs, who was promised how many, and who loses.")]
Suggest = Annotated[
    bool, typer.Option("--suggest", help="Say which moves, and which node pools, would hold what does not fit.")
]


def capacity(
    filename: Filename = None,
    cluster: ClusterFile = None,
    kubeconfig: Kubeconfig = None,
    add_nodes: AddNodes = None,
    remove_nodes: RemoveNodes = None,
    at_max: AtMax = False,
    group_domain: GroupDomain = "",
    suggest: Suggest = False,
    free: Free = None,
    quotas: Quotas = False,
    jobs: Jobs = None,
    output: Annotated[
        PageFormat, typer.Option("--output", "-o", help="table, json, yaml, or html: one page with pictures.")
    ] = PageFormat.TABLE,
) -> None:
    """Say what runs and what fits on a cluster; exit code 2 when something that was asked for does not fit now."""
    from deepseek_operator.capacity.domains import refuse_unknown_domain
    from deepseek_operator.capacity.inventory import inventory
    from deepseek_operator.capacity.report import capacity_report

    _refuse_without_file(filename, {"--suggest": suggest, "--at-max": at_max})
    deployments = read_deployments(filename) if filename else []
    trained = _read_jobs(jobs)
    facts = read_facts(cluster, kubeconfig)
    nodes, pods = facts.nodes, facts.pods
    changed = _changed(nodes, pods, add_nodes or [], remove_nodes or [])

    def report(nodes: Sequence[NodeFacts], pods: Sequence[PodFacts]) -> dict[str, Any]:
        known = inventory(nodes, pods, facts.measurements, facts.features)
        refuse_unknown_domain(known, group_domain)
        wanted = [_wanted(known, text) for text in free or []]
        return capacity_report(
            deployments,
            known,
            at_max=at_max,
            suggest=suggest,
            domain_label=group_domain,
            facts=facts,
            free=wanted,
            jobs=trained,
        )

    found = report(*changed)
    if output is PageFormat.HTML:
        before = report(nodes, pods) if add_nodes or remove_nodes else None
        _write_page(found, before, [*(add_nodes or []), *(f"without {each}" for each in remove_nodes or [])])
    elif output is PageFormat.TABLE:
        from deepseek_operator.cli.capacity_text import print_capacity, print_what_is_missing

        screen = console(unbroken=True)
        print_capacity(screen, found, quotas=quotas)
        print_what_is_missing(screen, found, free or [], suggest=suggest, any_deployments=bool(deployments))
    else:
        write(found, OutputFormat(output.value))
    if found["unplaced"]:
        raise typer.Exit(EXIT_NO)


def _refuse_without_file(filename: str | None, given: dict[str, bool]) -> None:
    """Refuse what asks about deployments where there are none."""
    for name, is_given in given.items():
        if is_given and not filename:
            raise typer.BadParameter(f"{name} asks about DeepSeekDeployments; name their file with -f")


def _write_page(found: dict[str, Any], before: dict[str, Any] | None, changes: Sequence[str]) -> None:
    from datetime import UTC, datetime

    from deepseek_operator.capacity.page import capacity_page

    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    sys.stdout.write(capacity_page(found, before=before, question=", ".join(changes), as_of=now))


def _changed(
    nodes: Sequence[NodeFacts], pods: Sequence[PodFacts], added: Sequence[str], removed: Sequence[str]
) -> tuple[Sequence[NodeFacts], Sequence[PodFacts]]:
    """Return the cluster as asked: first without the nodes that go, then with those that come."""
    from deepseek_operator.capacity.what_if import with_nodes, without_nodes
    from deepseek_operator.catalog.instances import instance

    for pattern in removed:
        nodes, pods = without_nodes(nodes, pods, pattern)
    for text in added:
        name, _, count = text.partition("=")
        if not count.isascii() or not count.isdecimal():
            raise typer.BadParameter(f"--add-nodes {shortened(text)!r}: write INSTANCE=N, such as p5.48xlarge=2")
        nodes = with_nodes(nodes, instance(name), int(count[:9]))
    return nodes, pods


def _read_jobs(path: Path | None) -> list[Job]:
    from deepseek_operator.cli.jobs import read_jobs

    return [] if path is None else read_jobs(path)


def _wanted(known: Inventory, text: str) -> Wanted:
    from deepseek_operator.capacity.move_rows import wanted_gpus

    product, _, count = text.partition("=")
    if not count.isascii() or not count.isdecimal():
        raise typer.BadParameter(f"--free {shortened(text)!r}: write GPU=N, such as h100-sxm5-80gb=8")
    return wanted_gpus(known, shortened(product), int(count[:9]))
