"""The verbs ``explain`` and ``status`` on a live object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster.deployments import sample, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator


def verb(kubectl: Kubectl, *arguments: str) -> Any:  # noqa: ANN401 - JSON
    program = str(Path(sys.executable).with_name("kubectl-deepseek"))
    options = [f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}", "--output=json"]
    done = subprocess.run([program, *arguments, *options], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_running_object_tells_its_story(kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(sample("deepseek-67b"))
        wait_ready(kubectl, "deepseek-67b")
        told = verb(kubectl, "explain", "deepseek-67b")
        assert told["asked"][0] == "model deepseek-ai/deepseek-llm-67b-chat"
        assert told["planned"][0] == "4 x h100-sxm5-80gb per replica, TP4, Native weights"
        assert told["runs"][0].startswith("1/1 replicas ready at http://deepseek-67b.")
        assert any("Ready became True" in line for line in told["lately"])
        (row,) = verb(kubectl, "status")["items"]
        assert (row["name"], row["gpus"], row["ready"]) == ("deepseek-67b", "4 x h100-sxm5-80gb", "1/1")


def test_an_object_that_is_not_there_is_one_line(kubectl: Kubectl, resource_definition: None) -> None:
    program = str(Path(sys.executable).with_name("kubectl-deepseek"))
    options = [f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}"]
    done = subprocess.run([program, "explain", "nobody", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: there is no DeepSeekDeployment nobody in namespace {kubectl.namespace}\n"
