"""What Triton is told and what it tells, against recordings: these hold where no server can be installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deepseek_operator.engine_metrics import CACHE_METRIC
from deepseek_operator.resources.engine_pod import build_pod_template
from manifest_cases.case import ManifestCase
from manifest_cases.triton import CASES
from model_factories import make_deployment

DATA = Path(__file__).parent / "data"
HELP = (DATA / "tritonserver_2.51.0_help.txt").read_text()
FLAGS = set(re.findall(r"^  (--[a-z0-9-]+)", HELP, flags=re.MULTILINE))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.says) for case in CASES])
def test_every_argument_is_a_flag_of_the_server(case: ManifestCase) -> None:
    template = build_pod_template(make_deployment(**case.spec), case.plan, "1f3a5c7e")
    arguments = template["spec"]["containers"][0]["args"]
    assert {argument.partition("=")[0] for argument in arguments} <= FLAGS


def test_tritons_page_tells_latencies_but_no_cache_and_no_queue() -> None:
    page = text_string_to_metric_families((DATA / "triton_vllm_metrics.txt").read_text())
    names = {sample.name for family in page for sample in family.samples}
    assert {"vllm:time_to_first_token_seconds_bucket", "vllm:time_per_output_token_seconds_bucket"} <= names
    assert not {CACHE_METRIC, "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"} & names
