"""Who gets the last GPUs: floors first, then higher priorities, and equal ones share.

Every further replica that anybody wishes is one turn, and all turns stand in one queue: those up to an object's floor
before all others, then by priority, then by the GPUs that its object would hold (by its weight), so that of equals the
one that has least is next (max-min fairness). A turn that fits what is left is granted, one that does not fit is passed
over, so that GPUs which a large replica cannot use do not stay idle for it. Hence the laws, which are tested: no more
is granted than there is; with more free GPUs no prefix of the queue gets less; an object that wishes more keeps what
it had; the order of the objects does not matter.

Nobody's running replica is taken to please another. The one exception is not ours: the pods of a priority whose
PriorityClass preempts may be asked for beyond what is free, because kube-scheduler then stops pods of lower priority.
Which, is its choice by node; here the lowest priorities are reckoned with, and their objects keep asking for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one object has and wants.

    Args:
        uid: of the object; tells equals apart.
        gpu: product that its replicas take.
        gpus_per_replica: of that product, 1 or more.
        priority: value of its pods' PriorityClass.
        floor: replicas that come before any other's further ones, such as ``scaling.minReplicas``.
        running: replicas that hold GPUs.
        wanted: replicas that its own decision asks for.
        room: further replicas that would fit what is free, were it alone; what is cut up, or lacks whole nodes, counts
            in here.
        preempts: whether kube-scheduler stops pods of lower priority for its pods.
        weight: share among equals, 1 or more.
    """

    uid: str
    gpu: str
    gpus_per_replica: int
    priority: int
    floor: int
    running: int
    wanted: int
    room: int
    preempts: bool = False
    weight: int = 1


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What one object gets.

    Args:
        uid: of the object.
        replicas: that it may ask for: all that it wants, or fewer; at least those of the wanted ones that run.
        stops: objects of which kube-scheduler would stop replicas for it, one entry for each replica.
        message: one sentence.
    """

    uid: str
    replicas: int
    stops: tuple[str, ...] = ()
    message: str


@dataclass(frozen=True, slots=True, order=True)
class _Turn:
    """One replica more for one object; sorts into the queue."""

    beyond_floor: bool
    descending_priority: int
    gpus_held: Fraction
    uid: str


@dataclass
class _Product:
    """What is left of one product while the queue is worked off."""

    free: int
    running: list[Wish]
    """One entry for each running replica that may be stopped, lowest priority first."""
    spare: int = 0
    """GPUs that stopped replicas leave over; only who preempts gets them, for their owners ask for them again."""
    taken: Counter[tuple[int, bool]] = field(default_factory=Counter)
    """Free GPUs that were granted, by priority and whether for a floor."""


@dataclass
class _Gain:
    replicas: int = 0
    from_free: int = 0
    stops: list[str] = field(default_factory=list)


def fill(wishes: Iterable[Wish], free_gpus: Mapping[str, int]) -> Mapping[str, Grant]:
    """Return what each object gets, by UID.

    Args:
        wishes: of all objects; each UID once.
        free_gpus: that nobody holds, by product; 0 for one that is not there.

    >>> wish = Wish(uid="a", gpu="h100", gpus_per_replica=4, priority=10, floor=1, running=0, wanted=2, room=2)
    >>> other = Wish(uid="b", gpu="h100", gpus_per_replica=4, priority=20, floor=1, running=1, wanted=3, room=2)
    >>> granted = fill([wish, other], {"h100": 8})
    >>> granted["a"].replicas, granted["b"].replicas
    (1, 2)
    >>> granted["b"].message
    'gets 2 of 3 replicas: of 8 free h100 GPUs it takes 4 and minReplicas of lower ones 4'
    """
    by_uid = {wish.uid: wish for wish in wishes}
    products = {
        gpu: _Product(free=free_gpus.get(gpu, 0), running=_stoppable(by_uid.values(), gpu))
        for gpu in {wish.gpu for wish in by_uid.values()}
    }
    gains = {uid: _Gain() for uid in by_uid}
    for turn in sorted(turn for wish in by_uid.values() for turn in _turns(wish)):
        wish = by_uid[turn.uid]
        _take(wish, products[wish.gpu], gains[turn.uid], floor=not turn.beyond_floor)
    return {
        uid: _grant(wish, gains[uid], products[wish.gpu], free_gpus.get(wish.gpu, 0))
        for uid, wish in sorted(by_uid.items())
    }


def _turns(wish: Wish) -> Sequence[_Turn]:
    return [
        _Turn(number > wish.floor, -wish.priority, Fraction(number * wish.gpus_per_replica, wish.weight), wish.uid)
        for number in range(wish.running + 1, wish.wanted + 1)
    ]


def _stoppable(wishes: Iterable[Wish], gpu: str) -> list[Wish]:
    alike = sorted((wish for wish in wishes if wish.gpu == gpu), key=lambda wish: (wish.priority, wish.uid))
    return [wish for wish in alike for _ in range(wish.running)]


def _take(wish: Wish, product: _Product, gain: _Gain, *, floor: bool) -> None:
    """Grant one replica when it fits, or when the scheduler would make room for it."""
    size = wish.gpus_per_replica
    if size <= product.free and gain.from_free < wish.room:
        product.free -= size
        product.taken[(wish.priority, floor)] += size
        gain.replicas, gain.from_free = gain.replicas + 1, gain.from_free + 1
        return
    if not wish.preempts:
        return
    stopped, there = 0, product.free + product.spare
    while there < size or (stopped == 0 and product.spare == 0):
        if stopped == len(product.running) or product.running[stopped].priority >= wish.priority:
            return
        there += product.running[stopped].gpus_per_replica
        stopped += 1
    gain.replicas += 1
    gain.stops += [victim.uid for victim in product.running[:stopped]]
    del product.running[:stopped]
    product.free, product.spare = max(0, product.free - size), there - max(size, product.free)


def _grant(wish: Wish, gain: _Gain, product: _Product, free_gpus: int) -> Grant:
    replicas = min(wish.running, wish.wanted) + gain.replicas
    message = _message(wish, gain, product, free_gpus)
    return Grant(uid=wish.uid, replicas=replicas, stops=tuple(sorted(gain.stops)), message=message)


def _message(wish: Wish, gain: _Gain, product: _Product, free_gpus: int) -> str:
    if wish.wanted <= wish.running:
        return f"wants no more than the {_count(wish.running)} that hold GPUs"
    stops = len(gain.stops)
    stopping = f"; kube-scheduler stops up to {_count(stops)} of lower priority for it" if stops else ""
    if wish.running + gain.replicas == wish.wanted:
        return f"gets the {_count(wish.wanted)} that it wants{stopping}"
    parts = _shares(wish, gain, product) or ["none hold a replica more"]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    got = f"gets {wish.running + gain.replicas} of {_count(wish.wanted)}"
    return f"{got}: of {free_gpus} free {wish.gpu} GPUs {listed}{stopping}"


def _shares(wish: Wish, gain: _Gain, product: _Product) -> list[str]:
    """Return who takes the free GPUs, in words, as far as it came before the object or beside it."""
    own = gain.from_free * wish.gpus_per_replica
    shares = {"it takes": own, "higher priorities": 0, "equal ones": -own, "minReplicas of lower ones": 0}
    for (priority, floor), gpus in product.taken.items():
        if priority > wish.priority:
            shares["higher priorities"] += gpus
        elif priority == wish.priority:
            shares["equal ones"] += gpus
        elif floor:
            shares["minReplicas of lower ones"] += gpus
    return [f"{words} {gpus}" for words, gpus in shares.items() if gpus]


def _count(replicas: int) -> str:
    return f"{replicas} replica{'' if replicas == 1 else 's'}"
