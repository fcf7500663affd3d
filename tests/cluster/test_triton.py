"""A deployment moves from vLLM to Triton and back on a real control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

pytestmark = pytest.mark.usefixtures("resource_definition")


def ports(kubectl: Kubectl) -> list[str]:
    service: dict[str, Any] = kubectl("get", "service", "small", "-o", "json")
    return [port["name"] for port in service["spec"]["ports"]]


def test_a_model_moves_to_triton_and_back(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(engine={"type": "Triton"}))
        refused = wait_condition(kubectl, "small", "WorkloadReady", "False", "NotSupported")
        assert "no Triton release is known to hold vLLM" in refused["message"]

        kubectl.apply(small(engine={"type": "Triton", "image": "registry.example/triton:1"}))
        wait_ready(kubectl, "small")
        assert ports(kubectl) == ["http", "grpc", "metrics"]
        [pod] = kubectl("get", "pods", "-o", "json")["items"]
        assert pod["spec"]["containers"][0]["command"] == ["tritonserver"]
        assert 'backend: "vllm"' in pod["metadata"]["annotations"]["deepseek-operator.io/triton-config.pbtxt"]
        told = eventually(lambda: condition(kubectl, "small", "PlanAccurate"))
        assert (told["status"], told["reason"]) == ("Unknown", "EngineTellsNoCache")

        kubectl.apply(small())
        eventually(lambda: ports(kubectl), lambda names: names == ["http"])
        deployment = kubectl("get", "deployment", "small", "-o", "json")
        assert deployment["spec"]["template"]["spec"]["containers"][0]["command"] == ["vllm", "serve"]
        assert list(deployment["spec"]["template"]["metadata"]["annotations"]) == ["deepseek-operator.io/plan-hash"]
