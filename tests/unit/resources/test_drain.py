"""How long a stopping replica may take: the longest answer at the promised or predicted speed."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.resources.drain import shutdown_seconds
from model_factories import make_deployment, make_plan

LONG = {"inputTokens": 1000, "outputTokens": 500, "maxContextTokens": 11_000, "concurrency": 8}


@pytest.mark.parametrize(
    ("spec", "plan", "seconds"),
    [
        pytest.param({"workload": LONG}, {}, 662, id="11,000 tokens at the promised 60 ms, and the first at 2 s"),
        pytest.param({"workload": LONG, "sla": None}, {}, 545, id="11,000 tokens at the predicted 38 ms and its band"),
        pytest.param({"workload": LONG, "sla": None}, {"predicted": None}, 120, id="nothing is known of the speed"),
        pytest.param(
            {"workload": {**LONG, "maxContextTokens": 1500}}, {}, 120, id="short answers have the least patience"
        ),
        pytest.param({"workload": {**LONG, "maxContextTokens": 10**6}}, {}, 3540, id="nobody waits longer"),
        pytest.param({"workload": LONG, "engine": {"shutdownSeconds": 0}}, {}, 0, id="what is written is obeyed"),
    ],
)
def test_shutdown_seconds(spec: dict[str, Any], plan: dict[str, Any], seconds: int) -> None:
    assert shutdown_seconds(make_deployment(**spec), make_plan(**plan)) == seconds
