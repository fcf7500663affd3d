"""Leadership while the API server hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepseek_operator.handlers.leadership import Leadership, LeadershipLostError


class HangingCluster:
    """Accepts every call and answers none."""

    async def get(self, *_: object) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("never reached")


def test_a_call_that_hangs_does_not_outlast_the_lease():
    async def scenario() -> None:
        leadership = Leadership(HangingCluster(), namespace="n", name="l", identity="me", lease_seconds=0.3)  # type: ignore[arg-type]
        with pytest.raises(LeadershipLostError):
            async with asyncio.timeout(5):
                await leadership.hold()

    asyncio.run(scenario())
