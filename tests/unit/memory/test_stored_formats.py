from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from deepseek_operator.catalog import known_formats
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.linear_formats import SIXTEEN_BIT, FormatException, LinearFormat
from deepseek_operator.catalog.models import model, shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import linear_format, quantized_weights
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.weights import checkpoint_bytes, parameter_counts, stage_weights

LLAMA = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
V2_LITE = "deepseek-ai/DeepSeek-V2-Lite"
V3 = "deepseek-ai/DeepSeek-V3"


def by_component(name: str, quantized: LinearFormat | None) -> dict[Component, int]:
    (stage,) = stage_weights(shape(name), Parallelism(), quantized)
    return dict(stage.by_component)


@pytest.mark.parametrize(
    ("name", "columns", "bytes_per_row"),
    [
        pytest.param("AWQ", 4096, 4096 // 2 + 32 * 2 + 32 // 2, id="scales and zeros of 32 groups"),
        pytest.param("AWQ:32", 4096, 4096 // 2 + 128 * 2 + 128 // 2, id="of 128 groups"),
        pytest.param("AWQ:-1", 4096, 4096 // 2 + 2 + Fraction(1, 2), id="of the whole row"),
        pytest.param("W4A16:64", 4096, 4096 // 2 + 64 * 2, id="symmetric"),
        pytest.param("INT8W8A8", 4096, 4096 + 4, id="a scale per row"),
        pytest.param("MXFP4", 4096, 4096 // 2 + 128, id="exponents"),
        pytest.param("NF4", 4096, 4096 // 2 + 64 * 4, id="absolute maxima"),
        pytest.param("Sparse24FP8", 4096, 4096 // 2 + 4096 // 8 + 4, id="half of them with positions"),
        pytest.param("GGUF:4.5", 4096, 4096 * 9 // 16, id="a mean"),
    ],
)
def test_bytes_of_a_row(name: str, columns: int, bytes_per_row: int | Fraction):
    linear = linear_format(name)
    assert linear is not None
    tables = (table for table in linear.side_tables if table.loaded and table.rows is not None)
    size = linear.weight_bytes(2, columns) + linear.scale_bytes(2, columns)
    assert size + sum(table.table_bytes(2, columns) for table in tables) == 2 * bytes_per_row


def test_experts_alone_are_quantized():
    whole, experts = by_component(V2_LITE, None), by_component(V2_LITE, linear_format("INT8Experts"))
    changed = {component for component in whole if whole[component] != experts[component]}
    assert changed == {Component.ROUTED_EXPERTS}


def test_a_file_of_mixed_blocks_quantizes_the_vocabulary_too():
    parameters = parameter_counts(shape(LLAMA))
    sizes = by_component(LLAMA, known_formats.gguf(Fraction(8)))
    assert sizes[Component.LM_HEAD] == pytest.approx(parameters[Component.LM_HEAD], rel=0.01)
    assert sizes[Component.NORMS] >= 2 * parameters[Component.NORMS]


def test_unquantized_modules_of_a_stage_keep_16_bits():
    quantized = shape_from_config(
        {
            **model(V3).config,
            "quantization_config": {
                "quant_method": "modelopt",
                "quant_algo": "NVFP4",
                "ignore": ["lm_head", "model.layers.0.self_attn*", "model.layers.60.mlp.shared_experts*"],
            },
        }
    )
    without = replace(quantized, format_exceptions=())
    split = Parallelism(tensor=8, pipeline=2)
    added = [
        {component: size - dict(plain.by_component)[component] for component, size in stage.by_component}
        for stage, plain in zip(stage_weights(quantized, split), stage_weights(without, split), strict=True)
    ]
    changed = [{component for component, size in stage.items() if size} for stage in added]
    assert changed == [{Component.ATTENTION}, {Component.SHARED_EXPERTS}]
    shared = 3 * 7168 * 2048 // 8  # gate, up and down of one layer, cut by eight ranks
    assert added[1][Component.SHARED_EXPERTS] == pytest.approx(shared * (16 - 4.5) / 8, rel=0.001)


def test_a_checkpoint_of_which_nothing_is_quantized_has_its_own_size():
    names = ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
    plain = shape(LLAMA)
    everything = frozenset((name, layer) for name in names for layer in range(plain.num_layers))
    exempt = replace(
        plain,
        stored_linear=known_formats.gptq(4, 128),
        format_exceptions=(FormatException(linear=SIXTEEN_BIT, modules=everything),),
    )
    assert checkpoint_bytes(exempt) == checkpoint_bytes(plain)
    (found,), (expected,) = (stage_weights(each, Parallelism(tensor=2)) for each in (exempt, plain))
    assert found.by_component == expected.by_component


def test_a_named_format_ignores_what_the_checkpoint_says():
    quantized = replace(shape(LLAMA), stored_linear=known_formats.gptq(4, 128))
    assert stage_weights(quantized, Parallelism(), linear_format("FP8")) == stage_weights(
        shape(LLAMA), Parallelism(), linear_format("FP8")
    )


def test_double_quantization_is_smaller_on_disk_than_in_the_engine():
    stored = replace(shape(LLAMA), stored_linear=known_formats.nf4(double_quantized=True))
    plain = replace(shape(LLAMA), stored_linear=known_formats.nf4(double_quantized=False))
    assert checkpoint_bytes(stored) < checkpoint_bytes(plain)
    (first,), (second,) = (stage_weights(each, Parallelism()) for each in (stored, plain))
    assert first.total_bytes == second.total_bytes


@pytest.mark.parametrize(
    ("name", "capability", "widened_bits"),
    [
        pytest.param("AWQ", (9, 0), 12, id="zero points are widened on Hopper"),
        pytest.param("AWQ", (8, 0), 0, id="not on Ampere"),
        pytest.param("AWQ:32", (9, 0), 0, id="not in small groups"),
        pytest.param("GPTQ", (9, 0), 0, id="not the unused ones of GPTQ"),
    ],
)
def test_kernels_of_hopper(name: str, capability: tuple[int, int], widened_bits: int):
    model_shape, split = shape(LLAMA), Parallelism()
    (stage,) = quantized_weights(model_shape, split, name, capability)
    (plain,) = stage_weights(model_shape, split, linear_format(name))
    parameters = parameter_counts(model_shape)
    groups = (parameters[Component.ATTENTION] + parameters[Component.DENSE_MLP]) // 128
    assert stage.total_bytes - plain.total_bytes == groups * widened_bits // 8


def test_a_checkpoint_read_from_its_config_is_prepared_for_hopper_too():
    stored = replace(shape(LLAMA), stored_linear=known_formats.packed_integers(4, 128, zero_points=True))
    assert quantized_weights(stored, Parallelism(), "Native", (9, 0)) == quantized_weights(
        shape(LLAMA), Parallelism(), "AWQ", (9, 0)
    )
