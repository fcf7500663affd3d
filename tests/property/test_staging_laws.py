"""What may be applied while weights are not there, whatever exists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.handlers.observed import Child, child_of
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Hold
from deepseek_operator.handlers.staging import staged
from deepseek_operator.resources.desired import WORKLOADS, desired
from deepseek_operator.resources.names import Manifest
from model_factories import UID, make_deployment, make_plan

NAME = "deepseek-ai/deepseek-llm-67b-chat"
MODELS = [
    {"name": NAME},
    {"name": NAME, "cache": {"claimName": "hub"}},
    {"name": NAME, "cache": {"claimName": "hub"}, "revision": "v2"},
    {"name": NAME, "cache": {"claimName": "other"}},
]
CONDITIONS = [[], [{"type": "Complete", "status": "True"}], [{"type": "Failed", "status": "True", "message": "m"}]]


def manifests_of(model: dict[str, object]) -> list[Manifest]:
    return desired(make_deployment(model=model), make_plan(), uid=UID, replicas=2, plan_hash="1f3a5c7e")


def existing(manifests: list[Manifest], conditions: list[dict[str, str]]) -> dict[tuple[str, str], Child]:
    found = {}
    for number, manifest in enumerate(manifests):
        metadata = {**manifest["metadata"], "uid": f"u{number}", "resourceVersion": "1"}
        child = child_of({**manifest, "metadata": metadata, "status": {"conditions": conditions}})
        if child is not None:
            found[(child.kind, child.name)] = child
    return found


@given(
    wanted=st.sampled_from(MODELS),
    before=st.none() | st.sampled_from(MODELS),
    conditions=st.sampled_from(CONDITIONS),
    waiting=st.sampled_from(["", "Unschedulable", "ImagePullBackOff"]),
    refused=st.booleans(),
)
def test_a_held_workload_is_never_applied_and_one_that_runs_is_never_pruned(
    wanted: dict[str, object],
    before: dict[str, object] | None,
    conditions: list[dict[str, str]],
    waiting: str,
    refused: bool,
) -> None:
    manifests = manifests_of(wanted)
    children = existing(manifests_of(before), conditions) if before is not None else {}
    pod = PodState("d", "", "Pending", False, False, waiting, "", component="download")
    problem = Hold(reason="ClaimNotFound", message="it is not there", stuck=True) if refused else None
    stage = staged(manifests, children, [pod], problem)
    if stage.hold is None:
        assert stage.manifests == manifests
        return
    assert not any(each["kind"] in WORKLOADS for each in stage.manifests)
    assert not (stage.prune and any(kind in WORKLOADS for kind, _ in children))
    assert all(each in manifests for each in stage.manifests)
    assert "\n" not in stage.hold.message
