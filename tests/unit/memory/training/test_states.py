"""Bytes per parameter as the papers and the implementations state them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.optimizers import optimizers
from deepseek_operator.errors import InvalidSpecError, UnknownOptimizerError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import stages
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.training.parameters import RankMatrix, rank_matrices
from deepseek_operator.memory.training.settings import TrainingDtype, TrainingSettings, refuse_impossible
from deepseek_operator.memory.training.states import States, trained_states
from deepseek_operator.memory.weights import parameter_counts

MILLION = 1_000_000
BILLION = 1000 * MILLION


def matrix(rows: int, columns: int, count: int = 1, copies: int = 1) -> RankMatrix:
    return RankMatrix(
        component=Component.DENSE_MLP, rows=rows, columns=columns, count=count, is_linear=True, copies_over_data=copies
    )


@pytest.mark.parametrize(("stage", "gb"), [(0, "120.0"), (1, "31.4"), (2, "16.6"), (3, "1.9")])
def test_zero_divides_as_published_for_7_5_billion_parameters_on_64_gpus(stage: int, gb: str):
    states = trained_states([matrix(75 * MILLION, 100, copies=64)], TrainingSettings(zero_stage=stage))
    total = states.parameters_bytes + states.master_weights_bytes + states.gradients_bytes + states.optimizer_bytes
    assert f"{total / BILLION:.1f}" == gb


@pytest.mark.parametrize(
    ("name", "changes", "bytes_per_parameter"),
    [
        pytest.param("adamw", {}, 8, id="two FP32 moments"),
        pytest.param("adamw", {"dtype": TrainingDtype.FLOAT32}, 8, id="FP32 weights"),
        pytest.param("adamw", {"master_weights": False}, 4, id="moments of 16-bit weights"),
        pytest.param("adamw-8bit", {}, 2 + Fraction(8, 256), id="8 bits and scales"),
        pytest.param("adamw-8bit", {"master_weights": False}, 2 + Fraction(8, 256), id="8 bits whatever the weights"),
        pytest.param("lion", {}, 4, id="one moment"),
        pytest.param("adafactor", {}, Fraction(4 * (4096 + 1024), 4096 * 1024), id="a row and a column"),
        pytest.param("adafactor", {"zero_stage": 1}, 4, id="flattened by ZeRO"),
    ],
)
def test_an_optimizer_keeps_per_parameter(name: str, changes: dict[str, object], bytes_per_parameter: Fraction):
    settings = replace(TrainingSettings(), optimizer=name, **changes)
    assert trained_states([matrix(4096, 1024)], settings).optimizer_bytes == 4096 * 1024 * bytes_per_parameter


def test_small_tensors_keep_fp32_moments():
    settings = TrainingSettings(optimizer="adamw-8bit")
    assert trained_states([matrix(4095, 1, count=3)], settings).optimizer_bytes == 3 * 8 * 4095


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"zero_stage": 1, "offload_optimizer": True},
            States(parameters_bytes=2, master_weights_bytes=0, gradients_bytes=2, optimizer_bytes=0, host_bytes=3),
            id="ZeRO-1: gradients stay",
        ),
        pytest.param(
            {"zero_stage": 2, "offload_optimizer": True},
            States(parameters_bytes=2, master_weights_bytes=0, gradients_bytes=0, optimizer_bytes=0, host_bytes=4),
            id="ZeRO-2: 16 B per parameter on the host",
        ),
        pytest.param(
            {"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True},
            States(parameters_bytes=0, master_weights_bytes=0, gradients_bytes=0, optimizer_bytes=0, host_bytes=4.5),
            id="ZeRO-3: 18 B per parameter on the host",
        ),
        pytest.param(
            {"fp32_gradients": True},
            States(parameters_bytes=2, master_weights_bytes=4, gradients_bytes=4, optimizer_bytes=8, host_bytes=0),
            id="18 B per parameter with FP32 gradients",
        ),
    ],
)
def test_states_per_parameter_on_four_data_parallel_ranks(changes: dict[str, object], expected: States):
    found = trained_states([matrix(1000, 1000, copies=4)], replace(TrainingSettings(), **changes))
    assert {key: value / MILLION for key, value in vars(found).items()} == vars(expected)


@pytest.mark.parametrize(
    "name",
    [
        "deepseek-llm-67b-base",
        "deepseek-moe-16b-base",
        "DeepSeek-V2-Lite",
        "DeepSeek-R1",
        "DeepSeek-R1-Distill-Qwen-7B",
    ],
)
def test_every_parameter_is_trained_once(name: str):
    model = shape(f"deepseek-ai/{name}")
    (stage,) = stages(model, 1)
    found: dict[Component, int] = {}
    for each in rank_matrices(model, stage, Parallelism()):
        found[each.component] = found.get(each.component, 0) + each.parameters
    assert found == parameter_counts(model)


def test_dealt_out_experts_have_no_copies():
    model = shape("deepseek-ai/DeepSeek-V2-Lite")
    (stage,) = stages(model, 1)
    split = Parallelism(tensor=2, data=4, expert=True)
    experts = [m for m in rank_matrices(model, stage, split) if m.component is Component.ROUTED_EXPERTS]
    assert {(m.count, m.rows, m.columns, m.copies_over_data) for m in experts} == {
        (26 * 8, 1408, 2048, 1),
        (26 * 8, 2048, 1408, 1),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batch_size": 0}, "micro-batch-size: 0 is no number from 1 to 65,536"),
        ({"sequence_length": -1}, "sequence-length: -1 is no number from 1 to 1,000,000,000"),
        ({"sequence_length": 4097}, "sequence-length: 4,097 tokens are above the model's 4,096; use fewer, or a "
         "config with a larger max_position_embeddings"),
        ({"zero_stage": 4}, "zero-stage: 4 is no number from 0 to 3"),
        ({"offload_optimizer": True}, "offload-optimizer: needs zero-stage 1, 2 or 3, because ZeRO moves the states"),
        ({"zero_stage": 2, "offload_parameters": True}, "offload-parameters: needs zero-stage 3 and not 2"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(changes: dict[str, object], message: str):
    with pytest.raises(InvalidSpecError) as refused:
        refuse_impossible(replace(TrainingSettings(), **changes), 4096)
    assert str(refused.value) == message


def test_an_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(UnknownOptimizerError) as refused:
        refuse_impossible(TrainingSettings(optimizer="sgd"), 4096)
    assert str(refused.value) == "unknown optimizer 'sgd'; known are adamw, adamw-8bit, lion, adafactor"


def test_every_optimizer_names_its_source():
    assert [each.name for each in optimizers() if not each.source or not each.notes] == []
