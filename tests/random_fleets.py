"""Random small clusters with one model each: nodes of several products, half used by others, in every state."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, Priority
from deepseek_operator.capacity.facts import read_node
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.workload import supply_for
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.result import Infeasible, Plan
from deepseek_operator.sandbox.nodes import FakeNode
from model_factories import make_deployment

FLEET_LABEL = "example.com/fleet"
TEAM_TAINT = {"key": "example.com/team", "value": "search", "effect": "NoSchedule"}
TEAM_TOLERATION = {"key": "example.com/team", "operator": "Equal", "value": "search", "effect": "NoSchedule"}
SPOT = ("cloud.google.com/gke-spot", "true")
MIG_PROFILE = "nvidia.com/mig-1g.20gb"

MODELS = {
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": (1, 2, 4),
    "deepseek-ai/deepseek-llm-67b-chat": (4, 8),
    "deepseek-ai/DeepSeek-R1": (8,),
}
"""Models and the tensor-parallel sizes that they are asked for; the last one spans two nodes of 80 GB GPUs."""

PRODUCTS = ("h100-sxm5-80gb", "a100-sxm4-80gb", "l40s")


@dataclass(frozen=True)
class RandomFleet:
    """A cluster and a model that is to run on it.

    Args:
        nodes: to create.
        foreign: pods of others, bound to nodes.
        plan: how a replica runs; made for clean nodes of the product, so that it may find no room at all.
    """

    seed: int
    namespace: str
    nodes: tuple[dict[str, Any], ...]
    foreign: tuple[dict[str, Any], ...]
    deployment: DeepSeekDeployment
    plan: Plan


@dataclass
class _Node:
    fake: FakeNode
    resource: str
    gpus: int
    cordoned: bool = False
    used: dict[str, int] = field(default_factory=dict)


def random_fleet(seed: int, namespace: str) -> RandomFleet:
    """Return the fleet of a seed."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable fleet, no secret
    kind = chance.choices(("whole", "group", "mig", "sliced"), (70, 12, 9, 9))[0]
    product = "h100-sxm5-80gb" if kind in ("group", "mig") else chance.choice(PRODUCTS)
    deployment, found = _planned(chance, seed, namespace, kind, product)
    nodes = [_node(chance, seed, index, kind, product) for index in range(chance.randint(2, 6))]
    foreign = [pod for node in nodes for pod in _foreign(chance, node, namespace)]
    return RandomFleet(
        seed=seed,
        namespace=namespace,
        nodes=tuple(_manifest(node) for node in nodes),
        foreign=tuple(foreign),
        deployment=deployment,
        plan=found,
    )


def _planned(
    chance: random.Random, seed: int, namespace: str, kind: str, product: str
) -> tuple[DeepSeekDeployment, Plan]:
    selector = {FLEET_LABEL: str(seed)}
    if chance.random() < 0.25:
        selector["topology.kubernetes.io/zone"] = "zone-a"
    hardware: dict[str, object] = {"gpus": [product], "spot": chance.choice(("Never", "Never", "Allow", "Only"))}
    if chance.random() < 0.4:
        hardware["tolerations"] = [TEAM_TOLERATION]
    shared = kind in ("mig", "sliced")
    model = {"whole": chance.choice(list(MODELS)[:2]), "group": list(MODELS)[2]}.get(
        kind, "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
    )
    sizes = MODELS.get(model, (1,))
    if product == "l40s":
        sizes = tuple(each for each in sizes if each != 4 or "67b" not in model)
    spec: dict[str, Any] = {
        "model": {"name": model},
        "sla": None,
        "workload": {"inputTokens": 512, "outputTokens": 128, "maxContextTokens": 2048, "concurrency": 4},
        "sharing": "Shared" if shared else "Exclusive",
        "engine": {"startupSeconds": 3600},
    }
    if kind == "group":
        spec["parallelism"] = {"tensor": 8, "pipeline": 2}
    elif not shared:
        spec["parallelism"] = {"tensor": chance.choice(sizes)}
    if kind == "mig":
        hardware["migProfile"] = "1g.20gb"
    clean = _clean_nodes(kind, product)
    asked = make_deployment(f"fleet-{seed}", namespace, **spec, hardware={"gpus": [product]} | _profile(hardware))
    supply = supply_for(asked, inventory([read_node(each) for each in clean], []))
    found = plan(plan_request(asked), supply)
    assert not isinstance(found, Infeasible), (seed, kind, product, found)
    return make_deployment(f"fleet-{seed}", namespace, **spec, hardware=hardware | {"nodeSelector": selector}), found


def _profile(hardware: dict[str, object]) -> dict[str, object]:
    return {"migProfile": hardware["migProfile"]} if "migProfile" in hardware else {}


def _clean_nodes(kind: str, product: str) -> list[dict[str, Any]]:
    return [_shaped(f"clean-{index}", kind, product, 8, {}).manifest() for index in range(2)]


def _shaped(name: str, kind: str, product: str, gpus: int, options: dict[str, Any]) -> FakeNode:
    labels = dict(options.pop("labels", {}))
    if kind == "mig":
        labels |= {"nvidia.com/mig.strategy": "mixed", f"{MIG_PROFILE}.memory": "20096"}
        options["capacity"] = {"nvidia.com/gpu": "0", MIG_PROFILE: str(gpus)}
    elif kind == "sliced":
        name_label = {"l40s": "NVIDIA-L40S-SHARED", "a100-sxm4-80gb": "NVIDIA-A100-SXM4-80GB-SHARED"}
        labels |= {
            "nvidia.com/gpu.product": name_label.get(product, "NVIDIA-H100-80GB-HBM3-SHARED"),
            "nvidia.com/gpu.replicas": "2",
            "nvidia.com/gpu.sharing-strategy": "time-slicing",
        }
        options["capacity"] = {"nvidia.com/gpu": str(2 * gpus)}
    return FakeNode(name, product, gpus=gpus, labels=labels, **options)


def _node(chance: random.Random, seed: int, index: int, kind: str, product: str) -> _Node:
    mine = chance.random() < 0.8
    node_kind = kind if mine or chance.random() < 0.5 else "whole"
    node_product = product if mine or node_kind != "whole" else chance.choice(PRODUCTS)
    gpus = chance.choice((1, 2, 4, 4, 8, 8, 8)) if kind != "group" else chance.choice((8, 8, 8, 4))
    labels, taints = {FLEET_LABEL: str(seed)}, list[dict[str, str]]()
    if chance.random() < 0.5:
        taints.append({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"})
    if chance.random() < 0.2:
        taints.append(TEAM_TAINT)
    if chance.random() < 0.15:
        taints.append({"key": "example.com/old", "value": "", "effect": "PreferNoSchedule"})
    if chance.random() < 0.25:
        labels[SPOT[0]] = SPOT[1]
        if chance.random() < 0.6:
            taints.append({"key": SPOT[0], "value": SPOT[1], "effect": "NoSchedule"})
    fake = _shaped(
        f"fleet-{seed}-{index}",
        node_kind,
        node_product,
        gpus,
        {
            "labels": labels,
            "taints": tuple(taints),
            "zone": chance.choice(("zone-a", "zone-a", "zone-b")),
            "cpu_cores": chance.choice((6, 16, 48, 192, 192)),
            "memory_gib": chance.choice((48, 128, 512, 2048, 2048, 2048)),
            "pods": chance.choice((3, 110, 110, 110)),
        },
    )
    resource = MIG_PROFILE if node_kind == "mig" else "nvidia.com/gpu"
    offered = 2 * gpus if node_kind == "sliced" else gpus
    return _Node(fake, resource, offered, cordoned=chance.random() < 0.12)


def _foreign(chance: random.Random, node: _Node, namespace: str) -> list[dict[str, Any]]:
    """Return pods of others on a node: some hold GPUs, some only CPU and memory; never more than it has."""
    pods: list[dict[str, Any]] = []
    gpus, cpu, memory = node.gpus, node.fake.cpu_cores, node.fake.memory_gib
    for index in range(chance.choice((0, 0, 1, 1, 2, 3))):
        held = chance.choice((0, 1, 1, 2, 4))
        cores, gib = chance.choice((0, 1, 4, 40)), chance.choice((0, 2, 30, 400))
        if held > gpus or cores > cpu or gib > memory or len(pods) >= node.fake.pods:
            continue
        gpus, cpu, memory = gpus - held, cpu - cores, memory - gib
        requests = {"cpu": str(cores), "memory": f"{gib}Gi"}
        limits = {node.resource: str(held)} if held else {}
        pods.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"foreign-{node.fake.name}-{index}", "namespace": namespace},
                "spec": {
                    "nodeName": node.fake.name,
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [
                        {
                            "name": "main",
                            "image": "registry.k8s.io/pause:3.10",
                            "resources": {"requests": requests | limits, "limits": limits},
                        }
                    ],
                },
            }
        )
    return pods


def _manifest(node: _Node) -> dict[str, Any]:
    made = node.fake.manifest()
    if node.cordoned:
        made["spec"]["unschedulable"] = True
    return made


def random_members(fleet: RandomFleet) -> list[Member]:
    """Return a few more models of other sizes and priorities for the nodes of a fleet, each with some replicas."""
    chance = random.Random(-fleet.seed - 1)  # noqa: S311 - repeatable, no secret
    product = fleet.plan.gpu
    members = []
    for index in range(chance.randint(2, 4)):
        kind = chance.choice(("whole", "whole", "whole", "group")) if product.startswith("h100") else "whole"
        deployment, found = _planned(chance, fleet.seed, fleet.namespace, kind, product)
        metadata = deployment.metadata.model_copy(update={"name": f"{deployment.metadata.name}-{index}"})
        priority = chance.choice((Priority.STANDARD, Priority.BATCH))
        spec = deployment.spec.model_copy(update={"priority": priority})
        asked = deployment.model_copy(update={"metadata": metadata, "spec": spec})
        members.append(Member(deployment=asked, plan=found, replicas=chance.randint(1, 4)))
    return members
