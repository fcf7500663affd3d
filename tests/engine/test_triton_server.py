"""The rendered Triton pods in the real tritonserver; only the backends behind it are stand-ins."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.polling import eventually
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.names import Manifest
from engine.triton_server import ADMIN_KEY, TritonServer
from model_factories import make_deployment, make_plan

Start = Callable[[Manifest], TritonServer]

VLLM: dict[str, Any] = {"engine": {"type": "Triton", "image": "r/triton:1", "shutdownSeconds": 20}}
NAME = "deepseek-llm-67b-chat"
TENSORRT_LLM: dict[str, Any] = {
    "model": {
        "name": "deepseek-ai/deepseek-llm-67b-chat",
        "servedName": "chat-trt",
        "storage": {"persistentVolumeClaim": {"claimName": "engines"}},
    },
    "engine": {
        "type": "Triton",
        "image": "r/triton:1",
        "triton": {"backend": "TensorRTLLM", "engineDirectory": "67b/tp4"},
        "maxNumSeqs": 64,
    },
}
RECORDED = Path(__file__).parent / "data" / "triton_vllm_metrics.txt"


def template_of(spec: dict[str, Any]) -> Manifest:
    return build_pod_template(make_deployment(**spec), make_plan(), "1f3a5c7e")


def families(page: str) -> dict[str, set[str]]:
    """The metric families of a page, each with the names of its labels."""
    return {
        family.name: {label for sample in family.samples for label in sample.labels}
        for family in text_string_to_metric_families(page)
    }


def test_vllm_backend_gets_the_planned_engine(triton: Start) -> None:
    server = triton(template_of(VLLM))
    server.wait_ready()
    answer = server.generate(NAME, {"text_input": "hello", "parameters": {"max_tokens": 3}})
    assert answer.status_code == httpx.codes.OK, server.text()
    assert json.loads(answer.json()["text_output"]) == {
        "model": "deepseek-ai/deepseek-llm-67b-chat",
        "tensor_parallel_size": 4,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
        "max_model_len": 4096,
        "max_num_seqs": 64,
        "max_num_batched_tokens": 8192,
        "gpu_memory_utilization": 0.92,
        "kv_cache_dtype": "auto",
        "enable_prefix_caching": True,
        "disable_log_stats": False,
    }
    assert [server.probe(name).returncode for name in ("readinessProbe", "livenessProbe")] == [0, 0]


def test_tensorrt_llm_backend_takes_token_ids(triton: Start) -> None:
    server = triton(template_of(TENSORRT_LLM))
    server.wait_ready()
    body = {"input_ids": [5, 6, 7], "input_lengths": 3, "request_output_len": 2, "streaming": False}
    answer = server.generate("chat-trt", body)
    assert answer.status_code == httpx.codes.OK, server.text()
    assert answer.json()["output_ids"] == [5, 6]
    assert server.probe("livenessProbe").returncode == 0, server.probe("livenessProbe").stdout


def test_metrics_page_has_the_recorded_shape(triton: Start) -> None:
    server = triton(template_of(VLLM))
    server.wait_ready()
    server.generate(NAME, {"text_input": "hello", "parameters": {"max_tokens": 3}})
    seen, recorded = families(server.page()), families(RECORDED.read_text())
    assert seen["vllm:generation_tokens"] == {"model", "version"}
    assert {name: labels for name, labels in recorded.items() if name.startswith("nv_inference_")} == {
        name: labels for name, labels in seen.items() if name.startswith("nv_inference_")
    }


def test_watchdog_sees_a_dead_backend_that_triton_calls_ready(triton: Start) -> None:
    server = triton(template_of(VLLM))
    server.wait_ready()
    for pid in server.stub_pids():
        os.kill(pid, signal.SIGKILL)
    watched = eventually(lambda: server.probe("livenessProbe"), lambda done: done.returncode != 0)
    assert watched.stdout.startswith("the backend failed: 400 ")
    assert "is not healthy" in watched.stdout
    assert server.probe("readinessProbe").returncode == 1
    # If this fails, Triton has learned to tell by itself, and the watchdog may go.
    assert [server.answers(path) for path in ("/v2/health/ready", f"/v2/models/{NAME}/ready")] == [True, True]


def test_stopping_finishes_what_is_in_flight(triton: Start, tmp_path: Path) -> None:
    server = triton(template_of(VLLM))
    server.wait_ready()
    release, answers = tmp_path / "release", []
    body = {"text_input": "hello", "parameters": {"hold": str(release)}}
    asked = threading.Thread(target=lambda: answers.append(server.generate(NAME, body)))
    asked.start()
    eventually(release.with_suffix(".waiting").exists)
    server.process.terminate()
    eventually(server.text, lambda log: "Found 1 HTTP service connections" in log)
    assert not server.answers("/v2/health/live"), "new connections are taken while the server drains"
    release.touch()
    asked.join()
    assert [answer.status_code for answer in answers] == [httpx.codes.OK]
    assert server.process.wait(timeout=30) == 0, server.text()


@pytest.mark.parametrize(
    ("key", "text", "complaint"),
    [
        pytest.param("config.pbtxt", 'name: "x"\nbakend: "vllm"\n', "failed to read text proto", id="a misspelt field"),
        pytest.param("config.pbtxt", 'backend: "nothing"\nmax_batch_size: 0\n', "nothing", id="a missing backend"),
        pytest.param("1-model.json", "{", "JSONDecodeError", id="a model.json that is no JSON"),
    ],
)
def test_a_bad_repository_ends_the_server_at_once(triton: Start, key: str, text: str, complaint: str) -> None:
    template = template_of(VLLM)
    template["metadata"]["annotations"][f"deepseek-operator.io/triton-{key}"] = text
    server = triton(template)
    assert server.process.wait(timeout=60) != 0
    assert complaint in server.text()


def test_apis_that_change_the_server_need_the_pods_own_key(triton: Start) -> None:
    server = triton(template_of(VLLM))
    server.wait_ready()
    statuses = {
        path: httpx.get(server.url(path)).status_code
        for path in ("/v2/systemsharedmemory/status", "/v2/trace/setting", "/v2/logging")
    }
    index = server.url("/v2/repository/index")
    assert set(statuses.values()) == {httpx.codes.FORBIDDEN}
    assert httpx.post(index, json={}).status_code == httpx.codes.FORBIDDEN
    assert httpx.post(index, json={}, headers={"admin-key": ADMIN_KEY}).status_code == httpx.codes.OK
