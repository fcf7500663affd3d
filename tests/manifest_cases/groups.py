"""Replicas over several nodes: as a LeaderWorkerSet, and as StatefulSets where that is not installed."""

from __future__ import annotations

from typing import Any

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Rdma
from deepseek_operator.resources.features import ClusterFeatures
from manifest_cases.case import ManifestCase
from model_factories import make_plan

R1: dict[str, Any] = {"model": {"name": "deepseek-ai/DeepSeek-R1"}, "priority": "High"}
STAGES = make_plan(
    model_name="deepseek-ai/DeepSeek-R1",
    gpu="h100-sxm5-80gb",
    gpus_per_replica=16,
    nodes_per_replica=2,
    parallelism=Parallelism(tensor=8, pipeline=2),
)
WIDE = make_plan(
    model_name="deepseek-ai/DeepSeek-V3",
    gpu="h200-sxm",
    gpus_per_replica=32,
    nodes_per_replica=4,
    parallelism=Parallelism(tensor=1, data=32, expert=True),
    rdma=Rdma(resource="nvidia.com/hostdev", devices=2, network="hostdev-net", ipc_lock=True),
)
LEADER_WORKER_SET = ClusterFeatures(leader_worker_set=True)

CASES = [
    ManifestCase(
        name="r1-two-nodes",
        says="R1 on 2 x 8 H100, three groups of a LeaderWorkerSet",
        spec=R1,
        plan=STAGES,
        replicas=3,
        known={"features": LEADER_WORKER_SET},
    ),
    ManifestCase(
        name="r1-two-nodes-plain",
        says="R1 on 2 x 8 H100 without LeaderWorkerSet, two groups with TLS, keys and a NetworkPolicy",
        spec={
            **R1,
            "engine": {
                "apiKeySecretRef": {"name": "r1-keys", "key": "api"},
                "tlsSecretRef": {"name": "r1-tls"},
                "shutdownSeconds": 600,
            },
            "networkPolicy": {"fromNamespaces": ["gateway"]},
        },
        plan=STAGES,
        replicas=2,
    ),
    ManifestCase(
        name="v3-data-parallel",
        says="V3 with 32 data-parallel ranks on four nodes with network cards of their own, admitted by Kueue",
        spec={"model": {"name": "deepseek-ai/DeepSeek-V3"}, "priority": "Critical", "queueName": "gpus"},
        plan=WIDE,
        known={"features": ClusterFeatures(leader_worker_set=True, kueue=True)},
    ),
    ManifestCase(
        name="r1-volcano",
        says="R1 on 2 x 8 H100 with shared RDMA, placed by Volcano, with an outside scaler",
        spec={"model": R1["model"], "queueName": "gpus", "priorityClassName": "gold"},
        plan=make_plan(
            model_name="deepseek-ai/DeepSeek-R1",
            gpu="h100-sxm5-80gb",
            gpus_per_replica=16,
            nodes_per_replica=2,
            parallelism=Parallelism(tensor=8, pipeline=2),
            rdma=Rdma(resource="rdma/hca_shared_devices_a", devices=1),
        ),
        replicas=None,
        known={"features": ClusterFeatures(leader_worker_set=True, volcano=True)},
    ),
    ManifestCase(
        name="r1-kai",
        says="R1 on 2 x 8 H100, placed by the KAI scheduler",
        spec={**R1, "queueName": "gpus"},
        plan=STAGES,
        known={"features": ClusterFeatures(leader_worker_set=True, kai=True)},
    ),
]
