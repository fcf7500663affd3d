"""What attention over compressed states (V4, V4.1) computes and reads per query, from its config fields alone.

Every layer attends to the newest ``sliding_window`` tokens and, where it compresses, to states of ``compress_ratio``
tokens each: to the ``index_topk`` best of them where an indexer chooses, else to all. A layer with an indexer scores
every state first. V4 chooses at ratio 4 only; in V4.1 every compressed layer follows a choice, its own or that of the
latest layer before it that has an indexer. V4.1's candidate blocks, which spare its later indexers some scoring, are
left out, so its work is an upper bound.

Source: vLLM 0.32.0 ``models/deepseek_v4/attention.py`` and ``models/deepseek_v41/attention.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deepseek_operator.catalog.shapes import CompressedAttention, ModelShape
from deepseek_operator.memory.stages import layer_kinds


@dataclass(frozen=True, kw_only=True)
class AttentionWork:
    """Work of attention for one query, or summed over the queries of a prompt.

    Args:
        flops: scores and weighted values of all heads; tensor parallelism shares them.
        index_flops: scores of the indexers, which every rank repeats.
        read_elements: cached elements that are read, by all heads at once.
    """

    flops: float
    index_flops: float
    read_elements: float

    def times(self, queries: float) -> AttentionWork:
        """Return the work of that many queries alike."""
        return AttentionWork(
            flops=queries * self.flops,
            index_flops=queries * self.index_flops,
            read_elements=queries * self.read_elements,
        )


def decode_attention(shape: ModelShape, attention: CompressedAttention, context_tokens: float) -> AttentionWork:
    """Return the work of one query over all layers.

    Args:
        shape: the model.
        attention: its attention.
        context_tokens: tokens before the query, 0 or more.
    """
    return _work(shape, attention, lambda ratio, most: min(context_tokens / ratio, most))


def prefill_attention(shape: ModelShape, attention: CompressedAttention, input_tokens: int) -> AttentionWork:
    """Return the work of all queries of a prompt, each of which sees the tokens before it.

    Args:
        shape: the model.
        attention: its attention.
        input_tokens: length of the prompt.
    """
    return _work(shape, attention, lambda ratio, most: states_over_prompt(input_tokens, ratio, most))


def states_over_prompt(tokens: int, ratio: int, most: float) -> float:
    """Return the states that the queries of a prompt attend to together: the sum of ``min(t / ratio, most)``.

    >>> states_over_prompt(4, 1, 2), states_over_prompt(4, 1, 100)
    (7.0, 10.0)
    """
    growing = min(float(tokens), most * ratio)
    return growing * (growing + 1) / 2 / ratio + (tokens - growing) * (most if growing < tokens else 0.0)


def stored_elements_per_token(shape: ModelShape, attention: CompressedAttention) -> float:
    """Return the elements that the growing caches of all layers keep per token."""
    elements = 0.0
    for kind in layer_kinds(shape):
        if kind.owns_cache:
            index_keys = attention.index_head_dim if kind.owns_indexer else 0
            elements += (attention.head_dim + index_keys) / kind.compress_ratio
    return elements


def _work(shape: ModelShape, attention: CompressedAttention, states: Callable[[int, float], float]) -> AttentionWork:
    """Sum over the layers; ``states`` gives how many states of a ratio are seen when there are at most so many."""
    unlimited = float("inf")
    attended = scored = 0.0
    for kind in layer_kinds(shape):
        attended += states(1, attention.sliding_window)
        if kind.compress_ratio:
            chosen = kind.owns_indexer or bool(attention.index_source_layers)
            attended += states(kind.compress_ratio, attention.index_topk if chosen else unlimited)
        if kind.owns_indexer:
            scored += states(kind.compress_ratio, unlimited)
    return AttentionWork(
        flops=2.0 * attention.num_heads * 2 * attention.head_dim * attended,
        index_flops=2.0 * attention.index_num_heads * attention.index_head_dim * scored,
        read_elements=attention.head_dim * attended + attention.index_head_dim * scored,
    )
