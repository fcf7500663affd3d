"""Every model of the catalogue: its checkpoint against the published size, and an estimate."""

from __future__ import annotations

import csv

import pytest

from accuracy.recorded_startups import DATA, GIB
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import model_names, shape
from deepseek_operator.cli.estimate_answer import answer
from deepseek_operator.cli.estimate_question import EstimateQuestion
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.weights import checkpoint_bytes
from deepseek_operator.planner.parallelism import illegal

LARGEST_GPU = "b300"
TOLERANCE_GIB = 0.1

WITHOUT_COMPARISON = {
    "deepseek-ai/DeepSeek-Math-V2": "no size published",
    "deepseek-ai/DeepSeek-V4-Flash-DSpark": "no size published",
    "deepseek-ai/DeepSeek-V4-Flash-Vision-Exp": "no size published",
    "deepseek-ai/DeepSeek-V4-Pro-0813": "no size published",
    "deepseek-ai/DeepSeek-V4-Pro-Base": "published as 1.5 TiB, which says no more than 1,485 to 1,587 GiB",
    "deepseek-ai/DeepSeek-V4-Pro-DSpark": "no size published",
    "deepseek-ai/deepseek-math-7b-rl": "1.9 GiB more than two copies; unexplained",
}
"""Models whose published size cannot confirm the count, with the reason that the table gives."""


def published() -> dict[str, dict[str, str]]:
    with (DATA / "published_checkpoint_sizes.csv").open(newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_the_table_holds_every_model_and_explains_each_one_that_is_not_compared():
    rows = published()
    assert sorted(rows) == list(model_names())
    assert len(rows) == 73
    assert {name: rows[name]["note"] for name in WITHOUT_COMPARISON} == WITHOUT_COMPARISON


def test_checkpoints_have_the_published_size(capsys: pytest.CaptureFixture[str]):
    errors = {
        name: int(row["copies"]) * checkpoint_bytes(shape(name)) / GIB - float(row["published_gib"])
        for name, row in published().items()
        if name not in WITHOUT_COMPARISON
    }
    worst = max(errors, key=lambda name: abs(errors[name]))
    with capsys.disabled():
        print(f"\ncheckpoint sizes: {len(errors)} models, worst {worst} {errors[worst]:+.3f} GiB")
    assert {name: error for name, error in errors.items() if abs(error) > TOLERANCE_GIB} == {}


@pytest.mark.parametrize("name", model_names())
def test_every_model_has_an_estimate(name: str):
    """Eight of the largest GPUs hold every model; the split is the widest legal one."""
    model = shape(name)
    tensor = max(ways for ways in (1, 2, 4, 8) if not illegal(model, Parallelism(tensor=ways)))
    question = EstimateQuestion(model=name, gpu=LARGEST_GPU, tensor_parallel_size=tensor, max_model_len=4096)
    memory = answer(question).memory
    assert gpu(LARGEST_GPU).usable_memory_bytes == memory.worst_rank.total_bytes
    assert memory.fits, memory.limit
    assert memory.kv_cache_tokens >= 4096
    assert 0 < memory.worst_rank.weights_bytes < memory.worst_rank.budget_bytes
