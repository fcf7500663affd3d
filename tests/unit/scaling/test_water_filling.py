"""Who gets the last GPUs, one situation at a time."""

from __future__ import annotations

from deepseek_operator.scaling.water_filling import Grant, Wish, fill

CRITICAL, STANDARD, BATCH = 1_000_000, 10_000, 1_000


def wish(uid: str, **changed: object) -> Wish:
    """Return a wish for two replicas of one GPU each."""
    values: dict[str, object] = {"gpu": "h100", "gpus_per_replica": 1, "priority": STANDARD, "floor": 0}
    values |= {"running": 0, "wanted": 2, "room": 100}
    return Wish(uid=uid, **{**values, **changed})  # type: ignore[arg-type] - a test's own keywords


def filled(free: int, *wishes: Wish) -> dict[str, int]:
    return {uid: grant.replicas for uid, grant in fill(wishes, {"h100": free}).items()}


def test_everybody_gets_what_fits() -> None:
    assert fill([wish("a"), wish("b", running=1)], {"h100": 3}) == {
        "a": Grant(uid="a", replicas=2, message="gets the 2 replicas that it wants"),
        "b": Grant(uid="b", replicas=2, message="gets the 2 replicas that it wants"),
    }


def test_a_higher_priority_is_served_before_a_lower_one() -> None:
    granted = fill([wish("low", priority=BATCH), wish("high")], {"h100": 3})
    assert granted["high"].replicas == 2
    assert granted["low"] == Grant(
        uid="low",
        replicas=1,
        message="gets 1 of 2 replicas: of 3 free h100 GPUs it takes 1 and higher priorities 2",
    )


def test_the_floor_of_a_lower_priority_comes_before_the_growth_of_a_higher_one() -> None:
    granted = fill([wish("low", priority=BATCH, floor=1), wish("high", floor=1)], {"h100": 2})
    assert {uid: grant.replicas for uid, grant in granted.items()} == {"low": 1, "high": 1}
    assert granted["high"].message == (
        "gets 1 of 2 replicas: of 2 free h100 GPUs it takes 1 and minReplicas of lower ones 1"
    )


def test_floors_go_by_priority_where_not_all_of_them_fit() -> None:
    assert filled(1, wish("low", priority=BATCH, floor=1), wish("high", floor=1)) == {"low": 0, "high": 1}


def test_of_equals_the_one_that_has_least_is_next() -> None:
    assert filled(3, wish("has", running=3, wanted=9), wish("none", wanted=9)) == {"has": 3, "none": 3}


def test_a_weight_of_two_gets_twice_as_much() -> None:
    assert filled(6, wish("light", wanted=9), wish("heavy", wanted=9, weight=2)) == {"light": 2, "heavy": 4}


def test_equals_share_gpus_and_not_replicas() -> None:
    assert filled(8, wish("large", gpus_per_replica=4, wanted=9), wish("small", wanted=9)) == {"large": 1, "small": 4}


def test_gpus_that_a_large_replica_cannot_use_go_to_a_lower_priority() -> None:
    granted = fill([wish("large", gpus_per_replica=8, room=0), wish("small", priority=BATCH)], {"h100": 7})
    assert granted["large"].message == "gets 0 of 2 replicas: of 7 free h100 GPUs none hold a replica more"
    assert granted["small"].replicas == 2


def test_no_more_is_granted_than_fits_its_nodes() -> None:
    assert filled(16, wish("group", gpus_per_replica=8, wanted=2, room=1), wish("other", wanted=9)) == {
        "group": 1,
        "other": 8,
    }


def test_replicas_that_run_stay_whatever_others_want() -> None:
    granted = fill([wish("high", priority=CRITICAL), wish("low", running=2)], {"h100": 0})
    assert granted["low"] == Grant(uid="low", replicas=2, message="wants no more than the 2 replicas that hold GPUs")
    assert granted["high"].replicas == 0


def test_who_wants_fewer_gets_fewer() -> None:
    assert filled(0, wish("less", running=5, wanted=2)) == {"less": 2}


def test_a_preempting_priority_asks_for_what_the_scheduler_would_take_from_lower_ones() -> None:
    granted = fill(
        [
            wish("critical", priority=CRITICAL, preempts=True, wanted=3),
            wish("standard", running=2),
            wish("batch", priority=BATCH, running=1, wanted=1),
        ],
        {"h100": 1},
    )
    assert granted["critical"] == Grant(
        uid="critical",
        replicas=3,
        stops=("batch", "standard"),
        message="gets the 3 replicas that it wants; kube-scheduler stops up to 2 replicas of lower priority for it",
    )
    assert granted["standard"].replicas == 2


def test_nobody_preempts_its_equals() -> None:
    preempting = {"priority": CRITICAL, "preempts": True}
    assert filled(0, wish("one", **preempting), wish("other", running=2, **preempting)) == {"one": 0, "other": 2}


def test_products_are_apart() -> None:
    granted = fill([wish("a", gpu="l4"), wish("b")], {"h100": 1, "l4": 2})
    assert {uid: grant.replicas for uid, grant in granted.items()} == {"a": 2, "b": 1}


def test_a_product_that_nobody_has_gives_nothing() -> None:
    assert filled(0, wish("a", gpu="b200")) == {"a": 0}
