from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_operator.sandbox.binaries import find_or_build_binaries, installed_binaries
from deepseek_operator.sandbox.build import binary_directory
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.versions import TOOLS, cache_directory
from unit.sandbox.programs import program


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "KUBEBUILDER_ASSETS": str(tmp_path / "assets"),
        "PATH": str(tmp_path / "path"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def fill(directory: Path, *, without: tuple[str, ...] = (), version: str | None = None) -> None:
    for tool in TOOLS:
        if tool.name not in without:
            program(directory / tool.name, f"echo 'Version: {version or tool.version}'")


def test_nothing_is_found_on_an_empty_machine(environment: dict[str, str]):
    assert installed_binaries(environment) is None


def test_assets_come_first(environment: dict[str, str], tmp_path: Path):
    fill(tmp_path / "assets")
    fill(tmp_path / "path")
    fill(binary_directory(cache_directory(environment)))
    found = installed_binaries(environment)
    assert found is not None
    assert {path.parent for path in found.paths.values()} == {tmp_path / "assets"}


def test_path_comes_before_the_cache(environment: dict[str, str], tmp_path: Path):
    fill(tmp_path / "path")
    fill(binary_directory(cache_directory(environment)))
    found = installed_binaries(environment)
    assert found is not None
    assert {path.parent for path in found.paths.values()} == {tmp_path / "path"}


def test_another_version_on_path_is_passed_over(environment: dict[str, str], tmp_path: Path):
    fill(tmp_path / "path", version="v1.30.0")
    fill(binary_directory(cache_directory(environment)))
    found = installed_binaries(environment)
    assert found is not None
    assert found.path("kubectl") == binary_directory(cache_directory(environment)) / "kubectl"


def test_what_the_assets_lack_comes_from_the_cache(environment: dict[str, str], tmp_path: Path):
    fill(tmp_path / "assets", without=("kwok", "kube-scheduler"))
    fill(binary_directory(cache_directory(environment)))
    found = find_or_build_binaries(Progress(), environment)
    assert found.path("etcd") == tmp_path / "assets" / "etcd"
    assert found.path("kwok") == binary_directory(cache_directory(environment)) / "kwok"


def test_a_half_filled_cache_does_not_count(environment: dict[str, str]):
    fill(binary_directory(cache_directory(environment)), without=("kwok",))
    assert installed_binaries(environment) is None
