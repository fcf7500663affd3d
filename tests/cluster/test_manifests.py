"""The real API server's judgement of every golden manifest, with strict validation.

LeaderWorkerSets and PodMonitors are judged where their definition is installed, in ``test_groups`` and
``test_monitoring``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kubectl import Kubectl
from deepseek_operator.handlers.owned_fields import manifest_digest, owned_digest
from deepseek_operator.resources.names import FIELD_MANAGER

OF_OTHERS = {"LeaderWorkerSet", "PodMonitor"}
FILES = sorted((Path(__file__).parents[1] / "golden" / "manifests").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_golden_manifests_are_accepted(kubectl: Kubectl, file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["kind"] in OF_OTHERS:
            continue
        there = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
        kubectl(
            "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin={**manifest, "metadata": there}
        )


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_applied_manifest_is_recognized_in_what_is_stored(kubectl: Kubectl, file: Path) -> None:
    """A successor of the operator applies nothing again that is as it would apply it."""
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["kind"] in OF_OTHERS:
            continue
        there = {**manifest, "metadata": {**manifest["metadata"], "namespace": kubectl.namespace}}
        asked = ("--dry-run=server", f"--field-manager={FIELD_MANAGER}", "--show-managed-fields", "--output=json")
        stored = kubectl("apply", "--server-side", "--filename=-", *asked, stdin=there)
        assert (owned_digest(stored) == manifest_digest(there)) is is_stored_as_written(manifest), manifest["kind"]


def is_stored_as_written(manifest: dict[str, Any]) -> bool:
    """The API server shortens sizes of claims, drops empty lists and completes references to fields."""
    return manifest["kind"] != "PersistentVolumeClaim" and not re.search(r"fieldRef|'ingress': \[\]", str(manifest))
