"""The autoscalers that ``render --autoscaler`` makes, word by word, and where else they are shown.

``UPDATE_GOLDEN=1 pytest tests/golden`` writes the files anew; look at the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import kubernetes.client
import pytest
import yaml

from deepseek_operator.cli.autoscaler import Autoscaler
from deepseek_operator.cli.render import render

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "autoscalers"
SAMPLE = ROOT / "manifests" / "samples" / "external-scaling.yaml"
NODE = {
    "name": "a100-1",
    "labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920"},
    "allocatable": {"nvidia.com/gpu": 8},
    "memoryBytes": 2 * 2**40,
}
CLUSTER = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "InventorySnapshot", "nodes": [NODE], "pods": []}
URLS = {Autoscaler.HPA: "", Autoscaler.KEDA: "http://prometheus.monitoring.svc:9090"}


@pytest.mark.parametrize("autoscaler", list(Autoscaler))
def test_autoscalers(autoscaler: Autoscaler, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps(CLUSTER))
    render(str(SAMPLE), cluster=tmp_path / "cluster.json", autoscaler=autoscaler, prometheus_url=URLS[autoscaler])
    text, said = capsys.readouterr()
    path = FOLDER / f"{autoscaler}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    assert said == (
        "chat-7b: aims at 38 requests in flight per replica, 30 % of the 129 requests that one replica has in flight "
        "at 512 tokens in and 256 out within the service level\n"
    )


def test_the_client_library_knows_every_field_of_the_hpa() -> None:
    kubernetes.client.V2HorizontalPodAutoscaler.model_validate(made("hpa"))


def test_the_sample_holds_the_hpa_that_is_made_for_it() -> None:
    _, shown = yaml.safe_load_all(SAMPLE.read_text())
    expected = made("hpa")
    del expected["metadata"]["namespace"]
    assert shown == expected


@pytest.mark.parametrize("autoscaler", list(Autoscaler))
def test_the_documentation_shows_what_is_made(autoscaler: Autoscaler) -> None:
    assert (FOLDER / f"{autoscaler}.yaml").read_text() in (ROOT / "docs" / "scaling.md").read_text()


def made(name: str) -> dict[str, object]:
    (manifest,) = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    assert isinstance(manifest, dict)
    return manifest
