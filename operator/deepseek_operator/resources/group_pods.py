"""The pods of a replica that spans several nodes: a leader that answers requests, and workers that only compute.

Both run the same engine with the same arguments; what differs is the rank of their node, and that workers serve nothing
(``--headless``). The templates are made from the one of a single-node replica, so all that is true there is true here.

vLLM derives everything else from the node's rank: which data-parallel ranks run there and, without an address of its
own, where the data-parallel coordinator listens. Source: vLLM 0.32.0 ``create_engine_config``, ``engine/arg_utils.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.gang import Gang, gang_of, scheduled_by
from deepseek_operator.resources.group_probes import worker_lifecycle, worker_probes
from deepseek_operator.resources.names import LABEL_ROLE, Manifest, group_name
from deepseek_operator.resources.priorityclass import group_priority_class
from deepseek_operator.resources.rdma import with_rdma

MASTER_PORT = 29501
"""Where ranks meet on the leader: ``--master-port``. Source: default of the release, flag table 0.32.0."""

DATA_PARALLEL_RPC_PORT = 29550
"""Where data-parallel engines meet on the leader. Source: vLLM 0.32.0 ``ParallelConfig.data_parallel_rpc_port``."""

WORKER_ROLE = "worker"

LEADER_ADDRESS = "GROUP_LEADER_ADDRESS"
NODE_RANK = "GROUP_NODE_RANK"
"""Variables of every container of a group, which the kubelet puts into the arguments: no shell is needed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """How a pod learns where its leader is and which node of its group it is.

    Args:
        kind: kind of the workload that makes the pods.
        leader_address: value of ``GROUP_LEADER_ADDRESS``; may name variables that stand before it.
        node_rank: value of ``GROUP_NODE_RANK``; empty where each node has a template of its own.
        before: variables that those two name.
    """

    kind: str
    leader_address: str
    node_rank: str = ""
    before: tuple[Manifest, ...] = ()


def place_in(deployment: DeepSeekDeployment, features: ClusterFeatures) -> Place:
    """Return how the pods of a deployment's groups learn their place.

    LeaderWorkerSet sets its variables itself, before all others. A StatefulSet has one pod per group and one template
    per node, so its pods' index is the group's.

    Source: ``AddLWSVariables`` of kubernetes-sigs/lws v0.9.0; Kubernetes, "StatefulSets", pod index label (1.28 on).
    """
    if features.leader_worker_set:
        return Place(kind="LeaderWorkerSet", leader_address="$(LWS_LEADER_ADDRESS)", node_rank="$(LWS_WORKER_INDEX)")
    name = group_name(deployment.metadata.name)
    index: Manifest = {
        "name": "GROUP_INDEX",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}},
    }
    namespace: Manifest = {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    return Place(
        kind="StatefulSet",
        leader_address=f"{name}-0-$(GROUP_INDEX).{name}.$(POD_NAMESPACE).svc",
        before=(index, namespace),
    )


def build_group_templates(
    template: Manifest, deployment: DeepSeekDeployment, plan: Plan, features: ClusterFeatures
) -> Manifest:
    """Return the two pod templates of a group, with the kind of workload that they are made for.

    Args:
        template: of a pod that takes the GPUs of one node of the replica; it is not changed.
        deployment: the parsed object.
        plan: its accepted plan, over two nodes or more.
        features: what the cluster can do; groups are made by LeaderWorkerSet where it is served.

    Returns:
        ``{"kind": ..., "gang": ..., "size": nodes, "leader": template, "worker": template}``.

    Raises:
        InvalidSpecError: a variable of the user's has the name of one of ours.
    """
    place, gang = place_in(deployment, features), gang_of(deployment, features)
    pod = {**template["spec"]}
    if gang is Gang.NONE and not deployment.spec.priority_class_name and "priorityClassName" in pod:
        pod["priorityClassName"] = group_priority_class(pod["priorityClassName"])
    base = with_rdma({**template, "spec": pod}, plan)
    leader, worker = (
        scheduled_by(made, gang, deployment.spec.queue_name)
        for made in (_leader(base, plan, place), _worker(base, plan, place))
    )
    return {
        "kind": place.kind,
        "gang": gang.value,
        "size": plan.nodes_per_replica,
        "leader": json.loads(json.dumps(leader)),  # no parts in common, which YAML would show as references
        "worker": json.loads(json.dumps(worker)),
    }


def group_args(plan: Plan, *, leads: bool) -> list[str]:
    """Return the arguments that only pods of a group have.

    Args:
        plan: the accepted plan.
        leads: whether it is the leader, whose rank is always 0.
    """
    address, split = f"$({LEADER_ADDRESS})", plan.parallelism
    args = [
        f"--nnodes={plan.nodes_per_replica}",
        f"--node-rank=$({NODE_RANK})",
        f"--master-addr={address}",
        f"--master-port={MASTER_PORT}",
    ]
    if split.data > 1:
        args += [
            f"--data-parallel-size-local={local_data(split, plan.nodes_per_replica)}",
            f"--data-parallel-address={address}",
            f"--data-parallel-rpc-port={DATA_PARALLEL_RPC_PORT}",
        ]
    return args if leads else [*args, "--headless"]


def local_data(split: Parallelism, nodes: int) -> int:
    """Return how many data-parallel engines have ranks on one node, as vLLM counts them; at least 1.

    >>> local_data(Parallelism(tensor=8, data=4), 2), local_data(Parallelism(tensor=8, pipeline=2, data=2), 4)
    (2, 1)
    """
    return max(split.world_size // nodes // (split.tensor * split.pipeline), 1)


def _leader(template: Manifest, plan: Plan, place: Place) -> Manifest:
    container = _container(template, plan, place, leads=True)
    return {**template, "spec": {**template["spec"], "containers": [container, *template["spec"]["containers"][1:]]}}


def _worker(template: Manifest, plan: Plan, place: Place) -> Manifest:
    """Return the worker's template: no port, no readiness, and alive as long as its leader answers."""
    container = _container(template, plan, place, leads=False)
    container["lifecycle"] = worker_lifecycle(container, leader_variable=LEADER_ADDRESS)
    container |= worker_probes(container, leader_variable=LEADER_ADDRESS)
    for served in ("readinessProbe", "ports"):
        container.pop(served, None)
    meta = template["metadata"]
    labels = {**meta["labels"], LABEL_ROLE: WORKER_ROLE}
    return {
        "metadata": {**meta, "labels": labels},
        "spec": {**template["spec"], "containers": [container]},
    }


def _container(template: Manifest, plan: Plan, place: Place, *, leads: bool) -> Manifest:
    engine: Manifest = dict(template["spec"]["containers"][0])
    engine["args"] = [*engine["args"], *group_args(plan, leads=leads)]
    engine["env"] = _environment(engine.get("env", []), place)
    resources = engine["resources"]
    cores = str(group_cpu_cores(plan, leads=leads))
    engine["resources"] = {**resources, "requests": {**resources["requests"], "cpu": cores}}
    return engine


def _environment(variables: list[Manifest], place: Place) -> list[Manifest]:
    """Return what tells a pod its place, then the variables that every replica has."""
    ours: list[Manifest] = [
        *place.before,
        {"name": LEADER_ADDRESS, "value": place.leader_address},
        {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    if place.node_rank:
        ours.append({"name": NODE_RANK, "value": place.node_rank})
    taken = {each["name"] for each in ours} | {NODE_RANK}
    for variable in variables:
        if variable["name"] in taken or variable["name"].startswith("LWS_"):
            raise InvalidSpecError(
                "spec.engine.env", f"{variable['name']}: the operator sets it for replicas over nodes; leave it out"
            )
    return [*ours, *variables]


def group_cpu_cores(plan: Plan, *, leads: bool) -> int:
    """Return the CPU cores of one pod of a group, by the rule of `pod_resources.cpu_cores`.

    Each pod has its own ranks and data-parallel engines; API servers and the coordinator run on the leader alone.
    """
    split, nodes = plan.parallelism, plan.nodes_per_replica
    here = split.world_size // nodes + local_data(split, nodes)
    return here + split.data + (1 if split.data > 1 else 0) if leads else here
