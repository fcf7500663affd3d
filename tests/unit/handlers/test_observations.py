"""What the conditions say in each situation, whole and in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.capacity.fits import FitsNow
from deepseek_operator.engine_metrics import KvCacheReport
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.handlers.feedback import Feedback, with_report
from deepseek_operator.handlers.observations import observations
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Infeasible, InfeasibleReason
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason
from model_factories import make_deployment
from plan_values import plan_with

PLAN = plan_with(gpus=4)
OTHER = replace(PLAN, gpu="l40s")
ACCEPTED = AcceptedPlan(plan=PLAN, fingerprint="f")
REFUSED = Infeasible(reason=InfeasibleReason.MEMORY_INSUFFICIENT, message="needs 80 GiB", nearest="add a node")
FALLBACK = replace(
    PLAN,
    model_name="deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    compromise=Compromise(
        kind=CompromiseKind.FALLBACK,
        asked_model=PLAN.model_name,
        reason="MemoryInsufficient",
        change="a fallback runs in its place",
        message="it needs 80 GiB.",
    ),
)
ONE = ReplicaDecision(replicas=1, reason=ReplicaReason.PLANNED, message="the plan needs 1 replica")
READY_STATUS = {
    "observedGeneration": 1,
    "replicas": 1,
    "updatedReplicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
}
RUNNING = Situation(
    generation=1,
    deployment=make_deployment(),
    acceptance=Acceptance(accepted=ACCEPTED, current=True),
    decision=ONE,
    workload=Workload(generation=1, status=READY_STATUS),
)
STARTING = replace(RUNNING, workload=Workload(generation=1, status={**READY_STATUS, "readyReplicas": 0}))


def waiting(reason: str, message: str = "") -> PodState:
    return PodState(
        name="pod-1",
        node="n",
        phase="Pending",
        ready=False,
        deleting=False,
        waiting_reason=reason,
        waiting_message=message,
    )


def said(situation: Situation) -> dict[str, tuple[bool | None, str]]:
    return {each.type: (each.holds, each.reason) for each in observations(situation)}


USUAL = {
    "Ready": (True, "ReplicasReady"),
    "Planned": (True, "Planned"),
    "CapacityAvailable": (True, "Placed"),
    "WorkloadReady": (True, "ReplicasReady"),
    "ScalingActive": (False, "NoMetrics"),
    "SLAMet": (None, "NotMeasured"),
}


@pytest.mark.parametrize(
    ("situation", "differs"),
    [
        pytest.param(RUNNING, {}, id="everything runs"),
        pytest.param(
            Situation(generation=1, invalid="spec.x: is wrong"),
            {
                "Ready": (False, "InvalidSpec"),
                "Planned": (False, "InvalidSpec"),
                "CapacityAvailable": (None, "NoPlan"),
                "WorkloadReady": (False, "NoWorkload"),
                "ScalingActive": (False, "NoPlan"),
                "SLAMet": (None, "NoSla"),
                "Stalled": (True, "InvalidSpec"),
            },
            id="a wrong spec waits for its owner",
        ),
        pytest.param(
            replace(
                RUNNING,
                acceptance=Acceptance(accepted=None, current=False, infeasible=REFUSED),
                decision=None,
                workload=None,
            ),
            {
                "Ready": (False, "MemoryInsufficient"),
                "Planned": (False, "MemoryInsufficient"),
                "CapacityAvailable": (None, "NoPlan"),
                "WorkloadReady": (False, "NoWorkload"),
                "ScalingActive": (False, "NoPlan"),
                "Stalled": (True, "MemoryInsufficient"),
            },
            id="what does not fit is stalled with its limit",
        ),
        pytest.param(
            replace(RUNNING, acceptance=Acceptance(accepted=ACCEPTED, current=True, infeasible=REFUSED)),
            {"Planned": (True, "PlanKept")},
            id="a running plan that would not be chosen today stays ready",
        ),
        pytest.param(
            replace(RUNNING, acceptance=Acceptance(accepted=replace(ACCEPTED, plan=FALLBACK), current=True)),
            {"Planned": (True, "FallbackPlanned")},
            id="a fallback is no plan as asked",
        ),
        pytest.param(
            replace(RUNNING, acceptance=Acceptance(accepted=ACCEPTED, current=True, proposed=OTHER)),
            {"Planned": (True, "PlanProposed")},
            id="a proposal changes nothing but Planned",
        ),
        pytest.param(
            replace(
                RUNNING,
                acceptance=Acceptance(accepted=None, current=False, proposed=OTHER),
                decision=None,
                workload=None,
            ),
            {
                "Ready": (True, "AwaitingApproval"),
                "Planned": (True, "AwaitingApproval"),
                "CapacityAvailable": (None, "NoPlan"),
                "WorkloadReady": (False, "NoWorkload"),
                "ScalingActive": (False, "NoPlan"),
            },
            id="waiting for approval on purpose is ready",
        ),
        pytest.param(
            STARTING,
            {
                "Ready": (False, "Progressing"),
                "WorkloadReady": (False, "Progressing"),
                "Reconciling": (True, "Progressing"),
            },
            id="a start is progress",
        ),
        pytest.param(
            replace(STARTING, pods=(waiting("ContainerCreating"),)),
            {
                "Ready": (False, "Progressing"),
                "WorkloadReady": (False, "Progressing"),
                "Reconciling": (True, "Progressing"),
            },
            id="a container that is being created is progress",
        ),
        pytest.param(
            replace(STARTING, pods=(waiting("CreateContainerConfigError", 'secret "hub" not found'),)),
            {
                "Ready": (False, "CreateContainerConfigError"),
                "WorkloadReady": (False, "CreateContainerConfigError"),
                "Stalled": (True, "CreateContainerConfigError"),
            },
            id="a missing Secret is stalled and named",
        ),
        pytest.param(
            replace(
                STARTING,
                fits=FitsNow(fits=False, count=0, needed=1, limiting="needs 4 free h100 on one node"),
            ),
            {
                "Ready": (False, "WaitingForGpus"),
                "WorkloadReady": (False, "WaitingForGpus"),
                "CapacityAvailable": (False, "InsufficientFreeGpus"),
                "Reconciling": (True, "WaitingForGpus"),
            },
            id="missing GPUs are said",
        ),
        pytest.param(
            replace(
                RUNNING,
                decision=replace(ONE, replicas=0),
                workload=Workload(generation=1, status={"observedGeneration": 1}),
            ),
            {"Ready": (True, "ScaledToZero"), "WorkloadReady": (True, "ScaledToZero")},
            id="zero replicas on purpose are ready",
        ),
        pytest.param(
            replace(RUNNING, workload=Workload(generation=2, status=READY_STATUS)),
            {
                "Ready": (False, "Progressing"),
                "WorkloadReady": (False, "Progressing"),
                "Reconciling": (True, "Progressing"),
            },
            id="a workload whose newest spec was not looked at is not ready",
        ),
        pytest.param(
            replace(RUNNING, failure="PATCH /x: 403 forbidden"),
            {
                "Ready": (False, "ApplyFailed"),
                "WorkloadReady": (False, "ApplyFailed"),
                "Reconciling": (True, "ApplyFailed"),
            },
            id="a failed write is said",
        ),
        pytest.param(
            replace(RUNNING, unsupported="spans 2 nodes", workload=None),
            {
                "Ready": (False, "NotSupported"),
                "WorkloadReady": (False, "NotSupported"),
                "Stalled": (True, "NotSupported"),
            },
            id="what this version cannot run is stalled",
        ),
        pytest.param(
            replace(
                STARTING,
                workload=Workload(
                    generation=1,
                    status={
                        **READY_STATUS,
                        "readyReplicas": 0,
                        "conditions": [
                            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
                        ],
                    },
                ),
            ),
            {
                "Ready": (False, "Progressing"),
                "WorkloadReady": (False, "Progressing"),
                "Stalled": (True, "Progressing"),
            },
            id="a start that took too long is stalled",
        ),
    ],
)
def test_conditions(situation: Situation, differs: dict[str, tuple[bool | None, str]]) -> None:
    assert said(situation) == USUAL | differs


def test_a_proposal_names_the_hash_to_approve() -> None:
    waits = replace(RUNNING, acceptance=Acceptance(accepted=None, current=False, proposed=OTHER))
    planned = next(each for each in observations(waits) if each.type == "Planned")
    assert planned.message == (
        f"set spec.approvedPlan to run 4 x l40s, {OTHER.parallelism}, Native, hash {plan_hash(OTHER)}"
    )


NO_ROOM = FitsNow(fits=False, count=0, needed=1, limiting="needs 4 free h100 on one node")


@pytest.mark.parametrize(
    ("pods", "reason", "message"),
    [
        ((), "WaitingForGpus", "needs 4 free h100 on one node"),
        ((waiting("ContainerCreating"),), "WaitingForGpus", "needs 4 free h100 on one node"),
        (
            (waiting("ImagePullBackOff", "no such image"),),
            "ImagePullBackOff",
            f"{waiting('ImagePullBackOff', 'no such image').says}",
        ),
    ],
    ids=["a group that is not made", "another replica starts", "a person must act first"],
)
def test_ready_says_which_gpus_are_missing(pods: tuple[PodState, ...], reason: str, message: str) -> None:
    ready = next(each for each in observations(replace(STARTING, fits=NO_ROOM, pods=pods)) if each.type == "Ready")
    assert (ready.reason, ready.message) == (reason, f"0 of 1 replica ready; {message}")


def test_a_stuck_pod_is_quoted() -> None:
    stuck = replace(STARTING, pods=(waiting("ContainerCreating"), waiting("ImagePullBackOff", "no such image")))
    workload = next(each for each in observations(stuck) if each.type == "WorkloadReady")
    assert workload.message == "0 of 1 replica ready; pod pod-1 waits, ImagePullBackOff: no such image"


def test_a_fallback_is_told_with_both_models_and_the_limit() -> None:
    told = replace(RUNNING, acceptance=Acceptance(accepted=replace(ACCEPTED, plan=FALLBACK), current=True))
    (planned,) = (each for each in observations(told) if each.type == "Planned")
    assert planned.message == (
        "deepseek-ai/deepseek-llm-67b-chat has no plan (MemoryInsufficient), so a fallback runs in its place: "
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B on 4 x h100-sxm5-80gb, TP4, Native; it needs 80 GiB."
    )


def test_a_proposal_to_go_back_names_the_model_that_runs() -> None:
    told = replace(
        RUNNING, acceptance=Acceptance(accepted=replace(ACCEPTED, plan=FALLBACK), current=True, proposed=PLAN)
    )
    (planned,) = (each for each in observations(told) if each.type == "Planned")
    assert (planned.reason, planned.message) == (
        "PlanProposed",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B on 4 x h100-sxm5-80gb, TP4, Native stays; the planner would now "
        f"choose 4 x h100-sxm5-80gb, TP4, Native, hash {plan_hash(PLAN)}",
    )


def test_memory_that_nobody_isolates_is_said_with_the_mechanism():
    share = GpuShare(mechanism=ShareMechanism.TIME_SLICING, resource="nvidia.com/gpu", slices_per_gpu=4, memory_bytes=1)
    accepted = AcceptedPlan(plan=replace(plan_with(gpus=1, gpu="l40s"), share=share), fingerprint="f")
    planned = observations(replace(RUNNING, acceptance=Acceptance(accepted=accepted, current=True)))[1]
    assert (planned.type, planned.holds, planned.reason) == ("Planned", True, "MemoryNotIsolated")
    assert planned.message == (
        "1 x l40s (time slicing 1/4), TP1, Native; time slicing 1/4 does not isolate memory: the engine keeps to its "
        "share by its own settings, another pod on the GPU that does not could end it"
    )


@pytest.mark.parametrize(("tokens", "holds"), [(100, True), (90, False)])
def test_a_cache_that_the_plan_fixes_is_compared_with_the_plan(tokens: int, holds: bool):
    share = GpuShare(mechanism=ShareMechanism.MPS, resource="nvidia.com/gpu", slices_per_gpu=2, memory_bytes=1)
    plan = replace(plan_with(gpus=1, gpu="l40s"), share=share, kv_cache_tokens=100, kv_cache_error_percent=1)
    report = KvCacheReport(engines=1, num_gpu_blocks=1, block_size=16, tokens_per_engine=tokens, sized_by_hand=True)
    told = with_report(Feedback(), plan, report, variant="", pod="p", image="i")
    acceptance = Acceptance(accepted=AcceptedPlan(plan=plan, fingerprint="f"), current=True)
    accurate = next(
        each
        for each in observations(replace(RUNNING, acceptance=acceptance, feedback=told))
        if each.type == "PlanAccurate"
    )
    assert (accurate.holds, accurate.reason) == (holds, "WithinBand" if holds else "OutsideBand")
