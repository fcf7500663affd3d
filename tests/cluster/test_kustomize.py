"""The overlays: what the kubectl of users makes of them is what the chart renders with the same values."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from render_install import COMPONENTS, INSTALL, MANIFESTS, NAMESPACE, NAMESPACE_MANIFEST, OVERLAYS, rendered

from deepseek_operator.sandbox import Binaries

Manifest = dict[str, Any]


def built(kubectl: Path, folder: Path) -> dict[tuple[str, str, str], Manifest]:
    command = [str(kubectl), "kustomize", str(folder)]
    return by_name(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def by_name(manifests: Iterable[Manifest]) -> dict[tuple[str, str, str], Manifest]:
    return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in manifests}


def of_the_chart(*components: str) -> dict[tuple[str, str, str], Manifest]:
    """Return what the chart renders with the values of some components, and the namespace that Helm makes itself."""
    values = {key: value for component in components for key, value in COMPONENTS[component].items()}
    texts = [text for group in rendered(values).values() for text in group]
    return by_name(yaml.safe_load(text) for text in [*texts, NAMESPACE_MANIFEST])


def test_the_base_is_what_the_chart_renders(binaries: Binaries) -> None:
    assert built(binaries.paths["kubectl"], INSTALL) == of_the_chart()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_what_the_chart_renders_with_its_values(binaries: Binaries, overlay: str) -> None:
    assert built(binaries.paths["kubectl"], MANIFESTS / "overlays" / overlay) == of_the_chart(*OVERLAYS[overlay])


def test_the_overlay_of_the_documentation_takes_an_image_by_digest(binaries: Binaries, tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (MANIFESTS.parent / "docs" / "install.md").read_text(), re.DOTALL)
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    folder = tmp_path / "manifests" / "overlays" / "mine"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(example)
    objects = built(binaries.paths["kubectl"], folder)
    (image,) = yaml.safe_load(example)["images"]
    (container,) = objects["Deployment", NAMESPACE, NAMESPACE]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{image['newName']}@{image['digest']}"
    assert objects.keys() == of_the_chart("monitoring").keys()


def test_every_folder_is_made_by_the_table() -> None:
    folders = {kind: {each.name for each in (MANIFESTS / kind).iterdir()} for kind in ("components", "overlays")}
    assert folders == {"components": set(COMPONENTS), "overlays": set(OVERLAYS)}
    assert {component for components in OVERLAYS.values() for component in components} == set(COMPONENTS)
