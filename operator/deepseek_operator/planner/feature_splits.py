"""Splits that a model can have and its draft model or adapters cannot."""

from __future__ import annotations

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.parallelism import illegal
from deepseek_operator.planner.request import PlanRequest


def illegal_with_features(request: PlanRequest, split: Parallelism) -> str:
    """Return why a split cannot have what is asked beside the model, as one sentence; empty when it can.

    Args:
        request: names the draft model and the adapters.
        split: of one replica.

    Source: vLLM 0.32 ``config/speculative.py`` (a draft model is cut by the model's TP) and
    ``lora/layers/fused_moe.py`` ``_ep_check`` (no sequence-parallel experts, which TP, DP and EP together make).
    """
    if request.draft_model is not None:
        alone = Parallelism(tensor=split.tensor, data=split.data, expert=split.expert)
        if broken := illegal(request.draft_model, alone):
            return f"the draft model is cut like the model: {broken}"
    together = split.expert and split.tensor > 1 and split.data > 1
    if request.features.max_loras and request.model.experts is not None and together:
        return "adapters do not run with TP, DP and expert parallelism together; use one of TP and DP, or no EP"
    return ""
