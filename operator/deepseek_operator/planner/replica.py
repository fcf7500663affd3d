"""One replica of a plan as the speed model sees it, and its laws: what scaling and the simulator reckon with."""

from __future__ import annotations

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.pace import ReplicaPace, replica_pace
from deepseek_operator.performance.roofline import matrix_tflops
from deepseek_operator.planner.hardware import rung_on
from deepseek_operator.planner.request import PlanRequest, Supply
from deepseek_operator.planner.result import Plan


def request_of(request: PlanRequest, plan: Plan) -> PlanRequest:
    """Return the request that a plan answers: the one that was asked, or the fallback that runs in its place."""
    for each in (request, *request.fallbacks):
        if each.model_name == plan.model_name:
            return each
    return request


def pace_of(request: PlanRequest, plan: Plan) -> ReplicaPace | None:
    """Return the speed of one replica of a plan; None when the speed of its GPU is not known.

    Args:
        request: what was asked; its workload tells the lengths.
        plan: the answer to it.

    Raises:
        UnknownGpuError: the plan names a product that the catalogue does not hold.
        UnknownQuantizationError: the same for its quantization.
    """
    asked, product = request_of(request, plan), gpu(plan.gpu)
    rung = rung_on(quantization(plan.quantization), asked.model, product)
    tflops = matrix_tflops(product, rung.multiply_bits)
    if tflops is None:
        return None
    point = ServingPoint(
        shape=asked.model,
        parallelism=plan.parallelism,
        gpu=product,
        precision=Precision(bytes_per_parameter=rung.bytes_per_parameter, tflops=tflops),
        kv_bytes_per_token=float(plan.kv_cache_bytes_per_token * plan.parallelism.pipeline),
        batch=1,
        input_tokens=asked.workload.input_tokens,
        output_tokens=asked.workload.output_tokens,
        nodes=plan.nodes_per_replica,
    )
    return replica_pace(point, most_requests(plan))


def most_requests(plan: Plan) -> int:
    """Return the requests that one replica decodes at once: ``max_num_seqs`` of each of its engines."""
    return plan.max_num_seqs * plan.parallelism.data


def replicas_held(plan: Plan, supply: Supply) -> int:
    """Return how many replicas of a plan all schedulable GPUs of its product hold, 1 or more.

    A replica of one node is cut from single nodes; one of several nodes takes whole ones.
    """
    held: dict[str, int] = {}
    for pool in supply.pools:
        if pool.gpu.id != plan.gpu or pool.pin != plan.pin:
            continue
        per_node = plan.gpus_per_replica // plan.nodes_per_replica
        slots = sum(nodes * (gpus // per_node) for gpus, nodes in pool.nodes_by_gpu_count)
        held[pool.name] = max(held.get(pool.name, 0), slots // plan.nodes_per_replica)
    return max(1, sum(held.values()))
