"""The memory of serving: defaults of the engine, what a GPU cannot run, and the answer as JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepseek_operator.catalog.batch_limits import default_batch_limits
from deepseek_operator.catalog.gpus import Gpu, runs_sparse_attention
from deepseek_operator.catalog.quantizations import (
    Quantization,
    named_quantization,
    refusal,
)
from deepseek_operator.catalog.shapes import CompressedAttention, LatentAttention, ModelShape
from deepseek_operator.cli.estimate_question import EstimateQuestion, Subject, choice, positive
from deepseek_operator.errors import InvalidSpecError, UnknownQuantizationError
from deepseek_operator.memory.estimate import EngineSettings, MemoryEstimate, estimate
from deepseek_operator.memory.host_memory import HostMemory, host_memory
from deepseek_operator.memory.release_overheads import release_overheads
from deepseek_operator.memory.settings import IndexerKvDtype, KvCacheDtype
from deepseek_operator.memory.weights import WEIGHTS_ERROR_PERCENT
from deepseek_operator.planner.parallelism import illegal
from deepseek_operator.units import GIB

if TYPE_CHECKING:
    from deepseek_operator.performance.prediction import Prediction

LARGEST_BATCH = 2**20
"""Most requests or tokens in one scheduler step, as the custom resource takes them (``api/spec_engine.py``)."""

LARGEST_SPEC_TOKENS = 16
"""Draft tokens per step, as the custom resource takes them (``api/spec_engine.py``)."""

LARGEST_HOST_GIB = 2**20
"""One pebibyte of host memory."""


@dataclass(frozen=True, kw_only=True)
class ServingAnswer:
    """The estimate with what it was made of.

    Args:
        host: memory and disk of its nodes.
        product: the GPU; None when only its memory was given.
        speed: predicted for the load that was asked about; None when none was, or when the model does not fit.
    """

    shape: ModelShape
    memory: MemoryEstimate
    host: HostMemory
    product: Gpu | None
    speed: Prediction | None = None
    approximation: str = ""

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        """Of the GPU; None when it is not known or has none."""
        return self.product.architecture if self.product else None

    @property
    def fits(self) -> bool:
        """Whether one request of the longest context fits."""
        return self.memory.fits

    def explanation(self) -> tuple[str, ...]:
        """Return the formulas with the numbers put in, one a line."""
        from deepseek_operator.memory.explanation import explanation

        lines = explanation(self.shape, self.memory, self.compute_capability)
        if self.memory.fits or self.product is None:
            return lines
        from deepseek_operator.planner.host_offload import offload_lines

        return (*lines, *offload_lines(self.shape, self.memory, self.product))

    def print(self) -> None:
        """Print the answer for people."""
        from deepseek_operator.cli.estimate_text import print_serving

        print_serving(self)

    def as_json(self) -> dict[str, Any]:
        """Return the answer under its documented keys; ``limit`` is null when the model fits."""
        memory = self.memory
        return {
            "fits": memory.fits,
            "perRank": [
                {
                    "stage": rank.stage,
                    "weightsBytes": rank.weights_bytes,
                    "activationsBytes": rank.activations_bytes,
                    "nonTorchBytes": rank.non_torch_bytes,
                    "cudaGraphBytes": rank.cuda_graph_bytes,
                    "kvCacheBytes": rank.kv_cache_bytes,
                }
                for rank in memory.ranks
            ],
            "kvCacheBytesPerToken": memory.kv_cache_bytes_per_token,
            "kvCacheTokens": memory.kv_cache_tokens,
            "maxConcurrency": round(memory.max_concurrency, 2),
            "gpuMemoryBytes": memory.ranks[0].total_bytes,
            "errorPercent": _error_percent(self.shape, memory, self.compute_capability),
            "limit": memory.limit or None,
            "performance": _speed_as_json(self.speed),
            "fitsSurely": memory.fits_surely,
            "basis": memory.basis,
            "hostMemory": _host_as_json(self.host),
            "diskBytes": self.host.disk_bytes,
            **({"approximation": self.approximation} if self.approximation else {}),
        }


def _error_percent(
    shape: ModelShape, memory: MemoryEstimate, compute_capability: tuple[int, int] | None
) -> dict[str, int]:
    """Return the half widths of the 90 % bands on the rank with the least room, as shares of each figure."""
    release, rank = release_overheads(memory.settings.release), memory.worst_rank
    non_torch = release.non_torch_band_on(memory.parallelism.tensor, compute_capability)
    graphs = rank.cuda_graph_bytes
    return {
        "weightsBytes": WEIGHTS_ERROR_PERCENT,
        "activationsBytes": release.activations_band_of(shape).half_width_percent(rank.activations_bytes),
        "nonTorchBytes": non_torch.half_width_percent(rank.non_torch_bytes),
        "cudaGraphBytes": release.cuda_graphs_band.half_width_percent(graphs) if graphs else 0,
        "kvCacheTokens": memory.kv_cache_error_percent,
    }


def answer_serving(question: EstimateQuestion, subject: Subject) -> ServingAnswer:
    """Return the memory of serving a model, and its speed when a load is given.

    Raises:
        DeepSeekOperatorError: the question cannot be answered; the text says which option to change.
    """
    model, product, split = subject.shape, subject.product, subject.split
    rung = _quantization(question.quantization)
    if product is not None:
        _refuse_unrunnable(product, rung, model)
    settings = _settings(question, model, subject.memory_bytes, rung)
    if model.stated_parameters and settings.cpu_offload_bytes:
        raise InvalidSpecError(
            "cpu-offload-gb", "moves whole tensors, which a number of parameters does not tell; give model or config"
        )
    if reason := illegal(model, split, linear=rung.linear):
        raise InvalidSpecError("", reason)
    memory = estimate(model, split, settings, subject.memory_bytes, product.architecture if product else None)
    if memory.kv_cache_pool is None:
        raise InvalidSpecError("", memory.limit)
    host = host_memory(
        model,
        split,
        settings,
        gpus_per_node=min(split.world_size, (product and product.gpus_per_node) or split.world_size),
        kv_offload_bytes=_gib("kv-offloading-size", question.kv_offloading_size),
        compute_capability=product.architecture if product else None,
    )
    speed = None
    if question.engine or any((question.input_tokens, question.output_tokens, question.concurrency)):
        from deepseek_operator.cli.estimate_speed import DEFAULT_ENGINE, speed_of

        speed = speed_of(replace(question, engine=question.engine or DEFAULT_ENGINE), model, product, rung, memory)
    return ServingAnswer(
        shape=model, memory=memory, host=host, product=product, speed=speed, approximation=subject.approximation
    )


def _refuse_unrunnable(product: Gpu, rung: Quantization, model: ModelShape) -> None:
    """Refuse weights and attention that the engine has no kernels for on the GPU."""
    instead = "take another GPU of `catalog gpus`"
    if not product.formats:
        raise InvalidSpecError("gpu", f"which precisions the engine runs on {product.id} is not known; {instead}")
    if reason := refusal(product, rung, model.stored_precision):
        raise InvalidSpecError("gpu", f"{reason}; {instead} or another quantization")
    attention = model.attention
    if (
        isinstance(attention, LatentAttention | CompressedAttention)
        and attention.index_topk
        and not runs_sparse_attention(product)
    ):
        raise InvalidSpecError("gpu", f"sparse attention of this model has no kernel on {product.id}; {instead}")


def _settings(question: EstimateQuestion, model: ModelShape, total_bytes: int, rung: Quantization) -> EngineSettings:
    """Return the engine's settings; its defaults are those of the asked release."""
    default_percent = release_overheads(question.engine_version).gpu_memory_utilization_percent
    limits = default_batch_limits(total_bytes, question.gpu, question.engine_version)
    basis_points = _basis_points(question.gpu_memory_utilization, default_percent)

    def given(name: str, value: int | None, default: int) -> int:
        return default if value is None else positive(name, value, LARGEST_BATCH)

    return EngineSettings(
        release=question.engine_version,
        gpu_memory_utilization_percent=basis_points // 100,
        gpu_memory_utilization_basis_points=basis_points % 100,
        max_model_len=_context(question.max_model_len, model.max_position_embeddings),
        max_num_seqs=given("max-num-seqs", question.max_num_seqs, limits.max_num_seqs),
        max_num_batched_tokens=given(
            "max-num-batched-tokens", question.max_num_batched_tokens, limits.max_num_batched_tokens
        ),
        kv_cache_dtype=choice("kv-cache-dtype", question.kv_cache_dtype, KvCacheDtype),
        quantization=rung.name,
        enforce_eager=question.enforce_eager,
        cpu_offload_bytes=_gib("cpu-offload-gb", question.cpu_offload_gb),
        indexer_kv_dtype=choice("attention-config.indexer_kv_dtype", question.indexer_kv_dtype, IndexerKvDtype),
        kv_cache_memory_bytes=_kv_cache_memory_bytes(question, total_bytes),
        num_speculative_tokens=_spec_tokens(question.spec_tokens, model),
        async_scheduling=not question.no_async_scheduling,
    )


def _gib(name: str, size: float | None) -> int:
    """Return an option that vLLM takes in GiB as bytes."""
    if size is None:
        return 0
    if not 0 <= size <= LARGEST_HOST_GIB:
        raise InvalidSpecError(name, f"{size} is no size in GiB from 0 to {LARGEST_HOST_GIB:,}")
    return int(size * GIB)


def _basis_points(share: float | None, default_percent: int) -> int:
    """Return a share of the memory in hundredths of a percent."""
    if share is None:
        return 100 * default_percent
    if not 0 < share <= 1:
        raise InvalidSpecError("gpu-memory-utilization", f"{share} is outside 0 to 1; write one such as 0.92")
    found = round(share * 10_000)
    if abs(found - share * 10_000) > 1e-6:
        raise InvalidSpecError("gpu-memory-utilization", f"{share} has more than four decimals; round it")
    return found


def _context(asked: int | None, longest: int) -> int:
    if asked is None:
        return longest
    context = positive("max-model-len", asked)
    if context > longest:
        raise InvalidSpecError(
            "max-model-len", f"{context:,} tokens are more than the model's {longest:,}; write {longest} or less"
        )
    return context


def _kv_cache_memory_bytes(question: EstimateQuestion, total_bytes: int) -> int:
    """Return the fixed size of the KV cache; 0 lets the engine decide."""
    if question.kv_cache_memory_bytes is None:
        return 0
    if question.gpu_memory_utilization is not None:
        raise InvalidSpecError("", "kv-cache-memory-bytes replaces gpu-memory-utilization; give one of them")
    return positive("kv-cache-memory-bytes", question.kv_cache_memory_bytes, total_bytes)


def _spec_tokens(tokens: int | None, model: ModelShape) -> int:
    """Return the tokens of a draft; 0 loads none."""
    if tokens is None:
        return 0
    if not model.num_draft_layers and model.block_draft is None:
        raise InvalidSpecError("spec-tokens", "the checkpoint has no draft layers of its own; leave it out")
    return positive("spec-tokens", tokens, LARGEST_SPEC_TOKENS)


def _quantization(name: str) -> Quantization:
    """Return the format that either side calls by that name, with a parameter such as ``awq:64``."""
    try:
        return named_quantization(name)
    except UnknownQuantizationError as error:
        raise InvalidSpecError("quantization", str(error).replace("unknown quantization", "unknown", 1)) from error


def _host_as_json(host: HostMemory) -> dict[str, Any]:
    """Return the node that needs most, and how many nodes one replica has."""
    node = host.worst_node
    return {
        "nodes": len(host.nodes),
        "neededBytes": node.needed_bytes,
        "processBytes": node.process_bytes,
        "weightOffloadBytes": node.weight_offload_bytes,
        "kvOffloadBytes": node.kv_offload_bytes,
        "engramBytes": node.engram_bytes,
        "bufferBytes": node.buffer_bytes,
        "sharedMemoryBytes": node.shared_memory_bytes,
        "pageCacheBytes": node.page_cache_bytes,
    }


def _speed_as_json(speed: Prediction | None) -> dict[str, Any] | None:
    if speed is None:
        return None
    return {
        "ttftMilliseconds": speed.ttft_milliseconds,
        "tpotMilliseconds": speed.tpot_milliseconds,
        "tokensPerSecond": speed.tokens_per_second,
        "source": speed.source.value,
        "errorPercent": speed.error_percent,
    }
