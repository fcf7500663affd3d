"""The speed of an estimated replica under a closed loop of requests."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.aiconfigurator import installed
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.quantizations import Quantization
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.cli.estimate_question import EstimateQuestion, option, positive
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened
from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.roofline import can_predict, matrix_tflops, predict
from deepseek_operator.planner.hardware import rung_on
from deepseek_operator.units import ceil_div

ENGINES = ("sglang", "trtllm", "vllm")
"""Engines with measured points (``performance/coefficients.json``)."""

DEFAULT_ENGINE = "vllm"
"""Whose speed is predicted for a load without an engine; the memory is vLLM's too."""

LARGEST_CONCURRENCY = 10**6
"""Most requests in flight, as the custom resource takes them (``api/spec_service.py``)."""

_NEEDED = ("engine", "input_tokens", "output_tokens", "concurrency")


def speed_of(
    question: EstimateQuestion, model: ModelShape, product: Gpu | None, rung: Quantization, memory: MemoryEstimate
) -> Prediction | None:
    """Return the mean latencies with ``concurrency`` requests always in flight; None when the model does not fit.

    Requests beyond what the engine runs at once wait; by Little's law that adds (waiting / running) x the time of a
    request to each TTFT.

    Raises:
        InvalidSpecError: the load is incomplete or impossible, or nothing is known of the GPU's speed.
    """
    load, tokens, product = _checked(question, product, memory)
    if not memory.fits:
        return None
    precision = rung_on(rung, model, product)
    tflops = matrix_tflops(product, precision.multiply_bits) or 0.0
    split = memory.parallelism
    running = min(load, memory.settings.max_num_seqs * split.data, max(1, memory.requests_held(sum(tokens))))
    found = predict(
        ServingPoint(
            shape=model,
            parallelism=split,
            gpu=product,
            precision=Precision(bytes_per_parameter=precision.bytes_per_parameter, tflops=tflops),
            kv_bytes_per_token=float(memory.kv_cache_bytes_per_token * split.pipeline),
            batch=running,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            nodes=ceil_div(split.world_size, product.gpus_per_node or split.world_size),
            engine=question.engine,
            max_num_batched_tokens=memory.settings.max_num_batched_tokens,
        ),
        second=installed(),
    )
    if found is None:
        return None
    request_milliseconds = found.ttft_milliseconds + found.tpot_milliseconds * (tokens[1] - 1)
    return replace(
        found,
        ttft_milliseconds=found.ttft_milliseconds + ceil_div((load - running) * request_milliseconds, running),
    )


def _checked(
    question: EstimateQuestion, product: Gpu | None, memory: MemoryEstimate
) -> tuple[int, tuple[int, int], Gpu]:
    """Return requests in flight, tokens in and out, and the GPU."""
    missing = [option(name) for name in _NEEDED if getattr(question, name) in (None, "")]
    if missing:
        raise InvalidSpecError("", f"a speed needs {', '.join(map(option, _NEEDED))}; {' and '.join(missing)} missing")
    if question.engine not in ENGINES:
        near = near_matches(question.engine, ENGINES) or ENGINES
        raise InvalidSpecError("engine", f"unknown {shortened(question.engine)!r}; known are {', '.join(near)}")
    if question.cpu_offload_gb or question.spec_tokens:
        raise InvalidSpecError(
            "engine",
            "the speed with cpu-offload-gb or spec-tokens is not predicted; leave engine out to ask for memory",
        )
    if product is None:
        raise InvalidSpecError("", "a speed needs a GPU id (see `catalog gpus`), not only its memory")
    if not can_predict(product):
        raise InvalidSpecError(
            "gpu", f"memory bandwidth or matrix rate of {product.id} is not known; leave engine out to ask for memory"
        )
    tokens = (
        positive("input-tokens", question.input_tokens or 0),
        positive("output-tokens", question.output_tokens or 0),
    )
    longest = memory.settings.max_model_len
    if sum(tokens) > longest:
        raise InvalidSpecError(
            "input-tokens", f"{tokens[0]:,} with {tokens[1]:,} output tokens are more than max-model-len {longest:,}"
        )
    return positive("concurrency", question.concurrency or 0, LARGEST_CONCURRENCY), tokens, product
