"""Which groups of pods are whole, which lost a member, and which are replaced when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.handlers.group_state import (
    admitted_groups,
    broken_groups,
    complete_groups,
    outdated_groups,
    placed_replicas,
    whole_groups,
)
from deepseek_operator.handlers.groups import rest_seconds
from deepseek_operator.handlers.pod_state import PodState

NOON = "2026-11-22T12:00:00Z"


def member(group: int | None, rank: int, **changes: object) -> PodState:
    pod = PodState(
        name=f"r1-nodes-{rank}-{group}",
        node=f"h100-{rank}",
        phase="Running",
        ready=True,
        deleting=False,
        waiting_reason="",
        waiting_message="",
        uid=f"uid-{rank}-{group}",
        group=group,
        created="2026-11-22T11:59:00Z",
        ready_since=NOON,
        template_hash="new",
    )
    return replace(pod, **changes)


def groups(count: int) -> list[PodState]:
    return [member(group, rank) for group in range(count) for rank in range(2)]


def test_a_group_is_whole_when_every_pod_has_a_node() -> None:
    pods = [*groups(2), member(2, 0), member(2, 1, node=""), member(3, 0), member(3, 1, deleting=True)]
    assert whole_groups(pods, 2) == {0, 1}
    assert (placed_replicas(pods, 2), placed_replicas([member(None, 0), member(None, 1, node="")], 1)) == (2, 1)


@pytest.mark.parametrize(
    ("wanted", "room", "pods", "made"),
    [
        pytest.param(1, 0, [], 0, id="no room, so not even a half"),
        pytest.param(3, 2, [], 2, id="as many as have room"),
        pytest.param(1, 5, [], 1, id="no more than are wanted"),
        pytest.param(1, 0, [member(0, 0), member(0, 1, node="")], 0, id="a half that lost its room goes"),
        pytest.param(2, 0, groups(2), 2, id="what runs stays, whatever the room"),
        pytest.param(2, 0, groups(2)[2:], 2, id="also below one that runs"),
        pytest.param(0, 4, groups(2), 0, id="fewer are wanted"),
    ],
)
def test_only_whole_groups_are_made(wanted: int, room: int, pods: list[PodState], made: int) -> None:
    assert admitted_groups(wanted, room, pods, 2) == made


LATE, SOON = "2026-11-22T12:00:11Z", "2026-11-22T12:00:09Z"


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        pytest.param(groups(1), "", id="a whole group"),
        pytest.param([member(0, 0), member(0, 1, restarts=1)], "r1-nodes-1-0 restarted", id="a restarted container"),
        pytest.param([member(0, 0, phase="Failed"), member(0, 1)], "r1-nodes-0-0 failed", id="a failed pod"),
        pytest.param([member(0, 0)], "one of its pods is gone", id="a pod is missing"),
        pytest.param([member(0, 0), member(0, 1, deleting=True)], "one of its pods is gone", id="a pod is going"),
        pytest.param([member(0, 0), member(0, 1, uid="other")], "one of its pods is gone", id="a pod was replaced"),
        pytest.param([], "", id="nothing is left to restart"),
    ],
)
def test_a_group_that_lost_a_member_is_broken(pods: list[PodState], reason: str) -> None:
    complete = complete_groups(groups(1), 2)
    assert broken_groups(pods, complete) == ({0: reason} if reason else {})


def test_what_happened_while_no_operator_ran_is_told_by_time() -> None:
    def found(created: str) -> dict[int, str]:
        return broken_groups([member(0, 0), member(0, 1, uid="other", created=created, ready_since="")], {})

    assert found(LATE) == {0: "r1-nodes-1-0 replaces one that is gone"}
    assert found(SOON) == {}


def test_a_group_that_is_still_starting_is_not_broken() -> None:
    starting = [member(0, 0, ready=False, ready_since=""), member(0, 1, ready=False, ready_since="", created=LATE)]
    assert broken_groups(starting, {}) == {}
    assert complete_groups(starting, 2) == {}


def test_outdated_groups_go_one_after_the_other_and_broken_ones_at_once() -> None:
    old = [replace(pod, template_hash="old") for pod in groups(3)]
    asked = {"replicas": 3, "size": 2, "max_unavailable": 1}
    assert outdated_groups(old, "new", **asked) == [2]
    assert outdated_groups(old, "", **asked) == []
    assert outdated_groups(groups(3), "new", **asked) == []
    starting = [*old[:4], member(2, 0, ready=False), member(2, 1)]
    assert outdated_groups(starting, "new", **asked) == []
    stuck = [*old[:4], *(replace(pod, ready=False) for pod in old[4:])]
    assert outdated_groups(stuck, "new", **asked) == [2]
    assert outdated_groups(old, "new", **{**asked, "max_unavailable": 2}) == [2, 1]


def test_a_group_that_breaks_again_and_again_rests_longer_each_time() -> None:
    assert [rest_seconds(times) for times in (1, 2, 6, 7)] == [10.0, 20.0, 300.0, 300.0]
