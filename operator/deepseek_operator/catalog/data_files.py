"""Reading the data files that ship with this package. Every file's source is named in ``data/README.md``."""

from __future__ import annotations

import json
from importlib import resources
from importlib.resources.abc import Traversable

DATA: Traversable = resources.files("deepseek_operator.catalog") / "data"


def read_text(name: str) -> str:
    """Return a data file's text.

    Args:
        name: file name below ``catalog/data``, such as ``gpus.csv``. It comes from code, never from a user.
    """
    return DATA.joinpath(name).read_text(encoding="utf-8")


def read_json(name: str) -> dict[str, object]:
    """Return a JSON data file, whose top level is an object.

    Raises:
        TypeError: the file's top level is something else; the file is ours, so this is a defect of the package.
    """
    content = json.loads(read_text(name))
    if not isinstance(content, dict):
        raise TypeError(f"catalog data file {name} holds no JSON object")
    return content
