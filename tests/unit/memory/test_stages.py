from __future__ import annotations

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.stages import Stage, layers_per_stage, stages


@pytest.mark.parametrize(
    ("layers", "pipeline", "expected"),
    [
        pytest.param(61, 2, (31, 30), id="the first of two takes the rest"),
        pytest.param(61, 4, (15, 15, 16, 15), id="the last but one takes a single rest"),
        pytest.param(95, 4, (24, 24, 24, 23), id="the last never takes one"),
        pytest.param(60, 3, (20, 20, 20), id="an even cut"),
    ],
)
def test_layers_per_stage(layers: int, pipeline: int, expected: tuple[int, ...]):
    assert layers_per_stage(layers, pipeline) == expected


def test_dense_layers_lie_on_the_first_stage():
    assert stages(shape("deepseek-ai/DeepSeek-V3"), 2) == (
        Stage(index=0, first_layer=0, num_dense_layers=3, num_moe_layers=28, is_first=True, is_last=False),
        Stage(index=1, first_layer=31, num_dense_layers=0, num_moe_layers=30, is_first=False, is_last=True),
    )


def test_a_dense_model_has_no_moe_layers():
    (stage,) = stages(shape("deepseek-ai/deepseek-llm-67b-chat"), 1)
    assert (stage.num_dense_layers, stage.num_moe_layers, stage.is_first, stage.is_last) == (95, 0, True, True)
