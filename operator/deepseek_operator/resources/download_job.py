"""The Job that downloads a model into its cache, before any pod holds a GPU for it.

Each DeepSeekDeployment with ``spec.model.cache`` has one. Its name is a digest of its pod template, because that can
never be changed: another revision, token or claim is another Job, and the old one is pruned. A Job that is complete
stays, as the proof that its weights are there.

Several objects may share one claim, and then have a Job each. That they never download the same model twice is decided
where it can be decided for all of them, also for objects of two clusters on one file server: in the volume, by a lock
and a marker (``pod_scripts/hub_download.py``). One Job for all of them would need an owner that none of them is: with
the first it would be deleted while the others wait for it.

A container that fails is restarted in its pod with the kubelet's back-off, so a Secret that is corrected or a volume
that has grown is noticed within five minutes, and the reason of the last failure stands in the pod's status.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from deepseek_operator.api.base import SecretKeyRef
from deepseek_operator.api.served_model import served_model
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources import security
from deepseek_operator.resources.names import Manifest, Owner, common_labels, metadata, object_name
from deepseek_operator.resources.storage import CACHE_MOUNT, cache_claim_name, hub_token
from deepseek_operator.resources.vllm import literal

COMPONENT = "download"
"""``app.kubernetes.io/component`` of the Job, its ConfigMap and its pods."""

SCRIPT = "hub_download.py"
SCRIPT_PATH = "/opt/deepseek-operator"

BACKOFF_LIMIT = 288
"""Restarts before the Job is given up: a day of the kubelet's longest back-off, 5 minutes."""

CPU_REQUEST = "1"
MEMORY_REQUEST = "2Gi"
"""Four files at a time, hashed while they are written. Source: judgement; nothing is set as a limit."""

PASSED_ON = frozenset(
    {
        "HF_ENDPOINT",
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
"""Variables of ``spec.engine.env`` that say how to reach the hub."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """What a cache must hold before the model starts.

    Args:
        repositories: name and revision (empty for the main branch) of each, the model first.
        claim: name of the PersistentVolumeClaim.
        token: where the access token is kept; None is anonymous.
    """

    repositories: tuple[tuple[str, str], ...]
    claim: str
    token: SecretKeyRef | None = None

    def __str__(self) -> str:
        model = " and ".join(_word(*each) for each in self.repositories)
        return f"{model} into claim {self.claim}"


def model_download(owner: str, spec: DeepSeekDeploymentSpec, plan: Plan) -> Download | None:
    """Return what is downloaded into the cache; None without ``spec.model.cache``.

    Args:
        owner: name of the DeepSeekDeployment.
        spec: of the object.
        plan: its accepted plan, which may run a fallback.
    """
    model = served_model(spec, plan)
    if model.cache is None:
        return None
    repositories = [(spec.precision.checkpoint or model.name, model.revision)]
    if spec.engine.speculative is not None and spec.engine.speculative.draft_model:
        repositories.append((spec.engine.speculative.draft_model, ""))
    repositories += [(adapter.source, "") for adapter in model.lora_adapters]
    return Download(
        repositories=tuple(dict.fromkeys(repositories)),
        claim=cache_claim_name(owner, model.cache),
        token=hub_token(model),
    )


def build_download(owner: Owner, download: Download, template: Manifest) -> list[Manifest]:
    """Return the ConfigMap with the program and the Job that runs it.

    Args:
        owner: the DeepSeekDeployment.
        download: what to fetch.
        template: the engine's pod template: the Job runs in its image, where the engine may run.
    """
    pod = _pod_template(owner, download, template["spec"])
    digest = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:8]
    job: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(owner, suffix=f"{COMPONENT}-{digest}", component=COMPONENT),
        "spec": {"backoffLimit": BACKOFF_LIMIT, "podReplacementPolicy": "Failed", "template": pod},
    }
    program: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, suffix=COMPONENT, component=COMPONENT),
        "data": {SCRIPT: files("deepseek_operator.pod_scripts").joinpath(SCRIPT).read_text(encoding="utf-8")},
    }
    return [program, job]


def _pod_template(owner: Owner, download: Download, engine: Manifest) -> Manifest:
    pod: Manifest = {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security.pod_security_context(),
        "tolerations": engine["tolerations"],
        "containers": [_container(download, engine["containers"][0])],
        "volumes": [
            {"name": "shared-cache", "persistentVolumeClaim": {"claimName": download.claim}},
            {"name": "program", "configMap": {"name": object_name(owner.name, COMPONENT), "defaultMode": 0o444}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if preferred := _preferred(engine):
        pod["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    return {"metadata": {"labels": common_labels(owner.name, COMPONENT)}, "spec": pod}


def _container(download: Download, engine: Manifest) -> Manifest:
    return {
        "name": COMPONENT,
        "image": engine["image"],
        "command": ["python3", f"{SCRIPT_PATH}/{SCRIPT}"],
        "args": [literal(_word(*each)) for each in download.repositories],
        "env": _environment(download, engine),
        "resources": {"requests": {"cpu": CPU_REQUEST, "memory": MEMORY_REQUEST}},
        "securityContext": security.container_security_context(),
        "volumeMounts": [
            {"name": "shared-cache", "mountPath": CACHE_MOUNT},
            {"name": "program", "mountPath": SCRIPT_PATH, "readOnly": True},
            {"name": "tmp", "mountPath": security.TMP_PATH},
        ],
    }


def _environment(download: Download, engine: Manifest) -> list[Manifest]:
    """Return where to write, how to reach the hub, and the reference to the token."""
    values = {
        "HOME": security.TMP_PATH,
        "HF_HOME": CACHE_MOUNT,
        "HF_XET_CACHE": f"{security.TMP_PATH}/xet",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    made: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    made += [variable for variable in engine.get("env", ()) if variable["name"] in PASSED_ON]
    if download.token is not None:
        reference = {"secretKeyRef": {"name": download.token.name, "key": download.token.key}}
        made.append({"name": "HF_TOKEN", "valueFrom": reference})
    return made


def _preferred(engine: Manifest) -> list[Manifest]:
    """Return the engine's nodes as a preference: a volume that belongs to a zone is then made in the right one."""
    required = engine.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return [{"weight": 100, "preference": term} for term in required["nodeSelectorTerms"]] if required else []


def _word(repository: str, revision: str) -> str:
    return f"{repository}@{revision}" if revision else repository
