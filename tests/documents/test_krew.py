"""The manifest for krew has what krew asks for, of this version, and no made-up checksum."""

from __future__ import annotations

from pathlib import Path

import yaml

from deepseek_operator import __version__

FILE = Path(__file__).parents[2] / "docs" / "examples" / "krew" / "deepseek.yaml"

SHORT_DESCRIPTION_CHARACTERS = 50
"""Source: krew's style guide, "shortDescription"; longer ones are cut in `kubectl krew search`."""


def test_the_manifest_is_complete_but_for_the_checksums() -> None:
    manifest = yaml.safe_load(FILE.read_text())
    spec = manifest["spec"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    assert manifest["metadata"] == {"name": FILE.stem}
    assert spec["version"] == f"v{__version__}"
    assert len(spec["shortDescription"]) <= SHORT_DESCRIPTION_CHARACTERS
    assert [each["selector"]["matchLabels"] for each in spec["platforms"]] == [
        {"os": "linux", "arch": "amd64"},
        {"os": "linux", "arch": "arm64"},
    ]
    for each in spec["platforms"]:
        assert (each["sha256"], each["bin"]) == ("", "kubectl-deepseek")
        assert each["uri"].startswith(f"https://HOST/deepseek-operator/releases/download/v{__version__}/")
