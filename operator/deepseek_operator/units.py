"""Integers with their unit in the name, and the one place where they become text.

Bytes, tokens, milliseconds and GPUs are integers everywhere; GiB appear only in what people read. Money is
``Decimal`` in memory and a decimal string in manifests.
"""

from __future__ import annotations

import re
from decimal import Decimal

from deepseek_operator.errors import QuantityError, shortened

KIB = 2**10
MIB = 2**20
GIB = 2**30

_SUFFIXES = {
    "n": Decimal(1) / 10**9,
    "u": Decimal(1) / 10**6,
    "m": Decimal(1) / 1000,
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:([num]|k|[MGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?"
)


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up, exact for integers of any size.

    >>> ceil_div(8, 4), ceil_div(9, 4), ceil_div(0, 4)
    (2, 3, 0)
    """
    return -(-numerator // denominator)


def parse_quantity(text: str | int) -> Decimal:
    """Return a Kubernetes quantity as an exact number of its base unit (bytes, cores, GPUs).

    Args:
        text: a quantity as the API server writes it: digits with an optional fraction and one suffix of
            ``n u m k M G T P E Ki Mi Gi Ti Pi Ei`` or a decimal exponent.

    Raises:
        QuantityError: the text is no quantity; NaN, spaces and thousands separators are refused.

    Source: Kubernetes API conventions, ``apimachinery/pkg/api/resource/quantity.go``.

    >>> parse_quantity("80Gi") == 80 * 2**30
    True
    >>> parse_quantity("500m"), parse_quantity("1e3"), parse_quantity(8)
    (Decimal('0.500'), Decimal('1000'), Decimal('8'))
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise QuantityError(f"{shortened(str(text))!r} is no Kubernetes quantity; write one such as 80Gi, 500m or 8")
    number, suffix, exponent = match.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent)).normalize() + 0
    return Decimal(number) * _SUFFIXES[suffix or ""]


def parse_count(text: str | int) -> int:
    """Return a quantity as a whole number, rounded down (GPUs, pods, bytes).

    >>> parse_count("8"), parse_count("7900m"), parse_count("1Ki")
    (8, 7, 1024)
    """
    return int(parse_quantity(text))


def format_gib(value_bytes: int) -> str:
    """Return bytes as GiB with one decimal, for people.

    >>> format_gib(134_850_000_000)
    '125.6 GiB'
    """
    return f"{value_bytes / GIB:.1f} GiB"


def format_tokens(tokens: int) -> str:
    """Return a token count with thousands separators and its unit.

    >>> format_tokens(163840)
    '163,840 tokens'
    """
    return f"{tokens:,} token{'' if tokens == 1 else 's'}"


def format_usd(amount: Decimal) -> str:
    """Return money with two decimals and no currency sign, as manifests carry it.

    >>> format_usd(Decimal("39.2"))
    '39.20'
    """
    return f"{amount:.2f}"


def counted(count: int, noun: str) -> str:
    """Return a number of things as people say it.

    Args:
        count: 0 or more.
        noun: in the singular, with a plural in ``s``.

    >>> counted(1, "replica"), counted(0, "replica"), counted(1700, "request")
    ('1 replica', '0 replicas', '1,700 requests')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def not_fitting(replicas: int) -> str:
    """Return how a number of replicas that have no room is told.

    >>> not_fitting(1), not_fitting(2)
    ('1 replica does not fit now', '2 replicas do not fit now')
    """
    return f"{counted(replicas, 'replica')} {'does' if replicas == 1 else 'do'} not fit now"
