"""Which splits of a model an engine can load: every number that must divide, and the sentence when it does not."""

from __future__ import annotations

import math
from functools import lru_cache

from deepseek_operator.catalog.linear_formats import Coverage, LinearFormat
from deepseek_operator.catalog.shapes import CompressedAttention, GroupedQueryAttention, LatentAttention, ModelShape
from deepseek_operator.memory.feed_forward_tensors import FP4_EXPERTS
from deepseek_operator.memory.layer_tensors import VOCABULARY_PADDING
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import layer_kinds, layers_per_stage
from deepseek_operator.memory.vision_tensors import cut_by_tensor_parallelism
from deepseek_operator.memory.weights import stored_format
from deepseek_operator.units import ceil_div


@lru_cache(maxsize=8192)
def illegal(shape: ModelShape, split: Parallelism, *, linear: LinearFormat | None = None) -> str:
    """Return why a model cannot be cut that way, as one sentence; empty when it can.

    Args:
        shape: the model.
        split: the cut; its numbers are 1 or more.
        linear: format that the linear layers are quantized to; None keeps the checkpoint's own.

    What shares a scale must stay on one rank: FP8 blocks wherever a matrix is cut, groups of columns (AWQ and GPTQ, 16
    of NVFP4, 32 of MXFP4) in the layers whose input is cut: the MLP's ``down_proj`` and the attention's ``o_proj``. For
    experts the engine has a way out, smaller groups than the checkpoint's (``moe_wna16``), which is not planned because
    their scales take more memory than is counted.

    Source: vLLM 0.32: ``divide`` in ``distributed/utils.py`` for heads, vocabulary and MLP width; key-value heads are
    split or replicated in ``QKVParallelLinear``; block sizes in ``validate_fp8_block_shape``; groups in
    ``verify_group_size_divides_partition`` and ``BaseAWQLinearMethod.create_weights``. Image encoders are cut
    with the language model (``mm_encoder_tp_mode`` ``weights``, the default). V4: output groups and padding of shared
    experts in ``models/deepseek_v4``; layers that share a cache stay on one stage in ``models/deepseek_v41``.

    >>> from deepseek_operator.catalog.shapes import GroupedQueryAttention
    >>> shape = ModelShape(
    ...     architecture="LlamaForCausalLM", model_type="llama", num_layers=95, hidden_size=8192, vocab_size=102400,
    ...     max_position_embeddings=4096, intermediate_size=22016, tie_word_embeddings=False,
    ...     attention=GroupedQueryAttention(num_heads=64, num_kv_heads=8, head_dim=128))
    >>> illegal(shape, Parallelism(tensor=3))
    'TP 3 does not divide the 64 attention heads; use 1, 2, 4, 8, 16, 32 or 64'
    >>> illegal(shape, Parallelism(tensor=4))
    ''
    """
    if split.pipeline > shape.num_layers:
        return f"PP {split.pipeline} is more than the {shape.num_layers} layers; use {shape.num_layers} or fewer"
    if broken := _shared_cache_violation(shape, split.pipeline):
        return broken
    broken = _tensor_violation(shape, split, linear)
    if not broken:
        return _expert_violation(shape, split)
    usable = legal_tensors(shape, data=split.data, expert=split.expert, linear=linear)
    remedy = f"; use {_listed(usable)}" if usable else ""
    return f"TP {split.tensor} {broken}{remedy}"


@lru_cache(maxsize=1024)
def legal_tensors(
    shape: ModelShape, *, data: int = 1, expert: bool = False, linear: LinearFormat | None = None
) -> tuple[int, ...]:
    """Return every tensor-parallel size that the model allows, smallest first, whatever the hardware."""
    return tuple(
        tensor
        for tensor in range(1, shape.attention.num_heads + 1)
        if not _tensor_violation(shape, Parallelism(tensor=tensor, data=data, expert=expert), linear)
    )


def _tensor_violation(shape: ModelShape, split: Parallelism, linear: LinearFormat | None) -> str:
    """Return the broken rule as the rest of a sentence that starts with the TP size; empty when none is broken."""
    tensor = split.tensor
    heads = shape.attention.num_heads
    if heads % tensor:
        return f"does not divide the {heads} attention heads"
    if isinstance(shape.attention, CompressedAttention) and shape.attention.o_groups % tensor:
        return f"does not divide the {shape.attention.o_groups} groups of the attention's output"
    if isinstance(shape.attention, GroupedQueryAttention):
        kv_heads = shape.attention.num_kv_heads
        if kv_heads % tensor and tensor % kv_heads:
            return f"neither divides the {kv_heads} KV heads nor is a multiple of them"
    vocabulary = ceil_div(shape.vocab_size, VOCABULARY_PADDING) * VOCABULARY_PADDING
    if vocabulary % tensor:
        return f"does not divide the vocabulary of {vocabulary:,} padded rows"
    used = linear or stored_format(shape)
    whole = "groups" if used.group_rows == 1 else "blocks"
    for name, width, unit, ways in _cut_widths(shape, split, linear):
        times = f"times DP {split.data} " if ways > tensor else ""
        if width % ways:
            return f"{times}does not divide the {name} width of {width:,}"
        if (width // ways) % unit and (ways > 1 or used.group_rows == 1):
            return f"{times}does not divide the {name} width of {width:,} in {whole} of {unit}"
    count, of_what = cut_by_tensor_parallelism(shape.vision)
    return f"does not divide the {count:,} {of_what} of the image encoder" if count % tensor else ""


def _cut_widths(shape: ModelShape, split: Parallelism, linear: LinearFormat | None) -> list[tuple[str, int, int, int]]:
    """Widths that are cut, how many columns must stay together in each, and over how many ranks each is cut.

    Routed experts are cut only without expert parallelism, then over the data-parallel ranks too (vLLM 0.32
    ``FusedMoEParallelConfig.make``, as ``memory`` counts them); V4's shared experts are filled up to whole blocks.
    """
    used, experts, tensor = linear or stored_format(shape), shape.experts, split.tensor
    together = math.lcm(used.group_rows or 1, used.group_columns or 1)
    everywhere = 1 if used.covers is Coverage.ROUTED_EXPERTS else together
    widths = [("attention output", _output_width(shape), everywhere, tensor)]
    if experts is None:
        return [*widths, ("MLP", shape.intermediate_size, everywhere, tensor)]
    if experts.num_dense_layers:
        widths.append(("dense MLP", shape.intermediate_size, everywhere, tensor))
    if experts.num_shared_experts and not isinstance(shape.attention, CompressedAttention):
        shared = experts.num_shared_experts * experts.expert_intermediate_size
        widths.append(("shared expert", shared, everywhere, tensor))
    if not split.expert:
        routed = together
        if experts.stored_fp4:
            routed = FP4_EXPERTS.group_columns or 1
        elif linear is None and experts.stored_block is not None:
            routed = math.lcm(*experts.stored_block)
        widths.append(("expert", experts.expert_intermediate_size, routed, tensor * split.data))
    return widths


def _output_width(shape: ModelShape) -> int:
    """Columns of the attention's last projection, which every rank has a share of."""
    attention = shape.attention
    if isinstance(attention, CompressedAttention):
        return attention.o_groups * attention.o_lora_rank
    head_dim = attention.v_head_dim if isinstance(attention, LatentAttention) else attention.head_dim
    return attention.num_heads * head_dim


def _shared_cache_violation(shape: ModelShape, pipeline: int) -> str:
    """Return why a pipeline cuts between a layer and the earlier one whose cache it reads; empty when it does not."""
    attention = shape.attention
    if not isinstance(attention, CompressedAttention) or not attention.kv_source_layers:
        return ""
    if _cuts_shared_cache(shape, pipeline):
        usable = tuple(size for size in range(1, shape.num_layers + 1) if not _cuts_shared_cache(shape, size))
        return f"PP {pipeline} parts layers that share one cache; use {_listed(usable)}"
    return ""


def _cuts_shared_cache(shape: ModelShape, pipeline: int) -> bool:
    kinds = layer_kinds(shape)
    first = 0
    for count in layers_per_stage(shape.num_layers, pipeline):
        if kinds[first].compress_ratio and not kinds[first].owns_cache:
            return True
        first += count
    return False


def _expert_violation(shape: ModelShape, split: Parallelism) -> str:
    if not split.expert:
        return ""
    if shape.experts is None:
        return "expert parallelism needs a mixture of experts, and this model is dense; set expert to false"
    ranks = split.tensor * split.data
    if shape.experts.num_experts % ranks:
        return (
            f"the {shape.experts.num_experts} experts cannot be spread evenly over {ranks} ranks "
            f"(TP {split.tensor} x DP {split.data})"
        )
    return ""


def _listed(numbers: tuple[int, ...]) -> str:
    """Numbers as people list them, at most eight.

    >>> _listed((1, 2, 4)), _listed((1,))
    ('1, 2 or 4', '1')
    """
    texts = [str(number) for number in numbers[:8]]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"
