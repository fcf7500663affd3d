"""What a status may leave to its next write, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepseek_operator.handlers.unhurried import Unhurried, is_unhurried


def status(
    capacity: tuple[str, str] = ("True", "FitsNow"), ready: str = "Progressing", **fields: object
) -> dict[str, Any]:
    return {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": ready},
            {"type": "CapacityAvailable", "status": capacity[0], "reason": capacity[1]},
        ],
        "readyReplicas": 0,
        **fields,
    }


FITS, PLACED = status(), status(("True", "Placed"))


@pytest.mark.parametrize(
    ("old", "new", "waits"),
    [
        pytest.param(FITS, PLACED, True, id="placed where there was room"),
        pytest.param(FITS, FITS, False, id="nothing changed"),
        pytest.param(status(("False", "InsufficientFreeGpus")), PLACED, False, id="placed after a wait"),
        pytest.param(PLACED, status(("False", "InsufficientFreeGpus")), False, id="room is gone"),
        pytest.param(FITS, status(("True", "Placed"), ready="Crashing"), False, id="another condition changed"),
        pytest.param(FITS, status(("True", "Placed"), readyReplicas=1), False, id="another field changed"),
        pytest.param({}, FITS, False, id="the first status"),
        pytest.param(FITS, {**PLACED, "conditions": PLACED["conditions"][1:]}, False, id="a condition is gone"),
    ],
)
def test_what_may_wait(old: dict[str, Any], new: dict[str, Any], waits: bool) -> None:
    assert is_unhurried(old, new) is waits


def test_it_waits_once_and_then_is_due() -> None:
    async def scenario() -> None:
        woken: asyncio.Queue[str] = asyncio.Queue()
        unhurried = Unhurried(woken.put_nowait, seconds=0.0)
        assert [unhurried.puts_off("u1", FITS, PLACED) for _ in range(2)] == [True, True]
        assert await woken.get() == "u1"
        assert woken.empty()
        assert not unhurried.puts_off("u1", FITS, PLACED)
        assert unhurried.puts_off("u1", FITS, PLACED), "the next one waits again"
        unhurried.close()

    asyncio.run(scenario())


def test_a_write_that_says_more_ends_the_wait() -> None:
    async def scenario() -> None:
        unhurried = Unhurried(lambda _: None)
        assert unhurried.puts_off("u1", FITS, PLACED)
        assert not unhurried.puts_off("u1", FITS, status(("True", "Placed"), readyReplicas=1))
        unhurried.close()

    asyncio.run(scenario())
