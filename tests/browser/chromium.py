"""A headless Chromium that opens one page without any network, and answers questions about what it shows.

Spoken to over the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/), whose address the
browser writes into its profile folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from debian_programs import Program

START_SECONDS = 60
ANSWER_SECONDS = 120

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # containers of build machines lack the kernel features for it; the page is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name resolves, so nothing outside can be reached
    "--window-size=1250,1600",
)


class Chromium:
    """A browser with one page, as a context manager.

    Args:
        program: the browser.
        profile: empty folder for the browser's files.
        page: file to open.
    """

    def __init__(self, program: Program, profile: Path, page: Path) -> None:
        self._command = [str(program.path), *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
        self._environment, self._page = program.environment, page.as_uri()
        self._port_file = profile / "DevToolsActivePort"
        self._log = profile / "chromium.log"

    def __enter__(self) -> Self:
        self._port_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment, "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(timeout=START_SECONDS)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page answers
        """Open the page and return the value of a JavaScript expression in it."""
        return asyncio.run(asyncio.wait_for(self._evaluate(expression), ANSWER_SECONDS))

    async def _evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page answers
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_SECONDS)) as session,
            session.ws_connect(await self._target(session), max_msg_size=0) as page,
        ):
            await _called(page, 1, "Page.enable")
            await page.send_json({"id": 2, "method": "Page.navigate", "params": {"url": self._page}})
            while (await page.receive_json()).get("method") != "Page.loadEventFired":
                pass
            answer = await _called(page, 3, "Runtime.evaluate", expression=f"({expression})", returnByValue=True)
        result = answer["result"]
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def _target(self, session: aiohttp.ClientSession) -> str:
        """Return the address of the browser's one tab, once it is there."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise AssertionError(f"chromium ended: {self._log.read_text(errors='replace')[-2000:]}")
            if self._port_file.exists() and (port := self._port_file.read_text().split("\n")[0]):
                async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                    targets = json.loads(await listed.text())
                pages = [each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page"]
                if pages:
                    return str(pages[0])
            await asyncio.sleep(0.05)
        raise AssertionError("chromium opened no tab")


async def _called(page: aiohttp.ClientWebSocketResponse, number: int, method: str, **parameters: object) -> Any:  # noqa: ANN401 - whatever the browser answers
    """Return the browser's answer to a call; events before it are passed over."""
    await page.send_json({"id": number, "method": method, "params": parameters})
    while (answer := await page.receive_json()).get("id") != number:
        pass
    return answer
