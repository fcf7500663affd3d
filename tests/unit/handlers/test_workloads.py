"""What counts for an object beside what already runs of it."""

from __future__ import annotations

import json

import pytest

from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.workloads import features_beside
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.names import ANNOTATION_TEMPLATE_HASH
from manifest_cases.groups import STAGES
from model_factories import UID, make_deployment

LATER = ClusterFeatures(kueue=True, dra=True)


def child(kind: str) -> Child:
    return Child(
        kind=kind,
        namespace="chat",
        name="r1",
        uid="u",
        owner_uid=UID,
        version=1,
        ownership="",
        generation=1,
        replicas=1,
        template_hash="",
        status={},
        data={},
    )


@pytest.mark.parametrize(
    ("workload", "features"),
    [
        pytest.param(None, LATER, id="nothing runs"),
        pytest.param(child("Deployment"), LATER, id="a Deployment"),
        pytest.param(child("LeaderWorkerSet"), LATER, id="groups that a gang scheduler takes whole"),
        pytest.param(child("StatefulSet"), ClusterFeatures(dra=True), id="groups that none took"),
    ],
)
def test_features(workload: Child | None, features: ClusterFeatures) -> None:
    assert features_beside(workload, LATER) == features


def test_groups_that_run_are_kept_when_a_gang_scheduler_is_installed_later() -> None:
    deployment = make_deployment("r1", queueName="gpus", model={"name": STAGES.model_name})
    before = desired(deployment, STAGES, uid=UID, replicas=1, plan_hash="1f3a")
    record, leaders = before[0]["data"], before[-1]
    after = desired(
        deployment,
        STAGES,
        uid=UID,
        replicas=1,
        plan_hash="1f3a",
        kept=record,
        workload_template_hash=leaders["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH],
        features=features_beside(child("StatefulSet"), LATER),
    )
    assert json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True)
