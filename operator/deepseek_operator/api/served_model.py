"""Which model the pods of a plan serve: the asked one, or the fallback that the plan runs in its place."""

from __future__ import annotations

from deepseek_operator.api.spec_model import ModelSpec
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.planner.result import Plan


def served_model(spec: DeepSeekDeploymentSpec, plan: Plan) -> ModelSpec:
    """Return ``spec.model``, or for a plan of a fallback the same with that model's name and revision.

    Args:
        spec: of the object.
        plan: its accepted plan.
    """
    fallback = next((each for each in spec.fallbacks if each.model == plan.model_name), None)
    if plan.model_name == spec.model.name or fallback is None:
        return spec.model
    return spec.model.model_copy(
        update={"name": fallback.model, "revision": fallback.revision, "config": None},
    )


def served_names(spec: DeepSeekDeploymentSpec, plan: Plan) -> tuple[str, ...]:
    """Return the names under which the engine answers, the one that its responses carry first.

    A fallback answers to the asked name too, so that no client breaks, but its responses carry its own name: nobody
    takes another model's answer for the asked one's. Source: vLLM 0.32.0, ``--served-model-name``: of several names
    the first is in the ``model`` field of responses.
    """
    asked = spec.model.served_name or spec.model.name
    serving = served_model(spec, plan).name
    return (asked,) if serving == spec.model.name else (serving, asked)
