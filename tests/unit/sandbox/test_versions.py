from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepseek_operator.sandbox.versions import (
    ETCD_VERSION,
    GO_MINOR,
    GO_MODULE,
    KUBERNETES_VERSION,
    KWOK_VERSION,
    TOOLS,
    cache_directory,
    fingerprint,
    linker_flags,
)

GO_MOD = (GO_MODULE / "go.mod").read_text()


@pytest.mark.parametrize(
    ("module", "version"),
    [
        pytest.param("k8s.io/kubernetes", KUBERNETES_VERSION, id="Kubernetes"),
        pytest.param("sigs.k8s.io/kwok", KWOK_VERSION, id="KWOK"),
        pytest.param("go.etcd.io/etcd/server/v3", ETCD_VERSION, id="etcd"),
    ],
)
def test_the_go_module_pins_the_versions_that_are_stamped(module: str, version: str):
    assert re.search(rf"^\t{re.escape(module)} {re.escape(version)}( |$)", GO_MOD, re.MULTILINE)


def test_the_staging_modules_are_replaced_to_the_same_release():
    expected = KUBERNETES_VERSION.replace("v1.", "v0.")
    assert set(re.findall(r"=> k8s\.io/\S+ (\S+)", GO_MOD)) == {expected}


def test_every_tool_is_a_tool_of_the_go_module():
    listed = re.search(r"^tool \((.*?)^\)", GO_MOD, re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert set(listed.group(1).split()) == {tool.package for tool in TOOLS}


def test_the_go_module_asks_for_the_pinned_go():
    assert re.search(rf"^go {re.escape(GO_MINOR)}\.", GO_MOD, re.MULTILINE)


def test_the_versions_are_stamped_into_the_binaries():
    assert f"gitVersion={KUBERNETES_VERSION}" in linker_flags()
    assert "gitMinor=36" in linker_flags()


def test_the_fingerprint_is_stable_and_fit_for_a_folder_name():
    assert re.fullmatch("[0-9a-f]{16}", fingerprint())
    assert fingerprint.__wrapped__() == fingerprint()


def test_the_fingerprint_changes_with_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("go.mod", "go.sum"):
        (tmp_path / name).write_bytes((GO_MODULE / name).read_bytes() + b"\n")
    monkeypatch.setattr("deepseek_operator.sandbox.versions.GO_MODULE", tmp_path)
    assert fingerprint.__wrapped__() != fingerprint()


@pytest.mark.parametrize(
    ("environment", "base"),
    [
        pytest.param({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c", id="XDG_CACHE_HOME"),
        pytest.param({"HOME": "/h"}, "/h/.cache", id="home"),
        pytest.param({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache", id="relative is ignored"),
        pytest.param({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache", id="empty is ignored"),
    ],
)
def test_the_cache_folder_follows_the_xdg_specification(environment: dict[str, str], base: str):
    assert cache_directory(environment) == Path(base) / "deepseek-operator" / "sandbox"
