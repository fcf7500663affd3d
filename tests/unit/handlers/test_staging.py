"""A workload waits for its weights; what runs is left alone meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.handlers.observed import Child, child_of
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Hold
from deepseek_operator.handlers.staging import Stage, staged
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.names import Manifest
from model_factories import UID, make_deployment, make_plan

NAME = "deepseek-ai/deepseek-llm-67b-chat"
CACHED = {"model": {"name": NAME, "cache": {"claimName": "hub"}}}
REFUSED = Hold(reason="ClaimTooSmall", message="it is too small", stuck=True)


def manifests_of(**spec: object) -> list[Manifest]:
    return desired(make_deployment(**spec), make_plan(), uid=UID, replicas=1, plan_hash="1f3a5c7e")


def existing(
    manifests: list[Manifest], job_conditions: tuple[dict[str, Any], ...] = ()
) -> dict[tuple[str, str], Child]:
    """The manifests as the API server shows them, Jobs with these conditions."""
    found = {}
    for number, manifest in enumerate(manifests):
        body = {
            **manifest,
            "metadata": {**manifest["metadata"], "uid": f"u{number}", "resourceVersion": "1"},
            "status": {"conditions": list(job_conditions)} if manifest["kind"] == "Job" else {},
        }
        child = child_of(body)
        assert child is not None
        found[(child.kind, child.name)] = child
    return found


def kinds(stage: Stage) -> list[str]:
    return [each["kind"] for each in stage.manifests]


def job_name(manifests: list[Manifest]) -> str:
    return next(each["metadata"]["name"] for each in manifests if each["kind"] == "Job")


COMPLETE = {"type": "Complete", "status": "True"}
WITHOUT_WORKLOAD = ["ConfigMap", "Service", "ConfigMap", "Job"]


def test_without_a_cache_everything_is_made_at_once():
    manifests = manifests_of()
    assert staged(manifests, {}, ()) == Stage(manifests=manifests)


def test_a_new_workload_waits_for_its_download():
    manifests = manifests_of(**CACHED)
    stage = staged(manifests, {}, ())
    assert (kinds(stage), stage.prune) == (WITHOUT_WORKLOAD, True)
    assert stage.hold == Hold(
        reason="Downloading",
        message=f"Job {job_name(manifests)} downloads {NAME} into PersistentVolumeClaim hub; "
        "the model starts when it is complete",
    )


def test_a_change_on_trial_waits_too_when_it_needs_a_download_of_its_own():
    stable, candidate = manifests_of(**CACHED), manifests_of(model={**CACHED["model"], "revision": "v2"})
    canary = {**candidate[-1], "metadata": {**candidate[-1]["metadata"], "name": "deepseek-67b-canary"}}
    download = next(each for each in candidate if each["kind"] == "Job")
    stage = staged([*stable, download, canary], existing(stable, (COMPLETE,)), ())
    assert (kinds(stage), stage.prune) == (["ConfigMap", "Job", "Job"], False)
    assert stage.hold is not None
    assert f"{NAME}@v2" in stage.hold.message


def test_it_is_made_when_the_download_is_complete():
    manifests = manifests_of(**CACHED)
    children = existing(manifests[:-1], (COMPLETE,))
    assert staged(manifests, children, ()) == Stage(manifests=manifests)


def test_a_download_that_was_given_up_says_how_to_try_again():
    manifests = manifests_of(**CACHED)
    failed = {"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}
    assert staged(manifests, existing(manifests[:-1], (failed,)), ()).hold == Hold(
        reason="DownloadFailed",
        message=f"the download of {NAME} into PersistentVolumeClaim hub failed: Job has reached the specified backoff "
        f"limit; delete Job {job_name(manifests)} to try again",
        stuck=True,
    )


@pytest.mark.parametrize(
    ("reason", "message", "hold"),
    [
        pytest.param(
            "CreateContainerConfigError",
            'secret "hub" not found',
            Hold(
                reason="CreateContainerConfigError",
                message=f"the download of {NAME} into PersistentVolumeClaim hub waits; "
                'pod d-1 waits, CreateContainerConfigError: secret "hub" not found',
                stuck=True,
            ),
            id="a token that is missing",
        ),
        pytest.param(
            "Unschedulable",
            "0/4 nodes",
            Hold(
                reason="Downloading",
                message=f"the download of {NAME} into PersistentVolumeClaim hub waits; "
                "pod d-1 waits, Unschedulable: 0/4 nodes",
            ),
            id="no node yet",
        ),
    ],
)
def test_what_the_download_waits_for_is_said(reason: str, message: str, hold: Hold):
    pod = PodState(
        name="d-1",
        node="",
        phase="Pending",
        ready=False,
        deleting=False,
        waiting_reason=reason,
        waiting_message=message,
        component="download",
    )
    manifests = manifests_of(**CACHED)
    assert staged(manifests, existing(manifests[:-1]), [pod]).hold == hold


def test_a_running_model_keeps_running_while_another_revision_is_downloaded():
    running = existing(manifests_of(**CACHED), (COMPLETE,))
    wanted = manifests_of(model={**CACHED["model"], "revision": "v2"})
    stage = staged(wanted, running, ())
    assert (kinds(stage), stage.prune) == (["ConfigMap", "Job"], False)
    assert stage.hold is not None
    assert f"{NAME}@v2" in stage.hold.message


def test_a_workload_that_does_not_change_waits_for_nothing():
    manifests = manifests_of(**CACHED)
    assert staged(manifests, existing(manifests), (), REFUSED) == Stage(manifests=manifests)


def test_nothing_at_all_is_made_while_a_claim_cannot_do():
    assert staged(manifests_of(**CACHED), {}, (), REFUSED) == Stage(manifests=[], prune=False, hold=REFUSED)
