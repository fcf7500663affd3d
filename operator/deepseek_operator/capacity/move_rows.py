"""Moves that make room, as plain values of the capacity answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepseek_operator.capacity.board import Board, Need
from deepseek_operator.capacity.fleet import FleetAnswer
from deepseek_operator.capacity.grounds import Grounds
from deepseek_operator.capacity.host_use import NOTHING
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.members import own_pods
from deepseek_operator.capacity.moves import Wanted, smallest_moves
from deepseek_operator.errors import InventoryError


def wanted_gpus(inventory: Inventory, product: str, gpus: int) -> Wanted:
    """Return the wish for free GPUs of a product on one node.

    Args:
        inventory: of the cluster.
        product: id of the catalogue.
        gpus: 1 or more.

    Raises:
        InventoryError: no node has so many.
    """
    nodes = [node for node in inventory.nodes if node.gpu is not None and node.gpu.id == product and node.plannable]
    most = max((node.allocatable_gpus for node in nodes), default=0)
    if not 1 <= gpus <= most:
        instead = f"1 to {most}" if most else f"a product of the cluster: {_products(inventory)}"
        raise InventoryError(f"--free {product}={gpus}: no node has so many; write {instead}")
    return Wanted(
        name=f"{gpus} free {product}",
        need=Need(gpus=gpus, spans=1, host=NOTHING),
        nodes=tuple(node.name for node in nodes),
        replicas=1,
        tier=0,
    )


def move_rows(
    answer: FleetAnswer, inventory: Inventory, free: Sequence[Wanted], *, suggest: bool, domain_label: str = ""
) -> dict[str, Any]:
    """Return the fewest moves that make room, after everything that fits now was started.

    Args:
        answer: of the fleet.
        inventory: of the cluster.
        free: room that is wanted.
        suggest: also makes room for replicas that do not fit now.
        domain_label: nodes of one replica must agree on this label; no moves are looked for such replicas.
    """
    grounds, board = Grounds(inventory), Board(inventory, domain_label=domain_label)
    wanted = list(free)
    for verdict in answer.verdicts:
        member = verdict.member
        for name in verdict.nodes:
            board.take(name, member.need)
        missing = member.replicas - verdict.now
        if suggest and missing and member.plan.share is None and not (domain_label and member.need.spans > 1):
            nodes = grounds.nodes(member.deployment, member.plan)
            name = member.deployment.metadata.name
            wanted.append(Wanted(name=name, need=member.need, nodes=nodes, replicas=missing, tier=member.tier))
    if not wanted:
        return {"steps": [], "makeRoomFor": [], "proven": True, "nodesLookedAt": 0}
    members = [verdict.member for verdict in answer.verdicts]
    found = smallest_moves(wanted, members, inventory, board, own_pods(members, inventory))
    return {
        "steps": [
            {
                "namespace": move.namespace,
                "pod": move.pod,
                "deployment": move.deployment,
                "from": move.source,
                "to": move.target,
                "gpus": move.gpus,
                "stopFirst": move.waits,
            }
            for move in found.moves
        ],
        "makeRoomFor": [{"name": name, "replicas": count} for name, count in found.room_for.items()],
        "proven": found.proven,
        "nodesLookedAt": found.nodes,
    }


def _products(inventory: Inventory) -> str:
    return ", ".join(sorted({node.gpu.id for node in inventory.nodes if node.gpu is not None})) or "there is none"
