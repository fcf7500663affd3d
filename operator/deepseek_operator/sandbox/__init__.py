"""A real local control plane with fake GPU nodes: etcd, kube-apiserver, controller-manager, scheduler and KWOK.

Everything that the API server decides is real (admission, scheduling, RBAC, garbage collection, scaling); only the
nodes are not, so pods become Ready without running anything. ::

    state = up(default_directory(), progress=on_stderr())
    subprocess.run([state.kubectl, "--kubeconfig", state.kubeconfig, "get", "nodes"])
    down(state.directory)

The binaries are found in ``KUBEBUILDER_ASSETS``, on ``PATH`` or in the cache folder, or built there once.
"""

from __future__ import annotations

from deepseek_operator.sandbox.binaries import Binaries, find_or_build_binaries, installed_binaries
from deepseek_operator.sandbox.control_plane import SandboxStatus, down, status, up
from deepseek_operator.sandbox.directory import default_directory
from deepseek_operator.sandbox.leader_worker_set_build import LeaderWorkerSetFiles, find_or_build_leader_worker_set
from deepseek_operator.sandbox.nodes import DEFAULT_NODES, FakeNode, GpuFacts, alike, gpu_labels
from deepseek_operator.sandbox.processes import ProcessRecord
from deepseek_operator.sandbox.progress import Progress, on_stderr
from deepseek_operator.sandbox.state import SandboxState
from deepseek_operator.sandbox.versions import KUBERNETES_VERSION

__all__ = [
    "DEFAULT_NODES",
    "KUBERNETES_VERSION",
    "Binaries",
    "FakeNode",
    "GpuFacts",
    "LeaderWorkerSetFiles",
    "ProcessRecord",
    "Progress",
    "SandboxState",
    "SandboxStatus",
    "alike",
    "default_directory",
    "down",
    "find_or_build_binaries",
    "find_or_build_leader_worker_set",
    "gpu_labels",
    "installed_binaries",
    "on_stderr",
    "status",
    "up",
]
