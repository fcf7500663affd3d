"""What a suggested purchase would run, in the words of every table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plan_words(row: Mapping[str, Any]) -> str:
    """Return how a replica would run on the nodes of a suggestion: GPUs, split, and the network between its nodes.

    >>> plan_words({"gpusPerReplica": 8, "gpu": "h200-sxm", "parallel": "TP8", "nodesPerReplica": 1, "network": None})
    '8 x h200-sxm, TP8'
    >>> plan_words({"gpusPerReplica": 17, "gpu": "l4", "parallel": "TP1 PP17", "nodesPerReplica": 17, "network": "TCP"})
    '17 x l4, TP1 PP17 over 17 nodes by TCP'
    """
    over = f" over {row['nodesPerReplica']} nodes by {row['network']}" if row["nodesPerReplica"] > 1 else ""
    return f"{row['gpusPerReplica']} x {row['gpu']}, {row['parallel']}{over}"
