"""The terms whose weighted sum is a latency. The fit (hack/fit_roofline.py) and the prediction share this code."""

from __future__ import annotations

import math
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

NODE_HOP_SECONDS = 100e-6
"""Assumed latency on top when that stage is on another node; not measured."""

TPOT_TERMS = (
    "dense_weights",
    "expert_weights",
    "kv_cache",
    "decode_flops",
    "prefill_share",
    "layers",
    "layers_experts",
    "all_reduce",
)
TTFT_TERMS = (
    "prefill_flops",
    "queue_log",
    "queue",
    "layers",
    "layers_tensor_parallel",
    "all_reduce",
    "decode_step",
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
    bandwidth = (point.gpu.memory_bandwidth_gb_per_second or math.nan) * 1e9
    peak = point.precision.tflops * 1e12
    layers = float(point.shape.num_layers)
    sharing = (point.batch - 1) / max(1, point.output_tokens) / _queues(point)
    return {
        "dense_weights": work.dense_bytes / bandwidth,
        "expert_weights": work.expert_bytes / bandwidth,
        "kv_cache": work.kv_bytes / bandwidth,
        "decode_flops": work.flops / peak,
        "prefill_share": prefill.flops / peak * sharing,
        "layers": layers * 1e-6,
        "layers_experts": layers * 1e-6 if point.shape.experts else 0.0,
        "all_reduce": work.all_reduce_bytes / _link_bytes_per_second(point),
    }


def ttft_terms(point: ServingPoint, prefill: Work, tpot_seconds: float) -> dict[str, float]:
    """Return seconds of each term of the time to the first token, queueing in a closed loop included."""
    compute = prefill.flops / (point.precision.tflops * 1e12)
    layers = float(point.shape.num_layers)
    batch = point.batch / _queues(point)
    return {
        "prefill_flops": compute,
        "queue_log": compute * math.log2(max(1.0, batch)),
        "queue": compute * max(0.0, batch - 1),
        "layers": layers * 1e-6,
        "layers_tensor_parallel": layers * 1e-6 if point.parallelism.tensor > 1 else 0.0,
        "all_reduce": prefill.all_reduce_bytes / _link_bytes_per_second(point),
        "decode_step": tpot_seconds,
    }


def _queues(point: ServingPoint) -> int:
    """Prompts that a replica reads at the same time: one per data-parallel engine and pipeline stage."""
    return point.parallelism.data * point.parallelism.pipeline


def prefill_of(point: ServingPoint) -> Work:
    """Return the work of reading one prompt of the point; both latencies need it."""
    return prefill_work(
        point.shape,
        point.parallelism,
        bytes_per_parameter=point.precision.bytes_per_parameter,
        input_tokens=point.input_tokens,
    )


def unfitted_seconds(point: ServingPoint) -> float:
    """Return latency per pass that no measurement covers: all-reduce over PCIe and hops between stages."""
    split = point.parallelism
    hops = (split.pipeline - 1) * PIPELINE_HOP_SECONDS + (point.nodes - 1) * NODE_HOP_SECONDS
    if linked(point.gpu, split.tensor):
        return hops
    return hops + 2 * point.shape.num_layers * UNLINKED_ALL_REDUCE_SECONDS


def _link_bytes_per_second(point: ServingPoint) -> float:
    if linked(point.gpu, point.parallelism.tensor):
        return (point.gpu.link_gb_per_second or PCIE_GEN4_GB_PER_SECOND) * 1e9
    return PCIE_GEN4_GB_PER_SECOND * 1e9
