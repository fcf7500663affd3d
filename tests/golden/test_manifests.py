"""Spec and plan in, manifests out: the whole text, so that a change of any field is seen in review.

``UPDATE_GOLDEN=1 pytest tests/golden`` writes the files anew; look at the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.configmap_plan import PLAN_KEY
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.template_pin import TEMPLATE_KEY
from model_factories import UID, make_deployment, make_plan

FOLDER = Path(__file__).parent / "manifests"

SMALL: dict[str, Any] = {
    "model": {"name": "deepseek-ai/deepseek-llm-7b-chat", "cache": {"claimName": "hub-cache"}},
    "priority": "Batch",
}
SMALL_PLAN = make_plan(
    model_name="deepseek-ai/deepseek-llm-7b-chat",
    gpu="l4",
    gpus_per_replica=1,
    parallelism=Parallelism(tensor=1),
    quantization="FP8",
    max_num_seqs=16,
    max_num_batched_tokens=2048,
)

LARGE: dict[str, Any] = {
    "model": {
        "name": "deepseek-ai/DeepSeek-R1",
        "revision": "56d4cbbb4d29f4355bab4b9a39ccb717a14ad5ad",
        "servedName": "r1",
        "storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}},
        "cache": {"sizeBytes": 800_000_000_000, "storageClassName": "shared"},
    },
    "hardware": {
        "nodeSelector": {"pool": "h200"},
        "tolerations": [{"key": "team", "value": "search", "effect": "NoSchedule"}],
    },
    "engine": {
        "extraArgs": ["--reasoning-parser=deepseek_r1"],
        "apiKeySecretRef": {"name": "r1-keys", "key": "api"},
        "tlsSecretRef": {"name": "r1-tls"},
        "shutdownSeconds": 600,
    },
    "priorityClassName": "gold",
    "queueName": "gpus",
}
LARGE_PLAN = make_plan(
    model_name="deepseek-ai/DeepSeek-R1",
    gpu="h200-sxm",
    gpus_per_replica=8,
    parallelism=Parallelism(tensor=1, data=8, expert=True),
    kv_cache_dtype=KvCacheDtype.FP8,
    max_model_len=65_536,
)

CASES = [
    pytest.param("deepseek-67b", {}, make_plan(), 1, id="the 67B sample on four A100"),
    pytest.param("small", SMALL, SMALL_PLAN, 3, id="a 7B model on one L4, three replicas"),
    pytest.param("deepseek-r1", LARGE, LARGE_PLAN, None, id="R1 on eight H200 with TLS, keys and an outside scaler"),
]


@pytest.mark.parametrize(("name", "spec", "plan", "replicas"), CASES)
def test_manifests(name: str, spec: dict[str, Any], plan: Plan, replicas: int | None) -> None:
    manifests = desired(make_deployment(name, **spec), plan, uid=UID, replicas=replicas, plan_hash="1f3a5c7e")
    for key in (PLAN_KEY, TEMPLATE_KEY):  # the same content once more, as text: judged by tests of their own
        manifests[0]["data"][key] = "..."
    text = yaml.safe_dump_all(manifests, sort_keys=False, width=110)
    path = FOLDER / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
