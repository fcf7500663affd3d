"""Commands that read files alone start quickly: they load no Kubernetes client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from deepseek_operator.cli.main import kubectl_plugin
try:
    kubectl_plugin()
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("kubernetes", "kopf", "aiohttp", "httpx") if name in sys.modules], file=sys.stderr)
"""
NODE = {
    "name": "a100-1",
    "labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920"},
    "allocatable": {"nvidia.com/gpu": 8},
    "memoryBytes": 2 * 2**40,
}
SPEC = """
apiVersion: deepseek-operator.io/v1alpha1
kind: DeepSeekDeployment
metadata: {name: chat}
spec:
  model: {name: deepseek-ai/deepseek-llm-7b-chat}
  workload: {inputTokens: 1024, outputTokens: 256, maxContextTokens: 4096, concurrency: 4}
"""


@pytest.mark.parametrize("verb", ["plan", "render"])
def test_a_file_in_place_of_a_cluster_needs_no_client(tmp_path: Path, verb: str):
    snapshot = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "InventorySnapshot", "nodes": [NODE], "pods": []}
    (tmp_path / "cluster.json").write_text(json.dumps(snapshot))
    (tmp_path / "chat.yaml").write_text(SPEC)
    command = [sys.executable, "-c", PROGRAM, verb, "-f", "chat.yaml", "--cluster", "cluster.json"]
    package = str(Path(__file__).parents[3] / "operator")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": package})
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
