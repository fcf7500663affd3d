"""The terms whose weighted sum is a latency. The fit (hack/fit_roofline.py) and the prediction share this code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.work import Work, decode_work, prefill_work

PCIE_GEN4_GB_PER_SECOND = 64.0
"""PCIe 4.0 x16, both directions, decimal GB/s: what joins GPUs without a link of their own.

Source: PCI Express 4.0: 16 GT/s x 16 lanes with 128b/130b coding is 31.5 GB/s per direction.
"""

UNLINKED_ALL_REDUCE_SECONDS = 20e-6
"""Assumed extra latency of one all-reduce staged through the host over PCIe; not measured.

The engine's own one-shot all-reduce needs NVLink or at most two PCIe GPUs; else NCCL's ring runs.
"""

PIPELINE_HOP_SECONDS = 50e-6
"""Assumed latency of passing activations to the next pipeline stage; not measured (no data with pipelines)."""

LOW_PRECISION_SHARE = 0.72
"""Share of the data sheet's rate that matrices below 16 bits reach, relative to what those of 16 bits reach of theirs.

Quantizing activations, scaling blocks and widening 4-bit weights cost rate that 16-bit kernels do not pay. Chosen to
predict products that the fit has not seen: the mean error of TPOT is 18.9 % at 1.0, 18.2 % here and 18.4 % at 0.5.
TTFT, which queueing dominates, is predicted no better with it and goes without.
"""

WIDE_BYTES = 1.5
"""Stored bytes per parameter from which on matrices count as 16-bit ones."""

EXPERT_ACTIVATION_BYTES = 3.0
"""Bytes of one activation that goes to an expert (8 bits) and comes back (16 bits) between data-parallel ranks."""

TPOT_TERMS = (
    "dense_weights",
    "expert_weights",
    "kv_cache",
    "linear_flops",
    "all_reduce",
    "all_to_all",
    "layers",
    "layers_experts",
    "layers_tensor_parallel",
    "requests",
    "prefill_linear",
    "prefill_attention",
    "prefill_all_reduce",
)
TTFT_TERMS = (
    "prefill_linear",
    "prefill_attention",
    "prefill_all_reduce",
    "weights",
    "layers_experts",
    "layers_tensor_parallel",
    "decode_step",
    "queue_linear",
    "queue_attention",
    "requests",
)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How the matrices are stored and multiplied.

    Args:
        bytes_per_parameter: stored bytes per quantizable weight, scales included.
        tflops: dense matrix rate of the GPU at the precision that the kernels multiply in.
    """

    bytes_per_parameter: float
    tflops: float


@dataclass(frozen=True, kw_only=True)
class ServingPoint:
    """One replica under a steady load of ``batch`` requests.

    Args:
        kv_bytes_per_token: bytes per cached token on one GPU, summed over its column of pipeline stages.
        batch: requests in flight in the whole replica, 1 or more.
        nodes: nodes that the replica spans.
        rdma: whether its pods reach other nodes by RDMA.
        engine: ``vllm``, ``sglang`` or ``trtllm``.
        engine_release: its release; one that was not measured counts as an average of those that were.
        max_num_batched_tokens: tokens of one step of one engine; 0 reads every prompt in one step.
    """

    shape: ModelShape
    parallelism: Parallelism
    gpu: Gpu
    precision: Precision
    kv_bytes_per_token: float
    batch: int
    input_tokens: int
    output_tokens: int
    nodes: int = 1
    rdma: bool = True
    engine: str = "vllm"
    engine_release: str = ""
    max_num_batched_tokens: int = 0


def linked(gpu: Gpu, tensor: int) -> bool:
    """Whether a fast link joins that many GPUs of a node (a bridge joins two)."""
    if tensor == 1:
        return True
    return bool(gpu.link_gb_per_second) and (gpu.link_spans_node or tensor <= 2)


def tpot_terms(point: ServingPoint, prefill: Work) -> dict[str, float]:
    """Return seconds of each roofline term of one output token; coefficients near 1 mean "at the limit"."""
    work = decode_work(
        point.shape,
        point.parallelism,
        bytes_per_parameter=point.precision.bytes_per_parameter,
        kv_bytes_per_token=point.kv_bytes_per_token,
        batch=point.batch,
        context_tokens=point.input_tokens + point.output_tokens / 2,
    )
    bandwidth = _bandwidth(point)
    rate = _matrix_rate(point)
    link = _link_bytes_per_second(point)
    per_engine = max(1.0, point.batch / point.parallelism.data)
    sharing = prefills_per_token(point)
    return {
        "dense_weights": work.dense_bytes / bandwidth,
        "expert_weights": work.expert_bytes / bandwidth,
        "kv_cache": work.kv_bytes / bandwidth,
        "linear_flops": work.linear_flops / rate,
        "all_reduce": work.all_reduce_bytes / link,
        "all_to_all": _all_to_all_bytes(point, per_engine) / link,
        **_layer_terms(point),
        "requests": per_engine * 1e-6,
        "prefill_linear": prefill.linear_flops / rate * sharing,
        "prefill_attention": prefill.attention_flops / _wide_rate(point) * sharing,
        "prefill_all_reduce": prefill.all_reduce_bytes / link * sharing,
    }


def ttft_terms(point: ServingPoint, prefill: Work, tpot_seconds: float) -> dict[str, float]:
    """Return seconds of each term of the time to the first token, queueing in a closed loop included."""
    linear = prefill.linear_flops / (point.precision.tflops * 1e12)
    attention = prefill.attention_flops / _wide_rate(point)
    others = max(0.0, point.batch / prompt_queues(point) - 1)
    layers = _layer_terms(point)
    return {
        "prefill_linear": linear,
        "prefill_attention": attention,
        "prefill_all_reduce": prefill.all_reduce_bytes / _link_bytes_per_second(point),
        "weights": (prefill.dense_bytes + prefill.expert_bytes) / _bandwidth(point),
        "layers_experts": layers["layers_experts"],
        "layers_tensor_parallel": layers["layers_tensor_parallel"],
        "decode_step": tpot_seconds,
        "queue_linear": linear * others,
        "queue_attention": attention * others,
        "requests": others * 1e-3,
    }


def _layer_terms(point: ServingPoint) -> dict[str, float]:
    """Return a microsecond per layer, once always, once with experts and once with tensor parallelism."""
    layers = point.shape.num_layers * 1e-6
    return {
        "layers": layers,
        "layers_experts": layers if point.shape.experts else 0.0,
        "layers_tensor_parallel": layers if point.parallelism.tensor > 1 else 0.0,
    }


def _all_to_all_bytes(point: ServingPoint, tokens: float) -> float:
    """Return the bytes that one rank sends to the experts of other data-parallel ranks, and back, in one step."""
    experts = point.shape.experts
    if experts is None or point.parallelism.data == 1:
        return 0.0
    layers = point.shape.num_layers - experts.num_dense_layers
    copies = experts.num_experts_per_token * layers
    return tokens * copies * point.shape.hidden_size * EXPERT_ACTIVATION_BYTES


def _bandwidth(point: ServingPoint) -> float:
    """Return bytes per second of the GPU's memory."""
    return (point.gpu.memory_bandwidth_gb_per_second or math.nan) * 1e9


def _matrix_rate(point: ServingPoint) -> float:
    """Return operations per second of the weights' matrices: the data sheet's, less where they are below 16 bits."""
    rate = point.precision.tflops * 1e12
    return rate if point.precision.bytes_per_parameter >= WIDE_BYTES else rate * LOW_PRECISION_SHARE


def _wide_rate(point: ServingPoint) -> float:
    """Return operations per second at 16 bits, which attention is computed with whatever the weights are."""
    return (point.gpu.bf16_tflops or point.gpu.fp16_tflops or math.nan) * 1e12


def prompt_queues(point: ServingPoint) -> int:
    """Prompts that a replica reads at the same time: one per data-parallel engine and pipeline stage."""
    return point.parallelism.data * point.parallelism.pipeline


def prefills_per_token(point: ServingPoint) -> float:
    """Return the prompts of others that a queue reads while it writes one token of each answer."""
    return max(0.0, point.batch / prompt_queues(point) - 1) / max(1, point.output_tokens)


def prefill_seconds(prefill: Work, point: ServingPoint, weights: Mapping[str, float]) -> float:
    """Return how long one prompt keeps its queue busy: the time that it takes from the answers of others.

    Args:
        prefill: the work of reading one prompt of the point.
        point: one replica under load.
        weights: fitted weights of the TPOT terms.
    """
    return (
        weights["prefill_linear"] * prefill.linear_flops / _matrix_rate(point)
        + weights["prefill_attention"] * prefill.attention_flops / _wide_rate(point)
        + weights["prefill_all_reduce"] * prefill.all_reduce_bytes / _link_bytes_per_second(point)
    )


def prefill_of(point: ServingPoint) -> Work:
    """Return the work of reading one prompt of the point; both latencies need it."""
    return prefill_work(
        point.shape,
        point.parallelism,
        bytes_per_parameter=point.precision.bytes_per_parameter,
        input_tokens=point.input_tokens,
    )


def unfitted_seconds(point: ServingPoint) -> float:
    """Return latency per pass that no measurement covers: all-reduce over PCIe, and what stages add inside a node."""
    split = point.parallelism
    seconds = (split.pipeline - 1) * PIPELINE_HOP_SECONDS
    if not linked(point.gpu, split.tensor):
        seconds += 2 * point.shape.num_layers * UNLINKED_ALL_REDUCE_SECONDS
    experts = point.shape.experts
    if experts is not None and split.data > 1 and not point.gpu.link_gb_per_second:
        seconds += 2 * (point.shape.num_layers - experts.num_dense_layers) * UNLINKED_ALL_REDUCE_SECONDS
    return seconds


def _link_bytes_per_second(point: ServingPoint) -> float:
    if linked(point.gpu, point.parallelism.tensor):
        return (point.gpu.link_gb_per_second or PCIE_GEN4_GB_PER_SECOND) * 1e9
    return PCIE_GEN4_GB_PER_SECOND * 1e9
