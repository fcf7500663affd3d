"""The small deployment as a file, for the verbs of the command line."""

from __future__ import annotations

from pathlib import Path

import yaml

from spec_table import Changes, changed


def written(folder: Path, changes: Changes) -> str:
    """Write the small deployment with some fields changed as a file, and return its path."""
    file = folder / "deployment.yaml"
    file.write_text(yaml.safe_dump(changed(changes)))
    return str(file)
