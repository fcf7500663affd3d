"""Starts, looks at and ends a local control plane."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepseek_operator.sandbox import components
from deepseek_operator.sandbox.binaries import Binaries, find_or_build_binaries
from deepseek_operator.sandbox.credentials import ADMIN, make_tokens, write_kubeconfigs, write_secrets
from deepseek_operator.sandbox.directory import remove_directory, take_directory
from deepseek_operator.sandbox.leader_worker_set import start_leader_worker_set
from deepseek_operator.sandbox.leader_worker_set_build import LeaderWorkerSetFiles
from deepseek_operator.sandbox.nodes import DEFAULT_NODES, FakeNode
from deepseek_operator.sandbox.probes import ApiServer, component_is_healthy
from deepseek_operator.sandbox.processes import is_running, stop
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.startup import Startup
from deepseek_operator.sandbox.state import SandboxState, load_state, write_private


def up(
    directory: Path,
    nodes: Sequence[FakeNode] = DEFAULT_NODES,
    *,
    progress: Progress | None = None,
    binaries: Binaries | None = None,
    ends_with_caller: bool = False,
    leader_worker_set: LeaderWorkerSetFiles | None = None,
) -> SandboxState:
    """Start a control plane and return when its nodes are Ready and pods can be created.

    Args:
        directory: where everything of it is kept; missing, empty or the rest of a sandbox that has ended.
        nodes: fake nodes to create.
        progress: told what is going on; nothing is shown without.
        binaries: what to run; found or built when ``None``.
        ends_with_caller: whether the processes also end when the calling thread does, killed or not (for tests).
        leader_worker_set: LeaderWorkerSet, to be installed too; None leaves it out.

    Raises:
        SandboxError: a sandbox runs there already, the build failed, or a component did not start. The text then
            names it with its last words, and nothing is left behind; the same holds for Ctrl-C.
        UnknownGpuError: a node names a GPU that the catalogue does not hold.
    """
    progress = progress or Progress()
    manifests = [node.manifest() for node in nodes]
    binaries = binaries or find_or_build_binaries(progress)
    started = time.monotonic()
    directory = directory.absolute()
    ports = components.free_ports()
    state = SandboxState(
        directory=directory,
        made_directory=take_directory(directory),
        server=f"https://{components.LOOPBACK}:{ports.api_server}",
        kubeconfig=directory / "kubeconfig",
        kubectl=binaries.path("kubectl"),
        nodes=tuple(node.name for node in nodes),
    )
    startup = Startup(state, binaries, progress, ends_with_caller)
    with startup.undone_on_failure():
        _start(startup, ports, manifests)
        if leader_worker_set is not None:
            start_leader_worker_set(startup, leader_worker_set, ports.webhooks)
    progress.say(f"control plane with {len(nodes)} fake nodes up in {time.monotonic() - started:.1f} s")
    return startup.state


def _start(startup: Startup, ports: components.Ports, manifests: Sequence[Mapping[str, Any]]) -> None:
    directory, server = startup.state.directory, startup.state.server
    certificates = directory / "certs"
    tokens = make_tokens()
    write_secrets(directory, tokens)
    write_private(directory / "kube-scheduler.json", components.scheduler_configuration())
    write_private(directory / components.AUDIT_POLICY_FILE, components.audit_policy())

    startup.run("etcd", components.etcd_arguments())
    startup.wait("etcd listens", (directory / components.ETCD_SOCKET_FILE).exists)
    startup.run("kube-apiserver", components.api_server_arguments(ports))
    startup.wait("kube-apiserver has made its certificate", (certificates / "apiserver.key").exists)
    write_kubeconfigs(directory, server, tokens)
    with ApiServer(server, tokens[ADMIN], certificates / "apiserver.crt") as api:
        startup.wait("kube-apiserver is ready", api.is_ready)
        startup.run("kube-controller-manager", components.controller_manager_arguments(ports))
        startup.run("kube-scheduler", components.scheduler_arguments(ports))
        startup.run("kwok", components.kwok_arguments())
        for manifest in manifests:
            api.create_node(manifest)
        startup.wait("kube-controller-manager has made the default service account", api.takes_pods)
        scheduler_certificate = certificates / "kube-scheduler.crt"
        startup.wait("kube-scheduler is healthy", lambda: component_is_healthy(ports.scheduler, scheduler_certificate))
        names = set(startup.state.nodes)
        startup.wait("the fake nodes are Ready", lambda: api.ready_nodes() >= names)


def down(directory: Path, *, grace_seconds: float = 5.0) -> bool:
    """End exactly the processes that ``up`` started there, remove what it made, and return whether it was there.

    Args:
        directory: the one given to ``up``.
        grace_seconds: how long the processes may take to end before they are killed.

    Raises:
        SandboxError: the directory is not ours or cannot be removed.
    """
    state = load_state(directory.absolute())
    if state is None:
        return False
    stop(state.processes, grace_seconds)
    remove_directory(state)
    return True


@dataclass(frozen=True)
class SandboxStatus:
    """How a sandbox is doing.

    Args:
        state: what ``up`` started.
        running: names of the components that run.
        ended: names of those that do not any more.
    """

    state: SandboxState
    running: tuple[str, ...]
    ended: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Return whether every component runs."""
        return bool(self.running) and not self.ended


def status(directory: Path) -> SandboxStatus | None:
    """Return how the sandbox of a directory is doing; ``None`` when there is none.

    Raises:
        SandboxError: the state file is not ours.
    """
    state = load_state(directory.absolute())
    if state is None:
        return None
    running = tuple(process.name for process in state.processes if is_running(process))
    ended = tuple(process.name for process in state.processes if process.name not in running)
    return SandboxStatus(state, running, ended)
