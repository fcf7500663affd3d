"""Which replica of a Deployment goes first: the one with the fewest requests in flight.

The ReplicaSet controller stops pods that are not ready first, then those of the lowest ``pod-deletion-cost``. Source:
Kubernetes 1.36 ``pkg/controller/controller_utils.go`` (``ActivePodsWithRanks``) and "ReplicaSet", pod deletion cost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

MOST_COST = 2**31 - 1
"""Largest cost that the annotation may have."""


def deletion_costs(pods: Collection[str], in_flight: Mapping[str, float]) -> Mapping[str, int]:
    """Return the cost of each pod: its requests in flight.

    A pod of which nothing is known may be busy, so it costs more than any that told. Where none told, all cost the
    same and the controller's own order decides.

    Args:
        pods: names of those that may go.
        in_flight: requests in flight by name of the pod, 0 or more.

    >>> deletion_costs(["a", "b", "c"], {"a": 7.0, "b": 0.0})
    {'a': 7, 'b': 0, 'c': 8}
    >>> deletion_costs(["a", "b"], {})
    {'a': 0, 'b': 0}
    """
    told = {name: min(MOST_COST - 1, math.ceil(in_flight[name])) for name in pods if name in in_flight}
    unknown = max(told.values()) + 1 if told else 0
    return {name: told.get(name, unknown) for name in pods}
