"""The examples of the documents print what these say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "hack" / "render_examples.py"


@pytest.mark.parametrize(
    "name", ["plan.md", "capacity.md", "estimate.md", "catalog.md", "library.md", "architecture.md"]
)
def test_examples_are_real(name: str):
    done = subprocess.run([sys.executable, str(SCRIPT), "--check", name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
