"""A real Prometheus for tests: the Debian package, on loopback, scraping `EnginePages` every second."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.polling import eventually
from debian_programs import PROMETHEUS, Program, required
from engine_pages import EnginePages

SCRAPE_SECONDS = 1.0


class PrometheusServer:
    """One Prometheus with its own folder; killed and started again it keeps its data and its port.

    Args:
        program: where it is.
        folder: empty folder for configuration, data and log.
        targets: file of targets that it watches.
    """

    def __init__(self, program: Program, folder: Path, targets: Path) -> None:
        self._program = program
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        interval = f"{SCRAPE_SECONDS:g}s"
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n"
            "scrape_configs:\n- job_name: engines\n  file_sd_configs:\n"
            f"  - {{files: ['{targets}'], refresh_interval: {interval}}}\n"
        )

    def start(self) -> None:
        """Start it and wait until it answers queries."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program.path,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self._ready, what="Prometheus is ready")

    def kill(self) -> None:
        """End it at once, as a node that fails would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def value(self, query: str) -> float | None:
        """Return the value of a query with one result, None without one."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).json()
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")[-2000:]
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@pytest.fixture
def engine_pages(tmp_path: Path) -> Iterator[EnginePages]:
    """Pages of engines, none at first."""
    pages = EnginePages(tmp_path)
    yield pages
    pages.close()


@pytest.fixture
def prometheus(pytestconfig: pytest.Config, tmp_path: Path, engine_pages: EnginePages) -> Iterator[PrometheusServer]:
    """A started Prometheus that scrapes the fixture ``engine_pages``."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    server = PrometheusServer(required(PROMETHEUS, pytestconfig), folder, engine_pages.targets)
    server.start()
    yield server
    server.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
