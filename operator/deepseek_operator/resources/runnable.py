"""Whether the builders can make a workload for a plan; where not, the sentence that says why."""

from __future__ import annotations

from deepseek_operator.api.spec_engine import EngineType
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.catalog.engines import engine_release
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.planner.engine_features import KvOffloadBackend
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.features import NO_FEATURES, ClusterFeatures
from deepseek_operator.resources.group_workload import why_no_groups
from deepseek_operator.resources.triton_limits import triton_refusal


def is_runnable(
    plan: Plan, deployment: DeepSeekDeployment | None = None, features: ClusterFeatures = NO_FEATURES
) -> str:
    """Return why no pods can be made for a plan, or "" when they can.

    Args:
        plan: the accepted plan.
        deployment: the object, for the fields beside the plan; None looks at the plan alone.
        features: what the cluster can do beside the API that every cluster has.

    Returns:
        One sentence that names the field or the number and what to write instead; empty for a runnable plan.
    """
    if deployment is None:
        return ""
    refused = (
        _unsupported_canary(plan, deployment)
        or _unsupported_gpu(plan, deployment)
        or _without_lmcache(plan, deployment)
    )
    refused = refused or why_no_groups(plan, deployment, features)
    on_triton = deployment.spec.engine.type is EngineType.TRITON
    return (triton_refusal(plan, deployment) if on_triton else "") or refused


def _unsupported_canary(plan: Plan, deployment: DeepSeekDeployment) -> str:
    if deployment.spec.rollout.canary is None or plan.nodes_per_replica == 1:
        return ""
    return f"spec.rollout.canary needs replicas on one node and the plan spans {plan.nodes_per_replica}; leave it out"


def _without_lmcache(plan: Plan, deployment: DeepSeekDeployment) -> str:
    offload = plan.features.kv_offload
    if offload is None or offload.backend is not KvOffloadBackend.LMCACHE or deployment.spec.engine.image:
        return ""
    needs = "needs an image that holds it; set spec.engine.image, or use backend Native"
    return f"spec.engine.kvOffload.backend: LMCache {needs}"


def _unsupported_gpu(plan: Plan, deployment: DeepSeekDeployment) -> str:
    planned = gpu(plan.gpu)
    images = engine_release("vllm", plan.engine_release).images
    if planned.vendor not in images and not deployment.spec.engine.image:
        return (
            f"vLLM {plan.engine_release} has images for {' and '.join(sorted(images))} and the plan uses {plan.gpu}; "
            "set spec.engine.image to an image for it"
        )
    if (planned.label_key is None or planned.label_value is None) and not deployment.spec.hardware.node_selector:
        return f"no node label tells {plan.gpu} apart; set spec.hardware.nodeSelector to the labels of its nodes"
    return ""
