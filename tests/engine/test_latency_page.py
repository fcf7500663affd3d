"""Latency on the metrics page of a recorded engine release, and on pages that no engine sends."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from deepseek_operator.engine_latency import TPOT_METRIC, TTFT_METRIC, latency
from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.scaling.latency import Histogram, Latency, together

RECORDED = (Path(__file__).parent / "data" / "vllm_0.32_metrics.txt").read_text()


def page(*lines: str) -> str:
    """Return a page with these buckets of the first metric, and a sound second one."""
    first = "".join(f"{TTFT_METRIC}_bucket{{{line}\n" for line in lines)
    return f'{first}{TPOT_METRIC}_bucket{{le="+Inf"}} 1.0\n'


def test_the_recorded_page_tells_requests_by_duration():
    told = latency(RECORDED)
    assert (told.ttft.total, told.tpot.total) == (604, 604)
    assert (told.ttft.surely_above(1.0), told.ttft.surely_above(2.0), told.ttft.surely_above(2.5)) == (392, 368, 368)
    assert told.tpot.surely_above(0.01) == 227


def test_inside_a_bucket_requests_are_spread_evenly():
    histogram = Histogram(((1.0, 10), (3.0, 30), (math.inf, 40)))
    assert [histogram.above(each) for each in (0.5, 1.0, 2.0, 3.0, 9.0)] == [35.0, 30.0, 20.0, 10.0, 10.0]


def test_replicas_and_engines_add_up():
    two_engines = page('engine="0",le="1.0"} 3.0', 'engine="0",le="+Inf"} 4.0', 'engine="1",le="1.0"} 5.0',
                       'engine="1",le="+Inf"} 6.0')  # fmt: skip
    one = latency(two_engines)
    assert one.ttft == Histogram(((1.0, 8), (math.inf, 10)))
    assert together([one, one]) == Latency(
        ttft=Histogram(((1.0, 16), (math.inf, 20))), tpot=Histogram(((math.inf, 2),))
    )
    assert together([]) is None


def test_of_different_buckets_the_common_ones_are_kept():
    one, other = (
        Latency(ttft=Histogram(buckets), tpot=Histogram(((math.inf, 1),)))
        for buckets in (((1.0, 1), (2.0, 2), (math.inf, 3)), ((2.0, 5), (math.inf, 6)))
    )
    assert together([one, other]) == Latency(
        ttft=Histogram(((2.0, 7), (math.inf, 9))), tpot=Histogram(((math.inf, 2),))
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", f"does not hold {TTFT_METRIC}", id="empty"),
        pytest.param(page('le="1.0"} 3.0'), "do not rise to", id="no last bucket"),
        pytest.param(page('le="1.0"} 5.0', 'le="+Inf"} 4.0'), "do not rise to", id="falling"),
        pytest.param(page('le="+Inf"} NaN'), "cannot be read", id="nan"),
        pytest.param(page('le="+Inf"} -1.0'), "cannot be read", id="negative"),
        pytest.param(page('le="+Inf"} 1e300'), "cannot be read", id="impossible"),
        pytest.param(page('le="+Inf"} 1.5'), "cannot be read", id="half a request"),
        pytest.param(page('le="0"} 1.0', 'le="+Inf"} 1.0'), "cannot be read", id="a bucket without width"),
        pytest.param(page('x="1"} 1.0'), "cannot be read", id="no bound"),
        pytest.param(page('le="1'), "cannot be read|do not rise", id="broken"),
    ],
)
def test_a_bad_page_is_refused_in_words(text: str, why: str):
    with pytest.raises(EngineMetricsError, match=why) as raised:
        latency(text)
    assert len(str(raised.value)) < 300
