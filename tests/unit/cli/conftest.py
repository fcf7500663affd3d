"""A cluster that most verbs are asked about, as kubectl saves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster_objects import gpu_node


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """A file with two nodes of eight free H100 each."""
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"kind": "List", "items": [gpu_node("a"), gpu_node("b")]}))
    return file
