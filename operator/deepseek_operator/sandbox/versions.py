"""The pinned versions of the local control plane and the place where its binaries are kept."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GO_MINOR = "1.26"
"""The only Go minor that builds it: with Go 1.27 the OpenAPI of Kubernetes 1.36 is refused."""

KUBERNETES_VERSION = "v1.36.3"
KWOK_VERSION = "v0.8.0"
ETCD_VERSION = "v3.6.8"

GO_MODULE = Path(__file__).with_name("go")
"""Folder with the pinned ``go.mod`` and ``go.sum``."""


@dataclass(frozen=True)
class Tool:
    """One binary of the control plane.

    Args:
        name: file name of the binary.
        package: Go package that it is built from.
        version: the pinned version, with its leading ``v``.
        version_arguments: what to call it with to be told its version.
    """

    name: str
    package: str
    version: str
    version_arguments: tuple[str, ...] = ("--version",)

    @property
    def minor(self) -> str:
        """Return major and minor of the pinned version, such as ``1.36``."""
        return ".".join(self.version.removeprefix("v").split(".")[:2])


TOOLS: tuple[Tool, ...] = (
    Tool("etcd", "go.etcd.io/etcd/server/v3", ETCD_VERSION),
    Tool("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES_VERSION),
    Tool("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", KUBERNETES_VERSION),
    Tool("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", KUBERNETES_VERSION),
    Tool("kubectl", "k8s.io/kubernetes/cmd/kubectl", KUBERNETES_VERSION, ("version", "--client")),
    Tool("kwok", "sigs.k8s.io/kwok/cmd/kwok", KWOK_VERSION),
)
"""Every binary, in the order in which they are built and started."""


def linker_flags() -> str:
    """Return Go's ``-ldflags``: no debug symbols, and the versions stamped as the release builds do."""
    minor = KUBERNETES_VERSION.removeprefix("v").split(".")
    stamped = {
        "k8s.io/component-base/version.gitVersion": KUBERNETES_VERSION,
        "k8s.io/component-base/version.gitMajor": minor[0],
        "k8s.io/component-base/version.gitMinor": minor[1],
        "sigs.k8s.io/kwok/pkg/consts.Version": KWOK_VERSION.removeprefix("v"),
    }
    return " ".join(["-s", "-w", *(f"-X {symbol}={value}" for symbol, value in stamped.items())])


@cache
def fingerprint() -> str:
    """Return 16 hexadecimal digits that change whenever other binaries would be built.

    Covers the module files, the versions, the flags, the operating system and the processor.
    """
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((GO_MODULE / name).read_bytes())
    for text in (
        GO_MINOR,
        linker_flags(),
        platform.system(),
        platform.machine(),
        *(tool.package for tool in TOOLS),
    ):
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()[:16]


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's cache folder of the sandbox; it need not exist.

    Args:
        environment: where ``XDG_CACHE_HOME`` and ``HOME`` are read from. A relative ``XDG_CACHE_HOME`` is
            ignored, as the XDG base directory specification asks.
    """
    configured = Path(environment.get("XDG_CACHE_HOME", ""))
    home = Path(environment.get("HOME") or Path.home())
    base = configured if configured.is_absolute() else home / ".cache"
    return base / "deepseek-operator" / "sandbox"
