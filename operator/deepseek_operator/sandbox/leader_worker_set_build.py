"""LeaderWorkerSet's controller, definitions and webhooks, taken from its Go module once and kept in the cache folder.

A module of its own: whoever does not ask for LeaderWorkerSet builds nothing of it, and a new version of it rebuilds
nothing else.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.build import locked, running
from deepseek_operator.sandbox.progress import Progress, elapsed
from deepseek_operator.sandbox.toolchain import Go, find_go
from deepseek_operator.sandbox.versions import GO_MINOR, cache_directory

LEADER_WORKER_SET_VERSION = "v0.9.0"
MODULE = "sigs.k8s.io/lws"
PACKAGE = f"{MODULE}/cmd"
CONTROLLER = "lws-controller-manager"
GO_MODULE = Path(__file__).with_name("go_leader_worker_set")
"""Folder with the pinned ``go.mod`` and ``go.sum``."""

_LINKER_FLAGS = "-s -w"


@dataclass(frozen=True, kw_only=True)
class LeaderWorkerSetFiles:
    """What a control plane needs to serve LeaderWorkerSets.

    Args:
        controller: the program.
        definitions: custom resource definitions, one file each.
        webhooks: admission webhooks as the project declares them.
    """

    controller: Path
    definitions: tuple[Path, ...]
    webhooks: Path


def find_or_build_leader_worker_set(
    progress: Progress, environment: Mapping[str, str] = os.environ
) -> LeaderWorkerSetFiles:
    """Return LeaderWorkerSet's files; what is not in the cache folder is built there once.

    Args:
        progress: told about a build, which takes two to three minutes on two cores.
        environment: where ``XDG_CACHE_HOME`` and ``HOME`` are read from.

    Raises:
        SandboxError: the build failed; the text has the last lines and what to do.
    """
    cache = cache_directory(environment)
    target = cache / f"leader-worker-set-{fingerprint()}"
    if not target.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with locked(cache / f"{target.name}.lock", progress):
                if not target.is_dir():
                    _build(cache, target, progress)
        except OSError as error:
            raise SandboxError(f"cannot keep LeaderWorkerSet in {cache}: {error}; set XDG_CACHE_HOME") from error
    return LeaderWorkerSetFiles(
        controller=target / CONTROLLER,
        definitions=tuple(sorted((target / "definitions").glob("*.yaml"))),
        webhooks=target / "webhooks.yaml",
    )


def fingerprint() -> str:
    """Return 16 hexadecimal digits that change whenever another controller would be built."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((GO_MODULE / name).read_bytes())
    for text in (GO_MINOR, _LINKER_FLAGS, platform.system(), platform.machine()):
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()[:16]


def _build(cache: Path, target: Path, progress: Progress) -> None:
    started = time.monotonic()
    go = find_go(cache, progress)
    progress.say(f"building LeaderWorkerSet {LEADER_WORKER_SET_VERSION} from source, once; takes 2-3 minutes")
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as temporary:
        work = Path(temporary)
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(GO_MODULE / name, work / name)
        result = work / "result"
        result.mkdir()
        command = [str(go.executable), "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly"]
        command += ["-ldflags", _LINKER_FLAGS, "-o", str(result / CONTROLLER), PACKAGE]
        for compiled in running(command, go, work, subprocess.DEVNULL, "building LeaderWorkerSet"):
            so_far = elapsed(time.monotonic() - started)
            progress.update(f"building LeaderWorkerSet: {compiled} packages, {so_far} so far")
        source = _module_folder(go, work)
        (result / "definitions").mkdir()
        for definition in sorted((source / "config" / "crd" / "bases").glob("*.yaml")):
            shutil.copyfile(definition, result / "definitions" / definition.name)
        shutil.copyfile(source / "config" / "webhook" / "manifests.yaml", result / "webhooks.yaml")
        result.rename(target)
    progress.say(f"built in {elapsed(time.monotonic() - started)}; kept in {target}")


def _module_folder(go: Go, work: Path) -> Path:
    """Return where Go keeps the module's own files."""
    listed = work / "folder.txt"
    command = [str(go.executable), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", MODULE]
    with listed.open("w") as output:
        for _ in running(command, go, work, output.fileno(), "finding LeaderWorkerSet"):
            pass
    return Path(listed.read_text().strip())
