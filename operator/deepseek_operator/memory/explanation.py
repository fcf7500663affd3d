"""An estimate as formulas with the numbers put in, for people who want to check it."""

from __future__ import annotations

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import MemoryEstimate, RankMemory
from deepseek_operator.memory.kv_cache import NULL_BLOCKS, KvCachePool, counts_requests, max_in_flight_tokens
from deepseek_operator.memory.overhead import Activations, activations
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.release_overheads import ReleaseOverheads, release_overheads
from deepseek_operator.memory.rules_of_thumb import rules_of_thumb
from deepseek_operator.memory.weights import WEIGHTS_ERROR_PERCENT, StageWeights
from deepseek_operator.units import GIB, format_tokens


def explanation(
    shape: ModelShape, answer: MemoryEstimate, compute_capability: tuple[int, int] | None = None
) -> tuple[str, ...]:
    """Return one line per formula, for the rank whose KV cache holds the fewest tokens.

    Args:
        shape: the model that was estimated.
        answer: its estimate.
        compute_capability: what ``estimate`` was given.
    """
    settings = answer.settings
    release = release_overheads(settings.release)
    pool = answer.kv_cache_pool
    stages = quantized_weights(
        shape,
        answer.parallelism,
        settings.quantization,
        compute_capability,
        with_draft=settings.loads_draft_layers,
    )
    rank = min(answer.ranks, key=lambda each: each.kv_cache_bytes / (pool.stage_block_bytes[each.stage] if pool else 1))
    weights = stages[rank.stage]
    peaks = activations(shape, answer.parallelism, weights.stage, settings, release)
    return (
        f"the rank with the fewest blocks: stage {rank.stage}, {weights.stage.num_layers} layers",
        _budget_line(answer, rank),
        _weights_line(weights, rank),
        _activations_line(shape, answer, release, peaks),
        f"outside torch = {_gib(rank.non_torch_bytes)} (vLLM {release.release}, TP {answer.parallelism.tensor})",
        _graphs_line(rank, release),
        _kv_cache_line(rank, release),
        *(_token_lines(answer, pool, rank, weights) if pool else (f"no KV cache: {answer.limit}",)),
        _error_line(shape, answer, rank, release, compute_capability),
        f"overheads: {release.basis(shape)}; from: {release.source}",
        *rules_of_thumb(shape, answer),
    )


def _error_line(
    shape: ModelShape,
    answer: MemoryEstimate,
    rank: RankMemory,
    release: ReleaseOverheads,
    compute_capability: tuple[int, int] | None,
) -> str:
    non_torch = release.non_torch_band_on(answer.parallelism.tensor, compute_capability)
    parts = [
        f"weights ± {WEIGHTS_ERROR_PERCENT} %",
        f"activations ± {_gib(release.activations_band_of(shape).half_width_bytes(rank.activations_bytes))}",
        f"outside torch ± {_gib(non_torch.half_width_bytes(rank.non_torch_bytes))}",
    ]
    if rank.cuda_graph_bytes:
        parts.append(f"CUDA graphs ± {_gib(release.cuda_graphs_band.half_width_bytes(rank.cuda_graph_bytes))}")
    return f"90 % bands: {', '.join(parts)}, so KV cache tokens ± {answer.kv_cache_error_percent} %"


def _budget_line(answer: MemoryEstimate, rank: RankMemory) -> str:
    settings = answer.settings
    percent = settings.gpu_memory_utilization_percent + settings.gpu_memory_utilization_basis_points / 100
    return f"budget = total x utilization = {_gib(rank.total_bytes)} x {percent:g} % = {_gib(rank.budget_bytes)}"


def _weights_line(weights: StageWeights, rank: RankMemory) -> str:
    parts = " + ".join(f"{component} {_gib(size)}" for component, size in weights.by_component)
    moved = weights.total_bytes - rank.weights_bytes
    if not moved:
        return f"weights = {parts} = {_gib(weights.total_bytes)}"
    return f"weights = {parts} - offloaded to the host {_gib(moved)} = {_gib(rank.weights_bytes)}"


def _activations_line(shape: ModelShape, answer: MemoryEstimate, release: ReleaseOverheads, peaks: Activations) -> str:
    settings = answer.settings
    sampler = (
        f"{release.sampler_bytes_per_logit:g} B x {settings.max_num_seqs} requests x {shape.vocab_size} vocabulary "
        f"entries and hidden states {_gib(peaks.sampler_bytes)}"
        if peaks.sampler_bytes
        else "no sampler before the last stage"
    )
    return (
        f"activations = max(forward pass of {format_tokens(settings.max_num_batched_tokens)} "
        f"{_gib(peaks.forward_bytes)}, {sampler}) + workspaces {_gib(peaks.workspace_bytes)} + between stages "
        f"{_gib(peaks.between_stages_bytes)} = {_gib(peaks.total_bytes)}"
    )


def _graphs_line(rank: RankMemory, release: ReleaseOverheads) -> str:
    where = "inside" if release.cuda_graphs_inside_budget else "outside"
    return f"CUDA graphs = {_gib(rank.cuda_graph_bytes)}, {where} the budget"


def _kv_cache_line(rank: RankMemory, release: ReleaseOverheads) -> str:
    parts = [rank.weights_bytes, rank.activations_bytes, rank.non_torch_bytes]
    if release.cuda_graphs_inside_budget:
        parts.append(rank.cuda_graph_bytes)
    taken = " - ".join(_gib(part) for part in parts)
    return f"KV cache = {_gib(rank.budget_bytes)} - {taken} = {_gib(rank.kv_cache_bytes)}"


def _token_lines(answer: MemoryEstimate, pool: KvCachePool, rank: RankMemory, weights: StageWeights) -> tuple[str, ...]:
    settings, split = answer.settings, answer.parallelism
    block_bytes = pool.stage_block_bytes[rank.stage]
    in_flight = max_in_flight_tokens(split, settings)
    needed = pool.blocks_per_request(settings.max_model_len, in_flight)
    counted = (
        f"{answer.kv_cache_blocks:,} blocks / {needed:,} per request x {settings.max_model_len:,} tokens"
        if counts_requests(settings.release)
        else f"{answer.kv_cache_blocks:,} blocks / {len(pool.groups)} groups x {pool.block_tokens} tokens"
    )
    shared = f" on {pool.decode_context} ranks" if pool.decode_context > 1 else ""
    per_token = f"{block_bytes / pool.block_tokens:,.10g} B"
    if pool.grows_evenly:
        first = f"KV cache per token = {weights.stage.num_layers} layers x ({pool.formula}){shared} = {per_token}"
    else:
        first = f"KV cache per further token = {pool.formula}, so {per_token} in blocks of {block_bytes:,} B"
    lines = [
        first,
        f"KV cache blocks = floor({_gib(rank.kv_cache_bytes)} / {block_bytes:,} B per block of {pool.block_tokens} "
        f"tokens), the fewest of all ranks = {answer.kv_cache_blocks:,} ({pool.stored.format})",
        f"KV cache tokens = {counted} x DP {split.data}, as the engine counts them = "
        f"{format_tokens(answer.kv_cache_tokens)}",
        f"one request of {format_tokens(settings.max_model_len)} needs {needed + NULL_BLOCKS:,} blocks (one of them "
        f"the null block) = {_gib((needed + NULL_BLOCKS) * block_bytes)}; the longest that fits has "
        f"{format_tokens(answer.longest_context_tokens)}",
    ]
    if not pool.grows_evenly:
        growing = -(-settings.max_model_len // pool.block_tokens)
        decoding = pool.blocks_per_request(settings.max_model_len, 1)
        lines.append(
            f"of these blocks {growing:,} grow with the context, {decoding - growing:,} are its window and open "
            f"states, and {needed - decoding:,} are there while {format_tokens(in_flight)} of prefill are in flight"
        )
    return tuple(lines)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.3f} GiB"
