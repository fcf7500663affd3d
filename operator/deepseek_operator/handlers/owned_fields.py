"""What of a stored object is ours, as the API server itself tells: the fields of our entry in ``managedFields``.

The form is that of server-side apply (kubernetes-sigs/structured-merge-diff, ``fieldpath/serialize-pe.go``): ``f:`` is
a field, ``k:`` an item of a list by its keys, ``v:`` an item of a set by its value, ``.`` the element itself, and no
further fields mean all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from deepseek_operator.resources.names import FIELD_MANAGER

JsonObject = Mapping[str, Any]

IDENTITY = frozenset({"apiVersion", "kind"})
IDENTITY_METADATA = frozenset({"name", "namespace"})
"""What every apply says of an object and nobody owns. Source: Kubernetes, "Server-Side Apply", field management."""

REMEMBERED_KEYS = 4096
"""Keys of list items, some 200 B each; objects of one kind have the same ones."""

DIGEST_CHARACTERS = 32
"""128 bits."""

ItemKeys = tuple[tuple[str, Any], ...]
"""Names of fields with their values, or one value under the name ""."""


class _UnreadableError(Exception):
    """The record of ownership does not fit the object, or has a form that is not known here."""


def owned_digest(body: JsonObject) -> str:
    """Return what identifies our fields of a stored object and their values; another one's fields change nothing.

    It equals `manifest_digest` of a manifest only when applying that would change nothing: all its fields are ours
    with these values, and no others are. Where the API server keeps a value in another form, it differs.

    Args:
        body: an object as the API server returns it.
    """
    fields = our_fields(body["metadata"].get("managedFields") or ())
    try:
        return _digest([_covered(body, each) for each in fields])
    except _UnreadableError:
        return _digest(["unreadable", fields])


def manifest_digest(manifest: JsonObject) -> str:
    """Return what identifies the fields of a manifest that an apply would make ours, and their values."""
    said = {key: value for key, value in manifest.items() if key not in IDENTITY}
    said["metadata"] = {key: value for key, value in manifest["metadata"].items() if key not in IDENTITY_METADATA}
    return _digest([said])


def our_fields(managed_fields: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the fields that this product has applied: of one entry, or of none."""
    return [
        entry.get("fieldsV1") or {}
        for entry in managed_fields
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
    ]


def _covered(value: Any, fields: JsonObject) -> Any:  # noqa: ANN401 - JSON
    """Return the part of a value that a set of fields covers."""
    if not fields:
        return value
    if isinstance(value, dict):
        try:
            return {name[2:]: _covered(value[name[2:]], inner) for name, inner in fields.items() if name != "."}
        except KeyError as error:
            raise _UnreadableError from error
    if isinstance(value, list):
        return _items(value, {_keys_of(name): inner for name, inner in fields.items() if name != "."})
    raise _UnreadableError


def _items(items: Sequence[Any], fields: Mapping[ItemKeys, JsonObject]) -> list[Any]:
    """Return the covered items of a list, in its order."""
    names = [name for name, _ in next(iter(fields), ())]
    found = []
    try:
        for item in items:
            keys = (("", item),) if names == [""] else tuple([(name, item.get(name)) for name in names])
            if keys in fields:
                found.append(_covered(item, fields[keys]))
    except (AttributeError, TypeError) as error:
        raise _UnreadableError from error
    if len(found) != len(fields):
        raise _UnreadableError
    return found


@lru_cache(maxsize=REMEMBERED_KEYS)
def _keys_of(name: str) -> ItemKeys:
    """Return which item of a list a name means.

    >>> _keys_of('k:{"containerPort":8000,"protocol":"TCP"}')
    (('containerPort', 8000), ('protocol', 'TCP'))
    >>> _keys_of('v:"ReadWriteOnce"')
    (('', 'ReadWriteOnce'),)
    """
    try:
        value = json.loads(name[2:])
        keys = (("", value),) if name.startswith("v:") else tuple(value.items())
        hash(keys)
    except (ValueError, AttributeError, TypeError) as error:
        raise _UnreadableError from error
    return keys


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGEST_CHARACTERS]
