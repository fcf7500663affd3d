"""Laws of engines' reports: the order of events does not matter, and a correction never makes memory from nothing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.capacity.measurements import MeasurementStore, load_measurements, stored_measurement
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.estimate import estimate
from deepseek_operator.memory.overhead import corrected
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.planner.measurement import (
    MOST_BANDS_RAISED,
    Measurement,
    distinct,
    overhead_correction_bytes,
)
from deepseek_operator.units import GIB

SHAPE = shape("deepseek-ai/deepseek-llm-67b-chat")
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=64,
    max_num_batched_tokens=8192,
)
TOTAL_BYTES = 80 * GIB
KNOWN = estimate(SHAPE, Parallelism(tensor=4), SETTINGS, TOTAL_BYTES)
REPORTED = Measurement(
    model_name="deepseek-ai/deepseek-llm-67b-chat",
    gpu="h100-sxm5-80gb",
    total_memory_bytes=TOTAL_BYTES,
    parallelism=Parallelism(tensor=4),
    settings=SETTINGS,
    kv_cache_tokens=KNOWN.kv_cache_tokens,
)

MEASUREMENTS = st.builds(
    lambda tokens, model, seqs: replace(
        REPORTED, kv_cache_tokens=tokens, model_name=model, settings=replace(SETTINGS, max_num_seqs=seqs)
    ),
    st.integers(1, 4),
    st.sampled_from("ab"),
    st.sampled_from([8, 16]),
)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.lists(MEASUREMENTS, max_size=3).map(tuple))))
def test_the_running_store_equals_what_is_read_anew(events: list[tuple[str, tuple[Measurement, ...]]]):
    store, latest = MeasurementStore(), dict[str, tuple[Measurement, ...]]()
    for owner, measurements in events:
        before = store.distinct()
        changed = store.put(owner, measurements)
        latest[owner] = measurements
        assert store.distinct() == distinct(each for reported in latest.values() for each in reported)
        assert changed == (store.distinct() != before)


@given(MEASUREMENTS)
def test_a_measurement_is_read_as_it_was_stored(measurement: Measurement):
    assert load_measurements({"measurements": [stored_measurement(measurement)]}) == (measurement,)


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**11), min_size=1, max_size=3))
def test_a_correction_moves_the_sum_by_itself_and_no_part_below_nothing(correction: int, parts: list[int]):
    made = corrected(correction, *parts)
    assert min(made) >= 0
    assert sum(made) == max(0, sum(parts) + correction)


@given(st.integers(1, 2 * KNOWN.kv_cache_tokens))
def test_a_correction_within_the_band_makes_the_estimate_what_was_reported(tokens: int):
    reported = replace(REPORTED, kv_cache_tokens=tokens)
    correction = overhead_correction_bytes((reported,), SHAPE, REPORTED.parallelism, SETTINGS, TOTAL_BYTES, None)
    after = estimate(SHAPE, REPORTED.parallelism, SETTINGS, TOTAL_BYTES, overhead_correction_bytes=correction)
    rank = after.worst_rank
    taken = rank.weights_bytes + rank.activations_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes
    assert taken + rank.kv_cache_bytes == rank.budget_bytes
    block, band = 16, KNOWN.kv_cache_error_bytes
    lessened = correction == -band and after.kv_cache_tokens <= tokens
    raised = correction == MOST_BANDS_RAISED * band and after.kv_cache_tokens >= tokens
    assert correction == 0 or lessened or raised or abs(after.kv_cache_tokens - tokens) <= block


COUNTS = st.integers(1, 2**53 - 1)


@given(
    told=st.builds(
        replace, st.just(SETTINGS), max_model_len=COUNTS, max_num_seqs=COUNTS, max_num_batched_tokens=COUNTS
    ),
    total=COUNTS,
    tokens=COUNTS,
    seqs=st.integers(1, 1024),
)
def test_no_report_whatsoever_moves_overheads_further_than_their_bands(
    told: EngineSettings, total: int, tokens: int, seqs: int
):
    forged = replace(REPORTED, settings=told, total_memory_bytes=total, kv_cache_tokens=tokens)
    asked = replace(SETTINGS, max_num_seqs=seqs)
    correction = overhead_correction_bytes((forged,), SHAPE, REPORTED.parallelism, asked, TOTAL_BYTES, None)
    honest = estimate(SHAPE, REPORTED.parallelism, asked, TOTAL_BYTES)
    believed = estimate(SHAPE, REPORTED.parallelism, asked, TOTAL_BYTES, overhead_correction_bytes=correction)
    more = believed.worst_rank.kv_cache_bytes - honest.worst_rank.kv_cache_bytes
    assert -MOST_BANDS_RAISED * honest.kv_cache_error_bytes <= more <= honest.kv_cache_error_bytes
