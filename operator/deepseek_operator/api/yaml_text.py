"""From text to the values of its YAML documents, safe for text that strangers have written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from deepseek_operator.errors import InvalidSpecError, shortened

MAX_TEXT_BYTES = 2**20
"""Largest text that is read, in bytes."""

MAX_DEPTH = 64
"""Deepest nesting that is read; the deepest field of the spec has 6 levels, a ``config.json`` 4."""

MAX_NODES = 200_000
"""Most values of one document once its aliases are written out; a spec has fewer than 1,000."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: ten times faster."""


def yaml_documents(text: str) -> Iterator[tuple[int, Any]]:
    r"""Yield the first line and the value of each YAML (or JSON) document.

    Args:
        text: at most 1 MiB.

    Raises:
        InvalidSpecError: the text is too large or no YAML, is nested too deeply, gives a key twice, or stands for more
            values than anybody writes (an alias bomb); the message names the line.

    >>> list(yaml_documents("a: 1\n---\nb: [2]"))
    [(1, {'a': 1}), (3, {'b': [2]})]
    """
    size_bytes = len(text.encode(errors="surrogatepass"))
    if size_bytes > MAX_TEXT_BYTES:
        raise InvalidSpecError("", f"the text has {size_bytes:,} bytes; at most {MAX_TEXT_BYTES:,} are read")
    loader = _Loader("")
    try:
        _refuse_deep_nesting(text)
        loader = _Loader(text)
        while loader.check_node():
            node: yaml.Node = loader.get_node()  # never None after check_node
            _expanded_size(node, {}, set())
            yield node.start_mark.line + 1, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise InvalidSpecError("", f"{line}the text is no YAML ({error.problem or error.context})") from None
    except yaml.YAMLError as error:
        raise InvalidSpecError("", f"the text is no YAML ({shortened(str(error).splitlines()[0])})") from None
    except ValueError as error:
        raise InvalidSpecError("", f"a value cannot be read ({shortened(str(error))})") from None
    finally:
        loader.dispose()


def _refuse_deep_nesting(text: str) -> None:
    """Raise before anything recursive reads the text.

    libyaml's composer recurses in C, and 500,000 open brackets end the process; its scanner needs minutes for them.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
                raise InvalidSpecError("", f"{line}the text is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _expanded_size(node: yaml.Node, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """Return how many values a node stands for with its aliases written out.

    Raises:
        InvalidSpecError: more than ``MAX_NODES`` (an alias bomb), an alias inside itself, or a key that is given twice.
    """
    line = node.start_mark.line + 1
    if id(node) in open_nodes:
        raise InvalidSpecError("", f"line {line}: an alias contains itself; write the value out")
    if id(node) not in sizes:
        open_nodes.add(id(node))
        children = _children(node)
        size = 1 + sum(_expanded_size(child, sizes, open_nodes) for child in children)
        open_nodes.discard(id(node))
        if size > MAX_NODES:
            raise InvalidSpecError("", f"line {line}: the document stands for more than {MAX_NODES:,} values")
        sizes[id(node)] = size
    return sizes[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise InvalidSpecError("", f"line {line}: the key {shortened(key.value)!r} is given twice")
            seen.add(key.value)
    return [part for pair in node.value for part in pair]
