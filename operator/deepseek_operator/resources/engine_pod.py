"""The pod of one replica: the engine container and everything around it.

Nothing in here may depend on the operator's version, on today's prices or on what else runs in the cluster: any
change of a pod template restarts the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_operator.api.served_model import served_model, served_names
from deepseek_operator.api.spec_engine import EngineSpec, EngineType, EnvVar
from deepseek_operator.api.spec_hardware import HardwareSpec
from deepseek_operator.api.to_request import model_shape
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.catalog.chat_parsers import chat_parsers
from deepseek_operator.catalog.engines import engine_flags, engine_release
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.catalog.shapes import CompressedAttention
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.host_memory import NodeMemory
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources import security, vllm
from deepseek_operator.resources.affinity import build_node_affinity, build_spread, build_tolerations
from deepseek_operator.resources.drain import shutdown_seconds
from deepseek_operator.resources.gpu_share import ShareRequest, share_request
from deepseek_operator.resources.names import ANNOTATION_PLAN_HASH, Manifest, common_labels, selector_labels
from deepseek_operator.resources.pod_resources import build_resources, node_memory, shm_bytes
from deepseek_operator.resources.priorityclass import priority_class_name
from deepseek_operator.resources.probes import build_probes, startup_seconds
from deepseek_operator.resources.resource_claim_template import claim_template_name
from deepseek_operator.resources.service import ENGINE_PORT, port_name
from deepseek_operator.resources.storage import ModelSource, model_source
from deepseek_operator.resources.triton import triton_template
from deepseek_operator.resources.vllm_features import adapter_words, feature_environment

CONTAINER_NAME = "engine"
ENGINE = "vllm"

PRE_STOP_SECONDS = 15
"""How long a stopping pod keeps serving, so that every proxy has dropped it before the engine refuses requests.

The engine's ``/health`` stays 200 while it drains and new requests get errors (vLLM 0.32.0, observed), so the pod
must leave the Service first. Source: judgement; endpoint changes reach nodes within seconds. The native ``sleep``
action needs no shell in the image (Kubernetes 1.30 or newer).
"""

GRACE_MARGIN_SECONDS = 30
"""Time to exit after the last request: 2.6 to 13 s seen (vLLM 0.32.0, observed)."""


LEAST_START_SECONDS = 3600
"""Patience with the start of any model whose owner says nothing. Source: judgement; too long only delays the news."""


def build_pod_template(deployment: DeepSeekDeployment, plan: Plan, plan_hash: str) -> Manifest:
    """Return the pod template of a replica that fits one node.

    Args:
        deployment: the parsed object.
        plan: its accepted plan.
        plan_hash: hash of the plan, written on each pod.

    Raises:
        InvalidSpecError: an argument or a variable of the user contradicts the plan.
    """
    spec, owner, planned_gpu = deployment.spec, deployment.metadata.name, gpu(plan.gpu)
    model = served_model(spec, plan)
    source = model_source(owner, model, spec.precision.checkpoint)
    memory = node_memory(model_shape(model), plan)
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + shutdown_seconds(deployment, plan) + GRACE_MARGIN_SECONDS,
        "securityContext": security.pod_security_context(),
        "tolerations": build_tolerations(planned_gpu, _tolerations(spec.hardware), spec.hardware.spot),
        "topologySpreadConstraints": build_spread(owner),
        "containers": [_container(deployment, plan, source, memory)],
        "volumes": [
            *security.writable_volumes(shm_bytes(memory)),
            *source.volumes,
            *_tls_volumes(spec.engine),
        ],
    }
    if priority_class := priority_class_name(spec.priority or "Standard", spec.priority_class_name):
        pod["priorityClassName"] = priority_class
    if spec.hardware.node_selector:
        pod["nodeSelector"] = dict(sorted(spec.hardware.node_selector.items()))
    if affinity := build_node_affinity(planned_gpu, spec.hardware.spot, plan.share, plan.pin):
        pod["affinity"] = affinity
    asked = _asked_gpus(deployment, plan)
    if asked.scheduler:
        pod["schedulerName"] = asked.scheduler
    if asked.claims:
        template_name = claim_template_name(owner, plan_hash)
        pod["resourceClaims"] = [{"name": name, "resourceClaimTemplateName": template_name} for name in asked.claims]
    template: Manifest = {
        "metadata": {
            "labels": {**common_labels(owner), **selector_labels(owner), **asked.labels},
            "annotations": {ANNOTATION_PLAN_HASH: plan_hash, **asked.annotations},
        },
        "spec": pod,
    }
    return triton_template(template, deployment, plan) if spec.engine.type is EngineType.TRITON else template


def start_patience_seconds(engine: EngineSpec, weights_bytes: int) -> int:
    """Return how long a start may take: what the user wrote, else what the weights need and an hour at least."""
    if engine.startup_seconds is not None:
        return engine.startup_seconds
    return max(startup_seconds(weights_bytes), LEAST_START_SECONDS)


def replica_weights_bytes(plan: Plan) -> int:
    """Return an upper bound of what one replica loads: the largest rank's weights on every rank."""
    return plan.memory.weights_bytes * plan.gpus_per_replica


def _container(deployment: DeepSeekDeployment, plan: Plan, source: ModelSource, memory: NodeMemory) -> Manifest:
    engine, tls = deployment.spec.engine, deployment.spec.engine.tls_secret_ref is not None
    planned_gpu, shape = gpu(plan.gpu), model_shape(served_model(deployment.spec, plan))
    settings = vllm.VllmSettings(
        model=source.model,
        revision=source.revision,
        served_names=served_names(deployment.spec, plan),
        quantization=quantization(plan.quantization).vllm_name,
        tls=tls,
        shutdown_seconds=shutdown_seconds(deployment, plan),
        extra_args=engine.extra_args,
        parsers=chat_parsers(plan.model_name, shape.architecture),
        prefix_caching=not isinstance(shape.attention, CompressedAttention),
        block_draft=shape.block_draft is not None,
        adapters=adapter_words(deployment.spec.model),
    )
    return {
        "name": CONTAINER_NAME,
        "image": engine.image or engine_release(ENGINE, plan.engine_release).image(planned_gpu.vendor),
        "command": list(vllm.COMMAND),
        "args": vllm.build_args(plan, settings, engine_flags(ENGINE, plan.engine_release)),
        "env": _environment(engine, source, feature_environment(engine, plan)),
        "ports": [{"name": port_name(tls=tls), "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        "resources": build_resources(plan.parallelism, _asked_gpus(deployment, plan), memory),
        **build_probes(
            patience_seconds=start_patience_seconds(engine, replica_weights_bytes(plan)),
            port_name=port_name(tls=tls),
            tls=tls,
        ),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "securityContext": security.container_security_context(),
        "volumeMounts": [*security.writable_mounts(), *source.mounts, *_tls_mounts(engine)],
    }


def _asked_gpus(deployment: DeepSeekDeployment, plan: Plan) -> ShareRequest:
    return share_request(
        plan.share,
        gpu=gpu(plan.gpu),
        gpus=plan.gpus_per_replica // plan.nodes_per_replica,
        container=CONTAINER_NAME,
        priority=deployment.spec.priority or "",
        queue=deployment.spec.queue_name,
    )


def _environment(engine: EngineSpec, source: ModelSource, features: Sequence[Manifest]) -> list[Manifest]:
    """Return the operator's variables, then the user's; a name of ours is refused, because the later one would win."""
    ours: list[Manifest] = [
        *security.writable_environment(),
        {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
        {"name": "DO_NOT_TRACK", "value": "1"},
        *source.environment,
        *features,
    ]
    if engine.api_key_secret_ref is not None:
        key = engine.api_key_secret_ref
        ours.append(_from_secret("VLLM_API_KEY", key.name, key.key))
    taken = {variable["name"] for variable in ours} | set(SECRET_FIELDS)
    for variable in engine.env:
        if variable.name in taken:
            remedy = SECRET_FIELDS.get(variable.name, "the operator sets it; leave it out")
            raise InvalidSpecError("spec.engine.env", f"{variable.name}: {remedy}")
    return [*ours, *_user_environment(engine.env)]


SECRET_FIELDS = {
    "VLLM_API_KEY": "set spec.engine.apiKeySecretRef instead",
    "HF_TOKEN": "set spec.model.storage.huggingFace.tokenSecretRef instead",
    "HUGGING_FACE_HUB_TOKEN": "set spec.model.storage.huggingFace.tokenSecretRef instead",
}
"""Variables that hold secrets and have a field of their own."""


def _user_environment(variables: Sequence[EnvVar]) -> list[Manifest]:
    made: list[Manifest] = []
    for variable in variables:
        if variable.value_from is not None:
            reference = variable.value_from.secret_key_ref
            made.append(_from_secret(variable.name, reference.name, reference.key))
        else:
            made.append({"name": variable.name, "value": variable.value or ""})
    return made


def _from_secret(name: str, secret: str, key: str) -> Manifest:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _tolerations(hardware: HardwareSpec) -> list[Manifest]:
    return [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in hardware.tolerations]


def _tls_volumes(engine: EngineSpec) -> list[Manifest]:
    if engine.tls_secret_ref is None:
        return []
    return [{"name": "tls", "secret": {"secretName": engine.tls_secret_ref.name, "defaultMode": 0o440}}]


def _tls_mounts(engine: EngineSpec) -> list[Manifest]:
    if engine.tls_secret_ref is None:
        return []
    return [{"name": "tls", "mountPath": vllm.TLS_PATH, "readOnly": True}]
