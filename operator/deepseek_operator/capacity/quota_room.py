"""What the ResourceQuotas of namespaces leave: a limit of replicas beside the GPUs that are free.

Quotas with scopes are left out: whether one concerns a pod follows from its priority class and more, and the API server
refuses a pod that exceeds one in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.capacity.fields import mapping_at, text_at
from deepseek_operator.errors import InventoryError, QuantityError
from deepseek_operator.units import parse_quantity

ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory", "count/pods": "pods"}
"""Other names of what a quota limits. Source: Kubernetes, "Resource Quotas", compute resource quota."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRoom:
    """What one quota leaves for replicas.

    Args:
        replicas: that fit, 0 or more.
        name: of the quota.
    """

    replicas: int
    name: str


class QuotaRooms:
    """The quotas of all namespaces, as the watches show them."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], Mapping[str, Decimal]] = {}

    def put(self, quota: Mapping[str, object]) -> None:
        """Take in a ResourceQuota that was listed, added or changed.

        Raises:
            InventoryError: a field has the wrong type.
        """
        metadata, spec, status = mapping_at(quota, "metadata"), mapping_at(quota, "spec"), mapping_at(quota, "status")
        key = (text_at(metadata, "namespace"), text_at(metadata, "name"))
        hard, used = mapping_at(status, "hard"), mapping_at(status, "used")
        if spec.get("scopes") or spec.get("scopeSelector"):
            hard = {}
        try:
            self._left[key] = {
                ALIASES.get(name, name): parse_quantity(str(hard[name])) - parse_quantity(str(used.get(name, "0")))
                for name in hard
            }
        except QuantityError as error:
            raise InventoryError(f"ResourceQuota {key[1]} of {key[0]}: {error}") from error

    def drop(self, namespace: str, name: str) -> None:
        """Forget a quota that was deleted."""
        self._left.pop((namespace, name), None)

    def names(self) -> list[tuple[str, str]]:
        """Return namespace and name of all known quotas, sorted."""
        return sorted(self._left)

    def room(self, namespace: str, need: Mapping[str, Decimal]) -> QuotaRoom | None:
        """Return how many replicas more the quotas of a namespace allow; None when none concerns them.

        Args:
            namespace: of the replicas.
            need: of one replica, by the quota's name of the resource.

        >>> quotas = QuotaRooms()
        >>> quotas.put({"metadata": {"namespace": "a", "name": "team"},
        ...             "status": {"hard": {"requests.nvidia.com/gpu": "8"}, "used": {"requests.nvidia.com/gpu": "3"}}})
        >>> quotas.room("a", {"requests.nvidia.com/gpu": Decimal(2)})
        QuotaRoom(replicas=2, name='team')
        """
        rooms = [
            QuotaRoom(replicas=max(0, int(left[resource] // need[resource])), name=name)
            for (space, name), left in sorted(self._left.items())
            if space == namespace
            for resource in left.keys() & need.keys()
            if need[resource] > 0
        ]
        return min(rooms, key=lambda room: (room.replicas, room.name), default=None)
