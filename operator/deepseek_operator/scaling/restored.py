"""What a number of replicas tells that an earlier process decided: for how much load it had prepared.

What loads have shown is remembered by a process alone (`history.History`), but the number that it led to is in the
status. A new process, which knows nothing of the load, would prepare for any jump; with long starts that doubles a
fleet whose reserve was learned. So the reserve that the restored number is worth at the first load that is seen counts
as known.
"""

from __future__ import annotations

from deepseek_operator.scaling.history import Inherited
from deepseek_operator.scaling.replica_capacity import Load, ReplicaCapacity

_HALVINGS = 20


def prepared_when_restored(
    capacity: ReplicaCapacity, load: Load, restored: int, current: int, prepared: float, kept: float
) -> Inherited | None:
    """Return what a restored number was prepared for; None where it tells nothing.

    It tells nothing when it is not what is asked for any more, when it does not even carry the load that is there (then
    the load is another one), and when it is no less than would be kept for a load that nobody knows.

    Args:
        capacity: of one replica.
        load: the first that is seen after the restart.
        restored: replicas that the earlier process had asked for.
        current: replicas that are asked for now.
        prepared: tokens per second to be prepared for while nothing is known.
        kept: share of a reserve that may not be used up, 0 to 1.
    """
    expected = load.tokens_per_second
    if restored != current or expected <= 0 or not capacity.carries(load, current):
        return None
    least, most = 1.0, max(1.0, prepared / expected)
    if capacity.carries(load, current, 1.0 + (most - 1.0) * kept):
        return None
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if capacity.carries(load, current, middle):
            least = middle
        else:
            most = middle
    return Inherited(load=expected, prepared=expected * least)
