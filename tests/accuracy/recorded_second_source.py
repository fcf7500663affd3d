"""Answers of ``aiconfigurator-core`` 0.12.0 as ``hack/record_aiconfigurator.py`` recorded them, in its place."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from accuracy.recorded_startups import DATA
from deepseek_operator.aiconfigurator import SYSTEMS
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.features import ServingPoint
from deepseek_operator.performance.second_source import SecondOpinion

DENSE = {"deepseek-ai/DeepSeek-R1-Distill-Llama-70B": "meta-llama/Meta-Llama-3.1-70B"}
"""The model of the cases by the name of equal shape that the library bundles."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Recorded latencies of one replica by the requests at once in each engine, in milliseconds."""

    batches: tuple[float, ...]
    ttft: tuple[float, ...]
    tpot: tuple[float, ...]

    def tpot_at(self, batch: float) -> float:
        """Return TPOT between the recorded batches."""
        return float(np.interp(batch, self.batches, self.tpot))

    def tokens_per_second(self, batch: float, output_tokens: int) -> float:
        """Return output tokens of one engine by Little's law."""
        ttft = float(np.interp(batch, self.batches, self.ttft))
        return 1000 * batch * output_tokens / (ttft + self.tpot_at(batch) * (output_tokens - 1))


@cache
def curves() -> Mapping[tuple[str, str, Parallelism, int], Curve]:
    """Return the recorded curves by model, product (the library's names), split, and tokens of a step."""
    found: dict[tuple[str, str, Parallelism, int], list[tuple[float, float, float]]] = {}
    with (DATA / "aiconfigurator_cases.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            split = Parallelism(tensor=int(row["tp"]), data=int(row["dp"]), expert=row["ep"] == "True")
            point = (float(row["batch"]), float(row["ttft_ms"]), float(row["tpot_ms"]))
            key = row["model"], row["gpu"], split, int(row["max_num_batched_tokens"])
            found.setdefault(key, []).append(point)
    return {
        key: Curve(batches=tuple(batches), ttft=tuple(ttft), tpot=tuple(tpot))
        for key, points in found.items()
        for batches, ttft, tpot in [zip(*points, strict=True)]
    }


def curve(model: str, gpu_id: str, split: Parallelism, max_num_batched_tokens: int) -> Curve | None:
    """Return the recorded curve of a model of the cases on a product of the catalogue."""
    return curves().get((DENSE.get(model, model), SYSTEMS.get(gpu_id, ""), split, max_num_batched_tokens))


class RecordedSource:
    """The library's recorded answers for one dense model of the cases, as a second source."""

    name = "aiconfigurator-core 0.12.0"
    failed = False

    def __init__(self, model: str) -> None:
        self._model = model

    def opinion(self, point: ServingPoint) -> SecondOpinion | None:
        """Return the recorded answer; None beyond what was recorded."""
        found = curve(self._model, point.gpu.id, point.parallelism, point.max_num_batched_tokens)
        if found is None or point.batch > found.batches[-1]:
            return None
        return SecondOpinion(tpot_seconds=found.tpot_at(point.batch) / 1000)
