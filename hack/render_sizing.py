"""Write docs/sizing.md: what the planner says for each model of the catalogue on common nodes.

python hack/render_sizing.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepseek_operator.catalog import gpus as products
from deepseek_operator.catalog import models
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.planner import Infeasible, Plan, Quality, Supply, ask, gpus, plan
from deepseek_operator.planner.nearest import SMALLER_MODELS
from deepseek_operator.planner.price import cost
from deepseek_operator.units import format_usd

PAGE = Path(__file__).parent.parent / "docs" / "sizing.md"

INPUT_TOKENS, OUTPUT_TOKENS, CONTEXT_TOKENS, CONCURRENCY = 1024, 256, 4096, 32
TTFT_MILLISECONDS, TPOT_MILLISECONDS = 2000, 60
"""One question for all: that of the first sample in the README."""

HARDWARE = (
    "8 x h100-sxm5-80gb",
    "2 x 8 x h100-sxm5-80gb",
    "8 x h200-sxm",
    "8 x b200",
    "8 x a100-sxm4-80gb",
    "8 x mi300x",
    "4 x l40s",
    "1 x rtx-4090",
)

MOST_PEOPLE_ASK_FOR = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/DeepSeek-V4-Pro",
    "deepseek-ai/DeepSeek-V4-Flash",
    "deepseek-ai/DeepSeek-V4.1-Flash",
    *SMALLER_MODELS,
    "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
    "deepseek-ai/DeepSeek-V2.5-1210",
    "deepseek-ai/DeepSeek-V2-Lite-Chat",
    "deepseek-ai/deepseek-vl2",
)
"""The order of the page, and which name stands for a shape; the others follow by name."""

HEAD = f"""# Sizing: each model on common nodes

Written by `make docs` (`hack/render_sizing.py`) from the planner itself; a test holds the page against it. One
question for all: {CONCURRENCY} requests in flight, {INPUT_TOKENS:,} tokens of prompt and {OUTPUT_TOKENS} of
answer (means), contexts of at most {CONTEXT_TOKENS:,} tokens, 95 of 100 requests with TTFT at most
{TTFT_MILLISECONDS:,} ms and TPOT at most {TPOT_MILLISECONDS} ms, one replica, vLLM. For your own question:
`kubectl deepseek plan -f FILE --cluster FILE` ([plan.md](plan.md)), from a rate to what to buy
([capacity.md](capacity.md#how-many-gpus-for-r1-at-100-requests-a-minute)), or in Python ([library.md](library.md)):

```python
from deepseek_operator.planner import ask, gpus, plan

question = ask(
    "deepseek-ai/DeepSeek-R1",
    input_tokens={INPUT_TOKENS},
    output_tokens={OUTPUT_TOKENS},
    max_context_tokens={CONTEXT_TOKENS},
    concurrency={CONCURRENCY},
    ttft_milliseconds={TTFT_MILLISECONDS},
    tpot_milliseconds={TPOT_MILLISECONDS},
)
answer = plan(question, gpus("8 x h200-sxm"))
```

How to read a row:

* **GPUs**: what one replica takes of the node, the cheapest that keeps the service level; TP tensor, PP pipeline,
  DP data parallel, EP experts spread. The rest of the node stays free.
* **Precision**: `Native` runs the checkpoint as stored. Where nothing lossless is possible, the mildest
  quantization that is, with its quality class (`precision.quality`) in brackets.
* **KV cache**: thousand tokens that one replica holds, with the half width of the 90 % band.
* **TTFT, TPOT**: means in milliseconds, with the half width of their 90 % bands; the lower end of a band above
  100 % is 0.
* **tok/s**: answer tokens per second of the replica.
* **From**: where the speed comes from: `Transferred` if the model or the GPU was measured with this engine,
  `Roofline` if neither was. [accuracy.md](accuracy.md) says how far to trust either.
* **USD/h** at the prices below, which are the lowest that were seen and not offers; **USD/M** per million answer
  tokens at this load. Yours: `--prices FILE`.
* A row without GPUs has the planner's reason, and the first thing that would work.

Image tokens of VL2 and OCR count as tokens of the prompt.
"""

COLUMNS = "| node | GPUs | precision | KV cache, k tokens | TTFT ms | TPOT ms | tok/s | from | USD/h | USD/M |"
LINE = "|---|---|---|---|---|---|---|---|---|---|"


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_prices(), *_models()]) + "\n"


def _prices() -> Iterator[str]:
    yield "## The nodes and their prices\n"
    yield "| product | usable GiB per GPU | USD per GPU and hour | seen | where |"
    yield "|---|---|---|---|---|"
    for name in dict.fromkeys(each.rsplit(" ", 1)[1] for each in HARDWARE):
        gpu = products.gpu(name)
        usable = f"{(gpu.usable_memory_bytes or 0) / 2**30:.1f}"
        price, where = cost(gpu, 1), gpu.price_source.replace("|", "/")
        yield f"| {name} | {usable} | {'' if price is None else format_usd(price)} | {gpu.price_as_of} | {where} |"


def _models() -> Iterator[str]:
    supplies = [(node, gpus(node)) for node in HARDWARE]
    for name, also in _by_shape():
        yield f"\n## {name.partition('/')[2]}\n"
        facts = models.model(name)
        shared = f" The same shape: {', '.join(each.partition('/')[2] for each in also)}." if also else ""
        yield f"Catalogue grade {facts.evidence_grade} ([what that means](catalog.md)).{shared}\n"
        yield COLUMNS
        yield LINE
        for node, supply in supplies:
            yield _row(node, name, supply)


def _by_shape() -> list[tuple[str, list[str]]]:
    """Return each shape once: the name that stands for it, and the others."""
    found: dict[ModelShape, list[str]] = {}
    for name in (*MOST_PEOPLE_ASK_FOR, *models.model_names()):
        names = found.setdefault(models.shape(name), [])
        if name not in names:
            names.append(name)
    return [(names[0], names[1:]) for names in found.values()]


def _row(node: str, model: str, supply: Supply) -> str:
    """Return the plan in the mildest quality that has one, or why there is none."""
    first = answer = _answer(model, supply, Quality.LOSSLESS)
    for quality in (Quality.NEAR_LOSSLESS, Quality.ECONOMY):
        if isinstance(answer, Infeasible):
            answer = _answer(model, supply, quality)
            if isinstance(answer, Plan):
                return _planned(node, answer, f"{answer.quantization} ({quality.value})")
    if isinstance(answer, Plan):
        return _planned(node, answer, answer.quantization)
    assert isinstance(first, Infeasible)  # noqa: S101 - the first answer was no plan, or it had been returned
    why = first.message.partition("the nearest attempt fails: ")[2] or first.message
    would = f" Instead: {first.nearest_plans[0].change}." if first.nearest_plans else ""
    return f"| {node} | none: {first.reason.value} | {why}{would} | | | | | | | |"


def _answer(model: str, supply: Supply, quality: Quality) -> Plan | Infeasible:
    question = ask(
        model,
        input_tokens=INPUT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        max_context_tokens=CONTEXT_TOKENS,
        concurrency=CONCURRENCY,
        ttft_milliseconds=TTFT_MILLISECONDS,
        tpot_milliseconds=TPOT_MILLISECONDS,
        quality=quality,
    )
    return plan(question, supply)


def _planned(node: str, answer: Plan, precision: str) -> str:
    nodes = f", {answer.nodes_per_replica} nodes" if answer.nodes_per_replica > 1 else ""
    cells = [
        node,
        f"{answer.gpus_per_replica} ({answer.parallelism}{nodes})",
        precision,
        f"{answer.kv_cache_tokens // 1000:,} ± {answer.kv_cache_error_percent} %",
        *_speed(answer),
        "" if answer.cost_per_hour_usd is None else format_usd(answer.cost_per_hour_usd),
        str(answer.cost_per_million_tokens_usd or ""),
    ]
    return f"| {' | '.join(cells)} |"


def _speed(answer: Plan) -> list[str]:
    speed = answer.predicted
    if speed is None:
        return ["", "", "", ""]
    ttft, tpot = (each or speed.error_percent for each in (speed.ttft_error_percent, speed.tpot_error_percent))
    return [
        f"{speed.ttft_milliseconds:,} ± {ttft} %",
        f"{speed.tpot_milliseconds:,} ± {tpot} %",
        f"{speed.tokens_per_second:,}",
        speed.source_text,
    ]


if __name__ == "__main__":
    PAGE.write_text(page())
