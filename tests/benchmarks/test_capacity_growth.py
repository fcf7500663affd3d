"""The capacity question on clusters of 100 to 10,000 nodes with 10 to 1,000 deployments: seconds and memory."""

from __future__ import annotations

import itertools
import random
import time

from deepseek_operator.capacity.facts import NodeFacts, PodFacts
from deepseek_operator.capacity.fleet import place_fleet
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.what_if import with_nodes
from deepseek_operator.catalog.instances import instance
from model_factories import make_deployment
from peak_memory import peak_mb
from plan_values import plan_with

SIZES = ((100, 10), (1_000, 100), (10_000, 1_000))
PRODUCTS = {"p5.48xlarge": "h100-sxm5-80gb", "p4de.24xlarge": "a100-sxm4-80gb"}


def cluster(count: int, chance: random.Random) -> tuple[list[NodeFacts], list[PodFacts]]:
    nodes: list[NodeFacts] = []
    for name in PRODUCTS:
        nodes = with_nodes(nodes, instance(name), count // len(PRODUCTS))
    held = [(node, chance.choice((0, 0, 1, 2, 4, 8))) for node in nodes]
    pods = [
        PodFacts(namespace="x", name=f"p{index}", node=node.name, gpus={"nvidia.com/gpu": gpus}, labels={})
        for index, (node, gpus) in enumerate(held)
        if gpus
    ]
    return nodes, pods


def fleet(count: int, chance: random.Random) -> list[Member]:
    members = []
    for index in range(count):
        gpus = chance.choice((1, 2, 4, 8, 16))
        deployment = make_deployment(f"d{index}", priority=chance.choice(("Critical", "Standard", "Batch")))
        plan = plan_with(gpus=gpus, nodes=2 if gpus > 8 else 1, gpu=chance.choice(list(PRODUCTS.values())))
        members.append(Member(deployment=deployment, plan=plan, replicas=chance.randint(1, 4)))
    return members


def test_growth() -> None:
    print("\nnodes  deployments  inventory  fleet and packing  a node pool more  gap    peak memory")
    for nodes, deployments in SIZES:
        chance = random.Random(nodes)  # noqa: S311 - a repeatable fleet, no secret
        known, pods = cluster(nodes, chance)
        members = fleet(deployments, chance)
        times = [time.perf_counter()]
        counted = inventory(known, pods)
        times.append(time.perf_counter())
        found = place_fleet(members, counted)
        times.append(time.perf_counter())
        place_fleet(members, inventory(with_nodes(known, instance("p5.48xlarge"), nodes // 10), pods))
        times.append(time.perf_counter())
        first, second, third = (after - before for before, after in itertools.pairwise(times))
        print(f"{nodes:5}  {deployments:11}  {first:7.2f} s  {second:15.2f} s  {third:14.2f} s  "
              f"{found.gap_percent:.2f} %  {peak_mb():.0f} MB")  # fmt: skip
        assert len(found.verdicts) == deployments
