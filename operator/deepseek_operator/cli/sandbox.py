"""``sandbox up|down|status``: a real control plane with fake GPU nodes on this machine, for trying and testing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepseek_operator.cli.output import EXIT_NO, Output, OutputFormat, write
from deepseek_operator.errors import SandboxError, shortened

app = typer.Typer(
    name="sandbox",
    help="A real Kubernetes control plane with fake GPU nodes on this machine.",
    no_args_is_help=True,
    add_completion=False,
)


class Part(StrEnum):
    """What a control plane can have beside Kubernetes itself."""

    LEADER_WORKER_SET = "leader-worker-set"


MAX_COUNT = 9_999
"""Most fake nodes of one kind, and GPUs of one node; more is a slip, and the fake cluster would choke on it."""

Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="Folder for its state; default: one folder per user in the temporary folder."),
]


def parse_nodes(texts: list[str]) -> list[tuple[str, int, int]]:
    """Return GPU id, GPUs per node and number of nodes for each ``GPU:GPUS[:NODES]``.

    >>> parse_nodes(["h100-sxm5-80gb:8:3", "l4:1"])
    [('h100-sxm5-80gb', 8, 3), ('l4', 1, 1)]
    """
    parsed = []
    for text in texts:
        gpu, _, numbers = text.partition(":")
        counts = numbers.split(":") if numbers else []
        if not gpu or not 1 <= len(counts) <= 2 or not all(_is_count(each) for each in counts):
            raise typer.BadParameter(
                f"--nodes {shortened(text)}: write GPU:GPUS[:NODES], for example h100-sxm5-80gb:8:2, "
                f"with numbers from 1 to {MAX_COUNT:,}"
            )
        parsed.append((gpu, int(counts[0]), int(counts[1]) if len(counts) == 2 else 1))
    return parsed


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(MAX_COUNT)) and 1 <= int(text) <= MAX_COUNT


@app.command()
def up(
    directory: Directory = None,
    nodes: Annotated[
        list[str] | None,
        typer.Option("--nodes", help="Fake nodes as GPU:GPUS[:NODES], repeatable; default: a mix of four products."),
    ] = None,
    install: Annotated[
        bool, typer.Option(help="Install the custom resource definition and the priority classes too.")
    ] = True,
    parts: Annotated[
        list[Part] | None,
        typer.Option("--with", help="Further parts to install, built once when not found; repeatable."),
    ] = None,
) -> None:
    """Start the control plane (built once, 5 to 10 minutes, when its programs are not found)."""
    from deepseek_operator import sandbox

    wanted = [
        node
        for gpu, gpus, count in parse_nodes(nodes or [])
        for node in sandbox.alike(count, sandbox.FakeNode(name=gpu, gpu_id=gpu, gpus=gpus))
    ]
    progress = sandbox.on_stderr()
    groups = sandbox.find_or_build_leader_worker_set(progress) if Part.LEADER_WORKER_SET in (parts or ()) else None
    state = sandbox.up(
        directory or sandbox.default_directory(),
        wanted or sandbox.DEFAULT_NODES,
        progress=progress,
        leader_worker_set=groups,
    )
    if install:
        install_resources(state.kubectl, state.kubeconfig)
    typer.echo(f"control plane is up; try:\n  export KUBECONFIG={state.kubeconfig}\n  {state.kubectl} get nodes")


def install_resources(kubectl: Path, kubeconfig: Path) -> None:
    """Apply the custom resource definitions and the priority classes, and wait until the API server serves them."""
    import json
    import subprocess

    from deepseek_operator.api.crd import capacity_plan_definition, custom_resource_definition
    from deepseek_operator.resources.priorityclass import build_priority_classes

    run = [str(kubectl), "--kubeconfig", str(kubeconfig)]
    definitions = [custom_resource_definition(), capacity_plan_definition()]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*definitions, *build_priority_classes()]})
    commands: list[tuple[list[str], str | None]] = [([*run, "apply", "--server-side", "--filename", "-"], text)]
    for definition in definitions:
        wait = [*run, "wait", "--timeout=60s", f"crd/{definition['metadata']['name']}"]
        # kubectl cannot wait for a condition while the list of them is still null.
        named = "--for=jsonpath={.status.acceptedNames.kind}=" + definition["spec"]["names"]["kind"]
        commands += [([*wait, named], None), ([*wait, "--for=condition=Established"], None)]
    for command, given in commands:
        done = subprocess.run(command, input=given, text=True, capture_output=True)  # noqa: S603 - our own binary and text
        if done.returncode != 0:
            raise SandboxError(f"kubectl {command[3]}: {done.stderr.strip()}")


@app.command()
def down(directory: Directory = None) -> None:
    """Stop exactly what ``up`` started and remove its folder."""
    from deepseek_operator import sandbox

    stopped = sandbox.down(directory or sandbox.default_directory())
    typer.echo("control plane is down" if stopped else "no control plane is running")


@app.command()
def status(directory: Directory = None, output: Output = OutputFormat.TABLE) -> None:
    """Tell whether the control plane runs; exit code 2 when it does not."""
    from deepseek_operator import sandbox

    found = sandbox.status(directory or sandbox.default_directory())
    processes = {each.name: each.pid for each in found.state.processes} if found else {}
    data = {
        "healthy": bool(found and found.healthy),
        "kubeconfig": str(found.state.kubeconfig) if found else "",
        "processes": processes,
    }
    if output is OutputFormat.TABLE:
        typer.echo(f"healthy: {'yes' if data['healthy'] else 'no'}\nkubeconfig: {data['kubeconfig'] or '-'}")
        for name, pid in processes.items():
            typer.echo(f"{name}: pid {pid}")
    else:
        write(data, output)
    if not data["healthy"]:
        raise typer.Exit(EXIT_NO)
