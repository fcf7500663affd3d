"""What was predicted against what vLLM logged, every recorded start-up. Tables: ``pytest -s tests/accuracy``."""

from __future__ import annotations

from statistics import median

import pytest

from accuracy.recorded_startups import (
    GIB,
    USES,
    RecordedStartup,
    excluded,
    observation_ids,
    overhead_totals,
    recorded_startups,
    startups_for,
)
from deepseek_operator.memory.estimate import MemoryEstimate, estimate
from deepseek_operator.memory.kv_cache import kv_cache_law, kv_cache_pool, max_in_flight_tokens
from deepseek_operator.memory.quantized_format import linear_format
from deepseek_operator.memory.settings import KvCacheDtype
from deepseek_operator.memory.weights import stage_weights

OLDER_WEIGHTS = {
    "P005": "V0 of December 2024",
    "P015": "rank 627 of a Ray run: which of the two stages it belongs to is not logged",
    "P029": "release not logged; V4-Flash with its block draft, told by the size of the checkpoint",
    "P030": "release not logged; V4-Pro with its draft",
    "P032": "a fork of vLLM with a converted checkpoint of V4-Flash and its block draft",
    "P035": "0.7.1",
    "P038": "V0, release not logged",
    "P042": "V0 of January 2025, which gave the spare layer of an uneven cut to another stage",
    "P048": "V0 of December 2024",
    "P054": "0.8.5",
    "P055": "V0, release not logged",
    "P059": "V0, release not logged",
}
"""Rows outside the promise on weights (NVIDIA, 0.9 and later), with what is special about them."""

LARGEST_TOTALS_ERROR_PERCENT = 8.0


def answer_of(row: RecordedStartup) -> MemoryEstimate:
    return estimate(row.model, row.split, row.settings, row.total_memory_bytes)


def weights_error_percent(row: RecordedStartup) -> float:
    logged = row.gib("model_weights_gib_per_rank")
    assert logged is not None
    stages = stage_weights(row.model, row.split, linear_format(row.quantization), with_draft=row.with_draft)
    # Logs do not say which stage a rank belongs to.
    return min((100 * (stage.total_bytes / GIB / logged - 1) for stage in stages), key=abs)


def kv_cache_error_percent(row: RecordedStartup) -> float:
    """Return how far the cache is off: tokens of the replica where they were logged, else bytes of the rank."""
    answer = estimate(row.model, row.split, row.settings, row.total_memory_bytes)
    if row.logged_tokens is not None:
        return 100 * (answer.kv_cache_tokens / row.logged_tokens - 1)
    weights, overhead = row.gib("model_weights_gib_per_rank"), row.logged_overhead_gib
    assert weights is not None
    assert overhead is not None
    return 100 * (answer.ranks[0].kv_cache_bytes / GIB / (row.budget_gib - weights - overhead) - 1)


def test_every_row_is_judged_or_excluded_with_a_reason():
    judged = {row.id for row in recorded_startups() if row.id.startswith("P")}
    assert (judged | set(excluded()), judged & set(excluded())) == (observation_ids(), set())
    assert [name for name, reason in excluded().items() if len(reason) < 10] == []
    assert [row.id for row in recorded_startups() if not row.uses or row.uses - USES] == []


def test_weights_of_recorded_startups(capsys: pytest.CaptureFixture[str]):
    """Half of the rows are within 0.5 % and all within 2 %, on NVIDIA since vLLM 0.9."""
    errors = {row.id: weights_error_percent(row) for row in startups_for("weights") if row.is_recent_nvidia}
    worst = max(errors, key=lambda each: abs(errors[each]))
    with capsys.disabled():
        print(
            f"\nweights: {len(errors)} start-ups since 0.9, median {median(map(abs, errors.values())):.2f} %, ", end=""
        )
        print(f"worst {worst} {errors[worst]:+.2f} %")
    assert len(errors) >= 25
    assert median(map(abs, errors.values())) < 0.5
    assert abs(errors[worst]) < 2.0


def test_weights_of_other_startups(capsys: pytest.CaptureFixture[str]):
    """Releases before 0.9, or rows without one: printed with what is special about each."""
    others = [row for row in startups_for("weights") if not row.is_recent_nvidia]
    errors = {row.id: weights_error_percent(row) for row in others}
    with capsys.disabled():
        print("\nweights before 0.9 or of unnamed releases:")
        for name, error in sorted(errors.items()):
            print(f"  {name} {error:+.2f} %  {OLDER_WEIGHTS.get(name, 'release not logged')}")
    assert max(map(abs, errors.values())) < 3.5


def test_cache_bytes_per_token_of_recorded_startups(capsys: pytest.CaptureFixture[str]):
    """Exact where the log gives bytes and tokens of one rank."""
    errors = {}
    for row in startups_for("kv-per-token"):
        if row.split.pipeline > 1:
            continue  # rank 0 logs its own bytes next to the tokens of the smallest rank
        law = kv_cache_law(row.model)
        predicted = law.bytes_per_token_per_layer(row.split.tensor, KvCacheDtype.AUTO) * row.model.num_layers
        assert row.logged_tokens is not None
        logged = float(row.cells["kv_cache_gib_per_rank"]) * GIB / row.logged_tokens
        errors[row.id] = 100 * (predicted / logged - 1)
    worst = max(errors, key=lambda each: abs(errors[each]))
    with capsys.disabled():
        print(f"\nKV bytes per token: {len(errors)} start-ups, worst {worst} {errors[worst]:+.3f} %")
    assert len(errors) >= 25
    assert abs(errors[worst]) < 0.1


def test_cache_at_the_logged_settings(capsys: pytest.CaptureFixture[str]):
    """Half of the caches are within 3 %, nine of ten within 8 %."""
    rows = [row for row in startups_for("full") if row.cells["outcome"] == "ok"] + list(overhead_totals())
    errors = {row.id: kv_cache_error_percent(row) for row in rows}
    within = sum(abs(error) < LARGEST_TOTALS_ERROR_PERCENT for error in errors.values()) / len(errors)
    print("KV cache at the logged settings: error, half width of the stated band")
    for row in rows:
        answer = estimate(row.model, row.split, row.settings, row.total_memory_bytes)
        print(
            f"  {row.id} {row.campaign[:24]:24} {row.release:9} {row.split!s:9} {errors[row.id]:+6.2f} % "
            f"of {answer.kv_cache_error_percent} %"
        )
    worst = max(errors, key=lambda each: abs(errors[each]))
    with capsys.disabled():
        print(f"\nKV cache: {len(errors)} start-ups, median {median(map(abs, errors.values())):.2f} %, ", end="")
        print(f"{within:.0%} within 8 %, worst {worst} {errors[worst]:+.2f} %")
    assert len(errors) >= 45
    assert median(map(abs, errors.values())) < 3.0
    assert within >= 0.9


def test_no_start_up_that_went_well_is_refused():
    rows = startups_for("full") + startups_for("starts")
    answers = {row.id: answer_of(row) for row in rows if row.cells["outcome"] == "ok"}
    assert {name: answer.limit for name, answer in answers.items() if not answer.fits} == {}
    assert len(answers) >= 35


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        # the post names no line of the log: "TP1 requires too much memory on each GPU"
        pytest.param("P158", "one request of 163,840 tokens needs", id="V3.2 with attention in one piece on H200"),
        pytest.param("X003", "weights and overheads need", id="Llama-70B on one GPU: oom-kv"),
        pytest.param("X004", "weights and overheads need", id="R1 on one GPU: oom-load"),
        pytest.param("X007", "one request of 32,000 tokens needs", id="Qwen3-32B with a long context: too-long"),
    ],
)
def test_what_did_not_fit_is_refused_with_the_same_limit(name: str, limit: str):
    (row,) = [row for row in startups_for("does-not-fit") if row.id == name]
    assert answer_of(row).limit.startswith(limit)


def test_all_rows_that_did_not_fit_are_among_them():
    assert {row.id for row in startups_for("does-not-fit")} == {"P158", "X003", "X004", "X007"}


@pytest.mark.parametrize(
    ("name", "needed_gib"),
    [
        pytest.param("P064", 10.0, id="Qwen3-32B, 40,960 tokens"),
        pytest.param("P020", 6.66, id="V4-Flash, 30,000 tokens: chunks in flight cost more than the context"),
    ],
)
def test_bytes_of_one_request_are_those_that_the_engine_named(name: str, needed_gib: float):
    (row,) = [row for row in startups_for("kv-need") if row.id == name]
    pool = kv_cache_pool(row.model, row.split, row.settings)
    in_flight = max_in_flight_tokens(row.split, row.settings)
    needed = pool.blocks_per_request(row.settings.max_model_len, in_flight) * max(pool.stage_block_bytes)
    assert round(needed / GIB, 2) == needed_gib
