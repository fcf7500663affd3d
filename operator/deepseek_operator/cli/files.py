"""Reading what users name on the command line: deployments and cluster snapshots, bounded in size."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.units import MIB

if TYPE_CHECKING:
    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.capacity.cluster_facts import ClusterFacts
    from deepseek_operator.capacity.inventory import Inventory

MAX_DEPLOYMENTS_BYTES = MIB
"""One DeepSeekDeployment is some 2 kB; the API server refuses objects above 1.5 MiB."""

DeploymentFile = Annotated[
    str, typer.Option("--filename", "-f", help="YAML or JSON with DeepSeekDeployments; - reads standard input.")
]
ClusterFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster",
        help="Snapshot of `kubectl deepseek inventory` or of `kubectl get nodes,pods -A -o json`; "
        "default: the cluster of the current context.",
    ),
]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Kubeconfig to use instead of the default.")]


def read_deployments(name: str) -> list[DeepSeekDeployment]:
    """Return the DeepSeekDeployments of a file, or of standard input for ``-``.

    Raises:
        InvalidSpecError: the file holds none, is too large, one of them is wrong, or two have one name.
        OSError: the file cannot be read.
    """
    from deepseek_operator.api.parse import parse_documents
    from deepseek_operator.errors import InvalidSpecError

    if name == "-":
        text = _decoded(sys.stdin.read, MAX_DEPLOYMENTS_BYTES + 1, "standard input")
    else:
        with Path(name).open(encoding="utf-8", errors="strict") as file:
            text = _decoded(file.read, MAX_DEPLOYMENTS_BYTES + 1, name)
    if len(text) > MAX_DEPLOYMENTS_BYTES:
        raise InvalidSpecError("", f"{name} is larger than 1 MiB; a file of DeepSeekDeployments is a few kB")
    deployments = list(parse_documents(text))
    if not deployments:
        raise InvalidSpecError("", f"{name} holds no DeepSeekDeployment")
    names = Counter((each.metadata.namespace, each.metadata.name) for each in deployments)
    for (namespace, twice), count in names.items():
        if count > 1:
            raise InvalidSpecError("metadata.name", f"{twice} is there twice in namespace {namespace}; rename one")
    if len(deployments) > 1:
        _refuse_with_name(deployments)
    return deployments


def _refuse_with_name(deployments: list[DeepSeekDeployment]) -> None:
    """Raise for the first of several that cannot be planned as it is written, and say which it is."""
    from deepseek_operator.api.to_request import plan_request
    from deepseek_operator.errors import CatalogError, InvalidSpecError

    for each in deployments:
        try:
            plan_request(each)
        except (InvalidSpecError, CatalogError) as error:
            raise InvalidSpecError("", f"{each.metadata.name}: {error}") from error


def _decoded(read: Any, limit: int, name: str) -> str:  # noqa: ANN401 - a text file's read
    from deepseek_operator.errors import InvalidSpecError

    try:
        return str(read(limit))
    except UnicodeDecodeError as error:
        raise InvalidSpecError("", f"{name} is no UTF-8 text; write the manifests as YAML or JSON") from error


def read_facts(cluster: Path | None, kubeconfig: str | None) -> ClusterFacts:
    """Return what is known of a cluster: from a snapshot file, or from the live cluster when there is none.

    A long list, as of ``kubectl get nodes,pods -A -o json``, is read as a stream.

    Raises:
        InventoryError: the file is no snapshot.
        ClusterError: there is no file and no cluster to ask.
    """
    if cluster is None:
        import asyncio

        from deepseek_operator.cli.live_facts import read_live

        found = asyncio.run(read_live(kubeconfig))
    else:
        from deepseek_operator.cli.facts_stream import read_file

        found = read_file(cluster)
    for sentence in found.partial:
        typer.echo(f"partial: {sentence}", err=True)
    return found


def read_inventory(cluster: Path | None, kubeconfig: str | None) -> Inventory:
    """Return the inventory of a snapshot file, or of the live cluster; errors as `read_facts`."""
    from deepseek_operator.capacity.inventory import inventory

    found = read_facts(cluster, kubeconfig)
    return inventory(found.nodes, found.pods, found.measurements, found.features)
