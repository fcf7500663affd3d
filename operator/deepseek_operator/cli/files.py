"""Reading what users name on the command line: deployments and cluster snapshots, bounded in size."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.units import MIB

if TYPE_CHECKING:
    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.capacity.dra import SliceFacts
    from deepseek_operator.capacity.facts import NodeFacts, PodFacts
    from deepseek_operator.capacity.inventory import Inventory
    from deepseek_operator.cluster import Cluster
    from deepseek_operator.planner.measurement import Measurement
    from deepseek_operator.resources.features import ClusterFeatures

    Facts = tuple[Sequence[NodeFacts], Sequence[PodFacts], Sequence[Measurement]]

MAX_SNAPSHOT_BYTES = 1024 * MIB
"""A full `kubectl get nodes,pods -A -o json` of 5,000 nodes is some 400 MiB; larger files are a mistake."""

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
        InvalidSpecError: the file holds none, is too large, or one of them is wrong.
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
    return deployments


def _decoded(read: Any, limit: int, name: str) -> str:  # noqa: ANN401 - a text file's read
    from deepseek_operator.errors import InvalidSpecError

    try:
        return str(read(limit))
    except UnicodeDecodeError as error:
        raise InvalidSpecError("", f"{name} is no UTF-8 text; write the manifests as YAML or JSON") from error


def read_facts(cluster: Path | None, kubeconfig: str | None) -> Facts:
    """Return nodes, GPU pods and engines' reports of a snapshot file, or of the live cluster when there is none.

    Raises:
        InventoryError: the file is no snapshot.
        ClusterError: there is no file and no cluster to ask.
    """
    import asyncio

    from deepseek_operator.capacity.snapshot import load_snapshot, snapshot_measurements

    if cluster is None:
        return asyncio.run(_read_live(kubeconfig))
    data = _load_json(cluster)
    return (*load_snapshot(data), snapshot_measurements(data))


def read_features(cluster: Path | None, kubeconfig: str | None) -> ClusterFeatures:
    """Return which APIs the cluster of a snapshot file serves, or the live one; errors as `read_facts`."""
    if cluster is not None:
        from deepseek_operator.capacity.snapshot import snapshot_features

        return snapshot_features(_load_json(cluster))
    import asyncio

    from deepseek_operator.cluster import connect
    from deepseek_operator.resources.features import features_of

    async def live() -> ClusterFeatures:
        async with await connect(kubeconfig) as connection:
            return features_of(await connection.served_versions())

    return asyncio.run(live())


def read_inventory(cluster: Path | None, kubeconfig: str | None) -> Inventory:
    """Return the inventory of a snapshot file, or of the live cluster; errors as `read_facts`."""
    from deepseek_operator.capacity.inventory import inventory

    return inventory(*read_facts(cluster, kubeconfig), read_features(cluster, kubeconfig))


def _load_json(path: Path) -> Mapping[str, object]:
    with path.open("rb") as file:
        content = file.read(MAX_SNAPSHOT_BYTES + 1)  # a device or pipe does not tell its size
    if len(content) > MAX_SNAPSHOT_BYTES:
        raise InventoryError(f"{path} is larger than 1 GiB; write a small one with `kubectl deepseek inventory`")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        wrong = shortened(str(error))
        raise InventoryError(f"{path} is no JSON ({wrong}); write one with `kubectl deepseek inventory`") from error
    if not isinstance(data, dict):
        raise InventoryError(f"{path} holds no JSON object; write one with `kubectl deepseek inventory`")
    return data


async def _read_live(kubeconfig: str | None) -> Facts:
    """Read page by page and keep facts only, so that large clusters stay small in memory."""
    from deepseek_operator.capacity.facts import joined, read_node, read_pod
    from deepseek_operator.cluster import UNFINISHED_PODS, connect

    async with await connect(kubeconfig) as cluster:
        nodes = joined([read_node(node) async for node in cluster.list("Node")], await _slices(cluster))
        pods = [read_pod(pod) async for pod in cluster.list("Pod", field_selector=UNFINISHED_PODS)]
        reported = await _reported(cluster)
    return nodes, [pod for pod in pods if pod.matters], reported


async def _slices(cluster: Cluster) -> list[SliceFacts]:
    """Return the ResourceSlices of the cluster; none where it serves no such API."""
    from deepseek_operator.capacity.dra import read_slice
    from deepseek_operator.errors import ForbiddenError, NotFoundError

    try:
        return [read_slice(each) async for each in cluster.list("ResourceSlice")]
    except NotFoundError:
        return []
    except ForbiddenError as error:
        typer.echo(f"planned without GPUs that are given by claims: {error}", err=True)
        return []


async def _reported(cluster: Cluster) -> list[Measurement]:
    """Return what engines have reported; without it a plan is still right, only less exact."""
    from deepseek_operator.capacity.measurements import measurements_of
    from deepseek_operator.errors import ForbiddenError, NotFoundError

    found: list[Measurement] = []
    try:
        async for deployment in cluster.list("DeepSeekDeployment"):
            found += measurements_of([deployment])
    except NotFoundError:
        return []  # the definition is not installed, so nothing runs
    except ForbiddenError as error:
        typer.echo(f"planned without what running engines reported: {error}", err=True)
        return []
    return found
