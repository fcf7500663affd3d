"""What the engine keeps besides weights and KV cache: activations, memory outside torch, CUDA graphs.

Laws are code here; the figures of each engine release are data (``catalog/data/engine_overheads.json``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from deepseek_operator.catalog.engines import DEFAULT_ENGINE, DEFAULT_VERSION, engine_release
from deepseek_operator.catalog.shapes import CompressedAttention, LatentAttention, ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.release_overheads import Band, ReleaseOverheads, release_overheads
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.stages import Stage
from deepseek_operator.units import ceil_div

__all__ = [
    "Activations",
    "Band",
    "ReleaseOverheads",
    "activations",
    "capture_sizes",
    "cuda_graph_bytes",
    "mlp_width",
    "release_overheads",
]

DATACENTER_BLACKWELL_MAJOR = 10
"""Major compute capability of the GPUs on which the engine captures larger batches (B200, B300, GB200, GB300)."""

LORA_GRAPH_SETS = 2
"""Graphs with and without adapters (vLLM 0.32 ``cudagraph_specialize_lora``, on by default)."""

SPARSE_WORKSPACE_CONTEXTS = 5
"""Contexts that the prefill workspace of sparse attention holds, ``sparse_mla_prefill_workspace_factor`` of vLLM."""

INDEX_ENTRIES_PER_TOKEN = 40
"""Index entries per token of context that fit into that workspace (vLLM 0.32 ``mla/indexer.py``)."""

GATHERED_REQUESTS = 4
"""Requests whose context V4 gathers at once for prefill, ``PREFILL_CHUNK_SIZE`` of vLLM 0.32."""


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Peaks of torch memory above the weights on one rank while the engine profiles itself.

    Args:
        forward_bytes: forward pass over ``max_num_batched_tokens``.
        sampler_bytes: sampler over ``max_num_seqs``; 0 before the last stage.
        workspace_bytes: experts or sparse attention; allocated beside the forward pass.
        workspace_stays: whether it is still allocated when the sampler runs, which differs by release.
        between_stages_bytes: hidden states that pipeline stages hand over.
    """

    forward_bytes: int
    sampler_bytes: int
    workspace_bytes: int
    workspace_stays: bool
    between_stages_bytes: int

    @property
    def total_bytes(self) -> int:
        """The larger peak and what stays beside it."""
        beside_sampler = self.workspace_bytes if self.workspace_stays else 0
        peak = max(self.forward_bytes + self.workspace_bytes, self.sampler_bytes + beside_sampler)
        return peak + self.between_stages_bytes


def activations(
    shape: ModelShape,
    parallelism: Parallelism,
    stage: Stage,
    settings: EngineSettings,
    release: ReleaseOverheads,
) -> Activations:
    """Return the activations of one rank of a stage.

    Source: law fitted on start-ups of vLLM 0.19 on H100; forward pass: one residual stream with its copies
    (4.25 x hidden) and gate, up and activated product of the MLP (3 x width), 16 bits each. What differs by release
    is data (``engine_overheads.json``). ``tests/accuracy`` prints the residuals.
    """
    tokens = settings.max_num_batched_tokens
    residual = 2 * tokens * shape.hidden_size
    streams = max(1, shape.hyper_connection_streams)
    forward = streams * residual * 17 // 4 + max(
        6 * tokens * mlp_width(shape, parallelism, stage),
        _latent_prefill_bytes(shape, parallelism, settings),
        _compressed_query_bytes(shape, parallelism, tokens),
    )
    logits = settings.max_num_seqs * shape.vocab_size
    experts = _expert_workspace_bytes(shape, parallelism, stage, tokens)
    return Activations(
        forward_bytes=forward,
        sampler_bytes=residual + int(release.sampler_bytes_per_logit * logits) if stage.is_last else 0,
        workspace_bytes=max(experts, _sparse_workspace_bytes(shape, settings)),
        workspace_stays=release.workspace_stays,
        between_stages_bytes=2 * residual if parallelism.pipeline > 1 else 0,
    )


def cuda_graph_bytes(
    stage: Stage,
    settings: EngineSettings,
    release: ReleaseOverheads,
    compute_capability: tuple[int, int] | None = None,
) -> int:
    """Return the memory of captured CUDA graphs: a base, and a share per layer and capture size.

    Args:
        stage: the rank's layers.
        settings: what the engine is told; speculative decoding captures batches for all tokens that a step verifies,
            adapters have graphs of their own beside those without, and a draft model's layers are captured too.
        release: the figures of its release.
        compute_capability: of the GPU; datacenter Blackwell (10.x) captures larger batches.

    The engine's own estimate, which releases since 0.21 subtract, is off by a factor of 0.45 to 1.43.
    """
    if settings.enforce_eager:
        return 0
    per_layer = stage.num_layers * release.graph_layer_bytes + stage.num_moe_layers * release.graph_moe_layer_bytes
    blackwell = compute_capability is not None and compute_capability[0] == DATACENTER_BLACKWELL_MAJOR
    if settings.draft_model is not None and stage.is_last:
        per_layer += settings.draft_model.num_layers * release.graph_layer_bytes
    sizes = capture_sizes(settings.max_num_seqs * (1 + settings.num_speculative_tokens), blackwell)
    sizes *= LORA_GRAPH_SETS if settings.max_loras else 1
    return release.graph_base_bytes + per_layer * sizes // release.graph_reference_sizes


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
def capture_sizes(max_num_seqs: int, datacenter_blackwell: bool = False) -> int:
    """Return how many batch sizes the engine captures, from the catalogue's rule.

    >>> capture_sizes(1024), capture_sizes(128), capture_sizes(1), capture_sizes(1024, datacenter_blackwell=True)
    (51, 35, 2, 83)
    """
    release = engine_release(DEFAULT_ENGINE, DEFAULT_VERSION)
    return len(release.capture_sizes(max_num_seqs, datacenter_blackwell=datacenter_blackwell))


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


def _compressed_query_bytes(shape: ModelShape, parallelism: Parallelism, tokens: int) -> int:
    """Return queries before and after their norm, attention's output and its grouped form (V4), 16 bits each.

    Source: the buffers of vLLM 0.32 ``models/deepseek_v4/attention.py``; no complete start-up of V4 is recorded, so
    the band of this family is wide.
    """
    attention = shape.attention
    if not isinstance(attention, CompressedAttention):
        return 0
    return 4 * 2 * tokens * ceil_div(attention.num_heads, parallelism.tensor) * attention.head_dim


def _sparse_workspace_bytes(shape: ModelShape, settings: EngineSettings) -> int:
    """Return the workspace of sparse attention, which grows with the context; its users share one buffer.

    Source: vLLM 0.32 ``v1/worker/workspace.py`` (one buffer, as large as its largest user),
    ``v1/attention/backends/mla/indexer.py`` l.918 (40 x max_model_len index entries, over the compression of V4),
    ``flashmla_sparse.py`` l.337 (5 x max_model_len latent entries of 16 bits), ``sparse_swa.py`` l.276 (V4 gathers 4
    requests: compressed context, window and step).
    """
    attention, context = shape.attention, settings.max_model_len
    if isinstance(attention, LatentAttention) and attention.index_num_heads:
        latent = 2 * (attention.kv_lora_rank + attention.qk_rope_head_dim)
        return context * max(SPARSE_WORKSPACE_CONTEXTS * latent, INDEX_ENTRIES_PER_TOKEN * _index_entry(attention))
    if isinstance(attention, CompressedAttention):
        ratio = min((ratio for ratio in attention.compress_ratios if ratio > 1), default=1)
        gathered = ceil_div(context, ratio) + attention.sliding_window + settings.max_num_batched_tokens
        entries = context * INDEX_ENTRIES_PER_TOKEN // ratio
        return max(GATHERED_REQUESTS * 2 * attention.head_dim * gathered, entries * _index_entry(attention))
    return 0


def _index_entry(attention: LatentAttention | CompressedAttention) -> int:
    """Return the bytes of an index key: 8 bits per element and one 32-bit scale."""
    return attention.index_head_dim + 4
