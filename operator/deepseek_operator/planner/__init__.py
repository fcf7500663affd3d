"""From a request and a supply of GPUs to a plan, or to the reason why there is none. Knows no YAML.

``from deepseek_operator.planner import ask, gpus, plan`` is the way in from a notebook; it loads no Kubernetes client.
The names below are looked up when they are first used, so that a program pays for what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepseek_operator.planner.entry import plan
    from deepseek_operator.planner.library import ask, gpus
    from deepseek_operator.planner.request import PlanRequest, Quality, Supply
    from deepseek_operator.planner.result import Infeasible, Plan

__all__ = ["Infeasible", "Plan", "PlanRequest", "Quality", "Supply", "ask", "gpus", "plan"]

_MODULES = {
    "Infeasible": "result",
    "Plan": "result",
    "PlanRequest": "request",
    "Quality": "request",
    "Supply": "request",
    "ask": "library",
    "gpus": "library",
    "plan": "entry",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
