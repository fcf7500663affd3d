"""The real API server's judgement of every golden manifest, with strict validation.

LeaderWorkerSets are judged where their definition is installed, in ``test_groups``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cluster.kubectl import Kubectl

FILES = sorted((Path(__file__).parents[1] / "golden" / "manifests").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_golden_manifests_are_accepted(kubectl: Kubectl, file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["kind"] == "LeaderWorkerSet":
            continue
        there = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
        kubectl(
            "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin={**manifest, "metadata": there}
        )
