"""One memory question in the engine's own option names: from options or a JSON line to an estimate."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deepseek_operator.catalog.engines import DEFAULT_ENGINE, DEFAULT_VERSION, engine_release
from deepseek_operator.catalog.gpus import Gpu, gpu
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.quantizations import NATIVE, quantization_by_vllm_name, quantizations
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import InvalidSpecError, shortened
from deepseek_operator.memory.estimate import EngineSettings, KvCacheDtype, MemoryEstimate, estimate
from deepseek_operator.memory.overhead import CUDA_GRAPH_ERROR_PERCENT, release_overheads
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.weights import WEIGHTS_ERROR_PERCENT
from deepseek_operator.planner.parallelism import illegal
from deepseek_operator.units import MIB

MAX_CONFIG_BYTES = MIB
"""A config.json has some 2 kB; a larger file is a mistake."""


@dataclass(frozen=True, kw_only=True)
class EstimateQuestion:
    """Options of ``estimate``; None leaves a value to the engine's default for the GPU.

    Args:
        model: catalogue name; ``config`` stands in for it.
        config: path of a config.json, or its content.
        gpu: catalogue id.
        gpu_memory_bytes: memory of one GPU as the driver reports it; wins over the catalogue's.
        quantization: name in the engine or in the custom resource; empty runs the checkpoint as stored.
        gpu_memory_utilization: share of that memory, above 0 and at most 1.
    """

    model: str = ""
    config: str | Mapping[str, object] = ""
    gpu: str = ""
    gpu_memory_bytes: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enable_expert_parallel: bool = False
    quantization: str = ""
    kv_cache_dtype: str = KvCacheDtype.AUTO.value
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool = False
    engine_version: str = DEFAULT_VERSION


@dataclass(frozen=True, kw_only=True)
class EstimateAnswer:
    """The estimate with what it was made of."""

    shape: ModelShape
    memory: MemoryEstimate
    compute_capability: tuple[int, int] | None

    def as_json(self) -> dict[str, Any]:
        """Return the answer under its documented keys; ``limit`` is null when the model fits."""
        memory = self.memory
        overhead_percent = release_overheads(memory.settings.release).overhead_error_percent
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
            "errorPercent": {
                "weightsBytes": WEIGHTS_ERROR_PERCENT,
                "activationsBytes": overhead_percent,
                "nonTorchBytes": overhead_percent,
                "cudaGraphBytes": CUDA_GRAPH_ERROR_PERCENT,
                "kvCacheTokens": memory.kv_cache_error_percent,
            },
            "limit": memory.limit or None,
            "performance": None,
        }


def parse_question(line: str) -> EstimateQuestion:
    """Return the question of one JSON line, whose keys are the option names in camelCase.

    Raises:
        InvalidSpecError: the line is no JSON object, or a key or a value's type is wrong.

    >>> parse_question('{"model": "m", "tensorParallelSize": 8}').tensor_parallel_size
    8
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidSpecError("", f"no JSON object: {shortened(line.strip())!r}") from error
    if not isinstance(content, dict):
        raise InvalidSpecError("", f"no JSON object: {shortened(line.strip())!r}")
    types_by_key = _types_by_key()
    for key, value in content.items():
        if key not in types_by_key:
            raise InvalidSpecError(shortened(key), f"unknown key; known are {', '.join(sorted(types_by_key))}")
        if not _has_type(value, types_by_key[key]):
            raise InvalidSpecError(key, f"{shortened(json.dumps(value))} has the wrong type")
    return EstimateQuestion(**{field.name: content[key] for key, field in _fields_by_key().items() if key in content})


def answer(question: EstimateQuestion) -> EstimateAnswer:
    """Return the estimate of a question.

    Raises:
        DeepSeekOperatorError: the question cannot be answered; the text says which option to change.
        OSError: the config file cannot be read.
    """
    model = _shape(question)
    product = gpu(question.gpu) if question.gpu else None
    capability = product.compute_capability if product else None
    total_bytes = _memory_bytes(question, product)
    split = _split(question)
    settings = _settings(question, model, total_bytes)
    in_blocks = None if settings.quantization == NATIVE else False
    if reason := illegal(model, split, block_quantized=in_blocks):
        raise InvalidSpecError("", reason)
    memory = estimate(model, split, settings, total_bytes, capability)
    return EstimateAnswer(shape=model, memory=memory, compute_capability=capability)


def _shape(question: EstimateQuestion) -> ModelShape:
    if bool(question.model) == bool(question.config):
        raise InvalidSpecError("", "give either a model name or a config")
    if question.model:
        return shape(question.model)
    if not isinstance(question.config, str):
        return shape_from_config(question.config)
    try:
        with Path(question.config).open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        content = json.loads(text) if len(text) <= MAX_CONFIG_BYTES else None
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or a path with a null character
        content = None
    if not isinstance(content, dict):
        raise InvalidSpecError("config", f"{shortened(question.config)} holds no JSON object; give a config.json")
    return shape_from_config(content)


def _memory_bytes(question: EstimateQuestion, product: Gpu | None) -> int:
    given = question.gpu_memory_bytes
    if given is not None:
        return _positive("gpu-memory-bytes", given)
    if product is None:
        raise InvalidSpecError("", "give a GPU id (see `catalog gpus`) or gpu-memory-bytes")
    if product.usable_memory_bytes is None:
        raise InvalidSpecError("gpu", f"the usable memory of {product.id} is not known; give gpu-memory-bytes as well")
    return product.usable_memory_bytes


def _split(question: EstimateQuestion) -> Parallelism:
    return Parallelism(
        tensor=_positive("tensor-parallel-size", question.tensor_parallel_size),
        pipeline=_positive("pipeline-parallel-size", question.pipeline_parallel_size),
        data=_positive("data-parallel-size", question.data_parallel_size),
        expert=question.enable_expert_parallel,
    )


def _settings(question: EstimateQuestion, model: ModelShape, total_bytes: int) -> EngineSettings:
    """Return the engine's settings; its defaults are those of the recorded release."""
    release = engine_release(DEFAULT_ENGINE, DEFAULT_VERSION)
    limits = release.default_batch_limits(total_bytes, question.gpu)
    share = question.gpu_memory_utilization
    if share is not None and not 0 < share <= 1:
        raise InvalidSpecError("gpu-memory-utilization", f"{share} is outside 0 to 1; write one such as 0.92")
    basis_points = 100 * release.gpu_memory_utilization_percent if share is None else round(share * 10_000)
    if question.kv_cache_dtype not in list(KvCacheDtype):
        raise InvalidSpecError(
            "kv-cache-dtype", f"unknown {shortened(question.kv_cache_dtype)!r}; known are {', '.join(KvCacheDtype)}"
        )

    def given(name: str, value: int | None, default: int) -> int:
        return default if value is None else _positive(name, value)

    longest = model.max_position_embeddings
    context = given("max-model-len", question.max_model_len, longest)
    if context > longest:
        raise InvalidSpecError("max-model-len", f"{context:,} tokens are more than the model's {longest:,}")
    return EngineSettings(
        release=question.engine_version,
        gpu_memory_utilization_percent=basis_points // 100,
        gpu_memory_utilization_basis_points=basis_points % 100,
        max_model_len=context,
        max_num_seqs=given("max-num-seqs", question.max_num_seqs, limits.max_num_seqs),
        max_num_batched_tokens=given(
            "max-num-batched-tokens", question.max_num_batched_tokens, limits.max_num_batched_tokens
        ),
        kv_cache_dtype=KvCacheDtype(question.kv_cache_dtype),
        quantization=_quantization_name(question.quantization),
        enforce_eager=question.enforce_eager,
    )


def _quantization_name(name: str) -> str:
    """Return the catalogue's name for a name of either side."""
    if any(rung.name == name for rung in quantizations()):
        return name
    return quantization_by_vllm_name(name).name


def _positive(name: str, value: int) -> int:
    if not 0 < value < 2**63:
        raise InvalidSpecError(name, f"{shortened(str(value))} is no positive number")
    return value


def _fields_by_key() -> dict[str, Any]:
    return {_camel_case(field.name): field for field in fields(EstimateQuestion)}


def _types_by_key() -> dict[str, Any]:
    hints = typing.get_type_hints(EstimateQuestion)
    return {_camel_case(name): hint for name, hint in hints.items()}


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _has_type(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type hint is any object
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    classes = tuple(typing.get_origin(option) or option for option in options)
    if isinstance(value, bool):
        return bool in classes
    return isinstance(value, classes) or (float in classes and isinstance(value, int))
