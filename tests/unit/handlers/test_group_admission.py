"""Two objects that both see room for one group: one makes it, the other waits for its turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepseek_operator.handlers.group_admission import TURN_SECONDS, GroupAdmission
from deepseek_operator.handlers.pod_state import PodState

GPU = "h100-sxm5-80gb"


@dataclass
class Waking:
    woken: list[str] = field(default_factory=list)
    later: list[tuple[float, str]] = field(default_factory=list)
    now: float = 0.0

    def admission(self) -> GroupAdmission:
        return GroupAdmission(
            self.woken.append, lambda seconds, uid: self.later.append((seconds, uid)), lambda: self.now
        )


def group(*nodes: str) -> list[PodState]:
    return [
        PodState(
            name=f"pod-{rank}",
            node=node,
            phase="Running",
            ready=True,
            deleting=False,
            waiting_reason="",
            waiting_message="",
            group=0,
        )
        for rank, node in enumerate(nodes)
    ]


def test_the_second_waits_until_the_first_is_placed() -> None:
    waking = Waking()
    admission = waking.admission()
    assert admission.admitted("a", GPU, 1, 1, [], 2) == 1
    assert admission.admitted("b", GPU, 1, 1, [], 2) == 0
    assert admission.admitted("b", GPU, 1, 1, [], 2) == 0
    assert admission.admitted("a", GPU, 1, 1, group("n1", ""), 2) == 1
    assert (waking.woken, waking.later) == ([], [(TURN_SECONDS, "b")])
    assert admission.admitted("a", GPU, 1, 1, group("n1", "n2"), 2) == 1
    assert waking.woken == ["b"]
    assert admission.admitted("b", GPU, 1, 1, [], 2) == 1


def test_another_product_needs_no_turn() -> None:
    admission = Waking().admission()
    assert admission.admitted("a", GPU, 1, 1, [], 2) == 1
    assert admission.admitted("b", "h200-sxm", 1, 1, [], 2) == 1


def test_what_runs_stays_while_others_have_their_turn() -> None:
    admission = Waking().admission()
    assert admission.admitted("a", GPU, 1, 1, [], 2) == 1
    assert admission.admitted("b", GPU, 2, 2, group("n1", "n2"), 2) == 1


def test_a_turn_ends_with_its_object_and_after_a_while() -> None:
    waking = Waking()
    admission = waking.admission()
    assert admission.admitted("a", GPU, 1, 1, [], 2) == 1
    assert admission.admitted("b", GPU, 1, 1, [], 2) == 0
    admission.forget("a")
    assert waking.woken == ["b"]
    assert admission.admitted("b", GPU, 1, 1, [], 2) == 1
    waking.now = TURN_SECONDS
    assert admission.admitted("c", GPU, 1, 1, [], 2) == 1
