"""Pods run restricted: no root, no capabilities, no privilege escalation, no writable image.

Meets the ``restricted`` Pod Security Standard. What the engine must write goes to volumes of its own.
"""

from __future__ import annotations

from deepseek_operator.resources.names import Manifest
from deepseek_operator.units import GIB

ENGINE_UID = 2000
"""The ``vllm`` user that engine images ship, so that torch's look-up of the user's name succeeds.

Source: vllm-project/vllm pull request 40275 (merged 2026-04); ai-dynamo/dynamo pull request 12457 runs the same uid.
An image without that user works too: ``USER`` and ``HOME`` are set in the environment.
"""

HOME_PATH = "/var/lib/engine"
"""Writable home of the engine; not a directory of the image, so that nothing of the image is hidden."""

TMP_PATH = "/tmp"  # noqa: S108 - the mount path of the pod's own emptyDir, no file of this process
SHM_PATH = "/dev/shm"  # noqa: S108 - the mount path of the pod's own memory volume


def pod_security_context() -> Manifest:
    """Return the pod's security context; ``fsGroup`` makes mounted volumes writable for the engine's user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": ENGINE_UID,
        "runAsGroup": ENGINE_UID,
        "fsGroup": ENGINE_UID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> Manifest:
    """Return the engine container's security context."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def writable_environment() -> list[Manifest]:
    """Return the variables that send every cache of the engine to the writable home."""
    return [
        {"name": "HOME", "value": HOME_PATH},
        {"name": "USER", "value": "vllm"},
        {"name": "VLLM_CACHE_ROOT", "value": f"{HOME_PATH}/.cache/vllm"},
        {"name": "TORCHINDUCTOR_CACHE_DIR", "value": f"{HOME_PATH}/.cache/inductor"},
        {"name": "TRITON_CACHE_DIR", "value": f"{HOME_PATH}/.cache/triton"},
    ]


def writable_volumes(shm_bytes: int) -> list[Manifest]:
    """Return the pod's scratch volumes: home, ``/tmp`` and shared memory of at most ``shm_bytes``, whole GiB."""
    return [
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_bytes // GIB}Gi"}},
    ]


def writable_mounts() -> list[Manifest]:
    """Return where the scratch volumes are mounted."""
    return [
        {"name": "home", "mountPath": HOME_PATH},
        {"name": "tmp", "mountPath": TMP_PATH},
        {"name": "shm", "mountPath": SHM_PATH},
    ]
