"""Which plan runs: stickiness, approval and refusals."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.plan_status import plan_status
from deepseek_operator.api.v1alpha1 import Apply, Replan
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan, accept, genuine_plan, is_known
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.result import Infeasible, InfeasibleReason
from plan_values import plan_with

OLD = plan_with(gpus=4)
OTHER = replace(OLD, gpu="l40s")
DEARER = replace(OLD, cost_per_hour_usd=Decimal("99.00"))
REFUSED = Infeasible(reason=InfeasibleReason.NO_SUCH_GPU, message="no GPUs", nearest="")
KNOWN = AcceptedPlan(plan=OLD, fingerprint="spec-1")

FALLBACK = replace(
    OLD,
    model_name="deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    compromise=Compromise(
        kind=CompromiseKind.FALLBACK, asked_model=OLD.model_name, reason="NoSuchGpu", change="it runs", message="none"
    ),
)
ON_FALLBACK = AcceptedPlan(plan=FALLBACK, fingerprint="spec-1")

AUTO = {"apply": Apply.AUTO, "replan": Replan.PROPOSE}
MANUAL = {"apply": Apply.MANUAL, "replan": Replan.PROPOSE}


@pytest.mark.parametrize(
    ("answer", "known", "options", "want"),
    [
        pytest.param(
            OLD,
            None,
            AUTO,
            Acceptance(accepted=KNOWN, current=True),
            id="a new object runs its first plan",
        ),
        pytest.param(
            DEARER,
            KNOWN,
            AUTO,
            Acceptance(accepted=AcceptedPlan(plan=DEARER, fingerprint="spec-1"), current=True),
            id="another price of the same pods is shown and proposes nothing",
        ),
        pytest.param(
            OTHER,
            KNOWN,
            AUTO,
            Acceptance(accepted=KNOWN, current=True, proposed=OTHER),
            id="another answer to the same spec is only proposed",
        ),
        pytest.param(
            FALLBACK,
            None,
            AUTO,
            Acceptance(accepted=ON_FALLBACK, current=True),
            id="a new object without a plan runs its fallback",
        ),
        pytest.param(
            OLD,
            ON_FALLBACK,
            AUTO,
            Acceptance(accepted=ON_FALLBACK, current=True, proposed=OLD),
            id="capacity that returns only proposes the asked model",
        ),
        pytest.param(
            FALLBACK,
            KNOWN,
            AUTO,
            Acceptance(accepted=KNOWN, current=True, proposed=FALLBACK),
            id="capacity that goes only proposes the fallback",
        ),
        pytest.param(
            replace(OLD, compromise=replace(FALLBACK.compromise, kind=CompromiseKind.NEAREST)),
            KNOWN,
            AUTO,
            Acceptance(
                accepted=AcceptedPlan(
                    plan=replace(OLD, compromise=replace(FALLBACK.compromise, kind=CompromiseKind.NEAREST)),
                    fingerprint="spec-1",
                ),
                current=True,
            ),
            id="the same pods say what they give up now",
        ),
        pytest.param(
            OLD,
            ON_FALLBACK,
            {"apply": Apply.AUTO, "replan": Replan.AUTO},
            Acceptance(accepted=KNOWN, current=True),
            id="with replan Auto the asked model comes back",
        ),
        pytest.param(
            FALLBACK,
            None,
            MANUAL,
            Acceptance(accepted=None, current=False, proposed=FALLBACK),
            id="with apply Manual a fallback waits too",
        ),
        pytest.param(
            OTHER,
            KNOWN,
            {"apply": Apply.AUTO, "replan": Replan.AUTO},
            Acceptance(accepted=AcceptedPlan(plan=OTHER, fingerprint="spec-1"), current=True),
            id="with replan Auto it is taken",
        ),
        pytest.param(
            OTHER,
            replace(KNOWN, fingerprint="spec-0"),
            AUTO,
            Acceptance(accepted=AcceptedPlan(plan=OTHER, fingerprint="spec-1"), current=True),
            id="a changed spec runs its new plan",
        ),
        pytest.param(
            OTHER,
            None,
            MANUAL,
            Acceptance(accepted=None, current=False, proposed=OTHER),
            id="with apply Manual nothing runs before approval",
        ),
        pytest.param(
            OTHER,
            replace(KNOWN, fingerprint="spec-0"),
            MANUAL,
            Acceptance(accepted=replace(KNOWN, fingerprint="spec-0"), current=False, proposed=OTHER),
            id="with apply Manual the old plan stays while the new one waits",
        ),
        pytest.param(
            OTHER,
            KNOWN,
            {**MANUAL, "approved_hash": plan_hash(OTHER)},
            Acceptance(accepted=AcceptedPlan(plan=OTHER, fingerprint="spec-1"), current=True),
            id="an approved proposal runs",
        ),
        pytest.param(
            OTHER,
            KNOWN,
            {**MANUAL, "approved_hash": plan_hash(OLD)},
            Acceptance(accepted=KNOWN, current=True, proposed=OTHER),
            id="an approval of the running plan approves no other",
        ),
        pytest.param(
            REFUSED,
            KNOWN,
            AUTO,
            Acceptance(accepted=KNOWN, current=True, infeasible=REFUSED),
            id="a plan that today's nodes would not hold keeps running",
        ),
        pytest.param(
            REFUSED,
            replace(KNOWN, fingerprint="spec-0"),
            AUTO,
            Acceptance(accepted=replace(KNOWN, fingerprint="spec-0"), current=False, infeasible=REFUSED),
            id="a new spec without a plan leaves the old pods alone",
        ),
        pytest.param(
            REFUSED,
            None,
            AUTO,
            Acceptance(accepted=None, current=False, infeasible=REFUSED),
            id="a new object without a plan runs nothing",
        ),
    ],
)
def test_acceptance(answer, known, options, want) -> None:  # noqa: ANN001 - rows of the table
    assert accept(answer, known, fingerprint="spec-1", **options) == want


@pytest.mark.parametrize(
    "edited",
    [
        {"gpu": "nonsense"},
        {"engineRelease": "9.9.9"},
        {"quantization": "Bogus"},
        {"gpusPerReplica": 100_000},
        {"hash": "00000000"},
    ],
)
def test_a_stored_plan_that_was_edited_is_not_believed(edited: dict[str, object]):
    stored = plan_status(OLD)
    assert genuine_plan(stored) is not None
    assert genuine_plan({**stored, **edited}) is None
    assert genuine_plan({}) is None


@pytest.mark.parametrize("unknown", [{"gpu": "nonsense"}, {"engine_release": "9.9.9"}, {"quantization": "Bogus"}])
def test_a_stored_plan_of_another_catalogue_is_not_believed(unknown: dict[str, str]):
    plan = replace(OLD, **unknown)
    assert not is_known(plan)
    assert genuine_plan(plan_status(plan)) is None
