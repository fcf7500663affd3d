"""What a pod needs to reach the other nodes of its group by remote direct memory access."""

from __future__ import annotations

from deepseek_operator.catalog.rdma import rdma_resource
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import Manifest

NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"
"""Source: Kubernetes Network Plumbing Working Group, multi-network specification 1.3."""


def with_rdma(template: Manifest, plan: Plan) -> Manifest:
    """Return a pod template that asks for the plan's network; the same one where the plan has none.

    The capability to lock memory is added only where the owner of the nodes allows it: the restricted Pod Security
    Standard forbids it, and it is not needed where the container runtime itself runs without a limit of locked memory.

    Args:
        template: of a pod that takes the GPUs of one node.
        plan: the accepted plan.
    """
    if plan.rdma is None:
        return template
    engine = dict(template["spec"]["containers"][0])
    units = {plan.rdma.resource: str(plan.rdma.devices)}
    resources = engine["resources"]
    engine["resources"] = {
        **resources,
        "requests": {**resources.get("requests", {}), **units},
        "limits": {**resources.get("limits", {}), **units},
    }
    if plan.rdma.ipc_lock:
        context = engine["securityContext"]
        engine["securityContext"] = {**context, "capabilities": {**context["capabilities"], "add": ["IPC_LOCK"]}}
    made = {**template, "spec": {**template["spec"], "containers": [engine, *template["spec"]["containers"][1:]]}}
    if plan.rdma.network:
        kind = rdma_resource(plan.rdma.resource)
        joins = 1 if kind is None or kind.shared else plan.rdma.devices
        networks = ",".join([plan.rdma.network] * joins)
        meta = template["metadata"]
        made["metadata"] = {**meta, "annotations": {**meta["annotations"], NETWORKS_ANNOTATION: networks}}
    return made
