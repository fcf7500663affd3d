"""The metrics page of a recorded engine release, and pages that no engine sends."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_operator.engine_metrics import CACHE_METRIC, KvCacheReport, kv_cache_report
from deepseek_operator.errors import EngineMetricsError

RECORDED = (Path(__file__).parent / "data" / "vllm_0.32_metrics.txt").read_text()


def series(value: str = "1.0", **labels: str) -> str:
    """Return one series of the metric; keywords change or add labels."""
    told = {"block_size": "16", "engine": "0", "num_gpu_blocks": "1000", "kv_cache_size_tokens": "15984"} | labels
    labels_text = ",".join(f'{key}="{text}"' for key, text in told.items())
    return f"{CACHE_METRIC}{{{labels_text}}} {value}\n"


def test_the_recorded_page_tells_blocks_and_tokens():
    assert kv_cache_report(RECORDED) == KvCacheReport(
        engines=1, num_gpu_blocks=19418, block_size=16, tokens_per_engine=310688, sized_by_hand=True
    )


def test_engines_that_are_sized_by_their_budget_say_so():
    page = RECORDED.replace('kv_cache_memory_bytes="1073741824"', 'kv_cache_memory_bytes="None"')
    assert not kv_cache_report(page).sized_by_hand


def test_data_parallel_engines_repeat_the_sum_of_blocks_and_the_tokens_of_one():
    page = series(engine="0") + series(engine="1")
    assert kv_cache_report(page) == KvCacheReport(
        engines=2, num_gpu_blocks=1000, block_size=16, tokens_per_engine=15984, sized_by_hand=False
    )


def test_a_release_without_the_figure_shares_the_blocks_among_the_engines():
    page = series(engine="0", kv_cache_size_tokens="None") + series(engine="1", kv_cache_size_tokens="None")
    assert kv_cache_report(page).tokens_per_engine == 8000


@pytest.mark.parametrize(
    ("page", "why"),
    [
        pytest.param("", "does not hold vllm:cache_config_info", id="empty"),
        pytest.param("<html>404</html>", "does not hold vllm:cache_config_info", id="html"),
        pytest.param("\x00\x01\udcff" * 1000, "does not hold vllm:cache_config_info", id="binary"),
        pytest.param("vllm:cache_config_info_total 1\n", "does not hold vllm:cache_config_info", id="other-name"),
        pytest.param(series(value="NaN"), "is nan where 1 is expected", id="nan"),
        pytest.param(series(value="0.0"), "is 0.0 where 1 is expected", id="zero"),
        pytest.param(series(num_gpu_blocks="None"), "num_gpu_blocks of .* is 'None'", id="not-started"),
        pytest.param(series(num_gpu_blocks="-5"), "num_gpu_blocks of .* is '-5'", id="negative"),
        pytest.param(series(num_gpu_blocks="1e9"), "is '1e9' where a number", id="float"),
        pytest.param(series(num_gpu_blocks="NaN"), "is 'NaN' where a number", id="nan-label"),
        pytest.param(series(num_gpu_blocks="9" * 100_000), "where a number is expected$", id="long-number"),
        pytest.param(series(num_gpu_blocks="0"), "is 0, which cannot be", id="no-blocks"),
        pytest.param(series(kv_cache_size_tokens="9" * 16), "which cannot be", id="impossible"),
        pytest.param(series(block_size="٣"), "where a number is expected", id="other-digits"),
        pytest.param(series() + series(), "several times for one engine", id="twice"),
        pytest.param(series() + series(engine="1", block_size="32"), "engines of one replica disagree", id="disagree"),
        pytest.param(f'{CACHE_METRIC}{{engine="0 1.0\n', "cannot be read|where a number", id="broken-labels"),
        pytest.param(f"{CACHE_METRIC} 1.0\n", "num_gpu_blocks of .* is ''", id="no-labels"),
        pytest.param("".join(series(engine=str(n)) for n in range(1025)), "1025 times", id="too-many"),
    ],
)
def test_a_bad_page_is_refused_in_words(page: str, why: str):
    with pytest.raises(EngineMetricsError, match=why) as raised:
        kv_cache_report(page)
    assert len(str(raised.value)) < 300
