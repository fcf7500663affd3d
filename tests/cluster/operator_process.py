"""The operator as its own process, so that tests can kill it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.kubectl import Kubectl
from cluster.polling import eventually

LEASE_SECONDS = 6
"""Short, so that a successor of a killed operator does not wait long."""

_PORT = re.compile(r"metrics and health on port (\d+)")


@dataclass
class OperatorProcess:
    """One run of ``deepseek-operator run``, limited to one namespace."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        """Return everything that it has logged."""
        return self.log.read_text()

    def page(self, path: str) -> str:
        """Return a page of its metrics and health port."""
        port = eventually(lambda: _PORT.search(self.text()), what="the operator names its port")
        assert port is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def metric(self, line: str) -> float:
        """Return a sample of its metrics page, 0 when it is not there yet."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.page("/metrics"), re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self) -> int:
        """End it as the kubelet does and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def running_operator(
    kubectl: Kubectl,
    folder: Path,
    *arguments: str,
    everywhere: bool = False,
    engines: bool = False,
    package: Path | None = None,
) -> Iterator[OperatorProcess]:
    """Run an operator for the namespace of ``kubectl`` or for all; a traceback in its log fails the test.

    Fake pods have addresses where no engine listens, so engines are asked only where a test brings one. ``package``
    is a folder whose ``deepseek_operator`` runs in place of this one.
    """
    log = folder / f"operator-{len(list(folder.glob('operator-*.log')))}.log"
    command = [str(Path(sys.executable).with_name("deepseek-operator")), "run"]
    command += [f"--kubeconfig={kubectl.kubeconfig}", *([] if everywhere else [f"--namespace={kubectl.namespace}"])]
    command += [f"--lease-namespace={kubectl.namespace}", f"--lease-seconds={LEASE_SECONDS}"]
    command += ["--address=127.0.0.1", "--port=0", *arguments]
    command += [] if engines else ["--no-engine-metrics"]
    with log.open("wb") as output:
        environment = {**os.environ, "PYTHONPATH": str(package)} if package else None
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        operator = OperatorProcess(process, log)
    try:
        yield operator
    finally:
        if operator.process.poll() is None:
            operator.stop()
    assert "Traceback" not in operator.text(), operator.text()
