"""promtool: found on PATH, else unpacked from Debian's package."""

from __future__ import annotations

import pytest

from debian_programs import PROMTOOL, Program, required


@pytest.fixture(scope="session")
def promtool(pytestconfig: pytest.Config) -> Program:
    """The program that checks and tests rules."""
    return required(PROMTOOL, pytestconfig)
