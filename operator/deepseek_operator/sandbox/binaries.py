"""Where each binary of the control plane comes from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_operator.sandbox.build import binary_directory, ensure_built, is_built
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.versions import TOOLS, Tool, cache_directory

_VERSION = re.compile(r"\bv?(\d+\.\d+)\.\d+")


@dataclass(frozen=True)
class Binaries:
    """The absolute path of every binary, by name (``kube-apiserver``, ``kubectl``, ...)."""

    paths: Mapping[str, Path]

    def path(self, name: str) -> Path:
        """Return the absolute path of a binary named in ``TOOLS``."""
        return self.paths[name]


def installed_binaries(environment: Mapping[str, str] = os.environ) -> Binaries | None:
    """Return the binaries that can be used without building, or ``None`` when one is missing.

    Each is looked for in ``KUBEBUILDER_ASSETS`` (taken as it is, because it was named on purpose), then on
    ``PATH`` (only of the pinned minor version), then in the cache folder.

    Args:
        environment: where ``KUBEBUILDER_ASSETS``, ``PATH``, ``XDG_CACHE_HOME`` and ``HOME`` are read from.
    """
    found = _outside_cache(environment)
    cache = cache_directory(environment)
    if len(found) < len(TOOLS):
        if not is_built(cache):
            return None
        found = _completed(found, binary_directory(cache))
    return Binaries(found)


def find_or_build_binaries(progress: Progress, environment: Mapping[str, str] = os.environ) -> Binaries:
    """Return every binary; whatever is not found is built once into the cache folder.

    Args:
        progress: told about a build, which takes 5-10 minutes.
        environment: as in :func:`installed_binaries`.

    Raises:
        SandboxError: the build failed.
    """
    found = _outside_cache(environment)
    if len(found) < len(TOOLS):
        found = _completed(found, ensure_built(cache_directory(environment), progress))
    return Binaries(found)


def _completed(found: Mapping[str, Path], directory: Path) -> dict[str, Path]:
    return {tool.name: found.get(tool.name, directory / tool.name) for tool in TOOLS}


def _outside_cache(environment: Mapping[str, str]) -> dict[str, Path]:
    found = {}
    for tool in TOOLS:
        path = _in_assets(tool, environment) or _on_path(tool, environment)
        if path is not None:
            found[tool.name] = path.absolute()
    return found


def _in_assets(tool: Tool, environment: Mapping[str, str]) -> Path | None:
    assets = environment.get("KUBEBUILDER_ASSETS")
    if not assets:
        return None
    path = Path(assets) / tool.name
    return path if os.access(path, os.X_OK) else None


def _on_path(tool: Tool, environment: Mapping[str, str]) -> Path | None:
    found = shutil.which(tool.name, path=environment.get("PATH", ""))
    if found is None or minor_version(Path(found), tool) != tool.minor:
        return None
    return Path(found)


def minor_version(path: Path, tool: Tool) -> str | None:
    """Return major and minor that a binary says of itself, such as ``1.36``; ``None`` when it is silent."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed argument list, no shell
            [path, *tool.version_arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout)
    return match.group(1) if match else None
