"""kubectl finds the plugin's completion and takes its answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_operator.sandbox.state import SandboxState

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH with the plugin and its completion, as pip installs them."""
    for name, call in (
        ("kubectl-deepseek", "from deepseek_operator.cli.main import kubectl_plugin as main"),
        ("kubectl_complete-deepseek", "from deepseek_operator.cli.complete import main"),
    ):
        script = tmp_path / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'operator')!r})\n{call}\nmain()\n"
        )
        script.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def ask(sandbox: SandboxState, path: str, *words: str) -> list[str]:
    """Return what kubectl would offer the shell for a line."""
    done = subprocess.run(
        [sandbox.kubectl, "__complete", *words], capture_output=True, text=True, check=True, env={"PATH": path}
    )
    return done.stdout.splitlines()


def test_kubectl_offers_the_verbs_options_and_values_of_the_plugin(sandbox: SandboxState, path: str) -> None:
    assert "deepseek" in [line.partition("\t")[0] for line in ask(sandbox, path, "deeps")]
    verbs = [line.partition("\t")[0] for line in ask(sandbox, path, "deepseek", "ca")]
    assert verbs == ["capacity", "catalog", ":4"]
    assert ask(sandbox, path, "deepseek", "catalog", "gpus", "-o", "") == ["table", "json", "yaml", ":4"]
    assert ask(sandbox, path, "deepseek", "plan", "-f", "") == [":0"]
    gpus = ask(sandbox, path, "deepseek", "estimate", "--gpu", "h200-s")
    assert gpus == ["h200-sxm\tH200 SXM 141GB", ":4"]
