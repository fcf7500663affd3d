"""The user's own engine flags: they may add to the plan, never contradict it, and must exist in the release.

A flag that changes what the planner counted (memory, splits, context) or what the operator promises (ports, secrets,
metrics) has a field in the resource instead, and the refusal names it. A flag that the operator only sets by default
(parsers, prefix caching) is the user's to change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from deepseek_operator.catalog.engines import FlagSpec
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened
from deepseek_operator.resources.reserved_flags import RESERVED_FLAGS, SHORT_OPTIONS

FIELD = "spec.engine.extraArgs"


def merged_args(
    planned: Sequence[str],
    extra: Sequence[str],
    flags: Mapping[str, FlagSpec],
    release: str,
    defaults: Sequence[str] = (),
) -> list[str]:
    """Return the plan's arguments, the defaults that the user leaves, and those of the user's that add something.

    Args:
        planned: arguments of the plan, each one ``--flag`` or ``--flag=value``; positional ones first.
        extra: the user's arguments, one word per item: ``--flag``, ``--flag=value``, or ``--flag`` and its values.
            Underscores count as hyphens, as the engine takes them.
        flags: the release's flags by every spelling (`catalog.engines.engine_flags`).
        release: engine release, for messages.
        defaults: arguments that the user may change, each one word; one that the user names is left out.

    Raises:
        InvalidSpecError: a flag does not exist in the release, belongs to the plan or to another field, lacks
            its value or is not written out; the text names the flag and what to write instead.

    >>> from deepseek_operator.catalog.engines import engine_flags
    >>> flags = engine_flags("vllm", "0.32.0")
    >>> merged_args(["m", "--max-num-seqs=64"], ["--seed", "7", "--max-num-seqs", "64"], flags, "0.32.0")
    ['m', '--max-num-seqs=64', '--seed', '7']
    >>> merged_args(["m"], ["--reasoning_parser=mine"], flags, "0.32.0", ["--reasoning-parser=deepseek_r1"])
    ['m', '--reasoning-parser=mine']
    """
    added: list[str] = []
    named: set[str] = set()
    for words in _grouped(extra):
        written, equals, value = words[0].partition("=")
        name, dot, field = written.partition(".")
        spelling = name.replace("_", "-")
        spec = flags.get(spelling)
        if spec is None:
            raise InvalidSpecError(FIELD, _unknown(written, spelling, flags, release))
        values = [*filter(None, (value,)), *words[1:]]
        if not dot and _says_the_same(spelling, spec, values, planned):
            continue
        flag = spec.names[0]
        if flag in RESERVED_FLAGS:
            raise InvalidSpecError(FIELD, f"{shortened(written)} contradicts the plan: {RESERVED_FLAGS[flag]}")
        _check_values(shortened(written), values, spec, given=bool(equals) or len(words) > 1)
        named.add(flag)
        added += [spelling + dot + field + equals + value, *words[1:]]
    kept = [word for word in defaults if word.partition("=")[0] not in named]
    return [*planned, *kept, *added]


def _says_the_same(spelling: str, spec: FlagSpec, values: Sequence[str], planned: Sequence[str]) -> bool:
    """Whether an argument repeats one of the plan's, in whatever spelling."""
    if spelling.startswith("--no-") and spelling != spec.names[0]:
        return False
    return len(values) <= 1 and "=".join((spec.names[0], *values)) in planned


def _grouped(extra: Sequence[str]) -> list[list[str]]:
    """Put each flag together with the values that follow it as words of their own."""
    groups: list[list[str]] = []
    for word in extra:
        if word.startswith("--") and len(word) > 2:
            groups.append([word])
        elif word.startswith("-") and not word[1:].replace(".", "", 1).isdigit():
            raise InvalidSpecError(FIELD, _short_option(word))
        elif not groups:
            raise InvalidSpecError(FIELD, f"{shortened(word)!r} belongs to no flag; begin with one, as in --seed=1")
        else:
            groups[-1].append(word)
    return groups


def _short_option(word: str) -> str:
    """Return why a word with one hyphen is refused, with the flag that it stands for where it is one."""
    short = re.match("-[A-Za-z]*", word)
    flag = SHORT_OPTIONS.get(short.group() if short else "")
    if flag is not None and flag in RESERVED_FLAGS:
        return f"{shortened(word)} ({flag}) contradicts the plan: {RESERVED_FLAGS[flag]}"
    return f"{shortened(word)!r} is a short option; write the flag out, as in {flag or '--seed'}=1"


def _check_values(name: str, values: Sequence[str], spec: FlagSpec, *, given: bool) -> None:
    """Refuse what the engine's parser would refuse at start-up, where it costs a crash loop."""
    if spec.is_switch and given:
        raise InvalidSpecError(FIELD, f"{name} is a switch and takes no value; write {name} alone")
    if spec.takes_value and not values:
        raise InvalidSpecError(FIELD, f"{name} needs a value; write {name}=VALUE")
    if len(values) > 1 and not spec.takes_many:
        raise InvalidSpecError(FIELD, f"{name} takes one value, {len(values)} follow it; write {name}=VALUE")
    wrong = [value for value in values if spec.choices and value not in spec.choices]
    if wrong:
        raise InvalidSpecError(
            FIELD, f"{name} does not take {shortened(wrong[0])!r}; write one of {', '.join(spec.choices)}"
        )


def _unknown(written: str, spelling: str, flags: Mapping[str, FlagSpec], release: str) -> str:
    near = near_matches(spelling, flags)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `vllm serve --help=all` of that release"
    return f"{shortened(written)} is no flag of vLLM {release}; {hint}"
