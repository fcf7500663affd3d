"""Flags of the engine that already have an owner: the plan, a field of the resource, or the operator.

Whatever changes what the planner counted (memory, splits, context) or what the operator promises (ports, secrets,
metrics) is one of them; every other flag is the user's.
"""

from __future__ import annotations

from collections.abc import Mapping

_SET_BY_OPERATOR = "leave it out; the Service, the probes and the metrics rely on the operator's value"
_MANY_PODS = "leave it out; the plan decides how ranks are placed (spec.parallelism)"
_OFFLOAD = "set spec.engine.weightOffloadBytes instead"
_KV_OFFLOAD = "set spec.engine.kvOffload instead"
_SPECULATIVE = "set spec.engine.speculative instead"
_ADAPTERS = "set spec.model.loraAdapters instead"
_TLS = "set spec.engine.tlsSecretRef instead"
_MEMORY = "leave it out; the planner sizes the KV cache from the memory that is really left"
_UNCOUNTED = "leave it out; it takes GPU memory that the plan does not count"
_CONFIG = "leave it out; the plan counts the config that the checkpoint has (spec.model.config)"

RESERVED_FLAGS: Mapping[str, str] = {
    "--api-key": "set spec.engine.apiKeySecretRef instead; an argument is readable by everyone who may read pods",
    "--block-size": _MEMORY,
    "--config": "write the flags themselves; a file could contradict the plan unseen",
    "--cpu-offload-gb": _OFFLOAD,
    "--cpu-offload-params": _OFFLOAD,
    "--data-parallel-address": _MANY_PODS,
    "--data-parallel-backend": _MANY_PODS,
    "--data-parallel-external-lb": _MANY_PODS,
    "--data-parallel-hybrid-lb": _MANY_PODS,
    "--data-parallel-multi-port-external-lb": _MANY_PODS,
    "--data-parallel-rank": _MANY_PODS,
    "--data-parallel-rpc-port": _MANY_PODS,
    "--data-parallel-size": "set spec.parallelism.data instead",
    "--data-parallel-size-local": _MANY_PODS,
    "--data-parallel-start-rank": _MANY_PODS,
    "--data-parallel-supervisor-port": _MANY_PODS,
    "--decode-context-parallel-size": _MANY_PODS,
    "--default-mm-loras": _ADAPTERS,
    "--device-ids": _MANY_PODS,
    "--disable-log-stats": _SET_BY_OPERATOR,
    "--distributed-executor-backend": _MANY_PODS,
    "--download-dir": "set spec.model.cache instead",
    "--dtype": "set spec.precision.quantization instead; the plan counts the bytes of the checkpoint's own type",
    "--enable-dbo": _UNCOUNTED,
    "--enable-elastic-ep": _MANY_PODS,
    "--enable-eplb": _UNCOUNTED,
    "--enable-expert-parallel": "set spec.parallelism.expert instead",
    "--enable-lora": _ADAPTERS,
    "--enable-sleep-mode": _SET_BY_OPERATOR,
    "--eplb-config": _UNCOUNTED,
    "--gpu-memory-utilization": "set spec.engine.gpuMemoryUtilizationPercent instead",
    "--grpc": _SET_BY_OPERATOR,
    "--grpc-port": _SET_BY_OPERATOR,
    "--headless": _MANY_PODS,
    "--help": "leave it out; the engine would not start",
    "--hf-config-path": _CONFIG,
    "--hf-overrides": _CONFIG,
    "--hf-token": "set spec.model.storage.huggingFace.tokenSecretRef instead",
    "--host": _SET_BY_OPERATOR,
    "--kv-cache-dtype": "set spec.precision.kvCache instead",
    "--kv-cache-dtype-skip-layers": "set spec.precision.kvCache instead",
    "--kv-cache-memory-bytes": _MEMORY,
    "--kv-offloading-backend": _KV_OFFLOAD,
    "--kv-offloading-size": _KV_OFFLOAD,
    "--kv-transfer-config": _KV_OFFLOAD,
    "--lora-modules": _ADAPTERS,
    "--master-addr": _MANY_PODS,
    "--master-port": _MANY_PODS,
    "--max-lora-rank": _ADAPTERS,
    "--max-loras": _ADAPTERS,
    "--max-model-len": "set spec.workload.maxContextTokens instead",
    "--max-num-batched-tokens": "set spec.engine.maxNumBatchedTokens instead",
    "--max-num-seqs": "set spec.engine.maxNumSeqs instead",
    "--mm-ipc-gpu-memory-gb": _UNCOUNTED,
    "--model": "set spec.model.name instead",
    "--model-class-overrides": _CONFIG,
    "--nnodes": _MANY_PODS,
    "--node-rank": _MANY_PODS,
    "--num-gpu-blocks-override": _MEMORY,
    "--offload-backend": _OFFLOAD,
    "--offload-group-size": _OFFLOAD,
    "--offload-num-in-group": _OFFLOAD,
    "--offload-params": _OFFLOAD,
    "--offload-prefetch-step": _OFFLOAD,
    "--pipeline-parallel-size": "set spec.parallelism.pipeline instead",
    "--port": _SET_BY_OPERATOR,
    "--prefill-context-parallel-size": _MANY_PODS,
    "--quantization": "set spec.precision.quantization instead",
    "--quantization-config": "set spec.precision.quantization instead",
    "--revision": "set spec.model.revision instead",
    "--root-path": _SET_BY_OPERATOR,
    "--served-model-name": "set spec.model.servedName instead",
    "--shutdown-timeout": "set spec.engine.shutdownSeconds instead",
    "--spec-method": _SPECULATIVE,
    "--spec-model": _SPECULATIVE,
    "--spec-tokens": _SPECULATIVE,
    "--speculative-config": _SPECULATIVE,
    "--ssl-ca-certs": _TLS,
    "--ssl-cert-reqs": _TLS,
    "--ssl-certfile": _TLS,
    "--ssl-keyfile": _TLS,
    "--tensor-parallel-size": "set spec.parallelism.tensor instead",
    "--ubatch-size": _UNCOUNTED,
    "--uds": _SET_BY_OPERATOR,
}
"""Flags that have an owner already, by their first spelling, with what to write instead."""

SHORT_OPTIONS: Mapping[str, str] = {
    "-asc": "--api-server-count",
    "-cc": "--compilation-config",
    "-ac": "--attention-config",
    "-dc": "--diffusion-config",
    "-dcp": "--decode-context-parallel-size",
    "-dp": "--data-parallel-size",
    "-dpa": "--data-parallel-address",
    "-dpb": "--data-parallel-backend",
    "-dpe": "--data-parallel-external-lb",
    "-dph": "--data-parallel-hybrid-lb",
    "-dpl": "--data-parallel-size-local",
    "-dpm": "--data-parallel-multi-port-external-lb",
    "-dpn": "--data-parallel-rank",
    "-dpp": "--data-parallel-rpc-port",
    "-dpr": "--data-parallel-start-rank",
    "-ep": "--enable-expert-parallel",
    "-h": "--help",
    "-n": "--nnodes",
    "-O": "--optimization-level",
    "-pcp": "--prefill-context-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-q": "--quantization",
    "-r": "--node-rank",
    "-sc": "--speculative-config",
    "-tp": "--tensor-parallel-size",
}
"""What the engine's short options stand for, so that a refusal can name the flag.

Source: vLLM 0.32.0 ``engine/arg_utils.py``, ``entrypoints/launchers/cli_args.py`` and ``utils/argparse_utils.py``.
"""
