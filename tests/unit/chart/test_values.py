"""The chart's values: closed everywhere, and a wrong one is refused with its name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from deepseek_operator.cli.run import run

CHART = Path(__file__).resolve().parents[3] / "charts" / "deepseek-operator"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())

Schema = dict[str, Any]


def refusal(*flags: str) -> str:
    """Return what `helm template` says about values that it must refuse."""
    command = [str(Path(sys.executable).with_name("helm")), "template", "x", str(CHART), *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0, flags
    return result.stderr


WRONG = [
    ("replica=2", "replica"),
    ("replicas=0", "replicas"),
    ("replicas=two", "replicas"),
    ("image.digest=latest", "image.digest"),
    ("image.repository=registry/op:1.0", "image.repository"),
    ("image.tag=a b", "image.tag"),
    ("image.pullPolicy=Sometimes", "image.pullPolicy"),
    ("image.registry=r", "registry"),
    ("imagePullSecrets={Not_A_Name}", "imagePullSecrets.0"),
    ("watchNamespaces=chat", "watchNamespaces"),
    ("watchNamespaces={chat,Chat}", "watchNamespaces.1"),
    ("crds.install=yes", "crds.install"),
    ("crds.kept=true", "kept"),
    ("priorityClasses.create=true", "create"),
    ("leaderElection.leaseSeconds=1", "leaderElection.leaseSeconds"),
    ("leaderElection.enabled=false", "enabled"),
    ("admission.limits.priorities={Urgent}", "admission.limits.priorities.0"),
    ("admission.limits.deniedEngineArgs={trust-remote-code}", "admission.limits.deniedEngineArgs.0"),
    ("admission.limits.maxGpusTotal=0", "admission.limits.maxGpusTotal"),
    ("admission.limits.maxCostPerHourUsd=cheap", "admission.limits.maxCostPerHourUsd"),
    ("admission.namespaces.team-a.gpu={h100}", "gpu"),
    ("admission.namespaces.Team=null", "Team"),
    ("rbac.create=false", "create"),
    ("serviceAccount.name=Op", "serviceAccount.name"),
    ("serviceAccount.annotations.a=1", "serviceAccount.annotations.a"),
    ("prometheus.url=thanos:9091", "prometheus.url"),
    ("prometheus.url=https://me:secret@thanos", "prometheus.url"),
    ("prometheus.labels.a-b=c", "a-b"),
    ("prometheus.scrapeSeconds=0", "prometheus.scrapeSeconds"),
    ("prometheus.tokenSecret.key=a/b", "prometheus.tokenSecret.key"),
    ("monitoring.podmonitor=true", "podmonitor"),
    ("monitoring.rules=on", "monitoring.rules"),
    ("networkPolicy.fromNamespaces={Monitoring}", "networkPolicy.fromNamespaces.0"),
    ("networkPolicy.egressPorts={70000}", "networkPolicy.egressPorts.0"),
    ("podDisruptionBudget.minAvailable=1", "minAvailable"),
    ("extraArgs={verbose}", "extraArgs.0"),
    ("extraArgs={--namespace=chat}", "extraArgs.0"),
    ("resources.limit.memory=1Gi", "limit"),
    ("resources.limits.memory=much", "resources.limits.memory"),
    ("nodeSelector.zone=1", "nodeSelector.zone"),
    ("tolerations[0].keys=gpu", "keys"),
    ("tolerations[0].effect=NoRun", "tolerations.0.effect"),
    ("affinity.nodeaffinity.a=b", "nodeaffinity"),
    ("affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaces={a}", "topologyKey"),
    ("topologySpreadConstraints[0].topologyKey=zone", "maxSkew"),
    ("priorityClassName=System", "priorityClassName"),
    ("podAnnotations.a=true", "podAnnotations.a"),
    ("deployment.replicas=1", "deployment"),
]
"""A setting, and the name of the value in its refusal."""


@pytest.mark.parametrize(("setting", "name"), WRONG, ids=[setting for setting, _ in WRONG])
def test_a_wrong_value_is_refused_with_its_name(setting: str, name: str) -> None:
    said = refusal("--set", setting)
    head, _, reasons = said.partition("deepseek-operator:\n- ")
    assert head.startswith("Error: values don't meet the specifications of the schema")
    assert name in reasons


def test_two_monitors_of_the_same_pods_are_refused_with_their_names() -> None:
    said = refusal("--set", "monitoring.podMonitor=true,monitoring.serviceMonitor=true")
    assert "monitoring.podMonitor and monitoring.serviceMonitor would scrape the same pods twice" in said


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://thanos.monitoring.svc:9091", "9091"),
        ("http://prometheus.monitoring.svc/select/0", "80"),
        ("http://[fd00::1]:9095/prometheus", "9095"),
    ],
)
def test_a_network_policy_that_would_cut_off_prometheus_is_refused_with_its_port(url: str, port: str) -> None:
    said = refusal("--set", f"networkPolicy.install=true,prometheus.url={url}")
    assert f"networkPolicy.egressPorts lacks {port}, the port of prometheus.url; add it" in said


def objects(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Return every schema of an object inside a schema, with its place."""
    if schema.get("type") == "object":
        yield path, schema
    for keyword in ("properties", "definitions"):
        for name, inner in schema.get(keyword, {}).items():
            yield from objects(inner, f"{path}.{name}".removeprefix("."))
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from objects(schema[keyword], f"{path}[]")


def test_every_object_is_closed_or_a_map_of_one_type() -> None:
    is_open = [path for path, schema in objects(SCHEMA, "") if schema.get("additionalProperties", True) is True]
    assert is_open == ["global"]  # the values of a chart that has this one in it


def test_every_value_has_a_default_and_every_default_a_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def names(schema: Schema, defaults: object) -> Iterator[tuple[set[str], set[str]]]:
        target = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
        if isinstance(defaults, dict) and defaults and "properties" in target:
            yield set(target["properties"]), set(defaults)
            for name, value in defaults.items():
                yield from names(target["properties"][name], value)

    ((top, given), *inner) = names(SCHEMA, values)
    assert top - given == {"global"}
    assert given <= top
    assert [(known - present) - {"claims"} for known, present in inner] == [set()] * len(inner)


def test_every_value_is_told_in_the_documentation() -> None:
    text = (CHART.parents[1] / "docs" / "install.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [name for name in values if f"`{name}" not in text] == []


def test_every_option_is_set_by_a_value_or_free_for_extra_args() -> None:
    """What values set cannot be said a second time; everything else of `deepseek-operator run` can."""
    items = SCHEMA["properties"]["extraArgs"]["items"]
    taken = set(items["not"]["pattern"].removeprefix("^--(").split(")")[0].split("|"))
    app = typer.Typer()
    app.command()(run)
    options = {
        name.removeprefix("--")
        for parameter in typer.main.get_command(app).params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--") and name != "--help"
    }
    prometheus = {name for name in options if name.startswith("prometheus-")}
    assert taken - {"prometheus-[a-z-]+"} == {
        *("address", "kubeconfig", "lease-namespace", "lease-seconds", "namespace", "port", "scrape-seconds"),
        "no-leader-election",
    }
    assert taken - {"prometheus-[a-z-]+"} <= options
    assert prometheus == {f"prometheus-{name}" for name in ("url", "ca-file", "token-file", "label")}
