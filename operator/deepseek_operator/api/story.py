"""The story of one DeepSeekDeployment, from the object alone: asked, planned, why, what runs, what it costs, lately."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from deepseek_operator.errors import InventoryError
from deepseek_operator.units import format_gib

HOURS_PER_MONTH = 730
"""365.25 days in 12 months."""

JsonObject = Mapping[str, Any]

_MEMORY = (
    ("weights", "weightsBytes"),
    ("KV cache", "kvCacheBytes"),
    ("activations", "activationsBytes"),
    ("engine", "overheadBytes"),
    ("free", "freeBytes"),
)


def story(obj: JsonObject) -> dict[str, list[str]]:
    """Return sentences under the headings Asked, Planned, Why, Runs, Costs and Lately, in this order.

    Args:
        obj: the object as the API server gives it; one without conditions was never looked at.

    Raises:
        InventoryError: the object is of another shape, as after editing a file by hand.

    >>> story({"spec": {"model": {"name": "deepseek-ai/DeepSeek-R1"}}})["Planned"]
    ['not yet: no operator has looked at it']
    """
    try:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            "Asked": list(_asked(spec)),
            "Planned": list(_planned(status)),
            "Why": list(_why(status)),
            "Runs": list(_runs(status)),
            "Costs": list(_costs(status)),
            "Lately": list(_lately(status)),
        }
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InventoryError("this is no DeepSeekDeployment as an operator writes it; get it anew") from error


def _asked(spec: JsonObject) -> Iterator[str]:
    yield f"model {(spec.get('model') or {}).get('name', '?')}"
    sla, workload, hardware = (spec.get(name) or {} for name in ("sla", "workload", "hardware"))
    limits = [f"{name.upper()} {sla[key]:,} ms" for name in ("ttft", "tpot") if (key := f"{name}Milliseconds") in sla]
    if limits:
        yield f"service level: {' and '.join(limits)} for {sla.get('percentile', 95)} % of requests"
    if workload:
        rate = (
            f"{workload['requestsPerMinute']:,} requests/min"
            if "requestsPerMinute" in workload
            else f"{workload.get('concurrency', '?')} requests at once"
        )
        sizes = [
            f"{workload[key]:,} {words}"
            for key, words in (
                ("inputTokens", "input tokens"),
                ("outputTokens", "output tokens"),
                ("maxContextTokens", "tokens of context at most"),
            )
            if key in workload
        ]
        yield ", ".join([rate, *sizes])
    bounds = [
        *(f"at most {hardware['maxGpusTotal']} GPUs" for _ in range("maxGpusTotal" in hardware)),
        *(f"at most {hardware['maxCostPerHourUsd']} USD/h" for _ in range("maxCostPerHourUsd" in hardware)),
        *(f"only {', '.join(hardware['gpus'])}" for _ in range(bool(hardware.get("gpus")))),
    ]
    if bounds:
        yield "; ".join(bounds)


def _planned(status: JsonObject) -> Iterator[str]:
    plan, refused = status.get("plan"), status.get("infeasible")
    if refused:
        yield f"no plan, {refused['reason']}: {refused.get('message', '')}"
        yield from _some(refused.get("nearest", ""))
    if not plan:
        if not refused:
            yield "not yet" if status.get("conditions") else "not yet: no operator has looked at it"
        return
    nodes = plan["nodesPerReplica"]
    over = f" over {nodes} nodes" if nodes > 1 else ""
    split = (status.get("summary") or {}).get("parallel") or "one GPU"
    yield f"{plan['gpusPerReplica']} x {plan['gpu']} per replica{over}, {split}, {plan['quantization']} weights"
    yield (
        f"{plan['maxNumSeqs']} requests at once of up to {plan['maxModelLen']:,} tokens; "
        f"KV cache for {plan['kvCacheTokens']:,} tokens (± {plan['kvCacheErrorPercent']} %)"
    )
    memory = plan["memoryPerGpu"]
    parts = ", ".join(f"{words} {format_gib(memory.get(key, 0))}" for words, key in _MEMORY)
    yield f"{format_gib(memory['totalBytes'])} per GPU: {parts}"
    if speed := plan.get("predicted"):
        yield (
            f"predicted: TTFT {speed['ttftMilliseconds']:,} ms, TPOT {speed['tpotMilliseconds']:,} ms, "
            f"{speed['tokensPerSecond']:,} tokens/s per replica ({speed['source']}, ± {speed['errorPercent']} %)"
        )
    if status.get("proposedPlan"):
        proposed = status["proposedPlan"]
        yield f"proposed instead: {proposed['gpusPerReplica']} x {proposed['gpu']}, hash {proposed['hash']}"


def _why(status: JsonObject) -> Iterator[str]:
    plan = status.get("plan") or {}
    if compromise := plan.get("compromise"):
        yield f"compromise: {compromise.get('change', '')}; {compromise.get('message', '')}"
    yield from plan.get("reasons", ())
    for other in plan.get("alternatives", ()):
        yield f"not {other['gpusPerReplica']} x {other['gpu']} ({other['quantization']}): {other['detail']}"


def _runs(status: JsonObject) -> Iterator[str]:
    if ready := (status.get("summary") or {}).get("ready"):
        yield f"{ready} replicas ready" + (f" at {status['endpoint']}" if status.get("endpoint") else "")
    if told := status.get("observed"):
        tokens, off = told.get("kvCacheTokens", 0), told.get("differencePercent", 0)
        yield f"the engine reported a KV cache of {tokens:,} tokens, {off:+} % against the plan"
    for each in status.get("conditions", ()):
        if each["status"] != "True" or each["type"] in ("Ready", "RollingOut", "Reconciling", "Stalled"):
            yield f"{each['type']} is {each['status']} ({each['reason']}): {each['message']}"


def _costs(status: JsonObject) -> Iterator[str]:
    plan = status.get("plan") or {}
    if price := plan.get("costPerHourUsd"):
        replicas = "replica" if plan["replicas"] == 1 else "replicas"
        month = f"{Decimal(price) * HOURS_PER_MONTH:,.2f}"
        yield f"{price} USD/h for {plan['replicas']} planned {replicas}, {month} USD per month"
        if tokens := plan.get("costPerMillionTokensUsd"):
            yield f"{tokens} USD per million output tokens at the planned load"
    elif plan:
        yield f"{plan['gpu']} has no price; see `kubectl deepseek plan --prices`"


def _lately(status: JsonObject) -> Iterator[str]:
    events: list[tuple[str, str]] = [
        (
            each["time"],
            f"scaling {each['fromReplicas']} -> {each['toReplicas']} ({each['reason']}): {each.get('message', '')}",
        )
        for each in (status.get("scaling") or {}).get("decisions", ())
    ]
    events += [
        (each["lastTransitionTime"], f"{each['type']} became {each['status']} ({each['reason']})")
        for each in status.get("conditions", ())
    ]
    yield from (f"{time} {what}" for time, what in sorted(events, reverse=True))


def _some(text: str) -> Sequence[str]:
    return [text] if text else []
