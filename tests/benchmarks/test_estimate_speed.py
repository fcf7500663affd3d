"""How long one memory estimate takes in process and as a command, and ten thousand of them as a batch, with memory.

Prints a table and asserts only that every question has its answer; no figure depends on the machine to pass.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

import peak_memory
from deepseek_operator.catalog.hf_config import supported_architectures
from deepseek_operator.catalog.models import models
from deepseek_operator.cli.estimate_answer import answer
from deepseek_operator.cli.estimate_question import EstimateQuestion
from deepseek_operator.errors import DeepSeekOperatorError

LINES = int(os.environ.get("BENCHMARK_LINES", "10000"))
REPEATS = 20
PROGRAM = Path(sys.executable).with_name("kubectl-deepseek")
QUESTION = EstimateQuestion(model="deepseek-ai/DeepSeek-R1", gpu="h200-sxm", tensor_parallel_size=8)
OPTIONS = ("--model", QUESTION.model, "--gpu", QUESTION.gpu, "--tensor-parallel-size", "8")


def questions(count: int) -> list[dict[str, object]]:
    """Questions about every model, no two alike: splits, contexts and batch sizes differ."""
    names = [model.name for model in models() if model.architecture in supported_architectures()]
    combinations = product(range(1, 1_000), (1, 2), (1, 2, 4, 8), ("h200-sxm", "b200"), names)
    return [
        {
            "model": name,
            "gpu": gpu,
            "tensorParallelSize": tensor,
            "pipelineParallelSize": pipeline,
            "maxModelLen": 1024 + step,
            "maxNumSeqs": 16 * step,
        }
        for (step, pipeline, tensor, gpu, name), _ in zip(combinations, range(count), strict=False)
    ]


def milliseconds(call: Callable[[], object], repeats: int) -> list[float]:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def run_command(form: str) -> None:
    subprocess.run([str(PROGRAM), "estimate", *OPTIONS, "-o", form], stdout=subprocess.DEVNULL, check=True)


def test_one_estimate_in_process_and_as_a_command():
    cold = milliseconds(lambda: answer(QUESTION), 1)[0]
    warm = milliseconds(lambda: answer(QUESTION), 1000)
    distinct = []
    for question in questions(500):
        fields = {"model": question["model"], "gpu": question["gpu"], "max_model_len": question["maxModelLen"]}
        asked = EstimateQuestion(**fields, tensor_parallel_size=question["tensorParallelSize"])
        started = time.perf_counter()
        try:
            answer(asked)
        except DeepSeekOperatorError:
            continue
        distinct.append((time.perf_counter() - started) * 1000)
    command = {form: milliseconds(lambda form=form: run_command(form), REPEATS) for form in ("table", "json")}
    print(f"\none estimate in process, first of a process: {cold:.1f} ms")
    print(f"  the same again, median / worst of 1,000:     {median(warm):.2f} / {max(warm):.2f} ms")
    print(f"  500 different ones, median / worst:          {median(distinct):.2f} / {max(distinct):.2f} ms")
    for form, taken in command.items():
        print(f"as a command (-o {form}), median / worst of {REPEATS}: {median(taken):.0f} / {max(taken):.0f} ms")


def test_a_batch_of_ten_thousand(tmp_path: Path):
    batch = tmp_path / "questions.jsonl"
    batch.write_text("".join(json.dumps(question) + "\n" for question in questions(LINES)))
    answers = tmp_path / "answers.jsonl"
    started = time.perf_counter()
    with answers.open("wb") as out:
        command = [sys.executable, peak_memory.__file__, str(PROGRAM), "estimate", "--batch", str(batch)]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    peak_mb = done.stderr.split()[-1]
    found = [json.loads(line) for line in answers.read_text().splitlines()]
    refused = sum("error" in line for line in found)
    print(f"\n--batch: {len(found):,} lines ({refused:,} refused) in {seconds:.1f} s, peak memory {peak_mb} MB")
    assert len(found) == LINES
