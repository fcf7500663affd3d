"""A replica that Triton serves: the vLLM pod with another server around the same decisions.

The pod is first built for vLLM and then turned into Triton's, so that every setting has one source. The model
repository travels in annotations of the pod and is mounted by a downward API volume: it belongs to the pod template,
so pods of two plans never read each other's configuration, and an upgrade of the operator changes none.
"""

from __future__ import annotations

import json
from importlib import resources

from deepseek_operator.api.spec_engine import EngineType, TritonBackend, TritonSpec
from deepseek_operator.api.v1alpha1 import GROUP, DeepSeekDeployment
from deepseek_operator.catalog.engine_fields import engine_fields
from deepseek_operator.catalog.engines import engine_flags
from deepseek_operator.catalog.triton_releases import triton_image
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.drain import shutdown_seconds
from deepseek_operator.resources.engine_arguments import engine_arguments, refuse_server_flags
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.service import ENGINE_PORT
from deepseek_operator.resources.storage import MODEL_PATH
from deepseek_operator.resources.triton_repository import tensorrt_llm_files, vllm_files
from deepseek_operator.resources.vllm_features import adapter_words

COMMAND = "tritonserver"

HTTP_PORT = ENGINE_PORT
GRPC_PORT = 8001
METRICS_PORT = 8002
"""Ports of ``tritonserver``. Source: its own defaults, ``tritonserver --help`` of server 2.51.0."""

REPOSITORY_PATH = "/models/repository"
PROBE_PATH = "/etc/deepseek-operator/triton_watchdog.py"

ANNOTATION_PREFIX = f"{GROUP}/triton-"
"""On pods: the files of the model repository and the watchdog, mounted by downward API volumes."""

WATCHDOG_KEY = f"{ANNOTATION_PREFIX}watchdog"

ADMIN_KEY_VARIABLE = "TRITON_ADMIN_KEY"
"""Header value for Triton's APIs that change the server: the pod's random UID, which no client knows."""

RESTRICTED_APIS = "model-repository,shared-memory,trace,logging"
"""APIs that no client of a model needs; Triton has no users, so they are behind a key.

Source: ``--http-restricted-api`` and ``--grpc-restricted-protocol``, ``tritonserver --help`` of server 2.51.0.
"""

UNHEALTHY_GRACE_SECONDS = 30
"""Grace of a container that its liveness probe gives up; it would otherwise wait the whole exit timeout for a dead
backend (server 2.51.0, observed). Holds the pre-stop sleep and a few seconds."""

PROBE_TIMEOUT_SECONDS = 10
READY_PERIOD_SECONDS, READY_FAILURES = 10, 2
ALIVE_PERIOD_SECONDS, ALIVE_FAILURES = 30, 2
"""Out of the Service after 20 seconds of answered errors, restarted after a minute; a dead backend never comes back.

Every probe is a request that the metrics count too, so they are no more frequent. Source: judgement.
"""


def triton_template(template: Manifest, deployment: DeepSeekDeployment, plan: Plan) -> Manifest:
    """Return the pod template of a replica that Triton serves.

    Args:
        template: the template of the same replica for vLLM; it is changed in place.
        deployment: the parsed object, which `triton_limits.triton_refusal` lets through.
        plan: its accepted plan.

    Raises:
        InvalidSpecError: an argument of the user is for vLLM's own HTTP server, or a variable has a name of ours.
    """
    triton, name = deployment.spec.engine.triton or TritonSpec(), model_name(deployment)
    container = template["spec"]["containers"][0]
    if triton.backend is TritonBackend.VLLM:
        adapters = dict(word.split("=", 1) for word in adapter_words(deployment.spec.model))
        files = vllm_files(name, _vllm_arguments(container["args"], deployment, plan), adapters)
        probe: Manifest = {"text_input": "a", "stream": False, "parameters": {"max_tokens": 1}}
    else:
        files = tensorrt_llm_files(name, plan, f"{MODEL_PATH}/{triton.engine_directory}")
        probe = {"input_ids": [1], "input_lengths": 1, "request_output_len": 1}
    container["image"] = deployment.spec.engine.image or triton_image(plan.engine_release)
    container["command"] = [COMMAND]
    container["args"] = _server_args(shutdown_seconds(deployment, plan))
    container["env"] = _environment(container["env"], plan, triton.backend)
    container["ports"] = [
        {"name": port_name, "containerPort": port, "protocol": "TCP"} for port_name, port in PORTS.items()
    ]
    container.update(_probes(container["startupProbe"], name, probe))
    _mount(template, container, name, files)
    return template


FURTHER_PORTS = {"grpc": GRPC_PORT, "metrics": METRICS_PORT}
PORTS = {"http": HTTP_PORT, **FURTHER_PORTS}
"""Of the container, by name."""


def further_ports(deployment: DeepSeekDeployment) -> dict[str, int]:
    """Return the ports of the Service beside the one for HTTP requests, by name; vLLM has none."""
    return FURTHER_PORTS if deployment.spec.engine.type is EngineType.TRITON else {}


def model_name(deployment: DeepSeekDeployment) -> str:
    """Return the name under which Triton serves the model: the served name, else the repository's own.

    It is the name of a directory, so the organization before the slash cannot be part of it.
    """
    model = deployment.spec.model
    return model.served_name or model.name.rsplit("/", 1)[-1]


def _vllm_arguments(words: list[str], deployment: DeepSeekDeployment, plan: Plan) -> dict[str, object]:
    flags, fields = engine_flags("vllm", plan.engine_release), engine_fields("vllm", plan.engine_release)
    refuse_server_flags(deployment.spec.engine.extra_args, flags, fields)
    return engine_arguments([word.replace("$$", "$") for word in words], flags, fields)


def _server_args(exit_seconds: int) -> list[str]:
    """Return the arguments of ``tritonserver``: one model, loaded once; a model that fails to load ends the server."""
    restricted = f"{RESTRICTED_APIS}:{ADMIN_KEY_HEADER}=$({ADMIN_KEY_VARIABLE})"
    return [
        f"--model-repository={REPOSITORY_PATH}",
        "--model-control-mode=none",
        "--exit-on-error=true",
        "--strict-readiness=true",
        f"--http-port={HTTP_PORT}",
        f"--grpc-port={GRPC_PORT}",
        f"--metrics-port={METRICS_PORT}",
        f"--exit-timeout-secs={exit_seconds}",
        f"--http-restricted-api={restricted}",
        f"--grpc-restricted-protocol={restricted}",
    ]


ADMIN_KEY_HEADER = "admin-key"


def _environment(variables: list[Manifest], plan: Plan, backend: TritonBackend) -> list[Manifest]:
    """Return the engine's variables with the key of the restricted APIs before them, because arguments refer to it."""
    made: list[Manifest] = [
        {"name": ADMIN_KEY_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]
    if backend is TritonBackend.TENSORRT_LLM:
        variables = [variable for variable in variables if not variable["name"].startswith("VLLM_")]
        if plan.parallelism.world_size > 1:
            # One server starts the other ranks itself. Source: TensorRT-LLM triton_backend, model_instance_state.cc.
            made.append({"name": "TRTLLM_ORCHESTRATOR", "value": "1"})
    for taken in made:
        if any(variable["name"] == taken["name"] for variable in variables):
            raise InvalidSpecError("spec.engine.env", f"{taken['name']}: the operator sets it for Triton; leave it out")
    return [*made, *variables]


def _probes(startup: Manifest, name: str, body: Manifest) -> Manifest:
    """Return the probes: a start as patient as vLLM's, then one token from the model, never Triton's own word for it.

    Args:
        startup: the start probe of the same model under vLLM.
        name: of the model.
        body: the smallest request that the model answers.
    """
    path = f"/v2/models/{name}/generate"
    command = ["python3", "-IS", PROBE_PATH, str(HTTP_PORT), path, json.dumps(body)]

    def watchdog(period_seconds: int, failures: int) -> Manifest:
        return {
            "exec": {"command": list(command)},
            "periodSeconds": period_seconds,
            "failureThreshold": failures,
            "timeoutSeconds": PROBE_TIMEOUT_SECONDS,
        }

    alive = watchdog(ALIVE_PERIOD_SECONDS, ALIVE_FAILURES)
    return {
        "startupProbe": {**startup, "httpGet": {"path": "/v2/health/ready", "port": "http", "scheme": "HTTP"}},
        "readinessProbe": watchdog(READY_PERIOD_SECONDS, READY_FAILURES),
        "livenessProbe": {**alive, "terminationGracePeriodSeconds": UNHEALTHY_GRACE_SECONDS},
    }


def _mount(template: Manifest, container: Manifest, name: str, files: dict[str, str]) -> None:
    """Write the files into annotations and mount them; the model's directory alone is a volume.

    A downward API volume has entries of its own that begin with two dots. At the root of a repository Triton would take
    them for models; inside a model it ignores them, because they are no version numbers (server 2.51.0, observed).
    """
    keys = {path: ANNOTATION_PREFIX + path.replace("/", "-") for path in files}
    template["metadata"]["annotations"] |= {keys[path]: text for path, text in files.items()}
    template["metadata"]["annotations"][WATCHDOG_KEY] = watchdog_source()
    directory, _, script = PROBE_PATH.rpartition("/")
    template["spec"]["volumes"] += [
        _annotation_volume("model-repository", keys),
        _annotation_volume("watchdog", {script: WATCHDOG_KEY}),
    ]
    container["volumeMounts"] += [
        {"name": "model-repository", "mountPath": f"{REPOSITORY_PATH}/{name}", "readOnly": True},
        {"name": "watchdog", "mountPath": directory, "readOnly": True},
    ]


def _annotation_volume(name: str, keys: dict[str, str]) -> Manifest:
    items = [
        {"path": path, "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{key}']"}}
        for path, key in keys.items()
    ]
    return {"name": name, "downwardAPI": {"items": items}}


def watchdog_source() -> str:
    """Return the text of the watchdog that runs as a probe (``pod_scripts/triton_watchdog.py``)."""
    return resources.files("deepseek_operator.pod_scripts").joinpath("triton_watchdog.py").read_text(encoding="utf-8")
