"""The real ``tritonserver`` for tests: installed once into the user's cache, started with what the builders rendered.

PyPI has the server inside the wheel ``nvidia-pytriton``, with the Python backend but without vLLM or TensorRT-LLM;
their places are taken by ``tests/engine/triton_backends``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cluster.polling import eventually
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.triton import ADMIN_KEY_VARIABLE, REPOSITORY_PATH
from deepseek_operator.sandbox.versions import cache_directory

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-triton.lock"
STAND_INS = Path(__file__).parent / "triton_backends"
ADMIN_KEY = "c0ffee"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class TritonMissingError(Exception):
    """The server cannot be installed or run on this machine; the text says why."""


@dataclass(frozen=True)
class Installation:
    """An environment of its own that holds the server."""

    folder: Path

    @property
    def packages(self) -> Path:
        return self.folder / "lib" / f"python{PYTHON}" / "site-packages"

    @property
    def server(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

    def environment(self) -> dict[str, str]:
        """Return what the server and its Python stubs need to find their libraries; nothing else of ours."""
        libraries = [sysconfig.get_config_var("LIBDIR") or "", str(self.packages / "nvidia_pytriton.libs")]
        return {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": ":".join(libraries),
            "HOME": str(self.folder),
        }


def find_or_install(say: Callable[[str], None]) -> Installation:
    """Return the server of the lock file; the first call installs it, 370 MB in about a minute.

    Raises:
        TritonMissingError: it does not install or cannot run here.
    """
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "triton.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _find_or_install(say)


def _find_or_install(say: Callable[[str], None]) -> Installation:
    mark = hashlib.sha256(LOCK.read_bytes() + PYTHON.encode()).hexdigest()[:16]
    folder = cache_directory().parent / f"triton-{mark}"
    installation = Installation(folder)
    done = folder / "installed"
    if not done.exists():
        say("installing tritonserver (370 MB, once, about a minute) ...")
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(LOCK))
        done.touch()
        say("installed tritonserver")
    _refuse_missing_libraries(installation)
    return installation


def _refuse_missing_libraries(installation: Installation) -> None:
    """Raise when a library is missing; the server would wait for its stub for ever, without a word."""
    stub = installation.server / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    for program in (installation.server / "bin" / "tritonserver", stub):
        listed = subprocess.run(["ldd", program], env=installation.environment(), capture_output=True, text=True)
        missing = [line.split()[0] for line in listed.stdout.splitlines() if "not found" in line]
        if listed.returncode or missing:
            raise TritonMissingError(f"{program.name} cannot run here: {listed.stderr.strip() or missing}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise TritonMissingError(f"{' '.join(command[:4])} ... failed: {done.stderr.strip()[-500:]}")


class TritonServer:
    """A running ``tritonserver``, started from a pod template as the kubelet would.

    Args:
        installation: where it is.
        template: pod template that the builders rendered.
        folder: empty folder for volumes and backends.
    """

    def __init__(self, installation: Installation, template: Manifest, folder: Path) -> None:
        self._container: Manifest = template["spec"]["containers"][0]
        self.folder = folder
        self.http, self.grpc, self.metrics = (_free_port() for _ in range(3))
        self._roots = mount_annotations(template, folder / "volumes")
        backends = _backends(installation, folder / "backends")
        ports = {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}
        arguments = [self._rewritten(word, ports) for word in self._container["args"]]
        extra = [f"--backend-directory={backends}", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [installation.server / "bin" / "tritonserver", *arguments, *extra, "--allow-gpu-metrics=false"],
                env=installation.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _rewritten(self, word: str, ports: Mapping[str, int]) -> str:
        """Return an argument with this machine's paths and ports, and with variables put in as the kubelet does."""
        for name, port in ports.items():
            if word.startswith(f"--{name}-port="):
                return f"--{name}-port={port}"
        word = word.replace(f"$({ADMIN_KEY_VARIABLE})", ADMIN_KEY)
        return word.replace(REPOSITORY_PATH, str(self._roots / REPOSITORY_PATH.lstrip("/")))

    def wait_ready(self) -> None:
        """Wait for what the rendered start probe waits for; fail with the log when the server ends instead."""
        path = self._container["startupProbe"]["httpGet"]["path"]
        eventually(lambda: self.process.poll() is not None or self.answers(path), what="tritonserver ready")
        assert self.process.poll() is None, self.text()

    def answers(self, path: str) -> bool:
        """Return whether a GET is answered with 200."""
        try:
            return httpx.get(self.url(path), timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http}{path}"

    def generate(self, model: str, body: Mapping[str, Any]) -> httpx.Response:
        return httpx.post(self.url(f"/v2/models/{model}/generate"), json=body, timeout=30)

    def page(self) -> str:
        """Return the metrics page."""
        return httpx.get(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5).text

    def probe(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run an exec probe of the container, word by word, but with this machine's paths and port."""
        command = [str(word) for word in self._container[name]["exec"]["command"]]
        script = self._roots / command[2].lstrip("/")
        return subprocess.run(
            [sys.executable, command[1], script, str(self.http), *command[4:]],
            capture_output=True,
            text=True,
            timeout=self._container[name]["timeoutSeconds"],
        )

    def stub_pids(self) -> list[int]:
        """Return the processes that the server started for its models."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted({int(pid) for listed in children for pid in listed.read_text().split()})

    def text(self) -> str:
        """Return the log so far."""
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """End the server and every process that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def mount_annotations(template: Manifest, root: Path) -> Path:
    """Write the template's downward API volumes as the kubelet does: data behind links that begin with two dots."""
    mounts = {each["name"]: each["mountPath"] for each in template["spec"]["containers"][0]["volumeMounts"]}
    for volume in template["spec"]["volumes"]:
        if "downwardAPI" not in volume:
            continue
        target = root / mounts[volume["name"]].lstrip("/")
        data = target / "..2026_11_22_08_00_00.1"
        for item in volume["downwardAPI"]["items"]:
            key = item["fieldRef"]["fieldPath"].removeprefix("metadata.annotations['").removesuffix("']")
            path = data / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(template["metadata"]["annotations"][key])
        (target / "..data").symlink_to(data.name)
        for first in {item["path"].split("/")[0] for item in volume["downwardAPI"]["items"]}:
            (target / first).symlink_to(f"..data/{first}")
    return root


def _backends(installation: Installation, folder: Path) -> Path:
    """Put the Python backend and the stand-ins where the server looks for backends."""
    python = folder / "python"
    shutil.copytree(installation.server / "backends" / "python", python)
    shutil.copy2(installation.server / "python_backend_stubs" / PYTHON / "triton_python_backend_stub", python)
    for name in ("vllm", "tensorrtllm"):
        shutil.copytree(STAND_INS / name, folder / name)
    return folder


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
