"""The chart: lints, installs the same objects as the Kustomize base, and asks for no right that it does not need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.resources.names import FIELD_MANAGER, LABEL_MANAGED_BY
from deepseek_operator.resources.priorityclass import build_priority_classes
from deepseek_operator.resources.service import ENGINE_PORT

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "deepseek-operator"
INSTALL = ROOT / "manifests" / "install"

Manifest = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("helm")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(*settings: str) -> list[Manifest]:
    flags = [word for setting in settings for word in ("--set", setting)]
    result = helm("template", "deepseek-operator", str(CHART), "--namespace", "deepseek-operator", *flags)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def rules_of(manifests: list[Manifest]) -> list[Manifest]:
    """Return the rules of the operator's own roles, without those that are for people."""
    roles = [*of_kind(manifests, "ClusterRole"), *of_kind(manifests, "Role")]
    return [
        rule
        for role in roles
        if not role["metadata"]["name"].endswith(("-edit", "-view", "-capacity"))
        for rule in role["rules"]
    ]


def test_the_chart_lints() -> None:
    result = helm("lint", "--strict", str(CHART))
    assert result.returncode == 0, result.stdout


def test_the_chart_carries_the_generated_definitions_word_by_word() -> None:
    sources = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")} == sources
    assert of_kind(rendered(), "CustomResourceDefinition") == [
        yaml.safe_load(text) for _, text in sorted(sources.items())
    ]


def test_the_kustomize_base_is_what_the_chart_renders() -> None:
    listed = yaml.safe_load((INSTALL / "kustomization.yaml").read_text())["resources"]
    base = [
        document
        for name in listed
        for document in yaml.safe_load_all((INSTALL / name).read_text())
        if document["kind"] != "Namespace"
    ]

    def key(manifest: Manifest) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    assert sorted(base, key=key) == sorted(rendered(), key=key)
    assert sorted(path.name for path in INSTALL.iterdir()) == sorted([*listed, "kustomization.yaml"])


def test_the_rendered_files_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "hack" / "render_install.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), id="all namespaces"),
        pytest.param(("watchNamespaces={chat,search}",), id="named namespaces"),
    ],
)
def test_rights_name_no_secret_and_no_wildcard(settings: tuple[str, ...]) -> None:
    for rule in rules_of(rendered(*settings)):
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"*", "secrets", "escalate", "bind", "impersonate"} & set(words), rule


ALLOWED = {
    ("", "configmaps"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "events"): {"create"},
    ("", "nodes"): {"list", "watch"},
    ("", "persistentvolumeclaims"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "pods"): {"list", "watch", "delete"},
    ("", "pods/status"): {"patch"},
    ("", "resourcequotas"): {"list", "watch"},
    ("", "services"): {"get", "list", "watch", "create", "patch", "delete"},
    ("apps", "deployments"): {"get", "list", "watch", "create", "patch", "delete"},
    ("apps", "statefulsets"): {"get", "list", "watch", "create", "patch", "delete"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
    ("coordination.k8s.io", "leases"): {"get", "create", "update"},
    ("deepseek-operator.io", "capacityplans"): {"list", "watch"},
    ("deepseek-operator.io", "capacityplans/status"): {"patch"},
    ("deepseek-operator.io", "deepseekdeployments"): {"list", "watch"},
    ("deepseek-operator.io", "deepseekdeployments/finalizers"): {"update"},
    ("deepseek-operator.io", "deepseekdeployments/scale"): {"patch"},
    ("deepseek-operator.io", "deepseekdeployments/status"): {"patch"},
    ("leaderworkerset.x-k8s.io", "leaderworkersets"): {"get", "list", "watch", "create", "patch", "delete"},
    ("monitoring.coreos.com", "podmonitors"): {"get", "list", "watch", "create", "patch", "delete"},
    ("networking.k8s.io", "networkpolicies"): {"get", "list", "watch", "create", "patch", "delete"},
    ("resource.k8s.io", "resourceclaimtemplates"): {"get", "list", "watch", "create", "patch", "delete"},
    ("resource.k8s.io", "resourceslices"): {"list", "watch"},
    ("policy", "poddisruptionbudgets"): {"get", "list", "watch", "create", "patch", "delete"},
}
"""Everything that the operator may do; a right more is a change of this table."""


def test_the_operator_has_exactly_the_rights_that_it_needs() -> None:
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in rules_of(rendered()):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    assert granted == ALLOWED


def test_with_named_namespaces_nothing_is_written_anywhere_else() -> None:
    manifests = rendered("watchNamespaces={chat,search}")
    (role,) = (role for role in of_kind(manifests, "ClusterRole") if role["metadata"]["name"] == "deepseek-operator")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} <= {"list", "watch"}
    namespaces = {role["metadata"]["namespace"] for role in of_kind(manifests, "Role")}
    assert namespaces == {"chat", "search", "deepseek-operator"}
    arguments = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments == ["run", "--port=8080", "--lease-seconds=30", "--namespace=chat", "--namespace=search"]


def test_only_its_own_lease_can_be_taken() -> None:
    (role,) = of_kind(rendered(), "Role")
    restricted = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert [rule["resourceNames"] for rule in restricted] == [["deepseek-operator"]]


def test_the_operators_pod_is_restricted_and_single() -> None:
    (deployment,) = of_kind(rendered(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]) == (
        True,
        {"type": "RuntimeDefault"},
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"metrics"}


def test_further_replicas_stand_by_on_other_nodes_and_one_survives_a_drain() -> None:
    manifests = rendered("replicas=2")
    spec = of_kind(manifests, "Deployment")[0]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (
        2,
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
    )
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == spread["labelSelector"] == spec["selector"]


def test_a_single_replica_has_no_disruption_budget_that_could_stop_a_drain() -> None:
    assert of_kind(rendered(), "PodDisruptionBudget") == []
    assert of_kind(rendered("replicas=2", "podDisruptionBudget.install=false"), "PodDisruptionBudget") == []


def test_the_network_policy_lets_in_who_reads_metrics_and_out_what_the_operator_calls() -> None:
    assert of_kind(rendered(), "NetworkPolicy") == []
    manifests = rendered("networkPolicy.install=true", "networkPolicy.fromNamespaces={monitoring}")
    (policy,) = of_kind(manifests, "NetworkPolicy")
    (pods,) = (each["spec"] for each in of_kind(manifests, "Deployment"))
    (metrics,) = pods["template"]["spec"]["containers"][0]["ports"]
    names, api, engines = policy["spec"]["egress"]
    assert policy["spec"]["podSelector"] == pods["selector"]
    assert policy["spec"]["ingress"] == [
        {
            "ports": [{"protocol": "TCP", "port": metrics["containerPort"]}],
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        }
    ]
    assert {port["port"] for port in names["ports"]} == {53, 5353}
    assert [port["port"] for port in api["ports"]] == [443, 6443, 9090]
    assert engines == {
        "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {LABEL_MANAGED_BY: FIELD_MANAGER}}}],
        "ports": [{"protocol": "TCP", "port": ENGINE_PORT}],
    }


@pytest.mark.parametrize(
    "settings",
    [
        ("prometheus.url=https://thanos/query",),
        ("prometheus.url=http://[fd00::1]:9095", "networkPolicy.egressPorts={443,9095}"),
    ],
)
def test_a_prometheus_whose_port_is_let_out_goes_with_the_network_policy(settings: tuple[str, ...]) -> None:
    assert len(of_kind(rendered("networkPolicy.install=true", *settings), "NetworkPolicy")) == 1


def test_the_operator_is_scraped_by_the_one_monitor_that_was_asked_for() -> None:
    by_pod = rendered("monitoring.podMonitor=true", "monitoring.labels.release=prometheus")
    by_service = rendered("monitoring.serviceMonitor=true", "monitoring.labels.release=prometheus")
    (pod_monitor,), (service_monitor,) = of_kind(by_pod, "PodMonitor"), of_kind(by_service, "ServiceMonitor")
    (service,) = of_kind(by_service, "Service")
    assert pod_monitor["metadata"] == service_monitor["metadata"]
    assert pod_monitor["metadata"]["labels"]["release"] == "prometheus"
    assert pod_monitor["spec"]["podMetricsEndpoints"] == service_monitor["spec"]["endpoints"]
    assert service_monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service_monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_every_object_of_a_namespace_says_which() -> None:
    every = ("replicas=2", "networkPolicy.install=true", "monitoring.rules=true", "monitoring.dashboards=true")
    of_clusters = {
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    for monitor in ("podMonitor", "serviceMonitor"):
        for manifest in rendered(*every, f"monitoring.{monitor}=true"):
            there = manifest["metadata"].get("namespace")
            assert there == (None if manifest["kind"] in of_clusters else "deepseek-operator"), manifest["kind"]


def test_the_priority_classes_are_those_that_pods_name() -> None:
    installed = [
        {
            "apiVersion": each["apiVersion"],
            "kind": each["kind"],
            "metadata": {"name": each["metadata"]["name"]},
            "value": each["value"],
            "globalDefault": each["globalDefault"],
            "preemptionPolicy": each["preemptionPolicy"],
        }
        for each in of_kind(rendered(), "PriorityClass")
    ]
    assert sorted(installed, key=lambda each: each["metadata"]["name"]) == sorted(
        build_priority_classes(), key=lambda each: each["metadata"]["name"]
    )


def test_uninstalling_removes_the_definition_unless_it_is_kept() -> None:
    removed = of_kind(rendered(), "CustomResourceDefinition")
    kept = of_kind(rendered("crds.keep=true"), "CustomResourceDefinition")
    assert [definition["spec"]["names"]["kind"] for definition in removed] == ["CapacityPlan", "DeepSeekDeployment"]
    for there, stays in zip(removed, kept, strict=True):
        assert "annotations" not in there["metadata"]
        assert stays["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert stays == there


def test_parts_can_be_left_out() -> None:
    manifests = rendered("crds.install=false", "priorityClasses.install=false", "rbac.aggregateToDefaultRoles=false")
    kinds = {manifest["kind"] for manifest in manifests}
    assert not {"CustomResourceDefinition", "PriorityClass"} & kinds
    assert [role["metadata"]["name"] for role in of_kind(manifests, "ClusterRole")] == ["deepseek-operator"]


def test_prometheus_is_asked_with_mounted_files_and_no_right_to_secrets() -> None:
    manifests = rendered(
        "prometheus.url=https://thanos.monitoring:9091",
        "prometheus.labels.cluster=eu-1",
        "prometheus.caConfigMap.name=service-ca",
        "prometheus.tokenSecret.name=thanos-token",
    )
    pod = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][3:] == [
        "--prometheus-url=https://thanos.monitoring:9091",
        "--scrape-seconds=15",
        "--prometheus-label=cluster=eu-1",
        "--prometheus-ca-file=/etc/prometheus/ca/ca.crt",
        "--prometheus-token-file=/etc/prometheus/token/token",
    ]
    assert pod["volumes"][1:] == [
        {"name": "prometheus-ca", "configMap": {"name": "service-ca"}},
        {"name": "prometheus-token", "secret": {"secretName": "thanos-token"}},
    ]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [
        "/tmp",  # noqa: S108 - the pod's own
        "/etc/prometheus/ca",
        "/etc/prometheus/token",
    ]
    assert not [rule for rule in rules_of(manifests) if "secrets" in rule["resources"]]


def test_the_operators_own_token_can_be_sent_to_prometheus() -> None:
    settings = ("prometheus.url=https://thanos.openshift-monitoring:9091", "prometheus.serviceAccountToken=true")
    pod = of_kind(rendered(*settings), "Deployment")[0]["spec"]["template"]["spec"]
    assert "--prometheus-token-file=/var/run/secrets/kubernetes.io/serviceaccount/token" in pod["containers"][0]["args"]


def test_a_digest_wins_over_the_tag() -> None:
    digest = "sha256:" + "0" * 64
    (deployment,) = of_kind(rendered(f"image.digest={digest}", "image.repository=r.example/op"), "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"r.example/op@{digest}"


def test_the_chart_has_the_packages_version() -> None:
    from deepseek_operator import __version__

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_every_refusal_names_the_value_of_the_chart_that_allows_more() -> None:
    settings = ("admission.namespaces.team-a.maxGpusTotal=8", "admission.namespaces.team-a.hostPath=true")
    known = yaml.safe_load((CHART / "values.yaml").read_text())["admission"]["limits"]
    for policy in of_kind(rendered(*settings), "ValidatingAdmissionPolicy"):
        at = "namespaces.team-a" if policy["metadata"]["name"].endswith("team-a") else "limits"
        for rule in policy["spec"]["validations"]:
            named = re.findall(
                r"chart's value admission\.(\S+)\.(\w+)", rule.get("messageExpression", rule.get("message"))
            )
            assert named, rule
            assert all(place == at and value in known for place, value in named), rule


def test_whoever_is_told_to_uninstall_is_told_the_namespace() -> None:
    texts = [
        (CHART / "templates" / "NOTES.txt").read_text(),
        *(each.read_text() for each in (ROOT / "docs").glob("*.md")),
    ]
    told = [line for text in texts for line in re.findall(r"helm uninstall [^`\s].*?`", text)]
    assert told
    assert [line for line in told if "--namespace" not in line] == []
