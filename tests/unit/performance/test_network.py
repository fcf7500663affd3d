"""What a replica over several nodes waits for, with RDMA and without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.network import between_nodes_seconds, node_gb_per_second
from deepseek_operator.performance.roofline import predict

H100 = gpu("h100-sxm5-80gb")
STAGES = ServingPoint(
    shape=shape("deepseek-ai/DeepSeek-R1"),
    parallelism=Parallelism(tensor=8, pipeline=2),
    gpu=H100,
    precision=Precision(bytes_per_parameter=1.0, tflops=H100.fp8_tflops or 0.0),
    kv_bytes_per_token=70_272.0,
    batch=64,
    input_tokens=4000,
    output_tokens=1000,
    nodes=2,
)
ENGINES = replace(STAGES, parallelism=Parallelism(tensor=2, data=8))


@pytest.mark.parametrize(
    ("product", "gpus", "rdma", "expected"),
    [
        pytest.param("h100-sxm5-80gb", 8, True, 400.0, id="an-adapter-of-400-Gb-for-each-GPU"),
        pytest.param("a100-sxm4-80gb", 4, True, 100.0, id="of-200-Gb-before-Hopper"),
        pytest.param("h100-sxm5-80gb", 8, False, 5.0, id="one-ethernet-for-all"),
    ],
)
def test_what_a_node_sends(product: str, gpus: int, rdma: bool, expected: float):
    assert node_gb_per_second(gpu(product), gpus, rdma=rdma) == expected


def test_one_node_waits_for_no_other():
    assert between_nodes_seconds(replace(STAGES, nodes=1, parallelism=Parallelism(tensor=8)), 64) == 0.0


@pytest.mark.parametrize(
    ("rdma", "expected"),
    [
        pytest.param(True, 100e-6 + 64 * 7168 * 2 / 400e9, id="rdma"),
        pytest.param(False, 142e-6 + 64 * 7168 * 2 / 5e9, id="tcp"),
    ],
)
def test_a_stage_hands_on_the_activations_of_its_tokens(rdma: bool, expected: float):
    assert between_nodes_seconds(replace(STAGES, rdma=rdma), 64) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rdma", "expected"),
    [
        pytest.param(True, 100e-6 + 58 * (122e-6 + 32 * 7168 * 3 / 400e9), id="rdma"),
        pytest.param(False, 142e-6 + 58 * (84e-6 + 32 * 7168 * 3 / 5e9), id="tcp"),
    ],
)
def test_half_of_the_tokens_go_to_the_other_node_in_each_layer_with_experts(rdma: bool, expected: float):
    assert between_nodes_seconds(replace(ENGINES, rdma=rdma), 64) == pytest.approx(expected)


@pytest.mark.parametrize("point", [STAGES, ENGINES], ids=["stages", "engines"])
def test_tcp_is_slower_for_both_latencies(point: ServingPoint):
    fast, slow = predict(point), predict(replace(point, rdma=False))
    assert fast is not None
    assert slow is not None
    assert slow.ttft_milliseconds > fast.ttft_milliseconds
    assert slow.tpot_milliseconds >= fast.tpot_milliseconds


def test_engines_that_share_experts_over_nodes_need_rdma():
    fast, slow = predict(ENGINES), predict(replace(ENGINES, rdma=False))
    assert fast is not None
    assert slow is not None
    assert slow.ttft_milliseconds > 3 * fast.ttft_milliseconds
