"""docs/walkthrough.md, pasted into a shell: from `helm install` to a Ready model and a firing alert."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from cluster.deployments import status
from cluster.kubectl import Kubectl
from debian_programs import PROMETHEUS, PROMTOOL, required
from deepseek_operator.sandbox import Binaries, down

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "walkthrough.md"
HERE = ("helm", "kubectl-deepseek", "deepseek-operator")
"""Programs of the Python environment that runs the tests."""

WALKED = "== as far as the document goes =="
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[str]:
    return _BLOCK.findall(DOCUMENT.read_text())


def two_free_ports() -> list[int]:
    with ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(2)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A folder that looks like a checkout to the commands; what they start in it is down afterwards."""
    for name in ("charts", "manifests"):
        (tmp_path / name).symlink_to(ROOT / name)
    yield tmp_path
    down(tmp_path / "sandbox")


@pytest.fixture
def reader(pytestconfig: pytest.Config, binaries: Binaries, checkout: Path) -> dict[str, str]:
    """The environment of somebody who has what the document says that it needs."""
    programs = checkout / "bin"
    programs.mkdir()
    targets = {name: Path(sys.executable).with_name(name) for name in HERE}
    targets["kubectl"] = binaries.path("kubectl")
    targets |= {each.name: required(each, pytestconfig).path for each in (PROMETHEUS, PROMTOOL)}
    for name, target in targets.items():
        (programs / name).symlink_to(target)
    metrics, prometheus = two_free_ports()
    kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return {
        **kept,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "operator"),
        "METRICS_PORT": str(metrics),
        "PROMETHEUS_PORT": str(prometheus),
    }


def output_until(shell: IO[str], mark: str) -> str:
    """Return what a shell writes up to a line; all of it when the shell ends before."""
    lines = []
    for line in shell:
        if line.strip() == mark:
            break
        lines.append(line)
    return "".join(lines)


def alerts(port: str) -> dict[str, str]:
    """Return the state of each alert."""
    answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=10).json()
    return {each["labels"]["alertname"]: each["state"] for each in answer["data"]["alerts"]}


@contextmanager
def bash(script: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a script in its folder; whatever it has started ends with the block."""
    command = ["bash", "-euo", "pipefail", script.name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, cwd=script.parent, env=environment, text=True, start_new_session=True, **pipes)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_document_leads_to_a_ready_model_and_a_firing_alert(checkout: Path, reader: dict[str, str]) -> None:
    *walk, clean_up = blocks()
    script = checkout / "walk.sh"
    script.write_text("".join(walk) + f"echo '{WALKED}'\nread -r\n" + clean_up)
    with bash(script, reader) as shell:
        assert shell.stdout is not None
        print(said := output_until(shell.stdout, WALKED))
        assert shell.poll() is None

        fired = alerts(reader["PROMETHEUS_PORT"])
        kubectl = Kubectl(checkout / "bin" / "kubectl", checkout / "sandbox" / "kubeconfig", "models")
        model = status(kubectl, "deepseek-67b")

        print(shell.communicate("\n")[0])
    assert shell.returncode == 0
    assert fired == {"DeepSeekTestAlert": "firing", "DeepSeekCapacityMissing": "pending"}
    assert model["readyReplicas"] == 1
    assert "secrets" not in said
    assert {each.name for each in checkout.iterdir()} == {"bin", "charts", "manifests", "walk.sh"}  # as it was before
