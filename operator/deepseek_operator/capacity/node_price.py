"""What the owner of a cluster says that a GPU of a node costs, as a node label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from deepseek_operator.errors import shortened

PRICE_LABEL = "deepseek-operator.io/gpu-price-per-hour-usd"
"""Node label with the price of one GPU of the node in USD per hour, such as ``2.35``."""

MOST_USD_PER_GPU_HOUR = Decimal(1000)
"""More is a slip (a price per month or per node), and plans would be refused by it. Source: judgement; the dearest
known GPU is below 20."""

_AMOUNT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")


def read_price(text: str) -> Decimal | None:
    """Return an amount in USD per GPU and hour; None when it is no decimal number from 0 to 1,000.

    >>> read_price("2.35"), read_price("2,35"), read_price("-1"), read_price("1e3"), read_price("5000")
    (Decimal('2.35'), None, None, None, None)
    """
    if not _AMOUNT.fullmatch(text):
        return None
    amount = Decimal(text)
    return amount if amount <= MOST_USD_PER_GPU_HOUR else None


def label_price(labels: Mapping[str, str]) -> tuple[Decimal | None, tuple[str, ...]]:
    """Return the price that a node's label states, and a warning when the label cannot be obeyed.

    Args:
        labels: of the node.

    >>> label_price({PRICE_LABEL: "free"})[1]
    ('its label deepseek-operator.io/gpu-price-per-hour-usd=free is ignored; write a number from 0 to 1000 such as \
2.35',)
    """
    text = labels.get(PRICE_LABEL)
    if text is None:
        return None, ()
    price = read_price(text)
    if price is not None:
        return price, ()
    return None, (
        f"its label {PRICE_LABEL}={shortened(text)} is ignored; write a number from 0 to {MOST_USD_PER_GPU_HOUR} such "
        "as 2.35",
    )
