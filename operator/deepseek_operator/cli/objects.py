"""DeepSeekDeployments for verbs that tell of them: of the live cluster, or saved by ``kubectl get -o json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.errors import ClusterError, InventoryError, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_FILE_BYTES = 64 * 2**20
"""A thousand objects with their status are some 20 MB."""

ObjectFile = Annotated[
    Path | None,
    typer.Option("--filename", "-f", help="What `kubectl get dsd -o json` saved, in place of the live cluster."),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: the namespace of the kubeconfig's context.")
]


def saved(file: Path) -> list[dict[str, Any]]:
    """Return the DeepSeekDeployments of a file: one object, or a List.

    Raises:
        InventoryError: the file is too large, no JSON, or holds none.
    """
    if file.stat().st_size > MAX_FILE_BYTES:
        raise InventoryError(f"{file} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InventoryError(
            f"{file} is no JSON; give what `kubectl get dsd -o json` saved (manifests are for `plan -f`)"
        ) from error
    listed = found.get("items", [found]) if isinstance(found, dict) else []
    items = listed if isinstance(listed, list) else []
    objects = [each for each in items if _is_deployment(each)]
    if not objects:
        raise InventoryError(f"there is no DeepSeekDeployment in {file}; write it with `kubectl get dsd -o json`")
    return objects


def named(objects: Sequence[Mapping[str, Any]], name: str | None) -> list[Mapping[str, Any]]:
    """Return the objects of a name, in any namespace; all without one."""
    return [each for each in objects if name is None or each["metadata"]["name"] == name]


def _is_deployment(found: object) -> bool:
    """Return whether it is a DeepSeekDeployment with a name."""
    if not isinstance(found, dict) or found.get("kind") != "DeepSeekDeployment":
        return False
    metadata = found.get("metadata")
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


async def live(kubeconfig: str | None, namespace: str | None, name: str | None = None) -> list[Mapping[str, Any]]:
    """Return one object, or all of a namespace (None: of all namespaces).

    Raises:
        ClusterError: there is no cluster, no such object, or it may not be read.
    """
    from deepseek_operator.cluster import connect
    from deepseek_operator.errors import NotFoundError

    async with await connect(kubeconfig) as cluster:
        if name is None:
            return [each async for each in cluster.list("DeepSeekDeployment", namespace)]
        try:
            return [await cluster.get("DeepSeekDeployment", namespace, name)]
        except NotFoundError as error:
            raise ClusterError(f"there is no DeepSeekDeployment {shortened(name)} in namespace {namespace}") from error
