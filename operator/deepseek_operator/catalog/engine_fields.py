"""The recorded fields of an engine's own configuration object, for servers that start the engine without its flags."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.engines import engine_release


class FieldKind(StrEnum):
    """How the text of a flag becomes the value of a field; ``JSON`` stands for objects and lists."""

    INTEGER = "int"
    NUMBER = "float"
    TRUTH = "bool"
    TEXT = "str"
    JSON = "json"


@functools.cache
def engine_fields(engine: str, version: str) -> Mapping[str, FieldKind]:
    """Return the fields of ``AsyncEngineArgs`` of a release by name; the flag ``--max-num-seqs`` sets ``max_num_seqs``.

    Args:
        engine: ``vllm``.
        version: its release.

    Raises:
        UnknownEngineReleaseError: the release is not recorded.

    >>> fields = engine_fields("vllm", "0.32.0")
    >>> fields["max_num_seqs"].value, fields["speculative_config"].value, "tool_call_parser" in fields
    ('int', 'json', False)
    """
    release = engine_release(engine, version)
    rows = read_json(f"{release.engine}_{release.version}_engine_args.json")["fields"]
    if not isinstance(rows, dict):
        raise TypeError(f"field table of {engine} {version} holds no object")
    return MappingProxyType({name: FieldKind(kind) for name, kind in rows.items()})
