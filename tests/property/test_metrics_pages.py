"""Laws of reading metrics pages: any text gives a report or one sentence, and what is written is read."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from deepseek_operator.engine_metrics import CACHE_METRIC, MAX_COUNT, KvCacheReport, kv_cache_report
from deepseek_operator.errors import EngineMetricsError

LINES = st.lists(
    st.one_of(
        st.text(),
        st.text().map(lambda rest: f"{CACHE_METRIC}{{{rest}"),
        st.text().map(lambda value: f'{CACHE_METRIC}{{block_size="16",num_gpu_blocks="{value}"}} 1'),
        st.text().map(lambda value: f'{CACHE_METRIC}{{block_size="16",num_gpu_blocks="5"}} {value}'),
    )
)


@given(LINES)
@example([f"{CACHE_METRIC}{{}} 1"])
@example([f"{CACHE_METRIC} "])
def test_any_text_gives_a_report_or_one_sentence(lines: list[str]):
    with contextlib.suppress(EngineMetricsError):
        assert 1 <= kv_cache_report("\n".join(lines)).tokens_per_engine <= MAX_COUNT


@given(blocks=st.integers(1, 10**9), block_size=st.sampled_from([1, 16, 64, 256]), engines=st.integers(1, 16))
def test_what_an_engine_writes_is_read(blocks: int, block_size: int, engines: int):
    page = "".join(
        f'{CACHE_METRIC}{{block_size="{block_size}",engine="{engine}",num_gpu_blocks="{blocks * engines}"}} 1.0\n'
        for engine in range(engines)
    )
    assert kv_cache_report(page) == KvCacheReport(
        engines=engines,
        num_gpu_blocks=blocks * engines,
        block_size=block_size,
        tokens_per_engine=blocks * block_size,
        sized_by_hand=False,
    )
