"""The store of what the watches showed: news, staleness, ownership."""

from __future__ import annotations

from typing import Any

from deepseek_operator.handlers.observed import Identity, Observed, identity
from deepseek_operator.handlers.owned_fields import owned_digest


def deployment(name: str = "r1", uid: str = "u1", version: int = 5) -> dict[str, Any]:
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekDeployment",
        "metadata": {
            "name": name,
            "namespace": "chat",
            "uid": uid,
            "resourceVersion": str(version),
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {},
    }


def service(version: int = 7, uid: str = "s1", fields: Any = None, owner: str = "u1") -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "r1",
            "namespace": "chat",
            "uid": uid,
            "resourceVersion": str(version),
            "ownerReferences": [{"kind": "DeepSeekDeployment", "uid": owner, "controller": True, "name": "r1"}],
            "managedFields": [
                {"manager": "deepseek-operator", "operation": "Apply", "fieldsV1": fields or {"f:spec": {}}},
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:metadata": {}}},
            ],
        },
    }


def pod(ready: bool = True, reason: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": "m" * 1000}} if reason else {"running": {}}
    return {
        "metadata": {
            "name": "r1-x",
            "namespace": "chat",
            "uid": "p1",
            "labels": {"deepseek-operator.io/deployment": "r1"},
        },
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"state": state}],
        },
    }


def test_an_older_state_of_an_object_is_no_news() -> None:
    observed = Observed()
    assert observed.put_deployment(deployment(version=5))
    assert not observed.put_deployment(deployment(version=5))
    assert not observed.put_deployment(deployment(version=4))
    assert observed.put_deployment(deployment(version=6))
    assert observed.deployments["u1"]["metadata"]["resourceVersion"] == "6"


def test_field_ownership_of_the_object_is_not_kept() -> None:
    observed = Observed()
    observed.put_deployment(deployment())
    assert "managedFields" not in observed.deployments["u1"]["metadata"]


def test_a_child_wakes_its_owner_once_per_version() -> None:
    observed = Observed()
    assert [observed.put_child(service(version)) for version in (7, 7, 6, 8)] == ["u1", None, None, "u1"]


def test_a_successor_of_a_child_replaces_it_whatever_its_version() -> None:
    observed = Observed()
    observed.put_child(service(9))
    assert observed.put_child(service(3, uid="s2")) == "u1"
    assert observed.drop_child(identity(service(uid="s1"), "Service")) is None
    assert observed.children("u1")["Service", "r1"].uid == "s2"


def test_the_record_of_our_fields_changes_only_with_our_fields() -> None:
    observed = Observed()
    records = []
    for version, fields in ((1, {"f:spec": {}}), (2, {"f:spec": {}}), (3, {"f:metadata": {}})):
        body = service(version, fields=fields)
        body["metadata"]["managedFields"][1]["fieldsV1"] = {"version": version}
        observed.put_child(body)
        records.append(observed.children("u1")["Service", "r1"].ownership)
    assert records[0] == records[1] != records[2]


def test_an_object_that_nobody_controls_is_not_ours() -> None:
    observed = Observed()
    orphan = service()
    orphan["metadata"]["ownerReferences"] = []
    assert observed.put_child(orphan) is None
    assert observed.children("u1") == {}


def test_a_pod_wakes_its_deployment_when_its_state_changes() -> None:
    observed = Observed()
    observed.put_deployment(deployment())
    assert [observed.put_pod(each) for each in (pod(), pod(), pod(ready=False))] == ["u1", None, "u1"]
    assert observed.drop_pod("chat", "r1-x") == "u1"
    assert list(observed.pods("chat", "r1")) == []


def test_a_long_waiting_message_is_cut() -> None:
    observed = Observed()
    observed.put_pod(pod(reason="ImagePullBackOff"))
    [state] = observed.pods("chat", "r1")
    assert (state.waiting_reason, len(state.waiting_message)) == ("ImagePullBackOff", 300)


def test_a_pod_tells_whose_it_is_what_it_runs_and_where_it_answers() -> None:
    body = pod()
    body["metadata"] |= {
        "annotations": {"deepseek-operator.io/plan-hash": "1f3a"},
        "ownerReferences": [
            {"kind": "Other", "name": "o"},
            {"kind": "ReplicaSet", "name": "r1-5d9", "controller": True},
        ],
    }
    body["spec"]["containers"] = [{"name": "engine", "image": "vllm/vllm-openai:v0.32.0"}]
    body["status"]["podIP"] = "10.1.2.3"
    observed = Observed()
    observed.put_pod(body)
    [state] = observed.pods("chat", "r1")
    assert (state.uid, state.address, state.plan_hash, state.image, state.owner) == (
        "p1",
        "10.1.2.3",
        "1f3a",
        "vllm/vllm-openai:v0.32.0",
        "r1-5d9",
    )


def test_everything_known_is_named() -> None:
    observed = Observed()
    observed.put_deployment(deployment())
    observed.put_child(service())
    assert observed.known() == {
        Identity("DeepSeekDeployment", "chat", "r1", "u1"),
        Identity("Service", "chat", "r1", "s1"),
    }
    observed.drop_child(Identity("Service", "chat", "r1", "s1"))
    observed.drop_deployment(Identity("DeepSeekDeployment", "chat", "r1", "u1"))
    assert observed.known() == set()


def test_a_child_that_loses_its_owner_reference_wakes_the_owner_and_is_forgotten():
    seen = Observed()
    seen.put_child(service(version=7))
    orphan = service(version=8)
    orphan["metadata"]["ownerReferences"] = []
    assert seen.put_child(orphan) == "u1"
    assert not seen.children("u1")
    assert seen.put_child(orphan) is None


def test_what_was_listed_is_compared_with_what_is_desired_until_somebody_may_have_changed_it() -> None:
    observed = Observed()

    def owned() -> str:
        return observed.children("u1")[("Service", "r1")].owned

    def with_generation(version: int, generation: int) -> dict[str, Any]:
        body = service(version)
        return {**body, "spec": {}, "metadata": {**body["metadata"], "generation": generation}}

    observed.put_child(with_generation(7, generation=1), listed=True)
    assert owned() == owned_digest(with_generation(7, generation=1))
    observed.put_child(with_generation(8, generation=1))  # its status was written
    assert owned()
    observed.put_child(with_generation(9, generation=2))
    assert not owned()
    observed.put_child(with_generation(10, generation=2), listed=True)
    observed.distrust("u1")
    assert not owned()


def test_a_kind_without_generation_may_have_changed_with_every_event() -> None:
    observed = Observed()
    observed.put_child({**service(7), "spec": {}}, listed=True)
    assert observed.children("u1")[("Service", "r1")].owned
    observed.put_child({**service(8), "spec": {}})
    assert not observed.children("u1")[("Service", "r1")].owned


def changed(body: dict[str, Any], **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {**body, "metadata": {**body["metadata"], **metadata}}


def test_an_own_write_of_the_status_is_no_news() -> None:
    observed = Observed()
    before = changed(deployment(version=5), generation=1)
    observed.put_deployment(before)

    observed.put_written(before, stored := changed(before, resourceVersion="6"))

    assert not observed.put_deployment(stored)


def test_a_change_between_a_pass_and_its_own_write_stays_news() -> None:
    """The status is written onto what its owner applied a moment before, and the answer comes before the watch."""
    observed = Observed()
    before = changed(deployment(version=5), generation=1)
    observed.put_deployment(before)

    observed.put_written(before, stored := changed(before, resourceVersion="7", generation=2))

    assert observed.put_deployment(changed(before, resourceVersion="6", generation=2))
    assert observed.put_deployment(stored)


def test_an_annotation_set_between_a_pass_and_its_own_write_stays_news() -> None:
    observed = Observed()
    observed.put_deployment(before := changed(deployment(version=5), generation=1))

    observed.put_written(before, stored := changed(before, resourceVersion="7", annotations={"a": "b"}))

    assert observed.put_deployment(stored)
