"""Pods of a replica over several nodes: what leader and workers share, and what tells them apart."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Rdma
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.features import NO_FEATURES, ClusterFeatures
from deepseek_operator.resources.group_pods import build_group_templates, group_args
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.rdma import with_rdma
from deepseek_operator.resources.template_pin import template_hash
from model_factories import UID, make_deployment, make_plan

STAGES = make_plan(nodes_per_replica=2, gpus_per_replica=8, parallelism=Parallelism(tensor=4, pipeline=2))
GROUPS = ClusterFeatures(leader_worker_set=True)


def templates(features: ClusterFeatures = GROUPS, **spec: object) -> Manifest:
    deployment = make_deployment(**spec)
    return build_group_templates(build_pod_template(deployment, STAGES, "1f3a5c7e"), deployment, STAGES, features)


def engine_of(made: Manifest, role: str) -> Manifest:
    container: Manifest = made[role]["spec"]["containers"][0]
    return container


def test_leader_and_worker_run_the_same_engine_and_only_the_leader_serves() -> None:
    made = templates()
    leader, worker = engine_of(made, "leader"), engine_of(made, "worker")
    assert (leader["image"], leader["command"]) == (worker["image"], worker["command"])
    assert [*leader["args"], "--headless"] == worker["args"]
    assert leader["args"][-4:] == [
        "--nnodes=2",
        "--node-rank=$(GROUP_NODE_RANK)",
        "--master-addr=$(GROUP_LEADER_ADDRESS)",
        "--master-port=29501",
    ]
    assert (set(leader) - set(worker), set(worker) - set(leader)) == ({"ports", "readinessProbe"}, set())
    roles = [made[role]["metadata"]["labels"]["deepseek-operator.io/role"] for role in ("leader", "worker")]
    assert roles == ["leader", "worker"]


def test_each_pod_asks_for_the_gpus_of_its_own_node() -> None:
    made = templates()
    requests = [engine_of(made, role)["resources"]["requests"] for role in ("leader", "worker")]
    assert [(each["nvidia.com/gpu"], each["cpu"]) for each in requests] == [("4", "6"), ("4", "5")]


def test_data_parallel_ranks_over_nodes_meet_on_the_leader() -> None:
    plan = make_plan(nodes_per_replica=2, gpus_per_replica=16, parallelism=Parallelism(tensor=1, data=16))
    assert group_args(plan, leads=True)[4:] == [
        "--data-parallel-size-local=8",
        "--data-parallel-address=$(GROUP_LEADER_ADDRESS)",
        "--data-parallel-rpc-port=29550",
    ]


@pytest.mark.parametrize("features", [GROUPS, NO_FEATURES], ids=["LeaderWorkerSet", "StatefulSet"])
def test_every_variable_in_the_arguments_is_set_before_it_is_used(features: ClusterFeatures) -> None:
    given = {"LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX"} if features.leader_worker_set else {"GROUP_NODE_RANK"}
    for role in ("leader", "worker"):
        known = set(given)
        for variable in engine_of(templates(features), role)["env"]:
            assert set(variables_in(variable.get("value", ""))) <= known
            known.add(variable["name"])
        used = {name for word in engine_of(templates(features), role)["args"] for name in variables_in(word)}
        assert used == {"GROUP_LEADER_ADDRESS", "GROUP_NODE_RANK"} <= known


def variables_in(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("$(")[1:]]


def test_a_worker_asks_its_leader_in_python_that_can_be_read() -> None:
    for tls, scheme in (({}, "http"), ({"engine": {"tlsSecretRef": {"name": "tls"}}}, "https")):
        worker = engine_of(templates(**tls), "worker")
        commands = [
            worker["startupProbe"]["exec"]["command"],
            worker["livenessProbe"]["exec"]["command"],
            worker["lifecycle"]["preStop"]["exec"]["command"],
        ]
        for program, option, text in commands:
            assert (program, option) == ("python3", "-c")
            ast.parse(text)
            assert f"{scheme}://' + os.environ['GROUP_LEADER_ADDRESS'] + ':8000/health'" in text


def test_a_worker_waits_as_long_for_its_leader_as_the_leader_may_take_to_start() -> None:
    made = templates()
    leader, worker = engine_of(made, "leader")["startupProbe"], engine_of(made, "worker")["startupProbe"]
    assert worker["periodSeconds"] * worker["failureThreshold"] >= leader["periodSeconds"] * leader["failureThreshold"]


@pytest.mark.parametrize("name", ["VLLM_HOST_IP", "GROUP_NODE_RANK", "LWS_WORKER_INDEX"])
def test_a_variable_of_ours_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidSpecError, match=f"{name}: the operator sets it for replicas over nodes; leave it out"):
        templates(engine={"env": [{"name": name, "value": "1"}]})


@pytest.mark.parametrize(
    ("spec", "features", "name"),
    [
        pytest.param({"priority": "High"}, GROUPS, "deepseek-high-group", id="pod by pod, so it does not preempt"),
        pytest.param({"priority": "Batch"}, GROUPS, "deepseek-batch", id="never preempts anyway"),
        pytest.param({"priorityClassName": "gold"}, GROUPS, "gold", id="a class of the owner's"),
        pytest.param(
            {"priority": "High", "queueName": "gpus"},
            ClusterFeatures(leader_worker_set=True, kueue=True),
            "deepseek-high",
            id="placed as a whole",
        ),
    ],
)
def test_groups_preempt_only_with_a_gang_scheduler(spec: dict[str, Any], features: ClusterFeatures, name: str) -> None:
    made = templates(features, **spec)
    assert {made[role]["spec"]["priorityClassName"] for role in ("leader", "worker")} == {name}


def test_a_definition_that_is_installed_later_replaces_nothing_that_runs() -> None:
    deployment = make_deployment()

    def made(features: ClusterFeatures, kept: dict[str, str] | None = None, pin: str = "") -> list[Manifest]:
        return desired(
            deployment,
            STAGES,
            uid=UID,
            replicas=2,
            plan_hash="1f3a5c7e",
            kept=kept,
            workload_template_hash=pin,
            features=features,
        )

    plain = made(NO_FEATURES)
    pin = template_hash(templates(NO_FEATURES))
    assert made(GROUPS, kept=plain[0]["data"], pin=pin) == plain
    assert [each["kind"] for each in made(GROUPS)][-1] == "LeaderWorkerSet"


def test_pods_given_gpus_by_claims_ask_for_the_network_too() -> None:
    plan = replace(STAGES, rdma=Rdma(resource="rdma/hca", devices=1))
    engine = {"resources": {"claims": [{"name": "gpus"}], "requests": {"cpu": "4"}}}
    template = {"metadata": {"annotations": {}}, "spec": {"containers": [engine]}}
    assert with_rdma(template, plan)["spec"]["containers"][0]["resources"] == {
        "claims": [{"name": "gpus"}],
        "requests": {"cpu": "4", "rdma/hca": "1"},
        "limits": {"rdma/hca": "1"},
    }
