"""The nodes of a product that a plan keeps to, where it does not count on all of them: by what their labels say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class LabelOperator(StrEnum):
    """How a label is compared, by the names of Kubernetes' node affinity."""

    IN = "In"
    NOT_IN = "NotIn"
    DOES_NOT_EXIST = "DoesNotExist"
    GREATER = "Gt"


_WORDS = {LabelOperator.IN: "in", LabelOperator.NOT_IN: "notin"}
_RULE = re.compile(r"!(?P<absent>[^ ]+)|(?P<key>[^ !]+) (?:(?P<word>in|notin) \((?P<values>[^()]*)\)|> (?P<bound>\d+))")
_ALL, _ANY = " and ", " or "
_MOST_DIGITS = 18
"""Of a label that is compared as a number, far below the 64 bits that the scheduler reads."""


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """One condition on the labels of a node.

    Args:
        values: to compare with; one whole number for ``Gt``, none for ``DoesNotExist``.
    """

    key: str
    operator: LabelOperator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels meets it, as the scheduler decides.

        Source: Kubernetes, "Assigning Pods to Nodes", operators: ``NotIn`` also takes nodes without the label.
        """
        value = labels.get(self.key)
        if self.operator is LabelOperator.DOES_NOT_EXIST:
            return value is None
        if self.operator is LabelOperator.NOT_IN:
            return value not in self.values
        if self.operator is LabelOperator.IN:
            return value in self.values
        return value is not None and is_number(value) and int(value) > int(self.values[0])

    def __str__(self) -> str:
        """Return it in the syntax of label selectors.

        >>> str(LabelRule(key="rate", operator=LabelOperator.IN, values=("2.10", "2.20")))
        'rate in (2.10,2.20)'
        """
        if self.operator is LabelOperator.DOES_NOT_EXIST:
            return f"!{self.key}"
        if self.operator is LabelOperator.GREATER:
            return f"{self.key} > {self.values[0]}"
        return f"{self.key} {_WORDS[self.operator]} ({','.join(self.values)})"

    @classmethod
    def read(cls, text: str) -> LabelRule:
        """Return what ``str`` wrote.

        Raises:
            ValueError: it is something else.
        """
        found = _RULE.fullmatch(text)
        if found is None:
            msg = f"{text!r} is no rule of a label"
            raise ValueError(msg)
        if found["absent"]:
            return cls(key=found["absent"], operator=LabelOperator.DOES_NOT_EXIST)
        if found["bound"]:
            return cls(key=found["key"], operator=LabelOperator.GREATER, values=(found["bound"],))
        operator = next(operator for operator, word in _WORDS.items() if word == found["word"])
        return cls(key=found["key"], operator=operator, values=tuple(found["values"].split(",")))


@dataclass(frozen=True, kw_only=True)
class NodePin:
    """Which nodes take the pods of a plan.

    Args:
        terms: alternatives; a node must meet every rule of one of them, 1 or more.
    """

    terms: tuple[tuple[LabelRule, ...], ...]

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels is one of them."""
        return any(all(rule.holds(labels) for rule in term) for term in self.terms)

    def __str__(self) -> str:
        """Return it as status shows it.

        >>> rule = LabelRule(key="nvidia.com/gpu.memory", operator=LabelOperator.GREATER, values=("81558",))
        >>> str(NodePin(terms=((rule,), (LabelRule(key="rate", operator=LabelOperator.DOES_NOT_EXIST), rule))))
        'nvidia.com/gpu.memory > 81558 or !rate and nvidia.com/gpu.memory > 81558'
        """
        return _ANY.join(_ALL.join(str(rule) for rule in term) for term in self.terms)

    @classmethod
    def read(cls, text: str) -> NodePin:
        """Return what ``str`` wrote.

        Raises:
            ValueError: it is something else.

        >>> NodePin.read("!rate and zone notin (a,b)").admits({"zone": "c"})
        True
        """
        terms = (tuple(LabelRule.read(rule) for rule in term.split(_ALL)) for term in text.split(_ANY))
        return cls(terms=tuple(terms))


def is_number(value: str) -> bool:
    """Return whether the scheduler can compare a label's value as a whole number.

    >>> is_number("81559"), is_number("192G"), is_number("")
    (True, False, False)
    """
    return value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """How many nodes of a product a pool leaves out, each counted by the first thing that sets it apart.

    Args:
        dearer: cost more.
        smaller: have less GPU memory.
        apart: do not offer the RDMA network of the others.
    """

    dearer: int = 0
    smaller: int = 0
    apart: int = 0

    @property
    def nodes(self) -> int:
        """All of them."""
        return self.dearer + self.smaller + self.apart


ALL_NODES = LeftOut()
"""None is left out."""
