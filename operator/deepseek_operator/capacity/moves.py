"""The fewest running replicas that have to move so that others find room, and the order in which to move them.

An integer program: every replica on one node may stay or go to another node that takes it, every move costs one, and a
replica that finds its place is worth more than all moves. Only replicas of the given deployments move; pods of others
stay. Replicas that span nodes do not move either, but room can be made for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_operator.capacity.board import Board, Need
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.grounds import Grounds
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.members import Member, Rank

MOVES_SECONDS = 10.0
"""Longest search."""

MOST_NODES = 60
"""Nodes that are looked at: those that lack least, and the fullest with room; small clusters are looked at whole."""

MOST_WANTED = 30
"""Replicas for which room is sought at once."""

WORTH = (6400.0, 1600.0, 400.0, 100.0, 25.0)
"""Moves that a placed replica is worth, by priority: more than the replicas of lower ones together, mostly."""

LARGE_MOVE = 0.001
"""Further cost of a move per GPU, so that of equal numbers of moves the smaller replicas move."""


LESS_THAN_A_MOVE = 0.5
"""Distance to the bound in which no plan with fewer moves lies, whatever the sizes of what moves."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Room that is sought.

    Args:
        name: who wants it.
        need: of one replica.
        nodes: where it may be.
        replicas: how many.
        tier: 0 for those that are served first, to 4.
    """

    name: str
    need: Need
    nodes: Sequence[str]
    replicas: int
    tier: int


@dataclass(frozen=True, kw_only=True)
class Move:
    """One pod that goes elsewhere.

    Args:
        namespace: of the pod.
        pod: its name.
        deployment: whose replica it is.
        source: node that it leaves.
        target: node that it goes to.
        gpus: that it holds.
        waits: whether its place is free only after a later move, so that it has to be stopped first.
    """

    namespace: str
    pod: str
    deployment: str
    source: str
    target: str
    gpus: int
    waits: bool = False


@dataclass(frozen=True, kw_only=True)
class MovePlan:
    """What to move for whom.

    Args:
        moves: in the order in which they can be done.
        room_for: replicas that then fit, by who wants them; none for those that find no room so.
        proven: whether no smaller number of moves does it, among the nodes that were looked at.
        nodes: that were looked at.
    """

    moves: tuple[Move, ...]
    room_for: Mapping[str, int]
    proven: bool
    nodes: int


@dataclass(frozen=True, slots=True)
class _Movable:
    pod: PodFacts
    member: Member
    nodes: tuple[str, ...]


def smallest_moves(
    wanted: Sequence[Wanted],
    members: Sequence[Member],
    inventory: Inventory,
    board: Board,
    pods: Mapping[Rank, Sequence[PodFacts]],
    *,
    seconds: float = MOVES_SECONDS,
) -> MovePlan:
    """Return the fewest moves that make room.

    Args:
        wanted: for whom, the most important first.
        members: whose replicas may move.
        inventory: of the cluster.
        board: what is free on its nodes.
        pods: of each member.
        seconds: longest search.
    """
    grounds = Grounds(inventory)
    movable = [
        _Movable(pod, member, tuple(grounds.nodes(member.deployment, member.plan)))
        for member in members
        if member.need.spans == 1 and member.need.share is None
        for pod in sorted(pods[member.rank], key=lambda pod: pod.name)
        if not pod.deleting and pod.node
    ]
    names = _looked_at(wanted, movable, inventory, board)
    inside = [each for each in movable if each.pod.node in names]
    search = _Search(names, board, inside, wanted)
    moves, room_for, proven = search.solved(seconds)
    return MovePlan(moves=_in_order(moves, board), room_for=room_for, proven=proven, nodes=len(names))


def _looked_at(
    wanted: Sequence[Wanted], movable: Sequence[_Movable], inventory: Inventory, board: Board
) -> frozenset[str]:
    """Return all nodes of a small cluster, else those that lack least for somebody and the fullest with room."""
    every = [node.name for node in inventory.nodes]
    if len(every) <= MOST_NODES:
        return frozenset(every)
    could = dict.fromkeys(every, 0)
    for each in movable:
        could[each.pod.node] += each.member.need.gpus
    best: dict[str, None] = {}
    for want in wanted:
        lacks = [
            (want.need.gpus - board.free_gpus(name), name)
            for name in want.nodes
            if board.free_gpus(name) + could[name] >= want.need.gpus
        ]
        best |= dict.fromkeys(name for _, name in sorted(lacks)[: MOST_NODES // 4])
    homes = [name for each in movable if each.pod.node in best for name in each.nodes if board.free_gpus(name)]
    fullest = sorted(dict.fromkeys(homes), key=lambda name: (board.free_gpus(name), name))
    return frozenset([*best, *fullest][:MOST_NODES])


class _Search:
    """The integer program."""

    def __init__(
        self, names: frozenset[str], board: Board, movable: Sequence[_Movable], wanted: Sequence[Wanted]
    ) -> None:
        from deepseek_operator.capacity.placement.solver import Program

        self._program, self._board = Program(), board
        self._rows = {name: self._node_rows(name) for name in sorted(names)}
        self._moves: list[tuple[int, _Movable, str]] = []
        self._replicas: list[tuple[int, Wanted]] = []
        for each in movable:
            self._may_move(each)
        left = MOST_WANTED
        for want in wanted:
            for _ in range(min(want.replicas, left)):
                self._may_come(want)
            left -= min(want.replicas, left)

    def solved(self, seconds: float) -> tuple[list[Move], dict[str, int], bool]:
        """Return the moves, the replicas that then fit, and whether no fewer moves do it."""
        from deepseek_operator.capacity.placement.solver import solve

        if not self._replicas:
            return [], {}, True
        found = solve(self._program, whole=True, seconds=seconds)
        if not found.values.size:
            return [], {}, False
        chosen = [(each, name) for index, each, name in self._moves if found.values[index] > 0.5]
        room_for: dict[str, int] = {}
        for index, want in self._replicas:
            if found.values[index] > 0.5:
                room_for[want.name] = room_for.get(want.name, 0) + 1
        moves = [
            Move(
                namespace=each.pod.namespace,
                pod=each.pod.name,
                deployment=each.member.deployment.metadata.name,
                source=each.pod.node,
                target=name,
                gpus=each.member.need.gpus,
            )
            for each, name in chosen
        ]
        return moves, room_for, found.bound < found.objective + LESS_THAN_A_MOVE

    def _node_rows(self, name: str) -> tuple[int, int | None, int | None]:
        """Return the rows of what is free of a node: GPUs, cores and GiB; None for what it does not tell of."""
        free, told = self._board.free_host(name), self._board.host(name)
        return (
            self._program.row(self._board.free_gpus(name)),
            self._program.row(free.cpu_milli / 1000) if told.cpu_milli else None,
            self._program.row(free.memory_bytes / 2**30) if told.memory_bytes else None,
        )

    def _taken(self, name: str, need: Need, sign: float) -> list[tuple[int, float]]:
        gpus, cpu, memory = self._rows[name]
        entries = [(gpus, sign * need.gpus)]
        entries += [] if cpu is None else [(cpu, sign * need.host.cpu_milli / 1000)]
        return entries + ([] if memory is None else [(memory, sign * need.host.memory_bytes / 2**30)])

    def _may_move(self, each: _Movable) -> None:
        once, need = self._program.row(1.0), each.member.need
        for name in each.nodes:
            if name in self._rows and name != each.pod.node:
                entries = [(once, 1.0), *self._taken(name, need, 1.0), *self._taken(each.pod.node, need, -1.0)]
                index = self._program.variable(-1.0 - LARGE_MOVE * need.gpus, 1.0, entries)
                self._moves.append((index, each, name))

    def _may_come(self, want: Wanted) -> None:
        places, spans = self._program.row(0.0), want.need.spans
        for name in want.nodes:
            if name in self._rows:
                self._program.variable(0.0, 1.0, [(places, -1.0), *self._taken(name, want.need, 1.0)])
        index = self._program.variable(WORTH[want.tier], 1.0, [(places, float(spans))])
        self._replicas.append((index, want))


def _in_order(moves: Sequence[Move], board: Board) -> tuple[Move, ...]:
    """Return the moves so that each goes where there is room by then; what waits for itself has to be stopped first."""
    free = {name: board.free_gpus(name) for move in moves for name in (move.source, move.target)}
    left, done = sorted(moves, key=lambda move: (move.namespace, move.pod)), list[Move]()
    while left:
        ready = next((move for move in left if free[move.target] >= move.gpus), None)
        move = ready or left[0]
        left.remove(move)
        free[move.source] += move.gpus
        free[move.target] -= move.gpus
        done.append(replace(move, waits=ready is None))
    return tuple(done)
