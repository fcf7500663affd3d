"""The same decisions as vLLM's command line, as the JSON object that the engine inside another server is made from.

Triton's vLLM backend reads ``model.json`` and calls ``AsyncEngineArgs(**content)``. The flags stay the one place where
the plan is written out; here they are only translated, by the recorded fields of the release.
Source: triton-inference-server/vllm_backend, ``src/model.py`` (``_init_engine_args``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from deepseek_operator.catalog.engine_fields import FieldKind
from deepseek_operator.catalog.engines import FlagSpec
from deepseek_operator.errors import InvalidSpecError, shortened
from deepseek_operator.resources.extra_args import FIELD

SERVER_FLAGS = frozenset({"--served-model-name", "--shutdown-timeout"})
"""Flags whose field the engine has too, but which the server around it decides: its model name, its own drain."""


def engine_arguments(
    words: Sequence[str], flags: Mapping[str, FlagSpec], fields: Mapping[str, FieldKind]
) -> dict[str, object]:
    """Return the engine's fields that a command line sets; flags of vLLM's HTTP server alone are left out.

    Args:
        words: arguments of ``vllm serve``, the model first.
        flags: the release's flags by every spelling.
        fields: the release's fields (`catalog.engine_fields`).

    Raises:
        InvalidSpecError: a value is not what its field holds.

    >>> from deepseek_operator.catalog.engine_fields import engine_fields
    >>> from deepseek_operator.catalog.engines import engine_flags
    >>> words = ["a/b", "--port=8000", "--max-num-seqs=64", "--gpu-memory-utilization", "0.92", "--no-enable-eplb"]
    >>> engine_arguments(words, engine_flags("vllm", "0.32.0"), engine_fields("vllm", "0.32.0"))
    {'model': 'a/b', 'max_num_seqs': 64, 'gpu_memory_utilization': 0.92, 'enable_eplb': False}
    """
    made: dict[str, object] = {"model": words[0]}
    for spelling, values in _grouped(words[1:]):
        path = spelling.split(".")
        spec = flags[path[0]]
        field = _field(spec.names[0])
        if spec.names[0] in SERVER_FLAGS or field not in fields:
            continue
        if len(path) > 1:
            _put(made, [field, *path[1:]], " ".join(values))
        elif spec.takes_many:
            made[field] = [_json(value) for value in values]
        else:
            made[field] = _value(spelling, values, fields[field])
    return made


def refuse_server_flags(extra: Sequence[str], flags: Mapping[str, FlagSpec], fields: Mapping[str, FieldKind]) -> None:
    """Raise for the first of the user's arguments that only vLLM's own HTTP server would read.

    Args:
        extra: the user's arguments, known to exist in the release.
        flags: the release's flags by every spelling.
        fields: the release's fields.

    Raises:
        InvalidSpecError: such an argument is there; Triton would leave it out unseen.
    """
    for spelling, _ in _grouped(extra):
        flag = flags[spelling.split(".")[0]].names[0]
        if _field(flag) not in fields:
            raise InvalidSpecError(
                FIELD, f"{shortened(spelling)} is for vLLM's own HTTP server, which Triton replaces; leave it out"
            )


def _grouped(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Put each flag together with its values, with hyphens for underscores; one after an equals sign comes first."""
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            spelling, assigned, value = word.partition("=")
            name, dot, inner = spelling.partition(".")
            groups.append((name.replace("_", "-") + dot + inner, [value] if assigned else []))
        elif groups:
            groups[-1][1].append(word)
    return groups


def _field(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _value(spelling: str, values: Sequence[str], kind: FieldKind) -> object:
    if kind is FieldKind.TRUTH:
        return not spelling.startswith("--no-") if not values else values[0].lower() in ("true", "1")
    text = values[0] if values else ""
    try:
        match kind:
            case FieldKind.INTEGER:
                return int(text)
            case FieldKind.NUMBER:
                return float(text)
            case FieldKind.JSON:
                return json.loads(text)
    except ValueError:
        wanted = {FieldKind.INTEGER: "a whole number", FieldKind.NUMBER: "a number"}.get(kind, "JSON")
        raise InvalidSpecError(FIELD, f"{spelling} needs {wanted} in model.json, not {shortened(text)!r}") from None
    return text


def _json(text: str) -> object:
    """Return what a text says as JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(target: dict[str, object], path: Sequence[str], text: str) -> None:
    """Set a value inside nested objects, as ``--compilation-config.mode=3`` does; a plus sign appends to a list.

    Source: vLLM 0.32.0 ``utils/argparse_utils.py``, ``FlexibleArgumentParser`` (JSON arguments in parts).
    """
    for step in path[:-1]:
        inner = target.setdefault(step, {})
        if not isinstance(inner, dict):
            raise InvalidSpecError(FIELD, f"--{path[0].replace('_', '-')} is given whole and in parts; give it once")
        target = inner
    if not path[-1].endswith("+"):
        target[path[-1]] = _json(text)
        return
    listed = target.setdefault(path[-1][:-1], [])
    if isinstance(listed, list):
        listed.extend(_json(part) for part in text.split(","))
