from __future__ import annotations

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.request import PinnedParallelism, Sla, Workload
from deepseek_operator.planner.splits import splits
from planner_values import CHAT_67B, H100, L40S, R1, planned, pool, request, supply


def _tried(model: str, nodes: int = 1, gpu: str = H100, **pins: object) -> set[str]:
    asked = request(model, parallelism=PinnedParallelism(**pins))  # type: ignore[arg-type]  # pins of the table
    return {str(split) for split in splits(asked, pool(gpu, nodes), None)}


def test_data_parallelism_takes_a_part_of_a_node_or_whole_nodes():
    inside = {"TP1 DP2", "TP1 DP4", "TP1 DP8", "TP2 DP2", "TP2 DP4", "TP4 DP2"}
    one, two = _tried(R1), _tried(R1, 2)
    assert {split for split in one if " DP" in split and " EP" not in split} == inside
    assert {split for split in one if " EP" in split} == {
        f"{split} EP" for split in inside | {"TP1", "TP2", "TP4", "TP8"}
    }
    assert {split for split in two if " DP" in split} - one == {
        f"TP{tensor} DP{16 // tensor}{expert}" for tensor in (1, 2, 4, 8) for expert in ("", " EP")
    }


def test_it_is_not_combined_with_pipeline_stages():
    assert not [split for split in _tried(R1, 4) if " PP" in split and (" DP" in split or " EP" in split)]


def test_a_dense_model_is_cut_by_tensors_and_stages_only():
    assert not [split for split in _tried(CHAT_67B, 2) if " DP" in split or " EP" in split]


@pytest.mark.parametrize(
    ("pins", "tried"),
    [
        pytest.param({"tensor": 2, "data": 4, "expert": True}, {"TP2 DP4 EP"}, id="everything but stages"),
        pytest.param(
            {"tensor": 1, "pipeline": 1, "expert": False}, {"TP1", "TP1 DP2", "TP1 DP4", "TP1 DP8"}, id="not data"
        ),
        pytest.param({"tensor": 4, "pipeline": 1, "data": 2}, {"TP4 DP2", "TP4 DP2 EP"}, id="not experts"),
        pytest.param({"tensor": 8, "data": 3, "pipeline": 1}, {"TP8 DP3"}, id="an illegal one is left to be refused"),
    ],
)
def test_what_is_pinned_is_the_only_value_tried(pins: dict[str, object], tried: set[str]):
    assert _tried(R1, **pins) == tried


def test_a_large_batch_of_a_latent_cache_is_planned_on_engines_with_a_cache_each():
    workload = Workload(input_tokens=4000, output_tokens=1000, max_context_tokens=8192, concurrency=256)
    asked = request(R1, workload=workload, sla=Sla(ttft_milliseconds=8000, tpot_milliseconds=65))
    plan = planned(asked, supply(pool("h200-sxm")))
    assert plan.parallelism == Parallelism(data=8)
    assert plan.kv_cache_tokens >= 256 * 5000
    assert "8 engines hold their own attention and KV cache" in " ".join(plan.reasons)


def test_the_tensor_size_on_boards_without_a_link_stays_small():
    assert not [split for split in _tried(R1, 2, L40S) if split.startswith(("TP8", "TP16"))]
