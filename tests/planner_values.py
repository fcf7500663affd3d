"""Requests and supplies for planner tests; keywords change what a test names."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.request import GpuPool, PlanRequest, Sla, Supply, Workload
from deepseek_operator.planner.result import Infeasible, Plan

CHAT_67B = "deepseek-ai/deepseek-llm-67b-chat"
CHAT_7B = "deepseek-ai/deepseek-llm-7b-chat"
R1 = "deepseek-ai/DeepSeek-R1"
V32 = "deepseek-ai/DeepSeek-V3.2"

H100, A100, L40S, RTX_4090 = "h100-sxm5-80gb", "a100-sxm4-80gb", "l40s", "rtx-4090"
SLA = Sla(ttft_milliseconds=2000, tpot_milliseconds=60)
WORKLOAD = Workload(input_tokens=1024, output_tokens=256, max_context_tokens=4096, concurrency=32)


def pool(gpu_id: str, nodes: int = 1, gpus_per_node: int = 8) -> GpuPool:
    """Return equal nodes of one catalogue product."""
    product = gpu(gpu_id)
    assert product.usable_memory_bytes is not None
    return GpuPool(
        gpu=product,
        usable_memory_bytes=product.usable_memory_bytes,
        nodes_by_gpu_count=((gpus_per_node, nodes),),
    )


def supply(*pools: GpuPool) -> Supply:
    """Return a supply of the given pools."""
    return Supply(pools=pools)


MIXED = supply(pool(H100, 3), pool(A100, 2), pool(L40S, 2), pool(RTX_4090, 2))

EIGHT_PRODUCTS = supply(*(pool(name, 2) for name in (H100, A100, L40S, RTX_4090, "h200-sxm", "b200", "h20-96gb", "l4")))


def request(model: str = CHAT_67B, **changes: object) -> PlanRequest:
    """Return 32 requests of 1,024 + 256 tokens on a model with the sample's service level."""
    asked = PlanRequest(model_name=model, model=shape(model), workload=WORKLOAD, sla=SLA)
    return replace(asked, **changes)  # type: ignore[arg-type]  # keywords are the fields of the request


def planned(asked: PlanRequest, available: Supply) -> Plan:
    """Return the plan; the test fails with the planner's own sentence when there is none."""
    answer = plan(asked, available)
    assert isinstance(answer, Plan), answer
    return answer


def refused(asked: PlanRequest, available: Supply) -> Infeasible:
    """Return why there is no plan; the test fails when there is one."""
    answer = plan(asked, available)
    assert isinstance(answer, Infeasible), answer
    return answer
