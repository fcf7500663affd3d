"""What ResourceQuotas leave for replicas."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from deepseek_operator.capacity.quota_room import QuotaRoom, QuotaRooms
from deepseek_operator.errors import InventoryError

NEED = {"requests.nvidia.com/gpu": Decimal(4), "pods": Decimal(1), "requests.memory": Decimal(2**30)}


def quota(hard: dict[str, str], used: dict[str, str], name: str = "team", **spec: object) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "chat", "name": name},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


def room(*quotas: dict[str, Any]) -> QuotaRoom | None:
    known = QuotaRooms()
    for each in quotas:
        known.put(each)
    return known.room("chat", NEED)


@pytest.mark.parametrize(
    ("hard", "used", "replicas"),
    [
        pytest.param({"requests.nvidia.com/gpu": "16"}, {"requests.nvidia.com/gpu": "4"}, 3, id="gpus"),
        pytest.param({"pods": "5"}, {}, 5, id="pods, nothing used yet"),
        pytest.param({"memory": "2500Mi", "pods": "9"}, {"memory": "0", "pods": "1"}, 2, id="the tightest counts"),
        pytest.param({"requests.nvidia.com/gpu": "4"}, {"requests.nvidia.com/gpu": "8"}, 0, id="lowered below use"),
    ],
)
def test_what_a_quota_leaves(hard: dict[str, str], used: dict[str, str], replicas: int):
    assert room(quota(hard, used)) == QuotaRoom(replicas=replicas, name="team")


def test_of_several_quotas_the_tightest_counts():
    found = room(quota({"pods": "5"}, {}), quota({"pods": "2"}, {}, name="night"))
    assert found == QuotaRoom(replicas=2, name="night")


def test_quotas_of_other_things_scopes_and_namespaces_are_no_limit():
    scoped = quota({"pods": "0"}, {}, name="scoped", scopeSelector={"matchExpressions": []})
    other = quota({"pods": "0"}, {}, name="other")
    other["metadata"]["namespace"] = "search"
    assert room(quota({"count/secrets": "3"}, {}), scoped, other) is None


def test_a_quota_that_is_gone_is_no_limit_and_a_damaged_one_is_refused():
    known = QuotaRooms()
    known.put(quota({"pods": "0"}, {}))
    assert known.names() == [("chat", "team")]
    known.drop("chat", "team")
    assert known.room("chat", NEED) is None
    with pytest.raises(InventoryError, match="ResourceQuota team of chat"):
        known.put(quota({"pods": "many"}, {}))
