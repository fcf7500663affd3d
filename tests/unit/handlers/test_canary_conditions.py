"""A trial in the status and in conditions: kept over restarts, and silent about a spec that it does not answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.plan_status import plan_status
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.handlers.canaries import canary_of, canary_status, pinned_plan
from deepseek_operator.handlers.latency_reads import LatencyReads
from deepseek_operator.handlers.observations import observations
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.planner.result import Infeasible, InfeasibleReason
from deepseek_operator.scaling.canary import Canary, CanaryPhase, CanaryReason
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason
from model_factories import make_deployment, make_plan

PLAN, CANDIDATE = make_plan(), make_plan(max_num_seqs=32)
TRIAL = Canary(
    revision="r", fingerprint="f", replicas=1, replaces=1, since="2026-01-01T12:00:00Z",
    reason=CanaryReason.STARTING, message="1 of 2 replicas start",
)  # fmt: skip
REJECTED = replace(
    TRIAL, phase=CanaryPhase.ROLLED_BACK, replaces=0, reason=CanaryReason.ROLLED_BACK, message="rolled back"
)
READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
SERVING = Situation(
    generation=1,
    deployment=make_deployment(),
    acceptance=Acceptance(accepted=AcceptedPlan(plan=PLAN, fingerprint="e"), current=True, proposed=CANDIDATE),
    decision=ReplicaDecision(replicas=2, reason=ReplicaReason.PLANNED, message="the plan needs 2 replicas"),
    workload=Workload(generation=1, status=READY),
    canary=TRIAL,
)
REFUSED = Infeasible(reason=InfeasibleReason.MEMORY_INSUFFICIENT, message="needs 80 GiB", nearest="")


def said(situation: Situation) -> dict[str, tuple[bool | None, str]]:
    found = {each.type: (each.holds, each.reason) for each in observations(situation)}
    told = ("Ready", "Planned", "WorkloadReady", "RollingOut", "Reconciling", "Stalled")
    return {kind: found[kind] for kind in told if kind in found}


@pytest.mark.parametrize("canary", [TRIAL, REJECTED], ids=["on trial", "rolled back"])
def test_a_trial_outlives_the_operator(canary: Canary) -> None:
    assert canary_of({"canary": canary_status(canary)}) == canary


@pytest.mark.parametrize(
    "stored", [None, {}, "text", {"revision": "r", "fingerprint": "f", "phase": "Nonsense"}, {"since": "today"}]
)
def test_a_damaged_trial_is_none(stored: Any) -> None:  # noqa: ANN401 - whatever an editor leaves
    assert canary_of({"canary": stored}) is None


def test_the_plan_on_trial_stays_while_its_owner_asks_the_same() -> None:
    status = {"canary": canary_status(TRIAL), "proposedPlan": plan_status(CANDIDATE)}
    found = pinned_plan(status, "f")
    assert found is not None
    assert plan_hash(found) == plan_hash(CANDIDATE)
    assert pinned_plan(status, "another") is None
    assert pinned_plan({"canary": canary_status(TRIAL)}, "f") is None


def test_one_replica_less_is_asked_while_it_gave_its_gpus() -> None:
    assert (SERVING.wanted_replicas, SERVING.track_replicas) == (2, 1)


def test_a_trial_is_under_way_and_nothing_is_stalled() -> None:
    assert said(SERVING) == {
        "Ready": (False, "CanaryStarting"),
        "Planned": (True, "CanaryStarting"),
        "WorkloadReady": (True, "ReplicasReady"),
        "RollingOut": (True, "CanaryStarting"),
        "Reconciling": (True, "CanaryStarting"),
    }


def test_a_rejected_change_needs_a_person() -> None:
    rejected = replace(SERVING, canary=REJECTED, workload=Workload(generation=1, status=dict.fromkeys(READY, 2)))
    assert said(rejected) == {
        "Ready": (False, "CanaryRolledBack"),
        "Planned": (True, "CanaryRolledBack"),
        "WorkloadReady": (True, "ReplicasReady"),
        "Stalled": (True, "CanaryRolledBack"),
    }


def test_a_trial_hides_no_refusal_of_a_newer_spec() -> None:
    acceptance = Acceptance(accepted=AcceptedPlan(plan=PLAN, fingerprint="e"), current=False, infeasible=REFUSED)
    found = said(replace(SERVING, acceptance=acceptance))
    assert (found["Planned"], found["Ready"], "RollingOut" in found) == (
        (False, "MemoryInsufficient"),
        (False, "MemoryInsufficient"),
        False,
    )


def pod(uid: str, *, ready: bool = True) -> PodState:
    return PodState(
        name=uid, node="n", phase="Running", ready=ready, deleting=False, waiting_reason="", waiting_message="",
        uid=uid, address="10.0.0.1",
    )  # fmt: skip


def latency_page(requests: int) -> str:
    metrics = ("vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds")
    return "".join(f'{metric}_bucket{{le="+Inf"}} {requests}\n' for metric in metrics)


def test_rounds_read_ready_pods_wake_the_object_and_end() -> None:
    async def rounds() -> None:
        woken = asyncio.Event()
        urls: list[str] = []

        async def read(url: str) -> str:
            urls.append(url)
            return latency_page(7) if len(urls) == 1 else "broken"

        reads = LatencyReads(lambda _: woken.set(), read=read, pause_seconds=0)
        pods = [pod("a"), pod("b"), pod("c", ready=False)]
        assert reads.told("uid", pods) == {}
        await woken.wait()
        assert {uid: latency.ttft.total for uid, latency in reads.told("uid", pods).items()} == {"a": 7}
        assert reads.told("uid", [pod("b")]) == {}
        await reads.close()
        assert set(urls) == {"http://10.0.0.1:8000/metrics"}

    asyncio.run(rounds())
