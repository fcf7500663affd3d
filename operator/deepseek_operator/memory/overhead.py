"""What the engine keeps besides weights and KV cache: activations, memory outside torch, CUDA graphs.

Laws are code here; the figures of each engine release are data (``catalog/data/engine_overheads.json``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.engines import DEFAULT_ENGINE, DEFAULT_VERSION, engine_release
from deepseek_operator.catalog.shapes import LatentAttention, ModelShape
from deepseek_operator.errors import UnknownEngineReleaseError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.stages import Stage
from deepseek_operator.units import MIB, ceil_div

UNMEASURED_RELEASE_ERROR_PERCENT = 10
"""Added to the band when the figures of the next older release stand in for a release without its own."""

CUDA_GRAPH_ERROR_PERCENT = 40
"""Half width of the 90 % band of the CUDA graphs alone: 0.67 GiB logged for 0.93 at TP4, within 20 % elsewhere."""

_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.?[a-z+\-].{0,64})?")


@dataclass(frozen=True, kw_only=True)
class ReleaseOverheads:
    """Figures of one engine release.

    Args:
        sampler_bytes_per_logit: peak of the sampler's buffers per (request, vocabulary entry).
        cuda_graphs_inside_budget: whether the engine subtracts the graphs before it sizes the KV cache (since
            0.21); before, they lie in the memory that the utilization leaves free.
        overhead_error_percent: half width of the 90 % band of all overheads together.
    """

    release: str
    sampler_bytes_per_logit: int
    non_torch_bytes_by_tensor: tuple[tuple[int, int], ...]
    outside_budget_bytes_by_tensor: tuple[tuple[int, int], ...]
    graph_base_bytes: int
    graph_layer_bytes: int
    graph_moe_layer_bytes: int
    graph_reference_sizes: int
    cuda_graphs_inside_budget: bool
    overhead_error_percent: int
    source: str

    def non_torch_bytes(self, tensor: int) -> int:
        """Return what a rank keeps outside torch inside the budget: NCCL and library workspaces."""
        return _at_least(self.non_torch_bytes_by_tensor, tensor)

    def outside_budget_bytes(self, world_size: int) -> int:
        """Return what lies outside the accounting: the CUDA context and the first NCCL buffers."""
        return _at_least(self.outside_budget_bytes_by_tensor, world_size)


@lru_cache(maxsize=256)
def release_overheads(release: str) -> ReleaseOverheads:
    """Return the figures of an engine release; a release without its own takes the next older one's.

    Args:
        release: such as ``0.32.0`` or ``v0.11.2rc1``.

    Raises:
        UnknownEngineReleaseError: the text is no release number; write one such as ``0.32.0``.

    >>> release_overheads("0.19.1").release, release_overheads("0.19.1").overhead_error_percent
    ('0.19.0', 25)
    """
    data: dict[str, Any] = read_json("engine_overheads.json")
    rows = sorted(data["releases"], key=lambda row: _release_key(row["release"]))
    wanted = _release_key(release)
    row = next((row for row in reversed(rows) if _release_key(row["release"]) <= wanted), rows[0])
    extra = 0 if _release_key(row["release"]) == wanted else UNMEASURED_RELEASE_ERROR_PERCENT
    graphs = data["cuda_graphs"]
    return ReleaseOverheads(
        release=row["release"],
        sampler_bytes_per_logit=row["sampler_bytes_per_logit"],
        non_torch_bytes_by_tensor=_bytes_by_ranks(row["non_torch_mib_by_tensor"]),
        outside_budget_bytes_by_tensor=_bytes_by_ranks(data["outside_budget_mib_by_tensor"]),
        graph_base_bytes=int(graphs["base_mib"] * MIB),
        graph_layer_bytes=int(graphs["mib_per_layer"] * MIB),
        graph_moe_layer_bytes=int(graphs["mib_per_moe_layer"] * MIB),
        graph_reference_sizes=graphs["reference_sizes"],
        cuda_graphs_inside_budget=row["cuda_graphs_inside_budget"],
        overhead_error_percent=row["overhead_error_percent"] + extra,
        source=row["source"],
    )


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Peaks of torch memory above the weights on one rank while the engine profiles itself.

    Args:
        forward_bytes: forward pass over ``max_num_batched_tokens``.
        sampler_bytes: sampler over ``max_num_seqs``; 0 before the last stage.
        workspace_bytes: experts or sparse attention; stays allocated beside either peak.
        between_stages_bytes: hidden states that pipeline stages hand over.
    """

    forward_bytes: int
    sampler_bytes: int
    workspace_bytes: int
    between_stages_bytes: int

    @property
    def total_bytes(self) -> int:
        """The larger peak and what stays beside it."""
        return max(self.forward_bytes, self.sampler_bytes) + self.workspace_bytes + self.between_stages_bytes


def activations(
    shape: ModelShape,
    parallelism: Parallelism,
    stage: Stage,
    settings: EngineSettings,
    release: ReleaseOverheads,
) -> Activations:
    """Return the activations of one rank of a stage.

    Source: law fitted on start-ups of vLLM 0.19 on H100 (``engine_overheads.json``); forward pass: one residual
    stream with its copies (4.25 x hidden) and gate, up and activated product of the MLP (3 x width), 16 bits each.
    Measured error: 0.05 GiB or less for the catalogue's shapes on H100, printed by ``tests/accuracy``.
    """
    tokens = settings.max_num_batched_tokens
    residual = 2 * tokens * shape.hidden_size
    forward = residual * 17 // 4 + max(
        6 * tokens * mlp_width(shape, parallelism, stage),
        _latent_prefill_bytes(shape, parallelism, settings),
    )
    logits = settings.max_num_seqs * shape.vocab_size
    experts = _expert_workspace_bytes(shape, parallelism, stage, tokens)
    return Activations(
        forward_bytes=forward,
        sampler_bytes=residual + release.sampler_bytes_per_logit * logits if stage.is_last else 0,
        workspace_bytes=max(experts, _sparse_workspace_bytes(shape, settings)),
        between_stages_bytes=2 * residual if parallelism.pipeline > 1 else 0,
    )


def cuda_graph_bytes(stage: Stage, settings: EngineSettings, release: ReleaseOverheads) -> int:
    """Return the memory of captured CUDA graphs: a base, and a share per layer and capture size.

    Measured error: -0.26 to +0.23 GiB on H100 with vLLM 0.19 (8 to 80 layers); the engine's own estimate of the
    same figure is off by a factor of 0.45 to 1.43.
    """
    if settings.enforce_eager:
        return 0
    per_layer = stage.num_layers * release.graph_layer_bytes + stage.num_moe_layers * release.graph_moe_layer_bytes
    return release.graph_base_bytes + per_layer * capture_sizes(settings.max_num_seqs) // release.graph_reference_sizes


def corrected(correction_bytes: int, *parts: int) -> tuple[int, ...]:
    """Return parts of the overhead with a measured difference put on the first, or taken from the first that have it.

    Args:
        correction_bytes: measured less estimated; what is taken away ends at nothing.
        parts: bytes, the least certain part first.

    >>> corrected(5, 10, 20), corrected(-15, 10, 20), corrected(-99, 10, 20)
    ((15, 20), (0, 15), (0, 0))
    """
    left, made = correction_bytes, []
    for part in parts:
        made.append(max(0, part + left))
        left = min(0, part + left)
    return tuple(made)


@lru_cache(maxsize=256)
def capture_sizes(max_num_seqs: int) -> int:
    """Return how many batch sizes the engine captures, from the catalogue's rule.

    >>> capture_sizes(1024), capture_sizes(128), capture_sizes(1)
    (51, 35, 2)
    """
    return len(engine_release(DEFAULT_ENGINE, DEFAULT_VERSION).cuda_graph_sizes(max_num_seqs))


def mlp_width(shape: ModelShape, parallelism: Parallelism, stage: Stage) -> int:
    """Return the width of the widest MLP on a rank of the stage, shared experts included."""
    dense = ceil_div(shape.intermediate_size, parallelism.tensor) if stage.num_dense_layers else 0
    if shape.experts is None or not stage.num_moe_layers:
        return dense
    shared = shape.experts.num_shared_experts * shape.experts.expert_intermediate_size
    return max(dense, ceil_div(shared, parallelism.tensor))


def _latent_prefill_bytes(shape: ModelShape, parallelism: Parallelism, settings: EngineSettings) -> int:
    """Return queries, keys and values of the latent attention and the up-projected prefill workspace.

    Source: vLLM 0.32 ``mla_attention.py`` l.2293: workspace tokens = min(max(8 x max_model_len,
    4 x max_num_seqs x block), 65536), up-projected for the heads of the rank in the profile run.
    """
    attention = shape.attention
    if not isinstance(attention, LatentAttention):
        return 0
    heads = ceil_div(attention.num_heads, parallelism.tensor)
    query_width = attention.qk_nope_head_dim + attention.qk_rope_head_dim
    per_token = 2 * heads * (2 * query_width + 2 * attention.v_head_dim)
    workspace_tokens = min(max(8 * settings.max_model_len, 64 * settings.max_num_seqs), 65536)
    up_projected = 2 * heads * (attention.qk_nope_head_dim + attention.v_head_dim)
    latent = 2 * (attention.kv_lora_rank + attention.qk_rope_head_dim)
    return settings.max_num_batched_tokens * per_token + workspace_tokens * (up_projected + latent)


def _expert_workspace_bytes(shape: ModelShape, parallelism: Parallelism, stage: Stage, tokens: int) -> int:
    """Return the two workspaces of the fused experts kernel, which stay allocated.

    Source: vLLM ``fused_moe`` workspace shapes: tokens x experts per token x max(2 x width, hidden) and
    tokens x experts per token x max(width, hidden); tokens of all data-parallel ranks are gathered.
    """
    if shape.experts is None or not stage.num_moe_layers:
        return 0
    width = shape.experts.expert_intermediate_size
    if not parallelism.expert:
        width = ceil_div(width, parallelism.tensor * parallelism.data)
    routed = tokens * parallelism.data * shape.experts.num_experts_per_token
    return 2 * routed * (max(2 * width, shape.hidden_size) + max(width, shape.hidden_size))


def _sparse_workspace_bytes(shape: ModelShape, settings: EngineSettings) -> int:
    """Return the workspaces of V3.2's sparse attention, which grow with the context.

    Source: vLLM 0.32 ``v1/attention/backends/mla/indexer.py`` l.918 (40 x max_model_len index entries) and
    ``flashmla_sparse.py`` (5 x max_model_len latent entries of 16 bits).
    """
    attention = shape.attention
    if not isinstance(attention, LatentAttention) or not attention.index_num_heads:
        return 0
    latent = 2 * (attention.kv_lora_rank + attention.qk_rope_head_dim)
    return settings.max_model_len * (5 * latent + 40 * (attention.index_head_dim + 4))


def _release_key(release: str) -> tuple[int, int, int]:
    match = _RELEASE.fullmatch(release.strip())
    if match is None:
        raise UnknownEngineReleaseError("engine release", release, (), "write a number such as 0.32.0")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)


def _bytes_by_ranks(mib_by_ranks: dict[str, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((int(ranks), mib * MIB) for ranks, mib in mib_by_ranks.items()))


def _at_least(rows: tuple[tuple[int, int], ...], ranks: int) -> int:
    """Return the figure of the smallest listed rank count that is not below ``ranks``, else the largest."""
    return next((size for listed, size in rows if listed >= ranks), rows[-1][1])
