"""Every model in every precision on every product that people ask for has an answer: a plan, or why there is none.

``UPDATE_GOLDEN=1 pytest tests/golden`` writes the answers anew; look at the difference before you commit it.

``coverage_cells.csv`` holds the 210 cells: thirteen DeepSeek models in the precisions that they are served in, on seven
products. Source: own list of this project. Each cell is asked of two nodes of eight GPUs of the product, which the
request names, for 32 requests at once of 1,024 + 256 tokens and no service level.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from pathlib import Path

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.quantizations import NATIVE, quantization
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.hardware import can_be_quantized
from deepseek_operator.planner.result import Infeasible, InfeasibleReason, Plan
from planner_values import pool, request, supply

FOLDER = Path(__file__).parent
CELLS = FOLDER / "coverage_cells.csv"
ANSWERS = FOLDER / "coverage_answers.csv"

QUANTIZATIONS = {"native": NATIVE, "bf16": NATIVE, "fp8": "FP8", "int4": "AWQ"}
"""What a precision of the list asks the planner for."""

NEEDS_CHECKPOINT = "needs a checkpoint"
FITS_ON_THE_MEAN = "fits on the mean only"

Cell = tuple[str, str, str]


def cells() -> list[Cell]:
    """Return the cells as (model, precision, product)."""
    with CELLS.open(newline="") as file:
        return [(row["model"], row["precision"], row["gpu"]) for row in csv.DictReader(file)]


def answer_of(cell: Cell) -> Plan | Infeasible:
    model, precision, gpu_id = cell
    asked = request(model, quantization=QUANTIZATIONS[precision], gpus=(gpu_id,), sla=None)
    return plan(asked, supply(pool(gpu_id, nodes=2)))


@pytest.fixture(scope="module")
def answers() -> dict[Cell, Plan | Infeasible]:
    return {cell: answer_of(cell) for cell in cells()}


def as_row(cell: Cell, found: Plan | Infeasible) -> list[str]:
    if isinstance(found, Infeasible):
        return [*cell, found.reason.value, "", found.message]
    notes = [NEEDS_CHECKPOINT] if quantization(found.quantization).needs_checkpoint else []
    notes += [FITS_ON_THE_MEAN] if any("by the mean of the estimate only" in each for each in found.reasons) else []
    nodes = f" on {found.nodes_per_replica} nodes" if found.nodes_per_replica > 1 else ""
    return [*cell, "Planned", f"{found.replicas} x {found.parallelism}, {found.quantization}{nodes}", "; ".join(notes)]


def test_the_list_is_whole():
    assert (len(cells()), len(set(cells()))) == (210, 210)


def test_every_cell_is_planned_or_refused_by_a_named_reason(
    answers: dict[Cell, Plan | Infeasible], capsys: pytest.CaptureFixture[str]
):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "precision", "gpu", "answer", "plan", "detail"])
    writer.writerows(as_row(cell, found) for cell, found in answers.items())
    counts = Counter(row_answer(found) for found in answers.values())
    with capsys.disabled():
        print(f"\nanswers to {len(answers)} cells: " + ", ".join(f"{name} {n}" for name, n in counts.most_common()))
    if os.environ.get("UPDATE_GOLDEN"):
        ANSWERS.write_text(text.getvalue())
    assert text.getvalue() == ANSWERS.read_text()


def row_answer(found: Plan | Infeasible) -> str:
    return found.reason.value if isinstance(found, Infeasible) else "Planned"


def test_16_bit_precision_is_asked_of_16_bit_checkpoints_only():
    assert [cell for cell in cells() if cell[1] == "bf16" and not can_be_quantized(shape(cell[0]))] == []


def test_a_checkpoint_is_never_quantized_twice(answers: dict[Cell, Plan | Infeasible]):
    twice = [cell for cell in cells() if cell[1] == "fp8" and not can_be_quantized(shape(cell[0]))]
    assert {model for model, _, _ in twice} == {"deepseek-ai/DeepSeek-V4-Flash"}
    allowed = {InfeasibleReason.QUANTIZATION_UNAVAILABLE.value, InfeasibleReason.NO_SUCH_GPU.value}
    assert {row_answer(answers[cell]) for cell in twice} <= allowed


def test_a_plan_says_what_is_published_about_the_loss(answers: dict[Cell, Plan | Infeasible]):
    lossy = [found for found in answers.values() if isinstance(found, Plan) and found.quantization != NATIVE]
    assert [found for found in lossy if not any("Published loss: " in each for each in found.reasons)] == []
    assert {found.quantization for found in lossy} == {"FP8", "AWQ"}
