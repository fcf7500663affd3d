"""Reading single fields of Kubernetes objects and snapshots: absent and null are alike, a wrong type is refused.

Objects come from a watch, from ``kubectl -o json`` or from a file that somebody edited, so every read is checked
and a mistake becomes one sentence instead of a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import intern

from deepseek_operator.errors import InventoryError, QuantityError, shortened
from deepseek_operator.units import parse_count

_EMPTY: Mapping[str, object] = {}


def _refused(field: str, value: object, expected: str) -> InventoryError:
    return InventoryError(f"{shortened(field)} is {shortened(repr(value)[:200])} where {expected} is expected")


def mapping_at(source: Mapping[str, object], field: str) -> Mapping[str, object]:
    """Return the object in a field, empty when it is absent or null.

    Raises:
        InventoryError: the field holds something else.

    >>> mapping_at({"metadata": {"name": "a"}}, "metadata"), mapping_at({}, "spec")
    ({'name': 'a'}, {})
    """
    value = source.get(field)
    if value is None:
        return _EMPTY
    if not isinstance(value, Mapping):
        raise _refused(field, value, "an object")
    return value


def items_at(source: Mapping[str, object], field: str) -> Sequence[Mapping[str, object]]:
    """Return the list of objects in a field, empty when it is absent or null.

    Raises:
        InventoryError: the field holds no list, or the list holds something other than objects.

    >>> items_at({"taints": [{"key": "a"}]}, "taints"), items_at({"taints": None}, "taints")
    ([{'key': 'a'}], ())
    """
    value = source.get(field)
    if value is None:
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _refused(field, value, "a list")
    for item in value:
        if not isinstance(item, Mapping):
            raise _refused(f"an entry of {field}", item, "an object")
    return value


def text_at(source: Mapping[str, object], field: str) -> str:
    """Return the text in a field, empty when it is absent or null; equal texts share memory.

    Raises:
        InventoryError: the field holds something else.

    >>> text_at({"name": "h100-1"}, "name"), text_at({}, "name")
    ('h100-1', '')
    """
    value = source.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refused(field, value, "text")
    return intern(str(value))


def integer_at(source: Mapping[str, object], field: str) -> int:
    """Return the whole number in a field, 0 when it is absent or null.

    Raises:
        InventoryError: the field holds something else.

    >>> integer_at({"priority": 1000}, "priority"), integer_at({}, "priority")
    (1000, 0)
    """
    value = source.get(field)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refused(field, value, "a whole number")
    return value


def is_set(source: Mapping[str, object], field: str) -> bool:
    """Return whether a boolean field is true; absent and null are false.

    Raises:
        InventoryError: the field holds something else, such as the text ``"false"``.

    >>> is_set({"unschedulable": True}, "unschedulable"), is_set({}, "unschedulable")
    (True, False)
    """
    value = source.get(field)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _refused(field, value, "true or false")
    return value


def texts_at(source: Mapping[str, object], field: str) -> dict[str, str]:
    """Return a map of texts (labels) sorted by key; equal texts of many objects share memory.

    Raises:
        InventoryError: the field holds something else.

    >>> texts_at({"labels": {"b": "2", "a": "1"}}, "labels")
    {'a': '1', 'b': '2'}
    """
    labels = mapping_at(source, field)
    return {intern(str(key)): text_at(labels, key) for key in sorted(labels)}


def count_of(field: str, value: object) -> int:
    """Return an extended resource's quantity as a whole number.

    Raises:
        InventoryError: the value is no quantity, or is negative.

    >>> count_of("nvidia.com/gpu", "8"), count_of("nvidia.com/gpu", 8)
    (8, 8)
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _refused(field, value, "a quantity")
    try:
        count = parse_count(value)
    except QuantityError as error:
        raise InventoryError(f"{shortened(field)}: {error}") from error
    if count < 0:
        raise _refused(field, value, "a quantity of 0 or more")
    return count
