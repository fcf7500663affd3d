"""Who may reach a model's pods, and whom they may reach."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.names import Manifest, Owner
from deepseek_operator.resources.networkpolicy import build_network_policies
from model_factories import make_deployment, make_plan

NAME = "deepseek-ai/deepseek-llm-67b-chat"
ENGINE = {"deepseek-operator.io/deployment": "deepseek-67b", "app.kubernetes.io/component": "engine"}
DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def policies(plan: Plan | None = None, asked: dict[str, Any] | None = None, **spec: object) -> list[Manifest]:
    deployment = make_deployment(networkPolicy=asked or {}, **spec)
    one_node = build_pod_template(deployment, make_plan(), "1f3a5c7e")
    owner = Owner(name="deepseek-67b", namespace="chat")
    return build_network_policies(owner, deployment.spec, plan or make_plan(), one_node)


def to(*ports: int) -> Manifest:
    return {"ports": [{"protocol": "TCP", "port": port} for port in ports]}


def named(*names: str) -> list[Manifest]:
    return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in names]


def test_nothing_is_made_that_nobody_asked_for():
    template = build_pod_template(make_deployment(), make_plan(), "1f3a5c7e")
    assert build_network_policies(Owner(name="x", namespace="y"), make_deployment().spec, make_plan(), template) == []


def test_the_own_namespace_and_the_named_ones_send_requests_and_monitoring_reads_the_same_port():
    asked = {"fromNamespaces": ["gateway"], "metricsFromNamespaces": ["monitoring"]}
    (policy,) = policies(asked=asked, model={"name": NAME, "storage": {"image": {"reference": "r/w:1"}}})
    assert policy["spec"] == {
        "podSelector": {"matchLabels": ENGINE},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [{"podSelector": {}}, *named("gateway")], **to(8000)},
            {"from": named("monitoring"), **to(8000)},
        ],
        "egress": [DNS],
    }


@pytest.mark.parametrize(
    ("spec", "egress"),
    [
        pytest.param({}, [DNS, to(443)], id="a pod that downloads for itself reaches the hub"),
        pytest.param(
            {"model": {"name": NAME, "cache": {"claimName": "hub"}}}, [DNS], id="a reader of a cache does not"
        ),
        pytest.param(
            {"engine": {"env": [{"name": "HF_ENDPOINT", "value": "http://mirror:8080"}]}},
            [DNS, to(443, 8080)],
            id="a mirror of the hub",
        ),
        pytest.param(
            {
                "model": {"name": NAME, "cache": {"claimName": "hub"}},
                "engine": {
                    "image": "r/lmcache:1",
                    "kvOffload": {
                        "hostMemoryBytes": 2**30,
                        "backend": "LMCache",
                        "store": {"url": "redis://kv.cache:6380"},
                    },
                },
            },
            [DNS, to(6380)],
            id="a shared store of KV blocks",
        ),
    ],
)
def test_pods_reach_what_they_need(spec: dict[str, Any], egress: list[Manifest]):
    assert policies(**spec)[0]["spec"]["egress"] == egress


def test_a_download_reaches_the_hub_and_nobody_reaches_it():
    _, policy = policies(model={"name": NAME, "cache": {"claimName": "hub"}})
    assert policy["metadata"]["name"] == "deepseek-67b-download"
    assert policy["spec"] == {
        "podSelector": {"matchLabels": ENGINE | {"app.kubernetes.io/component": "download"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [DNS, to(443)],
    }


def test_pods_of_one_replica_on_several_nodes_talk_freely():
    plan = make_plan(nodes_per_replica=2, gpus_per_replica=16, parallelism=Parallelism(tensor=8, pipeline=2))
    (policy,) = policies(plan)
    group = [{"podSelector": {"matchLabels": ENGINE}}]
    assert policy["spec"]["ingress"][-1] == {"from": group}
    assert {"to": group} in policy["spec"]["egress"]
