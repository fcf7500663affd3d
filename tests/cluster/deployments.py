"""DeepSeekDeployments for cluster tests, and what is asked of them again and again."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from cluster.kubectl import Kubectl
from cluster.polling import eventually

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
CHILD_KINDS = "configmaps,services,deployments,poddisruptionbudgets"
MANAGED = "app.kubernetes.io/managed-by=deepseek-operator"


def sample(name: str) -> dict[str, Any]:
    """Return a sample of the repository as an object."""
    loaded: dict[str, Any] = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    return loaded


def small(name: str = "small", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the spec
    """Return a deployment of a model that fits one GPU of any data-centre node."""
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekDeployment",
        "metadata": {"name": name},
        "spec": {
            "model": {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"},
            "workload": {"inputTokens": 512, "outputTokens": 128, "maxContextTokens": 4096, "concurrency": 8},
            **copy.deepcopy(spec),
        },
    }


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Return the status of a deployment, empty while there is none."""
    found: dict[str, Any] = kubectl("get", "dsd", name, "-o", "json")
    return found.get("status", {})


def condition(kubectl: Kubectl, name: str, kind: str) -> dict[str, Any]:
    """Return a condition of a deployment, empty while it is absent."""
    conditions = status(kubectl, name).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), {})


def planned_by_command(kubectl: Kubectl, manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what `kubectl deepseek plan -o json` answers for one object on the live cluster."""
    file = folder / "deployment.json"
    file.write_text(json.dumps(manifest))
    command = [str(Path(sys.executable).with_name("kubectl-deepseek")), "plan", "-f", str(file), "-o", "json"]
    done = subprocess.run([*command, f"--kubeconfig={kubectl.kubeconfig}"], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer["items"][0]


def wait_established(kubectl: Kubectl) -> None:
    """Wait until the kind is served; kubectl cannot wait for a condition while the list of them is still null."""
    crd = "crd/deepseekdeployments.deepseek-operator.io"
    kubectl("wait", "--for=jsonpath={.status.acceptedNames.kind}=DeepSeekDeployment", crd)
    kubectl("wait", "--for=condition=Established", crd)


def wait_ready(kubectl: Kubectl, *names: str) -> None:
    """Wait until deployments are Ready."""
    kubectl("wait", "--for=condition=Ready", "--timeout=90s", *(f"dsd/{name}" for name in names))


def wait_condition(kubectl: Kubectl, name: str, kind: str, holds: str, reason: str) -> dict[str, Any]:
    """Wait until a condition has a status and a reason, and return it."""
    return eventually(
        lambda: condition(kubectl, name, kind),
        lambda found: (found.get("status"), found.get("reason")) == (holds, reason),
        what=f"{name}: {kind}={holds} {reason}",
    )


def versions(kubectl: Kubectl) -> dict[tuple[str, str, str], str]:
    """Return the resource version of every deployment, child and pod of the namespace by kind, name and UID."""
    children = kubectl("get", CHILD_KINDS, "-l", MANAGED, "-o", "json")["items"]
    others = kubectl("get", "dsd,pods", "-o", "json")["items"]
    return {
        (each["kind"], each["metadata"]["name"], each["metadata"]["uid"]): each["metadata"]["resourceVersion"]
        for each in (*children, *others)
    }


def uids(kubectl: Kubectl, kinds: str = f"{CHILD_KINDS},pods") -> dict[tuple[str, str], str]:
    """Return the UID of every child and pod of the namespace by kind and name."""
    items = kubectl("get", kinds, "-l", MANAGED, "-o", "json")["items"]
    return {(each["kind"], each["metadata"]["name"]): each["metadata"]["uid"] for each in items}
