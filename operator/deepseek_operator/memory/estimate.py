"""Bytes of every rank of one engine process group: the answer of this floor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.added_weights import added_weights
from deepseek_operator.memory.kv_cache import (
    NO_POOL,
    NULL_BLOCKS,
    KvCachePool,
    blocks_in,
    kv_cache_pool,
    max_in_flight_tokens,
)
from deepseek_operator.memory.overhead import activations, corrected, cuda_graph_bytes
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.release_overheads import ReleaseOverheads, release_overheads
from deepseek_operator.memory.settings import EngineSettings, KvCacheDtype
from deepseek_operator.memory.weight_offload import offload
from deepseek_operator.memory.weights import WEIGHTS_ERROR_PERCENT, StageWeights
from deepseek_operator.units import ceil_div, format_gib, format_tokens

__all__ = ["EngineSettings", "KvCacheDtype", "MemoryEstimate", "RankMemory", "estimate"]


@dataclass(frozen=True, kw_only=True)
class RankMemory:
    """Memory of one GPU of a pipeline stage (ranks of a stage are alike).

    ``kv_cache_bytes`` is what the budget leaves for the KV cache; 0 or less means that the rank does not fit.
    CUDA graphs are part of the budget since vLLM 0.21; before, they lie in what the utilization leaves free.
    """

    stage: int
    total_bytes: int
    budget_bytes: int
    weights_bytes: int
    activations_bytes: int
    non_torch_bytes: int
    cuda_graph_bytes: int
    kv_cache_bytes: int


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Memory of one replica.

    Args:
        ranks: one entry per pipeline stage, first stage first.
        kv_cache_bytes_per_token: on the rank that stores most, rounded up; ``kv_cache_pool`` has the exact figure and
            what a request costs besides.
        kv_cache_tokens: tokens that the whole replica's cache holds (all data-parallel engines together), counted as
            the engine's release logs them.
        kv_cache_error_percent: half width of the 90 % band of ``kv_cache_tokens``.
        kv_cache_error_bytes: the same in bytes, on the rank with the least room.
        longest_context_tokens: longest single request that fits (0 when nothing fits).
        fits: whether one request of ``max_model_len`` fits.
        fits_surely: whether it still fits when the KV cache is at the lower end of its 90 % band.
        limit: when it does not fit, one sentence with the numbers; else empty.
        basis: one sentence on what the overheads rest on: which release's start-ups, and whether they are few.
        overhead_correction_bytes: what was added to the release's overheads on each rank, as told by the caller.
        kv_cache_blocks: blocks of one engine's pool, the null block included.
        kv_cache_pool: how those blocks are laid out; None when the engine cannot keep such a cache.
    """

    parallelism: Parallelism
    settings: EngineSettings
    ranks: tuple[RankMemory, ...]
    kv_cache_bytes_per_token: int
    kv_cache_tokens: int
    kv_cache_error_percent: int
    longest_context_tokens: int
    fits: bool
    fits_surely: bool
    limit: str
    basis: str
    overhead_correction_bytes: int = 0
    kv_cache_error_bytes: int = 0
    kv_cache_blocks: int = 0
    kv_cache_pool: KvCachePool | None = None

    @property
    def worst_rank(self) -> RankMemory:
        """The rank with the least room for the KV cache; the first of equals."""
        return min(self.ranks, key=lambda rank: rank.kv_cache_bytes)

    @property
    def max_concurrency(self) -> float:
        """Requests of ``max_model_len`` tokens that the cache holds at once, as the engine logs it."""
        if self.kv_cache_pool is None:
            return 0.0
        in_flight = max_in_flight_tokens(self.parallelism, self.settings)
        per_request = self.kv_cache_pool.blocks_per_request(self.settings.max_model_len, in_flight)
        return self.parallelism.data * self.kv_cache_blocks / per_request

    def requests_held(self, tokens: int) -> int:
        """Return how many decoding requests of so many tokens the replica's cache holds beside prefill in flight.

        The engine's ``max_concurrency`` reserves for each request what only the chunks in flight take.

        Args:
            tokens: context of every request, 1 or more.
        """
        if self.kv_cache_pool is None:
            return 0
        in_flight = max_in_flight_tokens(self.parallelism, self.settings)
        return self.parallelism.data * self.kv_cache_pool.requests_held(self.kv_cache_blocks, tokens, in_flight)


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What ``estimate`` was asked, with everything that does not depend on the context length."""

    shape: ModelShape
    parallelism: Parallelism
    settings: EngineSettings
    total_memory_bytes: int
    pool: KvCachePool
    release: ReleaseOverheads
    weights: tuple[StageWeights, ...]
    added: tuple[int, ...]
    compute_capability: tuple[int, int] | None
    overhead_correction_bytes: int

    @property
    def in_flight_tokens(self) -> int:
        """Tokens that may be scheduled and not yet settled."""
        return max_in_flight_tokens(self.parallelism, self.settings)

    def outside_bytes(self, *, surely: bool) -> int:
        """Return what no budget can have: context, NCCL, and graphs where the release leaves them outside.

        Args:
            surely: whether graphs count in full; without, only what the lower end of their band takes.
        """
        outside = self.release.outside_budget_bytes(self.parallelism.world_size, self.total_memory_bytes)
        if self.release.cuda_graphs_inside_budget:
            return outside
        graphs = max(self.graph_bytes(weights, self.settings) for weights in self.weights)
        if not surely:
            graphs -= self.release.cuda_graphs_band.half_width_bytes(graphs)
        return outside + max(0, graphs)

    def graph_bytes(self, weights: StageWeights, settings: EngineSettings) -> int:
        """Return the CUDA graphs of a stage, inside the budget or not."""
        return cuda_graph_bytes(weights.stage, settings, self.release, self.compute_capability)

    def ranks(self, max_model_len: int) -> tuple[RankMemory, ...]:
        """Return the memory of each stage when the engine is started with that context."""
        settings = replace(self.settings, max_model_len=max_model_len)
        return tuple(self._rank(weights, settings) for weights in self.weights)

    def fewest_blocks(self, ranks: tuple[RankMemory, ...]) -> tuple[int, RankMemory]:
        """Return the block count that every rank of an engine uses, and the rank that sets it."""
        counts = (blocks_in(rank.kv_cache_bytes, self.pool.stage_block_bytes[rank.stage]) for rank in ranks)
        return min(zip(counts, ranks, strict=True), key=lambda pair: (pair[0], pair[1].kv_cache_bytes))

    def needed_blocks(self, max_model_len: int) -> int:
        """Return the blocks that one request of that length needs, the null block included."""
        return self.pool.blocks_per_request(max_model_len, self.in_flight_tokens) + NULL_BLOCKS

    def holds(self, max_model_len: int) -> bool:
        """Whether an engine started with that context can serve one request of that length."""
        blocks, _ = self.fewest_blocks(self.ranks(max_model_len))
        return blocks >= self.needed_blocks(max_model_len)

    def longest_context(self) -> int:
        """Return the longest request that fits, by bisection on the curve; 0 when none does.

        Workspaces that grow with the context make the pool smaller, so the answer lies between what the smallest and
        what the largest pool hold; most models have one pool for every context.
        """
        longest = max(self.shape.max_position_embeddings, self.settings.max_model_len)
        smallest, _ = self.fewest_blocks(self.ranks(longest))
        low = _last_true(0, longest, lambda tokens: self.needed_blocks(tokens) <= smallest)
        if low == longest:
            return longest
        largest, _ = self.fewest_blocks(self.ranks(1))
        if largest == smallest:
            return low
        high = _last_true(low, longest, lambda tokens: self.needed_blocks(tokens) <= largest)
        return _last_true(low, high, self.holds)

    def _rank(self, weights: StageWeights, settings: EngineSettings) -> RankMemory:
        basis_points = 100 * settings.gpu_memory_utilization_percent + settings.gpu_memory_utilization_basis_points
        budget = ceil_div(self.total_memory_bytes * basis_points, 10_000)
        resident = weights.total_bytes + self.added[weights.stage.index]
        resident -= offload(weights.offloadable, settings.cpu_offload_bytes).device_bytes
        active = activations(self.shape, self.parallelism, weights.stage, settings, self.release).total_bytes
        non_torch = self.release.non_torch_bytes(self.parallelism.tensor)
        graphs = self.graph_bytes(weights, settings)
        if self.release.cuda_graphs_inside_budget:
            active, non_torch, graphs = corrected(self.overhead_correction_bytes, active, non_torch, graphs)
            taken = resident + active + non_torch + graphs
        else:
            active, non_torch = corrected(self.overhead_correction_bytes, active, non_torch)
            taken = resident + active + non_torch
        if settings.kv_cache_memory_bytes:
            budget = taken + settings.kv_cache_memory_bytes
        return RankMemory(
            stage=weights.stage.index,
            total_bytes=self.total_memory_bytes,
            budget_bytes=budget,
            weights_bytes=resident,
            activations_bytes=active,
            non_torch_bytes=non_torch,
            cuda_graph_bytes=graphs,
            kv_cache_bytes=budget - taken,
        )


def estimate(
    shape: ModelShape,
    parallelism: Parallelism,
    settings: EngineSettings,
    total_memory_bytes: int,
    compute_capability: tuple[int, int] | None = None,
    *,
    overhead_correction_bytes: int = 0,
) -> MemoryEstimate:
    """Return the memory of one replica: budget = total x utilization; KV = budget - weights - overheads.

    Args:
        shape: the model.
        parallelism: how one replica is split; whether the split is legal is the planner's question.
        settings: what the engine is told.
        total_memory_bytes: memory of one GPU as the driver reports it to the engine, above 0.
        compute_capability: of the GPU; None assumes Hopper. It matters for the format of the KV cache.
        overhead_correction_bytes: added to the overheads of every rank, below 0 to lessen them (to no less than
            nothing): what a started engine took beside what its release was known to take.

    Returns:
        the estimate; ``fits`` is False, with the reason in ``limit``, when one request of ``max_model_len`` does
        not fit, when the utilization asks for memory that the driver and NCCL hold, or when the engine cannot keep
        such a KV cache.

    Raises:
        UnknownQuantizationError: ``settings.quantization`` is not in the catalogue.
        UnknownEngineReleaseError: ``settings.release`` is no release number.

    Source: vLLM 0.32 ``v1/worker/gpu_worker.py`` ``determine_available_memory``, ``v1/core/kv_cache_utils.py``;
    the identity holds within -0.14 to +0.06 GiB on 73 recorded start-ups.
    """
    try:
        pool, refusal = kv_cache_pool(shape, parallelism, settings, compute_capability), ""
    except UnsupportedKvCacheError as error:
        pool, refusal = NO_POOL, str(error)
    question = _Question(
        shape=shape,
        parallelism=parallelism,
        settings=settings,
        total_memory_bytes=total_memory_bytes,
        pool=pool,
        release=release_overheads(settings.release),
        weights=quantized_weights(
            shape,
            parallelism,
            settings.quantization,
            compute_capability,
            with_draft=settings.loads_draft_layers,
        ),
        added=added_weights(shape, parallelism, settings, compute_capability),
        compute_capability=compute_capability,
        overhead_correction_bytes=overhead_correction_bytes,
    )
    ranks = question.ranks(settings.max_model_len)
    worst = min(ranks, key=lambda rank: rank.kv_cache_bytes)
    error_bytes = _error_bytes(question, worst)
    answer = MemoryEstimate(
        parallelism=parallelism,
        settings=settings,
        ranks=ranks,
        kv_cache_bytes_per_token=0,
        kv_cache_tokens=0,
        kv_cache_error_percent=_error_percent(error_bytes, worst),
        longest_context_tokens=0,
        fits=False,
        fits_surely=False,
        limit=refusal,
        basis=question.release.basis(shape),
        overhead_correction_bytes=overhead_correction_bytes,
        kv_cache_error_bytes=error_bytes,
    )
    return answer if refusal else _with_pool(question, answer)


def _with_pool(question: _Question, answer: MemoryEstimate) -> MemoryEstimate:
    """Return the answer with what depends on the pool."""
    settings, pool = question.settings, question.pool
    blocks, _ = question.fewest_blocks(answer.ranks)
    longest = question.longest_context()
    limit = _limit(question, answer.ranks, longest)
    tokens = pool.reported_tokens(blocks, settings.max_model_len, question.in_flight_tokens, settings.release)
    return replace(
        answer,
        kv_cache_bytes_per_token=math.ceil(pool.bytes_per_token),
        kv_cache_tokens=tokens * question.parallelism.data,
        longest_context_tokens=longest,
        fits=not limit,
        fits_surely=not limit and _fits_surely(question, answer.ranks),
        limit=limit,
        kv_cache_blocks=blocks,
        kv_cache_pool=pool,
    )


def _last_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the largest number up to ``high`` for which a law holds that holds for ``low`` and stops once."""
    if high > low and holds(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _limit(question: _Question, ranks: tuple[RankMemory, ...], longest: int) -> str:
    """Return why the replica does not start, with needed, available and what would work; empty when it does."""
    settings = question.settings
    blocks, worst = question.fewest_blocks(ranks)
    where = f"on a rank of stage {worst.stage}" if len(ranks) > 1 else "on each GPU"
    remedy = f"at most {format_tokens(longest)} would fit" if longest else "no context fits"
    if worst.kv_cache_bytes <= 0:
        needed = worst.budget_bytes - worst.kv_cache_bytes
        return (
            f"weights and overheads need {format_gib(needed)} {where} ({format_gib(worst.weights_bytes)} of them "
            f"weights), but the budget is {format_gib(worst.budget_bytes)} of {format_gib(worst.total_bytes)}; "
            f"{remedy}, so split over more GPUs, quantize, or use larger GPUs"
        )
    needed_blocks = question.needed_blocks(settings.max_model_len)
    if blocks < needed_blocks:
        needed = needed_blocks * question.pool.stage_block_bytes[worst.stage]
        return (
            f"one request of {format_tokens(settings.max_model_len)} needs {format_gib(needed)} of KV cache "
            f"{where}, but {format_gib(worst.kv_cache_bytes)} are available; {remedy}"
        )
    free = worst.total_bytes - question.outside_bytes(surely=False)
    if worst.budget_bytes > free and settings.kv_cache_memory_bytes:
        most = free - worst.budget_bytes + settings.kv_cache_memory_bytes
        return (
            f"weights, overheads and kv_cache_memory_bytes need {format_gib(worst.budget_bytes)} {where}, but driver, "
            f"NCCL and CUDA graphs leave only {format_gib(free)} of {format_gib(worst.total_bytes)}; at most "
            f"{format_gib(max(0, most))} of KV cache would fit"
        )
    if worst.budget_bytes > free:
        highest = free * 100 // worst.total_bytes
        return (
            f"the budget is {format_gib(worst.budget_bytes)}, but driver, NCCL and CUDA graphs leave only "
            f"{format_gib(free)} of {format_gib(worst.total_bytes)}; the highest utilization is {highest} %"
        )
    return ""


def _fits_surely(question: _Question, ranks: tuple[RankMemory, ...]) -> bool:
    """Whether one request fits when every rank's KV cache is at the lower end of its band and graphs count in full."""
    if ranks[0].budget_bytes > question.total_memory_bytes - question.outside_bytes(surely=True):
        return False
    low = tuple(replace(rank, kv_cache_bytes=rank.kv_cache_bytes - _error_bytes(question, rank)) for rank in ranks)
    blocks, _ = question.fewest_blocks(low)
    return blocks >= question.needed_blocks(question.settings.max_model_len)


def _error_bytes(question: _Question, rank: RankMemory) -> int:
    """Return the half width of the 90 % band of a rank's KV cache, in bytes.

    The errors of weights, activations, memory outside torch and CUDA graphs have separate causes, so their squares
    add up. ``tests/accuracy`` prints how often the truth lies inside when its own log series is left out. A fixed
    pool has none.
    """
    if question.settings.kv_cache_memory_bytes:
        return 0
    release = question.release
    non_torch = release.non_torch_band_on(question.parallelism.tensor, question.compute_capability)
    widths = [
        rank.weights_bytes * WEIGHTS_ERROR_PERCENT // 100,
        release.activations_band_of(question.shape).half_width_bytes(rank.activations_bytes),
        non_torch.half_width_bytes(rank.non_torch_bytes),
    ]
    if release.cuda_graphs_inside_budget and rank.cuda_graph_bytes:
        widths.append(release.cuda_graphs_band.half_width_bytes(rank.cuda_graph_bytes))
    return math.isqrt(sum(width * width for width in widths))


def _error_percent(error_bytes: int, worst: RankMemory) -> int:
    """Return the half width of the 90 % band of the KV cache as a share, at most 100."""
    if worst.kv_cache_bytes <= 0:
        return 100
    return min(100, max(1, ceil_div(100 * error_bytes, worst.kv_cache_bytes)))
