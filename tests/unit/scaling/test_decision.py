from __future__ import annotations

import pytest

from deepseek_operator.api.spec_scaling import ScalingOwner
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason, desired_replicas
from deepseek_operator.scaling.schedules import Limits

OPERATOR, EXTERNAL = ScalingOwner.OPERATOR, ScalingOwner.EXTERNAL


@pytest.mark.parametrize(
    ("owner", "limits", "plan", "spec", "running", "replicas", "reason", "message"),
    [
        pytest.param(
            OPERATOR, (1, 4), 2, None, 0, 2, ReplicaReason.PLANNED,
            "the plan needs 2 replicas for the asked demand",
            id="a new object gets what the plan needs",
        ),
        pytest.param(
            OPERATOR, (1, 4), 1, None, 1, 1, ReplicaReason.PLANNED,
            "the plan needs 1 replica for the asked demand",
            id="nothing changes when the planned number runs",
        ),
        pytest.param(
            OPERATOR, (3, 4), 1, None, 0, 3, ReplicaReason.BELOW_MINIMUM,
            "the plan needs 1 replica and scaling.minReplicas asks for 3",
            id="the minimum wins over a smaller plan",
        ),
        pytest.param(
            OPERATOR, (1, 4), 6, None, 0, 4, ReplicaReason.ABOVE_MAXIMUM,
            "the plan needs 6 replicas and scaling.maxReplicas allows 4",
            id="the maximum wins over a larger plan",
        ),
        pytest.param(
            OPERATOR, (1, 4), 2, None, 3, 3, ReplicaReason.HOLDING,
            "3 replicas run where the plan needs 2; without metrics none is stopped, "
            "and a lower scaling.maxReplicas stops them",
            id="without metrics nothing that runs is stopped",
        ),
        pytest.param(
            OPERATOR, (1, 4), 2, None, 7, 4, ReplicaReason.ABOVE_MAXIMUM,
            "7 replicas run and scaling.maxReplicas allows 4",
            id="only the maximum lowers what runs",
        ),
        pytest.param(
            OPERATOR, (5, 2), 1, None, 0, 2, ReplicaReason.BELOW_MINIMUM,
            "the plan needs 1 replica and scaling.minReplicas asks for 5",
            id="the maximum wins over a minimum above it because money fails closed",
        ),
        pytest.param(
            OPERATOR, (1, 4), 2, 9, 0, 2, ReplicaReason.PLANNED,
            "the plan needs 2 replicas for the asked demand",
            id="spec.replicas says nothing when the operator decides",
        ),
        pytest.param(
            OPERATOR, (1, 4), None, None, 0, None, ReplicaReason.NO_PLAN,
            "there is no plan and nothing runs",
            id="without a plan nothing is started",
        ),
        pytest.param(
            OPERATOR, (1, 4), None, None, 2, 2, ReplicaReason.NO_PLAN,
            "there is no plan now; of 2 replicas that run, 2 stay",
            id="without a plan what runs stays",
        ),
        pytest.param(
            OPERATOR, (1, 2), None, None, 3, 2, ReplicaReason.NO_PLAN,
            "there is no plan now; of 3 replicas that run, 2 stay",
            id="without a plan the maximum still holds",
        ),
        pytest.param(
            EXTERNAL, (1, 4), 2, 3, 1, 3, ReplicaReason.EXTERNAL_OWNER,
            "scaling.owner External decides, and asks for 3 replicas",
            id="an external scaler is followed whatever the plan says",
        ),
        pytest.param(
            EXTERNAL, (1, 4), 2, None, 4, 4, ReplicaReason.EXTERNAL_OWNER,
            "scaling.owner External decides, and asks for 4 replicas",
            id="a new external scaler finds what runs",
        ),
        pytest.param(
            EXTERNAL, (1, 4), 2, None, 0, 1, ReplicaReason.EXTERNAL_OWNER,
            "scaling.owner External decides, and asks for 1 replica",
            id="a new external scaler finds one replica where nothing runs",
        ),
        pytest.param(
            EXTERNAL, (1, 4), None, 0, 4, 0, ReplicaReason.EXTERNAL_OWNER,
            "scaling.owner External decides, and asks for 0 replicas",
            id="an external scaler may ask for zero",
        ),
        pytest.param(
            EXTERNAL, (1, 2), 2, 5, 4, 5, ReplicaReason.EXTERNAL_OWNER,
            "scaling.owner External decides, and asks for 5 replicas",
            id="an external scaler is followed, and the API server keeps it below scaling.maxReplicas",
        ),
    ],
)  # fmt: skip
def test_desired_replicas(
    owner: ScalingOwner,
    limits: tuple[int, int],
    plan: int | None,
    spec: int | None,
    running: int,
    replicas: int | None,
    reason: ReplicaReason,
    message: str,
):
    decision = desired_replicas(
        owner=owner,
        limits=Limits(least=limits[0], most=limits[1]),
        plan_replicas=plan,
        spec_replicas=spec,
        running=running,
    )
    assert decision == ReplicaDecision(replicas=replicas, reason=reason, message=message)


def test_the_decision_is_a_fixed_point_once_it_runs():
    for running in range(8):
        given = {"owner": OPERATOR, "limits": Limits(least=1, most=4), "spec_replicas": None}
        first = desired_replicas(**given, plan_replicas=2, running=running).replicas
        assert first is not None
        assert desired_replicas(**given, plan_replicas=2, running=first).replicas == first


@pytest.mark.parametrize(
    ("limits", "running", "replicas", "reason", "message"),
    [
        pytest.param(
            Limits(least=3, most=5, windows=("day",), raised=3), 1, 3, ReplicaReason.BELOW_MINIMUM,
            "the plan needs 2 replicas and minReplicas of the window day asks for 3",
            id="a window that opens raises them",
        ),
        pytest.param(
            Limits(least=1, most=5, raised=3), 3, 2, ReplicaReason.PLANNED,
            "the plan needs 2 replicas for the asked demand",
            id="what was there for a window goes when it closes",
        ),
        pytest.param(
            Limits(least=1, most=5, raised=3), 4, 4, ReplicaReason.HOLDING,
            "4 replicas run where the plan needs 2; without metrics none is stopped, "
            "and a lower scaling.maxReplicas stops them",
            id="what no window asked for stays",
        ),
        pytest.param(
            Limits(least=0, most=1, windows=("night",), raised=3), 3, 1, ReplicaReason.ABOVE_MAXIMUM,
            "3 replicas run and maxReplicas of the window night allows 1",
            id="a window that opens lowers them",
        ),
    ],
)  # fmt: skip
def test_windows_move_replicas(limits: Limits, running: int, replicas: int, reason: ReplicaReason, message: str):
    decision = desired_replicas(owner=OPERATOR, limits=limits, plan_replicas=2, spec_replicas=None, running=running)
    assert decision == ReplicaDecision(replicas=replicas, reason=reason, message=message)
