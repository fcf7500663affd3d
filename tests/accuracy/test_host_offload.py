"""The recorded start-up that offloaded its weights (row P013: DeepSeek-Coder-V2-Lite on an L40S, vLLM 0.7.2)."""

from __future__ import annotations

import csv

from accuracy.recorded_startups import DATA, GIB
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.weight_offload import offload
from deepseek_operator.memory.weights import stage_weights


def test_weights_left_on_the_gpu():
    """0.7.2 derived the copies of the up projections from offloaded weights on the host, and crashed on them at the
    first request; since offloading went through unified addresses they are on the GPU. Without them the log is met.
    """
    with (DATA / "vllm_memory_observations.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == "P013")
    assert "--cpu-offload-gb=30" in row["notes"]
    (weights,) = stage_weights(shape(row["model_id"]), Parallelism())
    left = weights.total_bytes - offload(weights.offloadable, 30 * GIB).device_bytes
    copies = 27 * 2 * 16 * 128 * 512 * 2
    assert f"{(left - copies) / GIB:.4f}" == row["model_weights_gib_per_rank"]
