"""The sample of ResourceQuotas by PriorityClass: the API server holds each priority to its own number of GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import SAMPLES, condition, small, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

QUOTAS = list(yaml.safe_load_all((SAMPLES / "tenancy" / "gpus-by-priority.yaml").read_text()))


def four_gpus(name: str, priority: str, replicas: int) -> dict[str, Any]:
    return small(
        name,
        hardware={"gpus": ["h100-sxm5-80gb"]},
        parallelism={"tensor": 4},
        priority=priority,
        scaling={"minReplicas": replicas, "maxReplicas": replicas},
    )


def gpus(kubectl: Kubectl) -> dict[str, str]:
    """Return the GPUs that count against each quota."""
    items = kubectl("get", "resourcequotas", "-o", "json")["items"]
    return {each["metadata"]["name"]: each["status"]["used"]["requests.nvidia.com/gpu"] for each in items}


@pytest.mark.usefixtures("resource_definition")
def test_each_priority_has_its_own_share_of_the_gpus(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(*QUOTAS)
    with running_operator(kubectl, tmp_path):
        kubectl.apply(four_gpus("standard", "Standard", 3), four_gpus("without", "None", 1))
        eventually(
            lambda: gpus(kubectl), lambda used: used["gpus-standard"] == "8", what="two of three replicas are made"
        )
        for name, quota in (("standard", "gpus-standard"), ("without", "gpus-without-class")):
            eventually(
                lambda name=name: condition(kubectl, name, "WorkloadReady").get("message", ""),
                lambda said, quota=quota: f"exceeded quota: {quota}" in said,
                what=f"{name} says why",
            )
        kubectl.apply(four_gpus("batch", "Batch", 2))
        wait_ready(kubectl, "batch")
        assert gpus(kubectl) == {"gpus-standard": "8", "gpus-batch": "8", "gpus-without-class": "0"}
