"""The optional extra ``measured``: ``aiconfigurator-core`` in a process of its own, started when it is first asked.

Without the package there is no source (`installed` returns None). When the process ends, answers nonsense or takes too
long it is killed and never asked again, and speeds are the roofline's as if the extra were not installed.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import select
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.performance.features import WIDE_BYTES, ServingPoint
from deepseek_operator.performance.second_source import SecondOpinion

PACKAGE = "aiconfigurator-core"
WORKER = (sys.executable, str(Path(__file__).with_name("aiconfigurator_worker.py")))

FIRST_ANSWER_SECONDS = 30.0
"""Time to start, import and read the first tables; 1 to 4 s are usual."""

ANSWER_SECONDS = 10.0
"""Time for any other answer; one that reads the tables of another product takes 1 to 3 s, the others a millisecond."""

REMEMBERED_ANSWERS = 20_000
"""About 1 kB each; a plan asks for some hundreds."""

SYSTEMS = {
    "a100-sxm4-80gb": "a100_sxm",
    "h100-sxm5-80gb": "h100_sxm",
    "h200-sxm": "h200_sxm",
    "b200": "b200_sxm",
    "b300": "b300_sxm",
    "gb200": "gb200",
    "gb300": "gb300",
    "l40s": "l40s",
    "rtx-pro-6000-server": "rtx_pro_6000_server",
}
"""Products of the catalogue by the library's names, as far as it has tables of vLLM for them."""

_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class AiConfigurator:
    """A second source of speeds; safe to use from several threads.

    Args:
        command: how the process is started.
        first_seconds: limit of the first answer.
        seconds: limit of each other answer.
    """

    def __init__(
        self,
        command: tuple[str, ...] = WORKER,
        first_seconds: float = FIRST_ANSWER_SECONDS,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._command, self._first_seconds, self._seconds = command, first_seconds, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: dict[str, SecondOpinion | None] = {}
        self._lock = Lock()
        self._failed = False

    @property
    def name(self) -> str:
        """The package with its version."""
        try:
            return f"{PACKAGE} {version(PACKAGE)}"
        except PackageNotFoundError:
            return PACKAGE

    @property
    def failed(self) -> bool:
        """Whether the process broke; it is not started again."""
        return self._failed

    def opinion(self, point: ServingPoint) -> SecondOpinion | None:
        """Return what the library says of a dense model; None where it says nothing."""
        asked = question(point)
        if asked is None:
            return None
        line = json.dumps(asked, sort_keys=True)
        with self._lock:
            if line not in self._answers and not self._failed:
                if len(self._answers) >= REMEMBERED_ANSWERS:
                    self._answers.clear()
                self._answers[line] = self._ask(line)
            return self._answers.get(line)

    def close(self) -> None:
        """End the process; it also ends by itself when this one does, because its input ends."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, line: str) -> SecondOpinion | None:
        try:
            return _read(self._exchange(line))
        except (OSError, ValueError, KeyError, TypeError):
            self._failed = True
            self.close()
            return None

    def _exchange(self, line: str) -> bytes:
        limit = self._seconds
        if self._process is None:
            limit = self._first_seconds
            self._process = subprocess.Popen(  # noqa: S603 - our own script, and no shell
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_THREADS | {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ},
            )
        process = self._process
        assert process.stdin is not None  # noqa: S101 - both were asked for
        assert process.stdout is not None  # noqa: S101 - both were asked for
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        return _line_of(process.stdout.fileno(), monotonic() + limit)


@cache
def installed() -> AiConfigurator | None:
    """Return the one source of this process when the extra is installed, without importing it; else None."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        return None
    source = AiConfigurator()
    atexit.register(source.close)
    return source


def question(point: ServingPoint) -> dict[str, Any] | None:
    """Return a point in the library's words; None for products and precisions that it has no tables of."""
    attention, system = point.shape.attention, SYSTEMS.get(point.gpu.id)
    matrices = _matrices(point)
    if system is None or not matrices or not isinstance(attention, GroupedQueryAttention):
        return None
    heads = max(1, attention.num_kv_heads // point.parallelism.tensor)
    wide_bytes = 2 * 2 * point.shape.num_layers * heads * attention.head_dim
    return {
        "system": system,
        "backend": point.engine,
        "config": _config(point.shape, attention),
        "tensor": point.parallelism.tensor,
        "matrices": matrices,
        "cache": "bfloat16" if point.kv_bytes_per_token > 0.75 * wide_bytes else "fp8",
        "batch": point.batch,
        "input_tokens": point.input_tokens,
        "output_tokens": point.output_tokens,
        "chunk_tokens": prompt_tokens_of_step(point.max_num_batched_tokens, point.input_tokens),
    }


def prompt_tokens_of_step(max_num_batched_tokens: int, input_tokens: int) -> int:
    """Return the prompt tokens of a step that the library is asked about: as many whole prompts as the step holds.

    The library's own search asks so. On measured points of dense models the answers for steps of 8,192 tokens, the
    engine's default there, make a prediction as good as those for one prompt a step (11.8 % and 11.9 %).

    Args:
        max_num_batched_tokens: tokens of one step; 0 reads every prompt in one step.
        input_tokens: of one prompt, 1 or more.

    >>> prompt_tokens_of_step(8192, 4000), prompt_tokens_of_step(2048, 4000), prompt_tokens_of_step(0, 4000)
    (8000, 2048, 4000)
    """
    if not max_num_batched_tokens:
        return input_tokens
    prompts = max_num_batched_tokens // input_tokens
    return prompts * input_tokens if prompts else max_num_batched_tokens


def _matrices(point: ServingPoint) -> str:
    """Return the library's name of a precision: 16 bits, or FP8 that is multiplied in FP8; empty for others."""
    if point.precision.bytes_per_parameter >= WIDE_BYTES:
        return "bfloat16"
    return "fp8" if point.precision.tflops == point.gpu.fp8_tflops else ""


def _config(shape: ModelShape, attention: GroupedQueryAttention) -> dict[str, Any]:
    """Return a dense model as a config.json; the library computes Qwen2 and Llama of one shape alike."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": shape.num_layers,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.head_dim,
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": shape.max_position_embeddings,
        "torch_dtype": "bfloat16",
    }


def _read(line: bytes) -> SecondOpinion | None:
    answer = json.loads(line)
    if answer is None:
        return None
    seconds = float(answer["tpot"])
    return SecondOpinion(tpot_seconds=seconds) if math.isfinite(seconds) and seconds > 0 else None


def _line_of(descriptor: int, deadline: float) -> bytes:
    """Return one line from a pipe.

    Raises:
        TimeoutError: none came in time.
        BrokenPipeError: the other side closed it.
    """
    found = b""
    while not found.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(descriptor, 65_536)
        if not part:
            raise BrokenPipeError
        found += part
    return found
