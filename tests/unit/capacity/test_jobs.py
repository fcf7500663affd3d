"""Training jobs beside serving: what may be stopped takes what is free now, the others only what stays free."""

from __future__ import annotations

from typing import Any

from cluster_objects import gpu_node
from deepseek_operator.capacity.facts import read_node
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.jobs import Job
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.report import fleet_report
from deepseek_operator.units import GIB
from model_factories import make_deployment
from plan_values import plan_with

H100 = "h100-sxm5-80gb"
SPOT = {"karpenter.sh/capacity-type": "spot"}


def cluster(*names: str, **changes: Any) -> Inventory:  # noqa: ANN401 - of gpu_node
    return inventory([read_node(gpu_node(name, **changes)) for name in names], [])


def serving(most: int) -> Member:
    deployment = make_deployment("chat", scaling={"minReplicas": 1, "maxReplicas": most})
    return Member(deployment=deployment, plan=plan_with(gpus=8), replicas=1)


def placed(known: Inventory, *jobs: Job, members: tuple[Member, ...] = ()) -> list[tuple[int, list[list[str]], str]]:
    """Return of each job how many copies fit now, on which nodes, and why no more."""
    found = fleet_report(members, known, jobs=jobs, packing_seconds=0)
    short = {row["name"] for row in found["unplaced"]}
    assert short == {row["name"] for row in found["jobs"] if row["reason"]}
    return [(row["fitNow"], row["nodes"], row["reason"]) for row in found["jobs"]]


def job(name: str = "sft", gpus: int = 8, **changes: Any) -> Job:  # noqa: ANN401 - of Job
    return Job(name=name, mode="training", gpu=H100, gpus=gpus, **changes)


def test_a_job_that_may_be_stopped_takes_what_serving_leaves_now() -> None:
    known = cluster("a", "b", "c")
    assert placed(known, job(preemptible=True, copies=2), members=(serving(3),)) == [(2, [["b"], ["c"]], "")]


def test_another_one_takes_no_gpu_that_serving_may_need_later() -> None:
    known = cluster("a", "b", "c")
    assert placed(known, job(copies=2), members=(serving(2),)) == [
        (
            1,
            [["c"]],
            "needs 8 free h100-sxm5-80gb on one node; what is free belongs to deployments at maxReplicas, "
            "and it is not preemptible",
        )
    ]


def test_jobs_that_may_not_be_stopped_come_first() -> None:
    first, second = job("stoppable", preemptible=True), job("fixed")
    assert placed(cluster("a"), first, second) == [
        (0, [], "needs 8 free h100-sxm5-80gb on one node; serving leaves fewer now"),
        (1, [["a"]], ""),
    ]


def test_a_large_job_spans_nodes_and_keeps_its_tensor_groups_whole() -> None:
    known = cluster("a", "b", "c")
    assert placed(known, job(gpus=16, tensor=8)) == [(1, [["a", "b"]], "")]
    assert placed(known, job(gpus=24)) == [(1, [["a", "b", "c"]], "")]
    assert placed(cluster("a", gpus=4), job(gpus=16, tensor=8))[0][2] == (
        "its tensor-parallel group of 8 GPUs fits no node; the largest has 4 h100-sxm5-80gb"
    )


def test_only_what_may_be_stopped_runs_on_interruptible_nodes() -> None:
    known = cluster("a", more_labels=SPOT)
    assert placed(known, job(), job("stoppable", preemptible=True)) == [
        (0, [], "no node with h100-sxm5-80gb takes its pods"),
        (1, [["a"]], ""),
    ]


def test_a_job_that_does_not_fit_its_gpus_says_so() -> None:
    assert placed(cluster("a"), job(limit="the optimizer alone needs 90 GiB")) == [
        (0, [], "the optimizer alone needs 90 GiB")
    ]


def test_host_memory_counts() -> None:
    known = cluster("a", "b")  # 2,000 GiB each
    assert placed(known, job(gpus=4, copies=3, host_bytes=1500 * GIB))[0][:2] == (2, [["a"], ["b"]])
