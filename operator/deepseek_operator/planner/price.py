"""What a GPU costs per hour, where that price comes from, and how products without a known price are ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.planner.gpu_share import gpu_fraction, share_price
from deepseek_operator.planner.request import GpuPool, Supply, Workload

REFERENCE_USD_PER_HOUR_PER_TB_PER_SECOND = Decimal("0.60")
"""Reference price per TB/s of memory bandwidth, for ranking only.

Source: cheapest on-demand prices of the catalogue over bandwidth (A100 0.60, H100 0.59, H200 0.47, B200 0.49,
L40S 0.91).
"""

SECONDS_PER_HOUR = 3600
MINUTES_PER_HOUR = 60
TOKENS_PER_MILLION = 1_000_000

_SMALLEST_PRICE_USD = Decimal("0.0001")
"""To what prices per million tokens are rounded: small models cost less than a cent."""

PRICES_FILE = "the prices file"
"""Origin of prices that the command line was given."""


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


def cost_per_million_tokens_usd(cost_per_hour_usd: Decimal | None, tokens_per_hour: int) -> Decimal | None:
    """Return USD per million output tokens of a deployment.

    Args:
        cost_per_hour_usd: of all replicas; None without a price.
        tokens_per_hour: output tokens of all replicas; 0 when not known.

    Returns:
        Cost per hour over tokens per hour, rounded to 0.0001 USD; None when one of them is not known.

    >>> cost_per_million_tokens_usd(Decimal("7.20"), 2 * 1000 * SECONDS_PER_HOUR)
    Decimal('1.0000')
    """
    if cost_per_hour_usd is None or tokens_per_hour <= 0:
        return None
    return (cost_per_hour_usd * TOKENS_PER_MILLION / tokens_per_hour).quantize(_SMALLEST_PRICE_USD)


def planned_tokens_per_hour(workload: Workload, predicted: Prediction | None, replicas: int) -> int:
    """Return the output tokens of all replicas at the planned load; 0 when not known.

    Those of a rate are what is asked for; those of a closed loop are what the replicas are predicted to give.
    """
    if workload.requests_per_minute is not None:
        return workload.requests_per_minute * MINUTES_PER_HOUR * workload.output_tokens
    return 0 if predicted is None else predicted.tokens_per_second * replicas * SECONDS_PER_HOUR


def priced(gpu: Gpu, usd_per_hour: Decimal, origin: str) -> Gpu:
    """Return the product at another price than the catalogue's.

    Args:
        gpu: a product.
        usd_per_hour: of one GPU, 0 or more.
        origin: where the price comes from, as people read it after "price of".
    """
    return replace(gpu, price_per_hour_usd=usd_per_hour, price_as_of="", price_source=origin)


def spot_priced(gpu: Gpu) -> Gpu:
    """Return the product at the catalogue's price of interruptible capacity; unchanged where none is known."""
    if gpu.price_spot_per_hour_usd is None:
        return gpu
    return priced(gpu, gpu.price_spot_per_hour_usd, f"the catalogue for spot, seen {gpu.price_as_of}")


def price_origin(gpu: Gpu) -> str:
    """Return where a product's price comes from, with the date of a price of the catalogue; empty without a price.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> price_origin(gpu("h100-sxm5-80gb"))
    'price of the catalogue, seen 2026-03..2026-07'
    >>> price_origin(priced(gpu("l40s"), Decimal("0.50"), PRICES_FILE))
    'price of the prices file'
    """
    if gpu.price_per_hour_usd is None:
        return ""
    if gpu.price_as_of:
        return f"price of the catalogue, seen {gpu.price_as_of}"
    return f"price of {gpu.price_source}"


def with_prices(supply: Supply, usd_per_hour: Mapping[str, Decimal]) -> Supply:
    """Return the supply at other prices; products that are not named keep theirs.

    Args:
        supply: of one workload.
        usd_per_hour: price of one GPU by catalogue id.
    """
    if not usd_per_hour:
        return supply
    pools = tuple(
        replace(pool, gpu=priced(pool.gpu, _part_price(pool, usd_per_hour[pool.gpu.id]), PRICES_FILE))
        if pool.gpu.id in usd_per_hour
        else pool
        for pool in supply.pools
    )
    return replace(supply, pools=pools)


def _part_price(pool: GpuPool, usd_per_hour: Decimal) -> Decimal:
    """Return the price of one GPU of a pool, or of the share of it that the pool offers."""
    fraction = Fraction(1) if pool.share is None else gpu_fraction(pool.gpu, pool.share)
    return usd_per_hour if fraction == 1 else share_price(usd_per_hour, fraction)
