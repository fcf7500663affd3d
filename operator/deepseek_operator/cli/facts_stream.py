"""Reading saved clusters: a snapshot as a whole, because it is small, and a list of objects as a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from deepseek_operator.cli.nesting import MOST_LEVELS, Nesting
from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.units import MIB

if TYPE_CHECKING:
    from deepseek_operator.capacity.cluster_facts import ClusterFacts

MAX_SNAPSHOT_BYTES = 1024 * MIB
"""A snapshot of 10,000 nodes is some 10 MiB; files that are no list of objects and larger are a mistake."""

MOST_TEXT_BYTES = 4 * MIB
"""Longest text of an object; etcd takes whole objects of 1.5 MiB, and parsers of streams are slow with longer ones."""

HEAD_BYTES = 4096
"""In which the kind of a file is looked for; kubectl writes that of a list last, snapshots and the API server first."""

_KIND = re.compile(rb'"kind"\s*:\s*"(\w+)"')
_ITEMS = re.compile(rb'"items"\s*:\s*\[')
_ENDS_EARLY = re.compile("premature EOF|Incomplete JSON")
"""What the parsers of ijson say of a file that is cut off; other mistakes have the same type."""

_WRITE_ONE = "write one with `kubectl deepseek inventory -o json`"


def read_file(path: Path) -> ClusterFacts:
    """Return what a file tells of a cluster.

    Raises:
        InventoryError: it is no snapshot and no list of objects, or it ends in the middle.
        OSError: it cannot be read.
    """
    from deepseek_operator.capacity.snapshot import LISTS, facts_of_list, load_cluster

    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        items = _ITEMS.search(head)
        kind = _KIND.search(head[: items.start()] if items else head)
        listed = kind.group(1).decode() if kind else "List"
        if items is None or listed not in LISTS:
            return load_cluster(_whole(path, head, file))
        try:
            return facts_of_list(_items(path, head, file), listed)
        except InventoryError as error:
            raise InventoryError(f"{path}: {error}; {_WRITE_ONE}") from error


class _Chunks:
    """A file whose beginning was read already."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file, self._nesting = head, file, Nesting()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none for a size of 0, by which ijson finds out that they are bytes.

        Raises:
            InventoryError: they nest deeper, or hold a longer text, than any object of Kubernetes.
        """
        if self._head and size:
            piece, self._head = self._head, b""
        else:
            piece = self._file.read(size)
        if not self._nesting.within(piece):
            raise InventoryError(f"it nests more than {MOST_LEVELS:,} levels deep")
        if self._nesting.text_bytes > MOST_TEXT_BYTES:
            raise InventoryError("it holds a text of more than 4 MiB, larger than any object of Kubernetes")
        return piece


def _items(path: Path, head: bytes, file: BinaryIO) -> Iterator[Mapping[str, object]]:
    """Yield the objects of a list one by one."""
    import ijson  # type: ignore[import-untyped]  # - it has no annotations

    count = 0
    try:
        for item in ijson.items(_Chunks(head, file), "items.item", use_float=True):
            if not isinstance(item, Mapping):
                raise InventoryError(f"an entry of items is {shortened(repr(item)[:200])} where an object is expected")
            yield item
            count += 1
    except (ijson.JSONError, ValueError, RecursionError) as error:
        if _ENDS_EARLY.search(str(error)):
            raise InventoryError(f"the file ends in the middle, after {count:,} objects") from error
        wrong = shortened(" ".join(str(error).split())[:200])
        raise InventoryError(f"no JSON after {count:,} objects ({wrong})") from error


def _whole(path: Path, head: bytes, file: BinaryIO) -> Mapping[str, object]:
    content = head + file.read(MAX_SNAPSHOT_BYTES + 1 - len(head))  # a device or pipe does not tell its size
    if len(content) > MAX_SNAPSHOT_BYTES:
        raise InventoryError(f"{path} is larger than 1 GiB; {_WRITE_ONE}")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InventoryError(f"{path} is no JSON ({shortened(str(error))}); {_WRITE_ONE}") from error
    if not isinstance(data, dict):
        raise InventoryError(f"{path} holds no JSON object; {_WRITE_ONE}")
    return data
