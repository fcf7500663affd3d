"""Which of a product's nodes to count on: all of them, or those that are no dearer, no smaller or on one network.

A pool is as weak as its weakest node, because the scheduler may put a pod on any of them. So that a weak node more
takes nothing away from what the others offer, every threshold of price and GPU memory that occurs makes a pool of its
own, and so does every RDMA network. What a plan rests on is then always still there after a node was added: the node
either meets the threshold, or the pool does not have it. Pods keep to such a pool by the labels of its nodes.

Source of the law: a plan's pool is "every node at this price or less, with this memory or more"; its facts are those
of the threshold and not of its members, so that another member only adds GPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from deepseek_operator.capacity.dra import CLAIMED
from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.capacity.node_price import PRICE_LABEL, read_price
from deepseek_operator.catalog.gpu_labels import AMD_VRAM, NVIDIA_MEMORY
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.spot import SPOT_LABELS, spot_label
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.node_pin import ALL_NODES, LabelOperator, LabelRule, LeftOut, NodePin, is_number

RDMA_NETWORK_LABEL = "deepseek-operator.io/rdma-network"
"""Node label with the secondary network (NetworkAttachmentDefinition) that pods of a group join."""

MOST_TIERS = 64
"""Pools of one product that are planned on; of more prices the cheapest and the dearest stay. Source: judgement; a
cluster has a few prices of one product (reserved, on demand, spot) and one or two ages of drivers."""

MOST_PIN_CHARACTERS = 2048
"""Of a pin as status shows it; about two hundred prices."""

_MEMORY_LABELS = {"nvidia": NVIDIA_MEMORY, "amd": AMD_VRAM}
_MIG_MEMORY = ".memory"
"""What the label with the memory of a slice adds to its resource. Source: NVIDIA GPU feature discovery, README."""
_CUT_BY_MEMORY = frozenset({ShareMechanism.TIME_SLICING, ShareMechanism.MPS, ShareMechanism.KAI})
"""Shares whose memory is a part of what the label of the whole GPU says."""

Rules = tuple[LabelRule, ...]
Way = tuple[str | None, str]
"""RDMA resource and network; None for a node that offers no RDMA."""


@dataclass(frozen=True, kw_only=True)
class NodeOffer:
    """What one node offers of one kind.

    Args:
        gpu: the product at the node's price.
        count: GPUs, or shares of them.
        memory_bytes: of one of them.
        share: the kind of share; None for whole GPUs.
    """

    node: NodeInventory
    gpu: Gpu
    count: int
    memory_bytes: int
    share: GpuShare | None = None

    @property
    def price(self) -> Decimal:
        """USD per GPU and hour; a product without a price counts as dearest."""
        known = self.gpu.price_per_hour_usd
        return Decimal("Infinity") if known is None else known

    @property
    def way(self) -> Way:
        """How the node reaches others by RDMA."""
        return self.node.rdma_resource, self.node.labels.get(RDMA_NETWORK_LABEL, "")

    @property
    def memory_label(self) -> str:
        """The label that tells its memory to the scheduler too; empty where something else does."""
        share, of_the_gpu = self.share, _MEMORY_LABELS.get(self.gpu.vendor, "")
        if self.node.resource == CLAIMED:
            return ""
        if share is None or share.mechanism in _CUT_BY_MEMORY:
            return of_the_gpu
        if share.mechanism is not ShareMechanism.MIG:
            return ""
        return of_the_gpu if share.is_single_strategy else f"{share.resource}{_MIG_MEMORY}"


@dataclass(frozen=True, kw_only=True)
class Tier:
    """Some of the offers of one product.

    Args:
        members: 1 or more.
        pin: labels that keep pods on them; None where nothing but what pods ask for is needed.
        left_out: the others.
    """

    members: tuple[NodeOffer, ...]
    pin: NodePin | None = None
    left_out: LeftOut = ALL_NODES


@dataclass(frozen=True, kw_only=True)
class _Threshold:
    price: Decimal
    memory_bytes: int
    way: Way | None

    def has(self, offer: NodeOffer) -> bool:
        return (
            offer.price <= self.price
            and offer.memory_bytes >= self.memory_bytes
            and (self.way is None or offer.way == self.way)
        )


def tiers(offers: Sequence[NodeOffer]) -> list[Tier]:
    """Return the tiers of the offers of one kind, the widest last; one tier where all are alike.

    Args:
        offers: of one product and kind of share, 1 or more.
    """
    found: dict[tuple[int, ...], Tier] = {}
    for threshold in _thresholds(offers):
        inside = tuple(index for index, offer in enumerate(offers) if threshold.has(offer))
        if not inside or inside in found:
            continue
        tier = _tier(offers, threshold)
        if tier is not None:
            found[inside] = tier
        if len(found) >= MOST_TIERS:
            break
    return list(reversed(found.values()))


def _thresholds(offers: Sequence[NodeOffer]) -> Iterator[_Threshold]:
    """Every combination that occurs, wide ones first."""
    prices = _from_both_ends(sorted({offer.price for offer in offers}, reverse=True))
    memories = sorted({offer.memory_bytes for offer in offers})
    if not all(offer.memory_label for offer in offers):
        memories = memories[:1]
    ways = {offer.way for offer in offers}
    networks = sorted(way for way in ways if way[0] is not None) if len(ways) > 1 else []
    for way, memory_bytes, price in product((None, *networks), memories, prices):
        yield _Threshold(price=price, memory_bytes=memory_bytes, way=way)


def _from_both_ends(prices: Sequence[Decimal]) -> list[Decimal]:
    """Return the prices so that a cut at any place keeps the first and the last ones.

    >>> _from_both_ends([Decimal(5), Decimal(4), Decimal(3), Decimal(2)])
    [Decimal('5'), Decimal('2'), Decimal('4'), Decimal('3')]
    """
    return [prices[index // 2] if index % 2 == 0 else prices[-1 - index // 2] for index in range(len(prices))]


def _tier(offers: Sequence[NodeOffer], threshold: _Threshold) -> Tier | None:
    """Return the offers that meet a threshold; None where no labels tell them from the others."""
    members = tuple(offer for offer in offers if threshold.has(offer))
    if len(members) == len(offers):
        return Tier(members=members)
    dearer = [offer for offer in offers if offer.price > threshold.price]
    smaller = [offer for offer in offers if offer.memory_bytes < threshold.memory_bytes]
    reachable = [offer for offer in offers if threshold.way is None or offer.way[0] == threshold.way[0]]
    alternatives = product(
        _price_terms(members, offers) if dearer else [()],
        _memory_terms(members) if smaller else [()],
        [_network(threshold.way)] if threshold.way and len({offer.way for offer in reachable}) > 1 else [()],
    )
    terms = tuple(dict.fromkeys(tuple(rule for part in parts for rule in part) for parts in alternatives))
    pin = NodePin(terms=terms) if any(terms) else None
    admitted = [offer for offer in reachable if pin is None or pin.admits(offer.node.labels)]
    if not _same(admitted, members) or (pin is not None and len(str(pin)) > MOST_PIN_CHARACTERS):
        return None
    little = [offer for offer in smaller if offer.price <= threshold.price]
    left_out = LeftOut(
        dearer=len(dearer),
        smaller=len(little),
        apart=len(offers) - len(members) - len(dearer) - len(little),
    )
    return Tier(members=members, pin=pin, left_out=left_out)


def _same(some: Sequence[NodeOffer], others: Sequence[NodeOffer]) -> bool:
    return [id(offer) for offer in some] == [id(offer) for offer in others]


def _price_terms(members: Iterable[NodeOffer], offers: Sequence[NodeOffer]) -> list[Rules]:
    """Return the alternatives by which nodes at these prices are known: their label, else what stands in for one."""
    inside = {_price_class(offer) for offer in members}
    all_of_them = {_price_class(offer) for offer in offers}
    texts = sorted(text for text, _ in inside if text is not None and read_price(text) is not None)
    found: list[Rules] = [(_in(PRICE_LABEL, *texts),)] if texts else []
    others = sorted({text or "" for text, spot in inside if spot is not None and text is not None})
    unlabelled = any(text is None for text, _ in inside)
    for rule in ([_absent(PRICE_LABEL)] if unlabelled else []) + ([_in(PRICE_LABEL, *others)] if others else []):
        kinds = [kind for kind in all_of_them if kind[1] is not None and rule.holds(_labelled(kind[0]))]
        wanted = [kind for kind in kinds if kind in inside]
        if len(wanted) == len(kinds):
            found.append((rule,))
            continue
        found += [(rule, *_spot_rules(spot)) for spot in sorted({spot or "" for _, spot in wanted})]
    return found


def _price_class(offer: NodeOffer) -> tuple[str | None, str | None]:
    """Return the text of the price label, and the spot label where that decides the price: empty for on demand."""
    text = offer.node.labels.get(PRICE_LABEL)
    is_price = text is not None and read_price(text) is not None
    return text, None if is_price else spot_label(offer.node.labels)


def _labelled(text: str | None) -> dict[str, str]:
    return {} if text is None else {PRICE_LABEL: text}


def _spot_rules(spot: str) -> Rules:
    if spot:
        key, _, value = spot.partition("=")
        return (_in(key, value),)
    return tuple(LabelRule(key=key, operator=LabelOperator.NOT_IN, values=(value,)) for key, value in SPOT_LABELS)


def _memory_terms(members: Sequence[NodeOffer]) -> list[Rules]:
    """Return the alternatives by which nodes with this GPU memory or more are known."""
    key = members[0].memory_label
    values = [offer.node.labels.get(key) for offer in members]
    numbers = [int(value) for value in values if value is not None and is_number(value)]
    texts = sorted({value for value in values if value is not None and not is_number(value)})
    found: list[Rules] = []
    if numbers:
        least = LabelRule(key=key, operator=LabelOperator.GREATER, values=(str(max(0, min(numbers) - 1)),))
        found.append((least,))
    if texts:
        found.append((_in(key, *texts),))
    if None in values:
        found.append((_absent(key),))
    return found


def _network(way: Way) -> Rules:
    return (_in(RDMA_NETWORK_LABEL, way[1]),) if way[1] else (_absent(RDMA_NETWORK_LABEL),)


def _in(key: str, *values: str) -> LabelRule:
    return LabelRule(key=key, operator=LabelOperator.IN, values=values)


def _absent(key: str) -> LabelRule:
    return LabelRule(key=key, operator=LabelOperator.DOES_NOT_EXIST)
