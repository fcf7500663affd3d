"""Who holds GPUs, who was promised how many, and who is short when everybody scales to the maximum."""

from __future__ import annotations

from cluster_objects import A100_LABELS, gpu_node, gpu_pod
from deepseek_operator.capacity.claims_facts import PriorityFacts, PromiseFacts, QuotaFacts
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.quotas import promises_of, quota_view
from model_factories import make_deployment
from plan_values import plan_with
from share_nodes import inventory_of

H100 = "h100-sxm5-80gb"


def promise(name: str, gpus: int, most: int, klass: str = "deepseek-standard", gpu: str = H100) -> PromiseFacts:
    return PromiseFacts(
        namespace="chat", name=name, priority_class=klass, gpu=gpu, gpus_per_replica=gpus, max_replicas=most
    )


def known() -> Inventory:
    ours = {"deepseek-operator.io/deployment": "r1"}
    pods = [
        gpu_pod("r1-0", gpus=4, node="a", namespace="chat", labels=ours),
        gpu_pod("notebook", gpus=2, node="a", namespace="lab"),
        gpu_pod("old", gpus=1, node="b", namespace="chat", labels=ours),
    ]
    nodes = [gpu_node("a"), gpu_node("b", labels=A100_LABELS)]
    return inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods])


def test_namespaces_tell_used_promised_and_what_breaks_their_quota() -> None:
    quotas = [
        QuotaFacts(namespace="chat", name="tight", limits=(("nvidia.com/gpu", 12),)),
        QuotaFacts(namespace="chat", name="wide", limits=(("nvidia.com/gpu", 20),)),
    ]
    assert quota_view(known(), [promise("r1", 4, 3)], quotas)["namespaces"] == [
        {
            "namespace": "chat",
            "usedGpus": 5,
            "promisedGpus": 13,
            "worstCaseGpus": 13,
            "limits": {"nvidia.com/gpu": 12},
            "overLimit": ["nvidia.com/gpu: 13 of 12"],
        },
        {
            "namespace": "lab",
            "usedGpus": 2,
            "promisedGpus": 0,
            "worstCaseGpus": 2,
            "limits": {},
            "overLimit": [],
        },
    ]


def test_in_the_worst_case_the_lowest_priority_is_short() -> None:
    promises = [
        promise("r1", 4, 1),
        promise("chat", 4, 1, "deepseek-critical"),
        promise("batch", 2, 2, "deepseek-batch"),
    ]
    rows = quota_view(known(), promises)["priorities"]
    assert [(row["priorityClass"], row["worstCaseGpus"], row["shortGpus"]) for row in rows] == [
        ("deepseek-critical", 4, 0),
        ("deepseek-standard", 5, 0),
        ("deepseek-batch", 4, 4),
        ("(none)", 2, 2),
    ]


def test_the_cluster_says_what_its_classes_are_worth_and_which_is_the_default() -> None:
    classes = [PriorityFacts(name="gold", value=9, is_default=True), PriorityFacts(name="deepseek-standard", value=5)]
    rows = quota_view(known(), [promise("r1", 4, 1)], (), classes)["priorities"]
    assert [(row["priorityClass"], row["value"]) for row in rows] == [("gold", 9), ("deepseek-standard", 5)]


def test_products_tell_by_how_much_they_are_over_committed() -> None:
    assert quota_view(known(), [promise("r1", 4, 3)])["products"] == [
        {"gpu": "a100-sxm4-80gb", "totalGpus": 8, "usedGpus": 1, "worstCaseGpus": 1, "overCommittedGpus": 0},
        {"gpu": H100, "totalGpus": 8, "usedGpus": 6, "worstCaseGpus": 14, "overCommittedGpus": 6},
    ]


def test_of_a_cordoned_node_only_what_is_held_counts() -> None:
    nodes = (gpu_node("a"), gpu_node("b", unschedulable=True), gpu_pod("p", gpus=3, node="b"))
    found = quota_view(inventory_of(*nodes), [promise("r1", 4, 3)])
    assert found["products"] == [
        {"gpu": H100, "totalGpus": 11, "usedGpus": 3, "worstCaseGpus": 15, "overCommittedGpus": 4}
    ]


def test_a_file_says_more_of_a_deployment_than_the_cluster() -> None:
    asked = make_deployment("r1", scaling={"minReplicas": 1, "maxReplicas": 5})
    member = Member(deployment=asked, plan=plan_with(gpus=2), replicas=1)
    found = promises_of([member], [promise("r1", 4, 3), promise("other", 1, 1)])
    assert [(each.name, each.gpus_per_replica, each.max_replicas) for each in found] == [("other", 1, 1), ("r1", 2, 5)]
