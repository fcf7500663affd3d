"""Triton's model repository: ``config.pbtxt`` and what lies beside it, for each backend.

The same plan in two more languages. With the vLLM backend the engine's settings stand in ``model.json``; with the
TensorRT-LLM backend most of them were decided when the engine was built, and the rest are parameters of the model.
Sources: triton-inference-server/vllm_backend ``samples/model_repository`` and ``src/model.py``;
NVIDIA/TensorRT-LLM@0c8de69a ``triton_backend/all_models/inflight_batcher_llm/tensorrt_llm/config.pbtxt``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.protobuf_text import Field, Word, protobuf_text

CONFIG_FILE = "config.pbtxt"
VLLM_FILE = "1/model.json"
ADAPTERS_FILE = "1/multi_lora.json"
TENSORRT_LLM_FILE = "1/engine-directory"
"""Nothing reads it; Triton loads only models that have a version directory, and a volume has no empty ones."""

TENSORRT_LLM_WORKER = "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker"
"""Program of the ranks that the backend starts. Source: the config.pbtxt above."""


def vllm_files(model_name: str, engine_arguments: Mapping[str, object], adapters: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a model that the vLLM backend serves, by path.

    Batching is vLLM's own, so ``max_batch_size`` is 0 and there is no dynamic batching: the backend hands every
    request over as it comes. One instance, whose GPUs vLLM chooses itself (``KIND_MODEL``).

    Args:
        model_name: name of the model and of its directory.
        engine_arguments: fields of ``AsyncEngineArgs`` (`engine_arguments.engine_arguments`).
        adapters: where each LoRA adapter lies, by the ``lora_name`` that requests give as a parameter.
    """
    config: dict[str, Field] = {
        "name": model_name,
        "backend": "vllm",
        "max_batch_size": 0,
        "model_transaction_policy": {"decoupled": True},
        "input": [
            _tensor("text_input", "TYPE_STRING", [1]),
            _tensor("stream", "TYPE_BOOL", [1], optional=True),
            _tensor("sampling_parameters", "TYPE_STRING", [1], optional=True),
            _tensor("exclude_input_in_output", "TYPE_BOOL", [1], optional=True),
        ],
        "output": [_tensor("text_output", "TYPE_STRING", [-1])],
        "instance_group": [{"count": 1, "kind": Word("KIND_MODEL")}],
        "parameters": [_parameter("REPORT_CUSTOM_METRICS", "true")],
    }
    # The backend passes vLLM's metrics on only while vLLM counts them.
    arguments = {**engine_arguments, "disable_log_stats": False}
    files = {CONFIG_FILE: protobuf_text(config), VLLM_FILE: _json(arguments)}
    return files | ({ADAPTERS_FILE: _json(adapters)} if adapters else {})


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def tensorrt_llm_files(model_name: str, plan: Plan, engine_directory: str) -> dict[str, str]:
    """Return the files of a model that the TensorRT-LLM backend serves, by path.

    Requests are batched in flight by the backend; Triton's dynamic batcher hands them over at once. The model takes
    and returns token ids.

    Args:
        model_name: name of the model and of its directory.
        plan: the accepted plan.
        engine_directory: absolute directory of the engine in the container.
    """
    parameters = {
        "gpt_model_type": "inflight_fused_batching",
        "gpt_model_path": engine_directory,
        "executor_worker_path": TENSORRT_LLM_WORKER,
        "batch_scheduler_policy": "guaranteed_no_evict",
        "kv_cache_free_gpu_mem_fraction": kv_cache_fraction(plan.memory),
        "max_beam_width": "1",
        "exclude_input_in_output": "true",
        "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
    }
    config: dict[str, Field] = {
        "name": model_name,
        "backend": "tensorrtllm",
        "max_batch_size": plan.max_num_seqs,
        "model_transaction_policy": {"decoupled": True},
        "dynamic_batching": {"preferred_batch_size": [plan.max_num_seqs], "max_queue_delay_microseconds": 0},
        "input": [
            _tensor("input_ids", "TYPE_INT32", [-1], ragged=True),
            _scalar("input_lengths", "TYPE_INT32"),
            _scalar("request_output_len", "TYPE_INT32"),
            _tensor("stop_words_list", "TYPE_INT32", [2, -1], optional=True, ragged=True),
            _tensor("bad_words_list", "TYPE_INT32", [2, -1], optional=True, ragged=True),
            *(_scalar(name, kind, optional=True) for name, kind in SAMPLING_INPUTS.items()),
        ],
        "output": [
            _tensor("output_ids", "TYPE_INT32", [-1, -1]),
            _tensor("sequence_length", "TYPE_INT32", [-1]),
            _tensor("cum_log_probs", "TYPE_FP32", [-1]),
            _tensor("output_log_probs", "TYPE_FP32", [-1, -1]),
        ],
        "instance_group": [{"count": 1, "kind": Word("KIND_CPU")}],
        "parameters": [_parameter(name, value) for name, value in parameters.items()],
    }
    return {CONFIG_FILE: protobuf_text(config), TENSORRT_LLM_FILE: engine_directory + "\n"}


SAMPLING_INPUTS = {
    "end_id": "TYPE_INT32",
    "pad_id": "TYPE_INT32",
    "temperature": "TYPE_FP32",
    "runtime_top_k": "TYPE_INT32",
    "runtime_top_p": "TYPE_FP32",
    "runtime_top_p_min": "TYPE_FP32",
    "repetition_penalty": "TYPE_FP32",
    "presence_penalty": "TYPE_FP32",
    "frequency_penalty": "TYPE_FP32",
    "min_tokens": "TYPE_INT32",
    "seed": "TYPE_UINT64",
    "return_log_probs": "TYPE_BOOL",
    "stop": "TYPE_BOOL",
    "streaming": "TYPE_BOOL",
}
"""Optional scalars of a request; beam search, drafts, adapters and multimodal inputs are left out."""


def kv_cache_fraction(memory: RankMemory) -> str:
    """Return the share of the memory left after loading that becomes KV cache, as the backend reads it.

    The engine's budget in the plan is a share of the whole GPU; TensorRT-LLM wants one of what weights, activations
    and the runtime leave: ``kv / (total - weights - activations - runtime)``, rounded down.

    Args:
        memory: the rank with the least room.

    >>> rank = RankMemory(stage=0, total_bytes=80, budget_bytes=72, weights_bytes=30, activations_bytes=5,
    ...                   non_torch_bytes=2, cuda_graph_bytes=1, kv_cache_bytes=34)
    >>> kv_cache_fraction(rank)
    '0.80'
    """
    overhead = memory.activations_bytes + memory.non_torch_bytes + memory.cuda_graph_bytes
    left = memory.total_bytes - memory.weights_bytes - overhead
    return f"0.{min(99, memory.kv_cache_bytes * 100 // left):02d}"


def _tensor(
    name: str, data_type: str, dims: list[int], *, optional: bool = False, ragged: bool = False
) -> dict[str, Field]:
    tensor: dict[str, Field] = {"name": name, "data_type": Word(data_type), "dims": dims}
    if optional:
        tensor["optional"] = True
    if ragged:
        tensor["allow_ragged_batch"] = True
    return tensor


def _scalar(name: str, data_type: str, *, optional: bool = False) -> dict[str, Field]:
    """Return a tensor of one number that the backend sees without dimensions."""
    return {**_tensor(name, data_type, [1], optional=optional), "reshape": {"shape": []}}


def _parameter(key: str, value: str) -> dict[str, Field]:
    return {"key": key, "value": {"string_value": value}}
