"""What a GPU costs per hour, and how products without a known price are ranked."""

from __future__ import annotations

from decimal import Decimal

from deepseek_operator.catalog.gpus import Gpu

REFERENCE_USD_PER_HOUR_PER_TB_PER_SECOND = Decimal("0.60")
"""Reference price per TB/s of memory bandwidth, for ranking only.

Source: cheapest on-demand prices of the catalogue over bandwidth (A100 0.60, H100 0.59, H200 0.47, B200 0.49,
L40S 0.91).
"""


def ranking_price(gpu: Gpu) -> Decimal:
    """Return USD per GPU-hour to rank by: the known price, else a reference price, else infinity.

    A reference price is never shown as a cost: ``Plan.cost_per_hour_usd`` stays None.
    """
    if gpu.price_per_hour_usd is not None:
        return gpu.price_per_hour_usd
    if gpu.memory_bandwidth_gb_per_second is None:
        return Decimal("Infinity")
    return REFERENCE_USD_PER_HOUR_PER_TB_PER_SECOND * Decimal(str(gpu.memory_bandwidth_gb_per_second)) / 1000


def cost(gpu: Gpu, gpus: int) -> Decimal | None:
    """Return USD per hour of that many GPUs; None when the product has no known price."""
    return None if gpu.price_per_hour_usd is None else gpu.price_per_hour_usd * gpus
