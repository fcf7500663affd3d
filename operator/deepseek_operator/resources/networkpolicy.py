"""Who may talk to a model's pods, and with whom they may talk; only where ``spec.networkPolicy`` asks for it.

Nothing is made by default. Which namespaces hold the clients and gateways of a model is known to its owner alone, and
a wrong guess cuts off requests without a word; where the network plugin enforces no policies, a default would promise
what nobody keeps.

A policy says nothing about the kubelet's probes, which come from the node. Whoever reads the engine's metrics is to be
listed: a monitoring system, and the operator's own namespace if plans are to learn from started engines.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.download_job import COMPONENT
from deepseek_operator.resources.names import LABEL_COMPONENT, LABEL_DEPLOYMENT, Manifest, Owner, label_value, metadata

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""On every namespace, with its name. Source: Kubernetes, "Well-Known Labels"; set by the API server since 1.22."""

DNS_PORT = 53
HTTPS_PORT = 443
DEFAULT_PORTS = {"http": 80, "https": HTTPS_PORT, "redis": 6379, "rediss": 6379}
"""Ports of addresses that name none. Source: RFC 9110; Redis documentation, "redis-cli"."""

METRICS_PORT = "metrics"
"""Name of a container port that serves metrics alone; an engine without it serves them beside requests."""

HUB_VARIABLES = frozenset({"HF_ENDPOINT", "HTTPS_PROXY", "https_proxy"})
"""Variables of ``spec.engine.env`` that lead downloads to another address."""


def build_network_policies(
    owner: Owner, spec: DeepSeekDeploymentSpec, plan: Plan, template: Manifest
) -> list[Manifest]:
    """Return the policy of the pods that serve, and that of a download; none where the spec does not ask.

    Args:
        owner: the DeepSeekDeployment.
        spec: of the object.
        plan: its accepted plan: pods of one replica on several nodes may talk freely.
        template: the engine's pod template, for its ports and environment.
    """
    asked = spec.network_policy
    if asked is None:
        return []
    container = template["spec"]["containers"][0]
    engine = {LABEL_DEPLOYMENT: label_value(owner.name), LABEL_COMPONENT: "engine"}
    group = [{"podSelector": {"matchLabels": engine}}]
    ingress = [{"from": [{"podSelector": {}}, *_namespaces(asked.from_namespaces)], "ports": _ports(container, False)}]
    if asked.metrics_from_namespaces:
        ingress.append({"from": _namespaces(asked.metrics_from_namespaces), "ports": _ports(container, True)})
    egress = [_dns()]
    if plan.nodes_per_replica > 1:
        ingress.append({"from": group})
        egress.append({"to": group})
    outside = _store_ports(spec) | (set() if _is_offline(container) else _hub_ports(container))
    if outside:
        egress.append({"ports": [_tcp(port) for port in sorted(outside)]})
    policies = [_policy(owner, "engine", "", engine, ingress, egress)]
    if spec.model.cache is not None:
        download = engine | {LABEL_COMPONENT: COMPONENT}
        hub = {"ports": [_tcp(port) for port in sorted(_hub_ports(container))]}
        policies.append(_policy(owner, COMPONENT, COMPONENT, download, [], [_dns(), hub]))
    return policies


def _policy(
    owner: Owner,
    component: str,
    suffix: str,
    selector: dict[str, str],
    ingress: list[Manifest],
    egress: list[Manifest],
) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(owner, suffix=suffix, component=component),
        "spec": {
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _namespaces(names: Iterable[str]) -> list[Manifest]:
    return [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}} for name in names]


def _ports(container: Manifest, metrics: bool) -> list[Manifest]:
    """Return the container's ports for requests, or those that serve metrics."""
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    own = METRICS_PORT in named
    wanted = [port for name, port in named.items() if (name == METRICS_PORT) is (metrics and own)]
    return [_tcp(port) for port in wanted]


def _dns() -> Manifest:
    """Name resolution, wherever it is: some clusters answer from an address of the node."""
    return {"ports": [{"protocol": "UDP", "port": DNS_PORT}, _tcp(DNS_PORT)]}


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}


def _is_offline(container: Manifest) -> bool:
    return any(each["name"] == "HF_HUB_OFFLINE" for each in container["env"])


def _hub_ports(container: Manifest) -> set[int]:
    """Return the ports of the hub, of a mirror or proxy, and HTTPS: the hub sends downloads on to other hosts."""
    addresses = [each.get("value", "") for each in container["env"] if each["name"] in HUB_VARIABLES]
    return {HTTPS_PORT, *(port for address in addresses if (port := _port_of(address)) is not None)}


def _store_ports(spec: DeepSeekDeploymentSpec) -> set[int]:
    """Return the port of a shared store of KV blocks."""
    store = spec.engine.kv_offload.store if spec.engine.kv_offload is not None else None
    port = _port_of(store.url) if store is not None else None
    return set() if port is None else {port}


def _port_of(address: str) -> int | None:
    """Return the port of a URL, None for what is no URL.

    >>> _port_of("redis://kv.cache"), _port_of("http://mirror:8080/hf"), _port_of("mirror")
    (6379, 8080, None)
    """
    try:
        parts = urlsplit(address)
        return parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
