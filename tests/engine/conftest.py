"""The real tritonserver for ``test_triton_server.py``: installed before the first test, skipped where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepseek_operator.resources.names import Manifest
from engine.triton_server import Installation, TritonMissingError, TritonServer, find_or_install

collect_ignore = ["triton_backends"]

_FOUND = pytest.StashKey[Installation | TritonMissingError]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "triton" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.enable_socket)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install before the first test, where no test's timeout runs and progress can be seen."""
    wanted = any("triton" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not wanted:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_FOUND] = find_or_install(lambda text: print(f"tests/engine: {text}", flush=True))
        except (TritonMissingError, OSError) as error:
            session.config.stash[_FOUND] = TritonMissingError(str(error))


@pytest.fixture
def triton(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Callable[[Manifest], TritonServer]]:
    """Starts tritonserver from a pod template; ends it after the test."""
    found = pytestconfig.stash[_FOUND]
    if isinstance(found, TritonMissingError):
        if os.environ.get("CI"):
            raise found
        pytest.skip(f"no tritonserver: {found}")
    started: list[TritonServer] = []

    def start(template: Manifest) -> TritonServer:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(TritonServer(found, template, folder))
        return started[-1]

    yield start
    for server in started:
        server.stop()
