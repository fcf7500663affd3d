"""How long a stopping replica may take for the requests that it has begun."""

from __future__ import annotations

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import ceil_div

LEAST_SECONDS = 120
"""Patience with requests whatever the plan says of their speed. Source: judgement."""

MOST_SECONDS = 3540
"""About the hour that managed node upgrades wait for a pod, leaving the Service and exiting counted in.

Source: GKE, as elastic/cloud-on-k8s#2448 tells it.
"""

MILLISECONDS = 1000
"""In a second."""


def shutdown_seconds(deployment: DeepSeekDeployment, plan: Plan) -> int:
    """Return how long requests in flight may take when a replica stops.

    What the owner wrote; else what the longest answer takes: every token of the context behind the shortest prompt, at
    the TPOT that is promised, or the predicted one with its band where nothing is. A replica without requests ends at
    once, so patience costs nothing but for a request that needs it.

    Args:
        deployment: the parsed object.
        plan: its accepted plan.
    """
    spec = deployment.spec
    if spec.engine.shutdown_seconds is not None:
        return spec.engine.shutdown_seconds
    speed, band_percent = spec.sla or plan.predicted, 0
    if speed is None:
        return LEAST_SECONDS
    if spec.sla is None and plan.predicted is not None:
        band_percent = plan.predicted.error_percent
    tokens = spec.workload.max_context_tokens
    longest = (speed.ttft_milliseconds + tokens * speed.tpot_milliseconds) * (100 + band_percent)
    return min(max(ceil_div(longest, 100 * MILLISECONDS), LEAST_SECONDS), MOST_SECONDS)
