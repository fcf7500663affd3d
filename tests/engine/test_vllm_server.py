"""A real vLLM with exactly the arguments of the pod: it starts, answers, drains and tells its metrics.

Skipped where no ``vllm`` is installed; there the recorded flag table and metrics page stand in
(``test_vllm_flags.py``, ``test_metrics_page.py``).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.engine_metrics import kv_cache_report
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import EngineFeatures, Speculative, SpeculativeMethod
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.storage import MODEL_PATH
from engine.vllm_server import TINY_V3, VllmServer, program, write_model
from model_factories import make_deployment, make_plan

RECORDED = (Path(__file__).parent / "data" / "vllm_0.32_metrics.txt").read_text()
SERVED = "tiny"
LONG_ANSWER = 600

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(900)]


def rendered() -> dict[str, Any]:
    """Return the engine container of a pod that serves the tiny model with its prediction layer."""
    deployment = make_deployment(
        model={
            "name": "tests/DeepSeek-R1-tiny",
            "servedName": SERVED,
            "config": TINY_V3,
            "storage": {"persistentVolumeClaim": {"claimName": "weights"}},
        },
        engine={"speculative": {"method": "MTP", "tokens": 1}, "shutdownSeconds": 60},
    )
    plan = make_plan(
        model_name="tests/DeepSeek-R1-tiny",
        gpu="h100-sxm5-80gb",
        gpus_per_replica=1,
        parallelism=Parallelism(),
        max_model_len=1024,
        max_num_seqs=8,
        max_num_batched_tokens=2048,
        features=EngineFeatures(speculative=Speculative(method=SpeculativeMethod.MTP, tokens=1)),
    )
    container: dict[str, Any] = build_pod_template(deployment, plan, "hash")["spec"]["containers"][0]
    return container


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VllmServer]:
    vllm = program()
    if not vllm:
        pytest.skip("no vllm program (hack/vllm_cpu.sh makes one); the recorded tables stand in")
    container = rendered()
    model = write_model(tmp_path / "model")
    args = [word.replace(MODEL_PATH, str(model)) for word in container["args"]]
    told = {each["name"]: each["value"] for each in container["env"] if "/" not in each.get("value", "/")}
    started = VllmServer(vllm, args, told, tmp_path)
    yield started
    started.kill()


def names(page: str) -> set[str]:
    """Return the metric names of a page."""
    return set(re.findall(r"^# TYPE (vllm:\S+) ", page, re.MULTILINE))


def test_the_rendered_arguments_serve_answer_and_drain(server: VllmServer) -> None:
    server.wait_until_ready()
    answer = server.complete(SERVED, 8)
    assert answer["usage"]["completion_tokens"] == 8

    page = server.get("/metrics")
    assert names(RECORDED) - names(page) == set()
    assert "vllm:spec_decode_num_drafts" in page
    assert kv_cache_report(page).tokens_per_engine > 0

    in_flight: list[int] = []

    def ask() -> None:
        in_flight.append(server.complete(SERVED, LONG_ANSWER)["usage"]["completion_tokens"])

    client = threading.Thread(target=ask)
    client.start()
    while 'vllm:num_requests_running{engine="0",model_name="tiny"} 1.0' not in server.get("/metrics"):
        assert client.is_alive(), "the long request ended before the engine was stopped"
    assert server.terminate() == 0
    client.join(timeout=60)
    assert in_flight == [LONG_ANSWER]
