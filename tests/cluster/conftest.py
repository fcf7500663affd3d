"""One real control plane for all tests of this folder; see the fixtures ``sandbox``, ``namespace``, ``kubectl``."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.deployments import wait_established
from cluster.kubectl import Kubectl
from deepseek_operator.errors import SandboxError
from deepseek_operator.resources.priorityclass import build_priority_classes
from deepseek_operator.sandbox import (
    DEFAULT_NODES,
    Binaries,
    SandboxState,
    down,
    find_or_build_binaries,
    on_stderr,
    up,
)

TEST_TIMEOUT_SECONDS = 300

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[1]
_BINARIES = pytest.StashKey[Binaries | SandboxError]()
_namespace_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _FOLDER in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.enable_socket)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find or build the binaries before the first test, where no test's timeout runs and progress can be seen."""
    if session.config.option.collectonly or not any(_FOLDER in item.path.parents for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_BINARIES] = find_or_build_binaries(on_stderr())
        except SandboxError as error:
            session.config.stash[_BINARIES] = error


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> Binaries:
    """Every binary of the control plane."""
    found = pytestconfig.stash[_BINARIES]
    if isinstance(found, SandboxError):
        raise found
    return found


@pytest.fixture(scope="session")
def sandbox(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxState]:
    """A control plane with the default fake nodes, for the whole session.

    Leave no pods behind: they hold the fake GPUs. The fixture ``namespace`` takes care of it.
    """
    directory = tmp_path_factory.mktemp("sandbox")
    try:
        yield up(directory, DEFAULT_NODES, binaries=binaries, ends_with_caller=True)
    finally:
        down(directory)


@pytest.fixture(scope="session")
def cluster_kubectl(sandbox: SandboxState) -> Kubectl:
    """kubectl as administrator, in no particular namespace."""
    return Kubectl(sandbox.kubectl, sandbox.kubeconfig)


@pytest.fixture(scope="session")
def resource_definition(cluster_kubectl: Kubectl) -> None:
    """The custom resource definition of the repository, and the priority classes that pods name, served."""
    cluster_kubectl("apply", "--server-side", "--filename", str(_ROOT / "crds"))
    wait_established(cluster_kubectl)
    cluster_kubectl.apply(*build_priority_classes())


@pytest.fixture
def namespace(cluster_kubectl: Kubectl) -> Iterator[str]:
    """A fresh namespace in which pods can be created; afterwards its pods are gone and their GPUs free."""
    name = f"test-{os.getpid()}-{next(_namespace_numbers)}"
    kubectl = cluster_kubectl.within(name)
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        yield name
    finally:
        # A namespace that is going away takes no new pods, so those that are there can be deleted for good. The rest
        # goes some seconds later; nothing has to wait for it.
        kubectl("delete", "namespace", name, "--wait=false")
        kubectl("delete", "pod", "--all", "--timeout=60s")


@pytest.fixture
def kubectl(cluster_kubectl: Kubectl, namespace: str) -> Kubectl:
    """kubectl as administrator, in the test's own namespace."""
    return cluster_kubectl.within(namespace)
