"""The short way to the planner, for notebooks and scripts: a question and GPUs in a few words.

What these leave out is set on the values that they return, with ``dataclasses.replace``.
"""

from __future__ import annotations

import re
from decimal import Decimal

from deepseek_operator.catalog import gpus as products
from deepseek_operator.catalog import models
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import InvalidSpecError, InventoryError, shortened
from deepseek_operator.planner.request import GpuPool, PlanRequest, Quality, Sla, Supply, Workload

_NODES = re.compile(r"(?:(?P<nodes>\d{1,7}) x )?(?P<gpus>\d{1,7}) x (?P<product>\S{1,80})")


def ask(
    model: str | ModelShape,
    *,
    input_tokens: int = 1024,
    output_tokens: int = 256,
    max_context_tokens: int | None = None,
    concurrency: int | None = None,
    requests_per_minute: int | None = None,
    ttft_milliseconds: int | None = None,
    tpot_milliseconds: int | None = None,
    percentile: int = 95,
    quality: Quality = Quality.LOSSLESS,
    max_replicas: int = 1,
    max_cost_per_hour_usd: Decimal | None = None,
) -> PlanRequest:
    """Return a question for ``plan``.

    Args:
        model: a name of the catalogue (``catalog.models.model_names()``), or a shape (``catalog.hf_config`` reads one
            from the fields of a ``config.json``).
        input_tokens: mean tokens of a prompt, 1 or more.
        output_tokens: mean tokens of an answer, 1 or more.
        max_context_tokens: longest prompt and answer together, in tokens; by default the two means together.
        concurrency: requests in flight over all replicas; 1 where neither this nor ``requests_per_minute`` is given.
        requests_per_minute: requests that arrive; given in place of ``concurrency``.
        ttft_milliseconds: longest time to the first token; given together with ``tpot_milliseconds``, or neither.
        tpot_milliseconds: longest mean time per further token of one request.
        percentile: share of requests that must meet both, in percent, 50 to 99.
        quality: how much quantization loss is allowed.
        max_replicas: most replicas, 1 or more.
        max_cost_per_hour_usd: of all replicas together, above 0; None has no limit.

    Raises:
        UnknownModelError: the catalogue has no such model; the text offers the nearest names.
        UnsupportedModelError: its architecture cannot be planned.
        InvalidSpecError: a number is out of its range, or two arguments contradict each other; the text names them.

    >>> asked = ask("deepseek-ai/DeepSeek-R1", concurrency=16, ttft_milliseconds=2000, tpot_milliseconds=60)
    >>> asked.workload.max_context_tokens, asked.sla.percentile
    (1280, 95)
    >>> ask("deepseek-ai/DeepSeek-R1", input_tokens=4096, max_context_tokens=4096)
    Traceback (most recent call last):
        ...
    deepseek_operator.errors.InvalidSpecError: max_context_tokens: is 4,096 and must hold 4,096 + 256 tokens
    """
    shape = models.shape(model) if isinstance(model, str) else model
    if concurrency is None and requests_per_minute is None:
        concurrency = 1
    context = input_tokens + output_tokens if max_context_tokens is None else max_context_tokens
    counts = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "concurrency": concurrency,
        "requests_per_minute": requests_per_minute,
        "ttft_milliseconds": ttft_milliseconds,
        "tpot_milliseconds": tpot_milliseconds,
        "max_replicas": max_replicas,
    }
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InvalidSpecError(name, f"is {count:,} and must be 1 or more")
    if context < input_tokens + output_tokens:
        raise InvalidSpecError(
            "max_context_tokens", f"is {context:,} and must hold {input_tokens:,} + {output_tokens:,} tokens"
        )
    if max_cost_per_hour_usd is not None and (max_cost_per_hour_usd.is_nan() or max_cost_per_hour_usd <= 0):
        raise InvalidSpecError("max_cost_per_hour_usd", f"is {max_cost_per_hour_usd} and must be above 0")
    if concurrency is not None and requests_per_minute is not None:
        raise InvalidSpecError("concurrency", "give it or requests_per_minute, not both")
    return PlanRequest(
        model_name=model if isinstance(model, str) else "the model",
        model=shape,
        workload=Workload(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            max_context_tokens=context,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
        ),
        sla=_sla(ttft_milliseconds, tpot_milliseconds, percentile),
        quality=quality,
        max_replicas=max_replicas,
        max_cost_per_hour_usd=max_cost_per_hour_usd,
    )


def _sla(ttft_milliseconds: int | None, tpot_milliseconds: int | None, percentile: int) -> Sla | None:
    if not 50 <= percentile <= 99:
        raise InvalidSpecError("percentile", f"is {percentile} and must be 50 to 99")
    if ttft_milliseconds is None and tpot_milliseconds is None:
        return None
    if ttft_milliseconds is None or tpot_milliseconds is None:
        raise InvalidSpecError("ttft_milliseconds", "give it together with tpot_milliseconds")
    return Sla(ttft_milliseconds=ttft_milliseconds, tpot_milliseconds=tpot_milliseconds, percentile=percentile)


def gpus(*nodes: str) -> Supply:
    """Return a supply of whole GPUs, at the catalogue's memory and prices.

    Args:
        nodes: what there is, each as ``GPUS x PRODUCT`` for one node or ``NODES x GPUS x PRODUCT`` for equal ones, with
            the product's id in the catalogue (``catalog.gpus.gpus()``).

    Raises:
        InventoryError: a text is of another form, a count is 0, or the product's memory is not known.
        UnknownGpuError: the catalogue has no such product; the text offers the nearest ids.

    >>> [(pool.name, pool.nodes_by_gpu_count) for pool in gpus("2 x 8 x h100-sxm5-80gb", "1 x l4", "4 x l4").pools]
    [('h100-sxm5-80gb', ((8, 2),)), ('l4', ((1, 1), (4, 1)))]
    >>> gpus("8 H100")
    Traceback (most recent call last):
        ...
    deepseek_operator.errors.InventoryError: '8 H100' is not NODES x GPUS x PRODUCT; write "8 x h100-sxm5-80gb"
    """
    counted: dict[str, dict[int, int]] = {}
    for text in nodes:
        found = _NODES.fullmatch(text)
        if found is None or not int(found["gpus"]) or not int(found["nodes"] or 1):
            remedy = 'write "8 x h100-sxm5-80gb"'
            raise InventoryError(f"{shortened(text)!r} is not NODES x GPUS x PRODUCT; {remedy}")
        sizes = counted.setdefault(found["product"], {})
        size = int(found["gpus"])
        sizes[size] = sizes.get(size, 0) + int(found["nodes"] or 1)
    return Supply(pools=tuple(_pool(product, sizes) for product, sizes in sorted(counted.items())))


def _pool(product: str, sizes: dict[int, int]) -> GpuPool:
    gpu = products.gpu(product)
    if gpu.usable_memory_bytes is None:
        raise InventoryError(f"the usable memory of {product} is not known; choose another product of the catalogue")
    return GpuPool(
        gpu=gpu, usable_memory_bytes=gpu.usable_memory_bytes, nodes_by_gpu_count=tuple(sorted(sizes.items()))
    )
