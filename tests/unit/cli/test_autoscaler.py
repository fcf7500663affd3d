"""What ``render --autoscaler`` refuses and says; what it makes is kept in tests/golden."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepseek_operator.cli.autoscaler import Autoscaler
from deepseek_operator.cli.output import OutputFormat
from deepseek_operator.cli.render import render
from deepseek_operator.errors import InvalidSpecError
from deployment_file import written
from spec_table import Changes

EXTERNAL: Changes = {"scaling": {"owner": "External", "maxReplicas": 4}}


@pytest.mark.parametrize(
    ("changes", "autoscaler", "url", "sentence"),
    [
        pytest.param(
            {},
            Autoscaler.HPA,
            "",
            "spec.scaling.owner: is Operator, and replicas have one owner; set it to External for another autoscaler",
            id="the operator owns the replicas",
        ),
        pytest.param(
            {**EXTERNAL, "engine.type": "Triton"},
            Autoscaler.HPA,
            "",
            "spec.engine.type: is Triton, which exports no count of requests in flight to scale on; use VLLM",
            id="Triton",
        ),
        pytest.param(
            EXTERNAL,
            Autoscaler.KEDA,
            "",
            "--prometheus-url: is missing; KEDA asks Prometheus itself, e.g. http://prometheus.monitoring.svc:9090",
            id="KEDA without Prometheus",
        ),
        pytest.param(
            EXTERNAL,
            Autoscaler.HPA,
            "http://prometheus:9090",
            "--prometheus-url: belongs to --autoscaler keda; leave it out",
            id="HPA with Prometheus",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(
    tmp_path: Path, nodes: Path, changes: Changes, autoscaler: Autoscaler, url: str, sentence: str
) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        render(written(tmp_path, changes), cluster=nodes, autoscaler=autoscaler, prometheus_url=url)
    assert str(refused.value) == sentence


def test_limits_that_an_autoscaler_cannot_keep_are_told(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"scaling": {"owner": "External", "minReplicas": 0, "maxReplicas": 4}, "replicas": 2}
    file = written(tmp_path, changes)
    render(file, cluster=nodes, output=OutputFormat.JSON, autoscaler=Autoscaler.HPA)
    out, said = capsys.readouterr()
    (made,) = json.loads(out)["items"]
    assert (made["kind"], made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == ("HorizontalPodAutoscaler", 1, 4)
    assert said.splitlines()[1:] == [
        "small: keeps one replica where scaling.minReplicas is 0: the engine's metrics end with the last one",
        "small: leave spec.replicas out of the file, else every apply of it sets the autoscaler back",
    ]
