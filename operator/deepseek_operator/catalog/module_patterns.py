"""The ways in which checkpoints name modules that they leave unquantized, as the engine matches them.

A matcher takes the full name of a module, such as ``model.layers.0.mlp.down_proj``. Source: vLLM 0.32.0
``quantization/utils/quant_utils.py`` ``is_layer_skipped``, ``quantization/utils/config_utils.py``,
``quantization/modelopt.py`` ``is_layer_excluded``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from math import comb

from deepseek_operator.catalog.config_fields import ConfigFields

Matcher = Callable[[str], bool]

MAX_PATTERNS = 4096
"""Names in one list: a model of 61 layers that names each of its modules has some 1,000."""
MAX_PATTERN_CHARACTERS = 200
"""Characters of one name: the longest real ones have some 60."""
_SAFE_REGEX = re.compile(r"(?:[\w.$^\\|\[\]-]|\((?:\?:)?[\w.\\|-]*\)|[\w.\]][*+?])*")
"""Regular expressions without repeated groups, which cannot take exponential time."""
_MAX_REPEATS = 4
"""Repetitions in one expression, so that the time for a name of 60 characters stays bounded."""
_BROAD_REPEAT = re.compile(r"(?:(?<!\\)\.|\\[wWSD]|\])[*+]")
"""Repetitions that can run over a whole name, such as ``.*``; ``\\d+`` stops at the next letter."""
_NAME_CHARACTERS = 60
"""Of the longest modules' names."""
_MAX_STEPS = 100_000
"""Most steps that all expressions of a list may take to refuse one name, some milliseconds: 50 of the form
``.*gate.*``, or 2 of ``.*layers.*mlp.*``. Published checkpoints have a handful of expressions with one or two."""


def names(fields: ConfigFields, field: str) -> tuple[str, ...]:
    """Return a list of names; empty where the field is missing or null.

    Raises:
        UnsupportedModelError: it is no list of strings, or longer than any real one.
    """
    listed = fields.sequence(field)
    if len(listed) > MAX_PATTERNS:
        raise fields.refuse(field, f"at most {MAX_PATTERNS:,} names")
    for name in listed:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_PATTERN_CHARACTERS:
            raise fields.refuse(field, f"names of modules with at most {MAX_PATTERN_CHARACTERS} characters each")
        if name.count("*") > _MAX_REPEATS and not name.startswith("re:"):
            raise fields.refuse(field, f"names with at most {_MAX_REPEATS} asterisks each")
    return tuple(sorted({str(name) for name in listed}))


def nothing(_name: str) -> bool:
    """Match no module."""
    return False


def exact(listed: tuple[str, ...]) -> Matcher:
    """Return a matcher of full names; an expert of a layer stands for all of them."""
    known = frozenset(listed)
    expert_layers = frozenset(_subject(name) for name in listed if ".mlp.experts" in name)
    return lambda name: name in known or _subject(name) in expert_layers


def contains(listed: tuple[str, ...]) -> Matcher:
    """Return a matcher of names that contain one of the listed texts (AWQ)."""
    return lambda name: any(text in _subject(name) for text in listed)


def component(listed: tuple[str, ...]) -> Matcher:
    """Return a matcher of names with a listed part between dots, or that begin with a listed path (bitsandbytes)."""
    known = frozenset(listed)

    def matches(name: str) -> bool:
        parts = _subject(name).split(".")
        return any(part in known or ".".join(parts[: index + 1]) in known for index, part in enumerate(parts))

    return matches


def shell_or_contained(listed: tuple[str, ...]) -> Matcher:
    """Return a matcher of shell patterns and of contained names (ModelOpt)."""
    inside = contains(tuple(text for text in listed if not _is_shell_pattern(text)))
    shell = _any_shell_pattern(listed)
    return lambda name: inside(name) or shell.fullmatch(_subject(name)) is not None


def regex_or_exact(fields: ConfigFields, field: str) -> Matcher:
    """Return a matcher of full names and of ``re:`` expressions (compressed-tensors, Quark).

    Raises:
        UnsupportedModelError: an expression is broken, or of a kind that could take exponential time.
    """
    listed = names(fields, field)
    known = frozenset(text for text in listed if not text.startswith("re:"))
    shell = _any_shell_pattern(tuple(known))
    written = tuple(text[3:] for text in listed if text.startswith("re:"))
    expressions = tuple(_compiled(fields, field, text) for text in written)
    if sum(map(_steps, written)) > _MAX_STEPS:
        raise fields.refuse(field, "fewer regular expressions, or such with fewer repetitions, to be matched in time")

    def matches(name: str) -> bool:
        return (
            name in known
            or any(expression.match(name) for expression in expressions)
            or shell.fullmatch(name) is not None
        )

    return matches


def _is_shell_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _any_shell_pattern(listed: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all shell patterns of a list; without any it matches no name."""
    return re.compile("|".join(translate(text) for text in sorted(listed) if _is_shell_pattern(text)) or r"(?!)")


def _compiled(fields: ConfigFields, field: str, expression: str) -> re.Pattern[str]:
    repeats = sum(expression.count(sign) for sign in "*+?")
    if not _SAFE_REGEX.fullmatch(expression) or repeats > _MAX_REPEATS:
        raise fields.refuse(
            field, f"regular expressions without repeated groups and with at most {_MAX_REPEATS} repetitions"
        )
    try:
        return re.compile(expression)
    except re.error as error:
        raise fields.refuse(field, f"regular expressions, and {expression!r} is none ({error})") from error


def _steps(expression: str) -> int:
    r"""Return how many ways an expression can be laid over a name, at most.

    >>> _steps(".*lm_head"), _steps(".*gate.*"), _steps(r"model.layers.\d+.mlp.gate")
    (61, 1891, 2)
    """
    broad = len(_BROAD_REPEAT.findall(expression))
    narrow = sum(expression.count(sign) for sign in "*+?") - broad
    return comb(_NAME_CHARACTERS + broad, broad) << narrow


def _subject(name: str) -> str:
    """Return the engine's module: all routed experts of a layer are one.

    >>> _subject("model.layers.3.mlp.experts.0.up_proj")
    'model.layers.3.mlp.experts'
    """
    head, found, _ = name.partition(".mlp.experts")
    return head + found
