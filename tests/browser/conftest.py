"""A real Chromium: found on PATH, else unpacked from Debian's package; skipped where neither can be had."""

from __future__ import annotations

import pytest

from debian_programs import CHROMIUM, Program, required


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Program:
    """The browser, and the environment that it needs."""
    return required(CHROMIUM, pytestconfig)
