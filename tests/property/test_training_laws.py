"""Laws of training memory that hold for every covered model, split and setting."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.catalog.generic_model import (
    LARGEST_PARAMETERS,
    SMALLEST_PARAMETERS,
    generic_model,
    parse_parameters,
)
from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.optimizers import optimizers
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.training.adapters import LoraSettings
from deepseek_operator.memory.training.estimate import lora_estimate, training_estimate
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingDtype, TrainingSettings
from deepseek_operator.memory.weights import stage_weights

GIB = 2**30
LAWS = settings(max_examples=50, deadline=None)
SHAPES = st.sampled_from(
    (
        "deepseek-ai/deepseek-llm-67b-chat",
        "deepseek-ai/deepseek-moe-16b-chat",
        "deepseek-ai/DeepSeek-V2-Lite",
        "deepseek-ai/DeepSeek-R1",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    )
).map(shape)
SPLITS = st.builds(
    Parallelism,
    tensor=st.sampled_from((1, 2, 4, 8)),
    pipeline=st.integers(1, 8),
    data=st.sampled_from((1, 2, 8, 64)),
)
SETTINGS = st.builds(
    TrainingSettings,
    micro_batch_size=st.integers(1, 16),
    sequence_length=st.integers(1, 4096),
    gradient_accumulation_steps=st.integers(1, 16),
    optimizer=st.sampled_from([each.name for each in optimizers()]),
    dtype=st.sampled_from(TrainingDtype),
    master_weights=st.booleans(),
    fp32_gradients=st.booleans(),
    activation_checkpointing=st.sampled_from(ActivationCheckpointing),
    flash_attention=st.booleans(),
    dropout=st.booleans(),
    fused_kernels=st.booleans(),
    sequence_parallel=st.booleans(),
    zero_stage=st.integers(0, 3),
)


def need(model: ModelShape, told: TrainingSettings, split: Parallelism) -> int:
    return training_estimate(model, told, split, GIB).worst_rank.total_bytes


@LAWS
@given(model=SHAPES, told=SETTINGS, split=SPLITS)
def test_a_larger_batch_never_needs_less(model: ModelShape, told: TrainingSettings, split: Parallelism):
    larger = replace(told, micro_batch_size=told.micro_batch_size + 1)
    assert need(model, told, split) <= need(model, larger, split)


@LAWS
@given(model=SHAPES, told=SETTINGS, split=SPLITS, copies=st.sampled_from((1, 3, 8)))
def test_states_of_more_data_ranks_never_grow(
    model: ModelShape, told: TrainingSettings, split: Parallelism, copies: int
):
    wider = replace(split, data=split.data * copies)
    one, more = (training_estimate(model, told, each, GIB).ranks for each in (split, wider))
    assert [b.states_bytes <= a.states_bytes for a, b in zip(one, more, strict=True)] == [True] * len(one)


@LAWS
@given(model=SHAPES, told=SETTINGS, split=SPLITS)
def test_what_fits_has_no_limit_and_what_does_not_has_one(
    model: ModelShape, told: TrainingSettings, split: Parallelism
):
    needed = need(model, told, split)
    enough, short = (training_estimate(model, told, split, size) for size in (needed, needed - 1))
    assert (enough.fits, enough.limit, short.fits, bool(short.limit)) == (True, "", False, True)


@LAWS
@given(model=SHAPES, told=SETTINGS, split=SPLITS)
def test_stages_hold_the_model_once(model: ModelShape, told: TrainingSettings, split: Parallelism):
    unsharded = replace(told, zero_stage=0)
    ranks = training_estimate(model, unsharded, replace(split, tensor=1), GIB).ranks
    (whole,) = training_estimate(model, unsharded, Parallelism(), GIB).ranks
    assert sum(rank.parameters_bytes for rank in ranks) == whole.parameters_bytes


@LAWS
@given(model=SHAPES, told=SETTINGS, rank=st.integers(1, 256), quantize=st.booleans())
def test_adapters_grow_with_their_rank_and_nf4_never_needs_more(
    model: ModelShape, told: TrainingSettings, rank: int, quantize: bool
):
    split = Parallelism()
    one, two = (
        lora_estimate(model, told, LoraSettings(rank=each, quantize_base=quantize), split, GIB)
        for each in (rank, 2 * rank)
    )
    assert two.trainable_parameters == 2 * one.trainable_parameters
    plain, stored = (
        lora_estimate(model, told, LoraSettings(rank=rank, quantize_base=each), split, GIB).worst_rank
        for each in (False, True)
    )
    assert stored.parameters_bytes <= plain.parameters_bytes


@LAWS
@given(parameters=st.integers(SMALLEST_PARAMETERS, LARGEST_PARAMETERS))
def test_a_stand_in_weighs_what_was_stated_and_is_near_it(parameters: int):
    model = generic_model(parameters).shape
    (rank,) = stage_weights(model, Parallelism())
    assert rank.total_bytes == 2 * parameters
    trained = training_estimate(model, TrainingSettings(), Parallelism(), GIB).parameters
    assert abs(trained - parameters) <= 0.04 * parameters


@given(text=st.text(max_size=40))
def test_any_text_is_a_number_of_parameters_or_refused(text: str):
    try:
        parameters = parse_parameters(text)
    except InvalidSpecError:
        return
    assert SMALLEST_PARAMETERS <= parameters <= LARGEST_PARAMETERS
