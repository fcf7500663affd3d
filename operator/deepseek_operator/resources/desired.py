"""Everything that should exist for one DeepSeekDeployment and its accepted plan, in the order to apply it.

A function of values: applying the result always and pruning what is ours and not in it is the whole of reconciling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.checkpoint_size import refuse_small_cache
from deepseek_operator.resources.configmap_plan import build_plan_config_map
from deepseek_operator.resources.deployment import build_deployment
from deepseek_operator.resources.download_job import build_download, model_download
from deepseek_operator.resources.engine_pod import (
    build_pod_template,
    replica_weights_bytes,
    start_patience_seconds,
)
from deepseek_operator.resources.features import NO_FEATURES, ClusterFeatures
from deepseek_operator.resources.gpu_share import pod_queue
from deepseek_operator.resources.group_pods import build_group_templates
from deepseek_operator.resources.group_workload import build_group_workload
from deepseek_operator.resources.names import Manifest, Owner
from deepseek_operator.resources.networkpolicy import build_network_policies
from deepseek_operator.resources.poddisruptionbudget import build_pod_disruption_budget
from deepseek_operator.resources.podmonitor import build_pod_monitor
from deepseek_operator.resources.probes import progress_deadline_seconds
from deepseek_operator.resources.resource_claim_template import build_resource_claim_template
from deepseek_operator.resources.runnable import is_runnable
from deepseek_operator.resources.service import build_service
from deepseek_operator.resources.storage import build_cache_claim
from deepseek_operator.resources.template_pin import kept_template, template_data, template_inputs
from deepseek_operator.resources.triton import further_ports

WORKLOADS = frozenset({"Deployment", "StatefulSet", "LeaderWorkerSet"})
"""Kinds whose objects make pods."""


def desired(
    deployment: DeepSeekDeployment,
    plan: Plan,
    *,
    uid: str,
    replicas: int | None,
    plan_hash: str,
    fingerprint: str = "",
    kept: Mapping[str, str] | None = None,
    workload_template_hash: str = "",
    features: ClusterFeatures = NO_FEATURES,
    kept_inputs: str = "",
) -> list[Manifest]:
    """Return the manifests to apply, the workload last.

    Args:
        deployment: the parsed object.
        plan: the accepted plan.
        uid: ``metadata.uid`` of the object, for owner references; empty renders for Git, without owners.
        replicas: replicas to run; None leaves the field to another owner.
        plan_hash: hash of the plan as ``status.plan.hash`` shows it.
        fingerprint: digest of the part of the spec that the plan answers, kept beside it.
        kept: ``data`` of the plan's ConfigMap as observed; with it a running model keeps its pod template when only
            the operator changed.
        workload_template_hash: annotation ``deepseek-operator.io/template-hash`` of the observed workload.
        features: what the cluster can do beside the API that every cluster has.
        kept_inputs: `inputs_of` that the kept template was built from, to keep it although the owner has decided
            otherwise since; empty for what the owner decides today.

    Returns:
        ConfigMap, cache claim if any, Service, PodMonitor where it is served, the download of the model into its cache
        if any, PodDisruptionBudget if any, and the Deployment; without those that need pods when `is_runnable` says why
        not. The workload can start only once the download is complete.

    Raises:
        InvalidSpecError: an argument, variable or path of the user contradicts the plan, or the cache is too small.
    """
    owner = Owner(name=deployment.metadata.name, namespace=deployment.metadata.namespace, uid=uid)
    tls = deployment.spec.engine.tls_secret_ref
    runs = not is_runnable(plan, deployment, features)
    template: Manifest | None = None
    record: dict[str, str] = {}
    if runs:
        refuse_small_cache(deployment.spec, plan)
        inputs = kept_inputs or inputs_of(deployment, plan, plan_hash)
        template = kept_template(kept or {}, inputs, workload_template_hash) or _template(
            deployment, plan, plan_hash, features
        )
        record = template_data(template, inputs)
    manifests = [
        build_plan_config_map(
            owner,
            plan,
            plan_hash=plan_hash,
            fingerprint=fingerprint,
            template=record,
        ),
        build_cache_claim(owner, deployment.spec.model),
        build_service(owner, tls=tls is not None, more_ports=further_ports(deployment)),
    ]
    if template is not None:
        pod = template["leader"] if plan.nodes_per_replica > 1 else template
        manifests += build_network_policies(owner, deployment.spec, plan, pod)
        monitor = build_pod_monitor(owner, pod, tls_secret=tls.name if tls is not None else "", features=features)
        manifests.append(monitor)
        if (download := model_download(owner.name, deployment.spec, plan)) is not None:
            manifests += build_download(owner, download, pod)
        manifests.append(build_resource_claim_template(owner, plan, plan_hash))
        manifests += (
            build_group_workload(owner, deployment, template, replicas)
            if plan.nodes_per_replica > 1
            else [
                build_pod_disruption_budget(owner, replicas=replicas),
                _workload(owner, deployment, plan, replicas, template),
            ]
        )
    return [manifest for manifest in manifests if manifest is not None]


def inputs_of(deployment: DeepSeekDeployment, plan: Plan, plan_hash: str) -> str:
    """Return the digest of what an owner decided about the pods of a plan; another one means another pod template."""
    named = deployment.spec.queue_name
    return template_inputs(deployment, plan_hash, named if plan.nodes_per_replica > 1 else pod_queue(plan.share, named))


def before_workload(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests that make no pods, in order."""
    return [manifest for manifest in manifests if manifest["kind"] not in WORKLOADS]


def _template(deployment: DeepSeekDeployment, plan: Plan, plan_hash: str, features: ClusterFeatures) -> Manifest:
    template = build_pod_template(deployment, plan, plan_hash)
    if plan.nodes_per_replica == 1:
        return template
    return build_group_templates(template, deployment, plan, features)


def _workload(
    owner: Owner, deployment: DeepSeekDeployment, plan: Plan, replicas: int | None, template: Manifest
) -> Manifest:
    patience = start_patience_seconds(deployment.spec.engine, replica_weights_bytes(plan))
    return build_deployment(
        owner,
        template=template,
        replicas=replicas,
        rollout=deployment.spec.rollout,
        progress_seconds=progress_deadline_seconds(patience),
        queue_name="" if pod_queue(plan.share, deployment.spec.queue_name) else deployment.spec.queue_name,
    )
