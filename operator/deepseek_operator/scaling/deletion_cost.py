"""Which replica of a Deployment goes first: the one with the fewest requests in flight.

The ReplicaSet controller stops pods that are not ready first, then those of the lowest ``pod-deletion-cost``. Source:
Kubernetes 1.36 ``pkg/controller/controller_utils.go`` (``ActivePodsWithRanks``) and "ReplicaSet", pod deletion cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""0 without it; a whole number of 32 bits, also below zero."""


def deletion_costs(pods: Collection[str], in_flight: Mapping[str, float], going: int) -> Mapping[str, int]:
    """Return the cost of each pod: below zero for those that should go, and 0 for all that should stay.

    So only pods that go are written to, and none keeps a cost. A pod of which nothing is known may be busy and is not
    chosen; where none told, the controller's own order decides.

    Args:
        pods: names of those that serve.
        in_flight: requests in flight by name of the pod, 0 or more.
        going: how many go, 0 or more.

    >>> deletion_costs(["a", "b", "c", "d"], {"a": 7.0, "b": 0.0, "c": 2.0}, 2)
    {'a': 0, 'b': -2, 'c': -1, 'd': 0}
    """
    chosen = sorted((in_flight[name], name) for name in pods if name in in_flight)[:going]
    costs = {name: place - len(chosen) for place, (_, name) in enumerate(chosen)}
    return {name: costs.get(name, 0) for name in pods}
