"""What the builders cannot run is said, never dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.api.parse import parse_documents
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.runnable import is_runnable
from model_factories import make_deployment, make_plan


@pytest.mark.parametrize(
    ("plan", "spec", "sentence"),
    [
        pytest.param({}, {}, "", id="the sample runs"),
        pytest.param(
            {},
            {
                "scaling": {"minReplicas": 0, "scaleToZeroAfterSeconds": 60},
                "memoryPressure": {"kvCachePercent": 80},
            },
            "",
            id="zero and memory pressure",
        ),
        pytest.param(
            {"gpu": "gaudi3"},
            {},
            "vLLM 0.32.0 has images for amd and nvidia and the plan uses gaudi3; "
            "set spec.engine.image to an image for it",
            id="a vendor without an image",
        ),
        pytest.param(
            {"gpu": "gaudi3"},
            {"engine": {"image": "r/vllm-gaudi:1"}},
            "no node label tells gaudi3 apart; set spec.hardware.nodeSelector to the labels of its nodes",
            id="a product without a label",
        ),
        pytest.param(
            {"gpu": "gaudi3"},
            {"engine": {"image": "r/vllm-gaudi:1"}, "hardware": {"nodeSelector": {"gaudi": "3"}}},
            "",
            id="a product without a label, selected by the user",
        ),
    ],
)
def test_runnable(plan: dict[str, Any], spec: dict[str, Any], sentence: str) -> None:
    assert is_runnable(make_plan(**plan), make_deployment(**spec)) == sentence


def test_groups_that_a_gang_scheduler_cannot_know_are_refused() -> None:
    plan = make_plan(nodes_per_replica=2, gpus_per_replica=8, parallelism=Parallelism(tensor=4, pipeline=2))
    queued = make_deployment(queueName="gpus")
    sentence = (
        "spec.queueName is admitted by Volcano here, which takes a replica over 2 nodes for one group only in a "
        "LeaderWorkerSet; install LeaderWorkerSet, or leave spec.queueName out"
    )
    assert is_runnable(plan, queued, ClusterFeatures(volcano=True)) == sentence
    assert is_runnable(plan, queued, ClusterFeatures(volcano=True, leader_worker_set=True)) == ""
    assert is_runnable(plan, queued) == ""
    assert is_runnable(plan, make_deployment(), ClusterFeatures(volcano=True)) == ""


def test_samples_ask_for_nothing_that_is_not_done() -> None:
    samples = sorted((Path(__file__).parents[3] / "manifests" / "samples").glob("*.yaml"))
    refused = {
        (sample.name, sentence)
        for sample in samples
        for deployment in parse_documents(sample.read_text())
        if (sentence := is_runnable(make_plan(), deployment))
    }
    assert (len(samples) > 0, refused) == (True, set())
