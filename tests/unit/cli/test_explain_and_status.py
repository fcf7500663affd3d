"""The verbs ``explain`` and ``status`` on what kubectl saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.api.plan_status import plan_status, summary_status
from deepseek_operator.cli.explain import explain
from deepseek_operator.cli.output import OutputFormat
from deepseek_operator.cli.status import status
from deepseek_operator.errors import InventoryError
from model_factories import make_plan
from spec_table import changed


def running(name: str = "small") -> dict[str, Any]:
    plan = make_plan()
    ready = {"type": "Ready", "status": "True", "reason": "ReplicasReady", "message": "1 of 1 replicas ready"}
    decision = {
        "time": "2026-11-22T11:00:00Z",
        "fromReplicas": 1,
        "toReplicas": 2,
        "reason": "DemandRises",
        "message": "1.4 replicas are needed",
    }
    return changed({"sla": {"ttftMilliseconds": 2000}, "hardware.maxGpusTotal": 8}) | {
        "metadata": {"name": name, "namespace": "team"},
        "status": {
            "plan": plan_status(plan),
            "summary": summary_status(plan, ready=1, wanted=1),
            "conditions": [ready | {"lastTransitionTime": "2026-11-22T10:00:00Z"}],
            "endpoint": "http://small.team.svc:8000",
            "scaling": {"desiredReplicas": 2, "decisions": [decision]},
        },
    }


def saved(folder: Path, *objects: dict[str, Any]) -> Path:
    file = folder / "objects.json"
    file.write_text(json.dumps({"kind": "List", "items": list(objects)}))
    return file


def test_the_story_of_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain(filename=saved(tmp_path, running()), output=OutputFormat.JSON)
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["name", "asked", "planned", "why", "runs", "costs", "lately"]
    assert told["asked"][1:] == [
        "service level: TTFT 2,000 ms for 95 % of requests",
        "8 requests at once, 512 input tokens, 128 output tokens, 4,096 tokens of context at most",
        "at most 8 GPUs",
    ]
    assert told["planned"] == [
        "4 x a100-sxm4-80gb per replica, TP4, Native weights",
        "64 requests at once of up to 4,096 tokens; KV cache for 407,000 tokens (± 4 %)",
        "79.0 GiB per GPU: weights 31.4 GiB, KV cache 36.0 GiB, activations 2.0 GiB, engine 2.0 GiB, free 7.0 GiB",
        "predicted: TTFT 640 ms, TPOT 38 ms, 840 tokens/s per replica (Roofline, ± 30 %)",
    ]
    assert told["costs"][0] == "7.16 USD/h for 1 planned replica, 5,226.80 USD per month"
    assert told["lately"] == [
        "2026-11-22T11:00:00Z scaling 1 -> 2 (DemandRises): 1.4 replicas are needed",
        "2026-11-22T10:00:00Z Ready became True (ReplicasReady)",
    ]


def test_a_refused_object_says_why_and_what_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = running() | {
        "status": {"infeasible": {"reason": "BudgetExceeded", "message": "too dear", "nearest": "raise the limit"}}
    }
    explain(filename=saved(tmp_path, refused), output=OutputFormat.JSON)
    told = json.loads(capsys.readouterr().out)
    assert told["planned"] == ["no plan, BudgetExceeded: too dear", "raise the limit"]
    assert told["costs"] == []


def test_an_object_that_nobody_looked_at_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The API server gives such an object a generation that no spec has, and nothing else."""
    explain(filename=saved(tmp_path, changed({}) | {"status": {"observedGeneration": -1}}), output=OutputFormat.JSON)
    assert json.loads(capsys.readouterr().out)["planned"] == ["not yet: no operator has looked at it"]


def test_the_story_as_people_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain("small", filename=saved(tmp_path, running(), running("other")))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["team/small", "Asked", "  model deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"]
    assert "  1/1 replicas ready at http://small.team.svc:8000" in lines


def test_all_objects_with_their_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = changed({}) | {"metadata": {"name": "fresh"}}
    status(filename=saved(tmp_path, running(), fresh), output=OutputFormat.JSON)
    assert json.loads(capsys.readouterr().out) == {
        "items": [
            {
                "namespace": "default",
                "name": "fresh",
                "model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
                "gpus": None,
                "parallel": None,
                "ready": None,
                "slaMet": None,
                "costPerHourUsd": None,
                "reason": None,
            },
            {
                "namespace": "team",
                "name": "small",
                "model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
                "gpus": "4 x a100-sxm4-80gb",
                "parallel": "TP4",
                "ready": "1/1",
                "slaMet": None,
                "costPerHourUsd": "7.16",
                "reason": "ReplicasReady",
            },
        ],
        "costPerHourUsd": "7.16",
        "readyCostPerHourUsd": "0.00",
    }


def test_what_is_planned_and_what_is_ready_cost_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scaled, waits = running("scaled"), running("waits")
    scaled["status"]["readyReplicas"] = 2
    status(filename=saved(tmp_path, scaled, waits))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 DeepSeekDeployments; USD per hour: 14.32 planned, 14.32 for ready replicas"
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON; give what `kubectl get dsd -o json` saved"),
        ("[]", "there is no DeepSeekDeployment in"),
        ('{"kind": "DeepSeekDeployment", "metadata": {}}', "there is no DeepSeekDeployment in"),
        ('{"kind": "List", "items": 7}', "there is no DeepSeekDeployment in"),
        (
            '{"kind": "DeepSeekDeployment", "metadata": {"name": "x"}, "status": {"plan": {"gpu": "h100"}}}',
            "as an operator writes it",
        ),
        (
            '{"kind": "DeepSeekDeployment", "metadata": {"name": "x"}, "status": {"conditions": "none"}}',
            "as an operator writes it",
        ),
    ],
)
def test_what_is_no_object_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "objects.json"
    file.write_text(text)
    with pytest.raises(InventoryError, match=words):
        explain(filename=file)


def test_a_file_of_several_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="holds 2 DeepSeekDeployments; name one"):
        explain(filename=saved(tmp_path, running("a"), running("b")))
