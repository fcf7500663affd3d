"""Which splits are worth trying on a pool: tensor, pipeline and, for experts, data parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.parallelism import illegal, legal_tensors
from deepseek_operator.planner.request import GpuPool, PlanRequest
from deepseek_operator.planner.topology import most_tensor


def gains_from_data_parallelism(shape: ModelShape) -> bool:
    """Whether engines that each hold their own attention are worth trying inside one replica.

    They are where every tensor-parallel rank would hold the whole latent or compressed cache, so that each engine more
    is that much more cache, and where experts are shared between the engines, so that the weights stay cut.
    """
    return shape.experts is not None and not isinstance(shape.attention, GroupedQueryAttention)


def splits(request: PlanRequest, pool: GpuPool, linear: LinearFormat | None) -> list[Parallelism]:
    """Return every split to consider, smallest world first; the legality of pinned values is judged by the caller.

    Tensor parallelism fills a node before pipeline stages leave it. Data parallelism, alone or times tensor
    parallelism, takes a part of a node or whole nodes, and is combined with pipeline stages only when it is pinned;
    so is expert parallelism. What the user pins is the only value tried. A part of a GPU holds a whole replica.

    Args:
        request: the question, for the model and what is pinned.
        pool: nodes of one GPU product.
        linear: how linear layers are stored, whose blocks and groups a split must not cut; None as the checkpoint does.
    """
    pinned = request.parallelism
    if pool.share is not None and pool.share.is_part:
        alone = Parallelism(
            tensor=pinned.tensor or 1,
            pipeline=pinned.pipeline or 1,
            data=pinned.data or 1,
            expert=bool(pinned.expert),
        )
        return [alone]
    found: set[Parallelism] = set()
    for expert in _experts(request):
        tensors = _tensors(request, pool, expert=expert, linear=linear)
        filling = {
            max((tensor for tensor in tensors if tensor <= gpus), default=0) for gpus, _ in pool.nodes_by_gpu_count
        }
        for tensor in tensors:
            for data in _datas(request, pool, tensor):
                flat = Parallelism(tensor=tensor, data=data, expert=expert)
                ours = (data > 1 and pinned.data is None) or (expert and pinned.expert is None)
                if ours and illegal(request.model, flat, linear=linear):
                    continue
                pipelines = _pipelines(request, pool, flat, fills=tensor in filling, one_stage=ours)
                found |= {Parallelism(tensor=tensor, pipeline=stages, data=data, expert=expert) for stages in pipelines}
    return sorted(found, key=lambda split: (split.world_size, split))


def _experts(request: PlanRequest) -> tuple[bool, ...]:
    if request.parallelism.expert is not None:
        return (request.parallelism.expert,)
    return (False, True) if gains_from_data_parallelism(request.model) else (False,)


def _tensors(request: PlanRequest, pool: GpuPool, *, expert: bool, linear: LinearFormat | None) -> tuple[int, ...]:
    pinned = request.parallelism
    if pinned.tensor is not None:
        return (pinned.tensor,)
    legal = legal_tensors(request.model, data=pinned.data or 1, expert=expert, linear=linear)
    return tuple(tensor for tensor in legal if tensor <= most_tensor(pool))


def _datas(request: PlanRequest, pool: GpuPool, tensor: int) -> Iterator[int]:
    """Sizes of data parallelism for one tensor size: inside a node, or filling several nodes of one size."""
    if request.parallelism.data is not None:
        yield request.parallelism.data
        return
    yield 1
    if not gains_from_data_parallelism(request.model) or request.model.experts is None:
        return
    most = min(pool.total_gpus, request.model.experts.num_experts)
    inside = range(2 * tensor, min(pool.largest_node, most) + 1, tensor)
    whole = {ranks for gpus, _ in pool.nodes_by_gpu_count for ranks in range(2 * gpus, most + 1, gpus)}
    for ranks in sorted({*inside, *whole}):
        if ranks % tensor == 0:
            yield ranks // tensor


def _pipelines(
    request: PlanRequest, pool: GpuPool, flat: Parallelism, *, fills: bool, one_stage: bool
) -> range | tuple[int]:
    """Pipeline sizes for a split without stages: inside a node; beyond it only when tensor parallelism fills a node."""
    if request.parallelism.pipeline is not None:
        return (request.parallelism.pipeline,)
    if one_stage:
        return (1,)
    gpus = pool.total_gpus if fills else pool.largest_node
    return range(1, min(max(1, gpus // flat.world_size), request.model.num_layers) + 1)
