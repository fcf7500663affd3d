"""What a limit of tokens per step adds to the first token: a prompt that does not fit into one step is read in chunks.

A step serves the answers that are being written first, one token each, and reads prompts with the room that is left
(vLLM 0.32 ``v1/core/sched/scheduler.py``: running requests are scheduled before waiting ones, within
``max_num_batched_tokens``). Every further chunk waits for one more step. The prompts' operations are the same in any
number of chunks, so the mean time per output token does not change; only so many steps can pass without a new chunk
while answers are written, and what is above waits too.

No measured point states its limit and none has prompts above the engines' usual 8,192 tokens, so nothing here is
fitted: it is 0 where a prompt fits into one step.
"""

from __future__ import annotations

import math

from deepseek_operator.performance.features import ServingPoint, prompt_queues


def chunks_per_prompt(point: ServingPoint) -> int:
    """Return the steps that read one prompt; 1 where no limit is stated.

    The answers that are written at once leave the prompts at least their share of all tokens, else they would be
    fewer.
    """
    limit = point.max_num_batched_tokens
    if not limit:
        return 1
    answers = max(0.0, point.batch / prompt_queues(point) - 1)
    share_of_prompts = point.input_tokens / (point.input_tokens + point.output_tokens)
    room = max(limit - answers, limit * share_of_prompts)
    return math.ceil(point.input_tokens / room)


def further_steps(point: ServingPoint) -> float:
    """Return the steps that the first token waits for beyond those of a prompt that is read at once.

    One per further chunk of its own; and where the chunks of all requests are more than the steps of an answer, the
    difference, because one chunk is read per step.
    """
    chunks = chunks_per_prompt(point)
    in_queue = max(1.0, point.batch / prompt_queues(point))
    steps = point.output_tokens
    crowded = max(0.0, in_queue * chunks - steps) - max(0.0, in_queue - steps)
    return chunks - 1 + crowded
