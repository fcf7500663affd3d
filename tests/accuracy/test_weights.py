"""Parameters to the last one, and weights and overheads of recorded start-ups. Tables: ``pytest -s tests/accuracy``."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from accuracy.recorded_startups import DATA, GIB, RecordedStartup, recorded_startups
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.estimate import estimate
from deepseek_operator.memory.kv_cache import kv_cache_law
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import linear_format
from deepseek_operator.memory.settings import EngineSettings, KvCacheDtype
from deepseek_operator.memory.weights import (
    checkpoint_bytes,
    draft_parameter_counts,
    parameter_counts,
    stage_weights,
)

WORST_WEIGHTS_ERROR_PERCENT = 1.0
DRAFT_NAMES = {
    "proj": "draft_projection",
    "heads": "draft_heads",
    "duplicated_embeddings": "embeddings",
    "duplicated_lm_head": "lm_head",
}


def component_rows() -> list[dict[str, str]]:
    with (DATA / "model_parameter_components.csv").open(newline="") as file:
        return list(csv.DictReader(file))


COUNTED = sorted({row["model"] for row in component_rows()})


@pytest.mark.parametrize("name", COUNTED)
def test_components_have_exactly_the_recorded_parameters(name: str):
    main: Counter[str] = Counter()
    draft: Counter[str] = Counter()
    for row in component_rows():
        component = row["component"].partition("(")[0]
        if row["model"] != name:
            continue
        if component.startswith(("mtp_", "dspark_")):
            drafted = component.partition("_")[2]
            draft[DRAFT_NAMES.get(drafted, drafted)] += int(row["count"])
        else:
            main[component] += int(row["count"])
    counted = {component.value: count for component, count in parameter_counts(shape(name)).items()}
    counted_draft = {component.value: count for component, count in draft_parameter_counts(shape(name)).items()}
    assert (counted, counted_draft) == (dict(main), dict(draft))


@pytest.mark.parametrize("name", COUNTED)
def test_checkpoint_has_exactly_the_recorded_bytes(name: str):
    stored = sum(int(row["stored_bytes_native"]) for row in component_rows() if row["model"] == name)
    float32_norms = sum(
        int(row["stored_bytes_native"]) // 2
        for row in component_rows()
        if row["model"] == name and row["component"].endswith("norms") and row["stored_dtype"] == "f32"
    )
    assert checkpoint_bytes(shape(name)) == stored - float32_norms


def weights_error_percent(row: RecordedStartup) -> float:
    logged = row.gib("model_weights_gib_per_rank")
    assert logged is not None
    stages = stage_weights(row.model, row.split, linear_format(row.quantization))
    # Logs do not say which stage a rank belongs to.
    return min((100 * (stage.total_bytes / GIB / logged - 1) for stage in stages), key=abs)


def test_weights_of_recorded_startups(capsys: pytest.CaptureFixture[str]):
    errors = {row.id: weights_error_percent(row) for row in recorded_startups("weights") if row.is_recent_nvidia}
    worst = max(errors, key=lambda each: abs(errors[each]))
    with capsys.disabled():
        print(f"\nweights: {len(errors)} start-ups since 0.9, worst {worst} {errors[worst]:+.2f} %")
    assert len(errors) >= 20
    assert abs(errors[worst]) < WORST_WEIGHTS_ERROR_PERCENT


def test_weights_of_older_startups(capsys: pytest.CaptureFixture[str]):
    """Before 0.9 layers were cut into stages in another order, so a stage may differ more."""
    errors = {row.id: weights_error_percent(row) for row in recorded_startups("weights") if not row.is_recent_nvidia}
    with capsys.disabled():
        print("\nweights before 0.9: " + ", ".join(f"{row} {error:+.2f} %" for row, error in sorted(errors.items())))
    assert max(map(abs, errors.values())) < 3.5


def test_cache_bytes_per_token_of_recorded_startups(capsys: pytest.CaptureFixture[str]):
    errors = {}
    for row in recorded_startups("kv-per-token"):
        if row.split.pipeline > 1:
            continue  # rank 0 logs its own bytes next to the tokens of the smallest rank
        law = kv_cache_law(row.model)
        predicted = law.bytes_per_token_per_layer(row.split.tensor, KvCacheDtype.AUTO) * row.model.num_layers
        logged = float(row.cells["kv_cache_gib_per_rank"]) * GIB / int(row.cells["kv_cache_tokens"])
        errors[row.id] = 100 * (predicted / logged - 1)
    worst = max(errors, key=lambda each: abs(errors[each]))
    with capsys.disabled():
        print(f"\nKV bytes per token: {len(errors)} start-ups, worst {worst} {errors[worst]:+.3f} %")
    assert abs(errors[worst]) < 0.1


def test_full_startups_fit_and_their_cache_is_within_the_band(capsys: pytest.CaptureFixture[str]):
    lines, refused, outside = [], [], []
    for row in recorded_startups("full"):
        if not row.release:
            continue
        answer = estimate(row.model, row.split, row.settings, row.total_memory_bytes)
        rank = answer.ranks[0]
        parts = {
            "model_weights_gib_per_rank": rank.weights_bytes,
            "non_torch_gib": rank.non_torch_bytes,
            "activation_peak_gib": rank.activations_bytes,
            "cuda_graph_gib": rank.cuda_graph_bytes,
            "kv_cache_gib_per_rank": rank.kv_cache_bytes,
        }
        cells = (f"{size / GIB:6.2f}/{row.cells[column] or '-':7}" for column, size in parts.items())
        logged = row.gib("kv_cache_gib_per_rank")
        assert logged is not None
        error = 100 * (rank.kv_cache_bytes / GIB / logged - 1)
        band = answer.kv_cache_error_percent
        lines.append(f"{row.id} {row.release:8} {row.split!s:8} {' '.join(cells)} {error:+6.2f} % of {band} %")
        if not answer.fits:
            refused.append(f"{row.id}: {answer.limit}")
        if abs(error) > band:
            outside.append(row.id)
    print("predicted/logged GiB: weights, outside torch, activations, CUDA graphs, KV cache")
    print("\n".join(lines))
    with capsys.disabled():
        print(f"\nfull start-ups: {len(lines)}, refused {len(refused)}, outside the 90 % band {len(outside)}")
    assert not refused
    assert len(outside) <= len(lines) // 10


# Totals of weights and KV cache that public logs of 8 x H200 (139.81 GiB) and 8 x B200 show; see engine_overheads.json.
@pytest.mark.parametrize(
    ("name", "release", "total_gib", "fewest_tokens", "most_tokens"),
    [
        pytest.param("deepseek-ai/DeepSeek-R1", "0.18.0", 139.81, 633_000, 706_000, id="R1 on 8 x H200"),
        pytest.param("deepseek-ai/DeepSeek-V3.2", "0.18.0", 139.81, 572_000, 578_000, id="V3.2 on 8 x H200"),
    ],
)
def test_token_counts_of_large_models(name: str, release: str, total_gib: float, fewest_tokens: int, most_tokens: int):

    settings = EngineSettings(
        release=release,
        gpu_memory_utilization_percent=92,
        max_model_len=163_840,
        max_num_seqs=1024,
        max_num_batched_tokens=8192,
    )
    answer = estimate(shape(name), Parallelism(tensor=8), settings, round(total_gib * GIB))
    assert fewest_tokens <= answer.kv_cache_tokens <= most_tokens
