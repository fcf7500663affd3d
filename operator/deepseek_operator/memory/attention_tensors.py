"""Weights of one attention block: grouped-query, latent, and latent with the V3.2 indexer.

Attention over compressed states lies in ``compressed_attention_tensors``.
"""

from __future__ import annotations

from deepseek_operator.catalog.shapes import GroupedQueryAttention, LatentAttention
from deepseek_operator.memory.tensors import Axis, Component, Storage, WeightTensor


def attention_tensors(attention: GroupedQueryAttention | LatentAttention, hidden_size: int) -> tuple[WeightTensor, ...]:
    """Return the tensors of one attention block, its own norms included.

    Args:
        attention: which kind of attention, and its dimensions.
        hidden_size: width of the residual stream.
    """
    if isinstance(attention, GroupedQueryAttention):
        return _grouped_query(attention, hidden_size)
    indexer = _indexer(attention, hidden_size) if attention.index_num_heads else ()
    return _latent(attention, hidden_size) + indexer


def _grouped_query(attention: GroupedQueryAttention, hidden_size: int) -> tuple[WeightTensor, ...]:
    """Heads are cut by TP; key-value heads are repeated once TP exceeds them (vLLM ``QKVParallelLinear``)."""
    width = attention.head_dim
    query, key_value = attention.num_heads * width, attention.num_kv_heads * width
    qkv_parts = ((query, width), (key_value, width), (key_value, width))
    tensors = [
        WeightTensor(
            component=Component.ATTENTION,
            row_parts=qkv_parts,
            columns=hidden_size,
            axis=Axis.ROWS,
            module="self_attn.qkv_proj",
        ),
        WeightTensor(
            component=Component.ATTENTION,
            row_parts=((hidden_size, 1),),
            columns=query,
            column_unit=width,
            axis=Axis.COLUMNS,
            module="self_attn.o_proj",
        ),
    ]
    if attention.bias:
        tensors.append(
            WeightTensor(component=Component.ATTENTION, row_parts=qkv_parts, axis=Axis.ROWS, storage=Storage.MODEL)
        )
    if attention.output_bias:
        tensors.append(
            WeightTensor(component=Component.ATTENTION, row_parts=((hidden_size, 1),), storage=Storage.MODEL)
        )
    if attention.qk_norm:
        tensors.append(norm(2 * width))
    return tuple(tensors)


def _latent(attention: LatentAttention, hidden_size: int) -> tuple[WeightTensor, ...]:
    """Down projections are replicated under TP, up projections are cut by heads.

    The engine also keeps 16-bit copies of the key and value up projections for decoding in latent space
    (``W_UK_T`` and ``W_UV`` of vLLM ``mla_attention.py``), cut by heads.
    """
    latent = attention.kv_lora_rank
    query_head = attention.qk_nope_head_dim + attention.qk_rope_head_dim
    up_head = attention.qk_nope_head_dim + attention.v_head_dim
    query_rows = ((attention.num_heads * query_head, query_head),)
    up_rows = ((attention.num_heads * up_head, up_head),)
    compressed = (latent + attention.qk_rope_head_dim, 1)

    def linear(name: str, rows: tuple[tuple[int, int], ...], columns: int, axis: Axis) -> WeightTensor:
        module = f"self_attn.{name}"
        return WeightTensor(component=Component.ATTENTION, row_parts=rows, columns=columns, axis=axis, module=module)

    norms: tuple[WeightTensor, ...]
    if attention.q_lora_rank is None:
        projections = (
            linear("q_proj", query_rows, hidden_size, Axis.ROWS),
            linear("kv_a_proj_with_mqa", (compressed,), hidden_size, Axis.NONE),
        )
        norms = (norm(latent),)
    else:
        projections = (
            linear("fused_qkv_a_proj", ((attention.q_lora_rank, 1), compressed), hidden_size, Axis.NONE),
            linear("q_b_proj", query_rows, attention.q_lora_rank, Axis.ROWS),
        )
        norms = (norm(attention.q_lora_rank), norm(latent))
    output = WeightTensor(
        component=Component.ATTENTION,
        row_parts=((hidden_size, 1),),
        columns=attention.num_heads * attention.v_head_dim,
        column_unit=attention.v_head_dim,
        axis=Axis.COLUMNS,
        module="self_attn.o_proj",
    )
    absorbed = tuple(
        WeightTensor(
            component=Component.ATTENTION,
            row_parts=((attention.num_heads * head, head),),
            columns=latent,
            axis=Axis.ROWS,
            storage=Storage.MODEL,
            derived=True,
        )
        for head in (attention.qk_nope_head_dim, attention.v_head_dim)
    )
    return (*projections, linear("kv_b_proj", up_rows, latent, Axis.ROWS), output, *norms, *absorbed)


def _indexer(attention: LatentAttention, hidden_size: int) -> tuple[WeightTensor, ...]:
    """The lightning indexer of V3.2; every tensor is replicated (vLLM ``models/deepseek_v2.py`` ``Indexer``)."""
    query_columns = attention.q_lora_rank or hidden_size

    def tensor(rows: int, columns: int, storage: Storage = Storage.LINEAR, module: str = "") -> WeightTensor:
        return WeightTensor(
            component=Component.INDEXER, row_parts=((rows, 1),), columns=columns, storage=storage, module=module
        )

    return (
        tensor(attention.index_num_heads * attention.index_head_dim, query_columns, module="self_attn.indexer.wq_b"),
        tensor(attention.index_head_dim, hidden_size, module="self_attn.indexer.wk"),
        tensor(attention.index_num_heads, hidden_size, Storage.MODEL),
        tensor(2 * attention.index_head_dim, 1, Storage.FLOAT32),
    )


def norm(width: int) -> WeightTensor:
    """Return a normalization vector, replicated on every rank."""
    return WeightTensor(component=Component.NORMS, row_parts=((width, 1),), storage=Storage.MODEL)
