"""Replicas on a share of one GPU, a case for each mechanism and for each way that it is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.mig import mig_profile, resource_profile
from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import GIB
from manifest_cases.case import ManifestCase
from model_factories import make_plan

DISTILL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
SPEC: dict[str, Any] = {"model": {"name": DISTILL, "cache": {"claimName": "hub-cache"}}, "sharing": "Shared"}


def on_share(gpu_id: str, share: GpuShare, **changes: object) -> Plan:
    """Return a plan of a small distilled model on one share of a GPU."""
    return make_plan(
        model_name=DISTILL,
        gpu=gpu_id,
        gpus_per_replica=1,
        parallelism=Parallelism(tensor=1),
        max_num_seqs=16,
        max_num_batched_tokens=2048,
        share=share,
        memory=RankMemory(
            stage=0,
            total_bytes=share.memory_bytes,
            budget_bytes=share.memory_bytes * 92 // 100,
            weights_bytes=3 * GIB + GIB // 2,
            activations_bytes=GIB,
            non_torch_bytes=GIB // 2,
            cuda_graph_bytes=GIB // 2,
            kv_cache_bytes=share.memory_bytes * 92 // 100 - 5 * GIB - GIB // 2,
        ),
        **changes,
    )


def mig(gpu_id: str, profile: str, resource: str = "") -> Plan:
    """Return a plan on a MIG slice; without a resource as strategy ``mixed`` names it."""
    kind = mig_profile(gpu(gpu_id), profile)
    total = gpu(gpu_id).usable_memory_bytes
    assert total is not None
    share = GpuShare(
        mechanism=ShareMechanism.MIG,
        resource=resource or f"nvidia.com/mig-{resource_profile(profile)}",
        profile=profile,
        slices_per_gpu=kind.most_per_gpu,
        memory_bytes=int(total * kind.memory_share),
    )
    return on_share(gpu_id, share)


def part(gpu_id: str, mechanism: ShareMechanism, slices: int, resource: str = "nvidia.com/gpu") -> Plan:
    """Return a plan on one of several equal shares."""
    total = gpu(gpu_id).usable_memory_bytes
    assert total is not None
    share = GpuShare(mechanism=mechanism, resource=resource, slices_per_gpu=slices, memory_bytes=total // slices)
    return on_share(gpu_id, share)


WHOLE_HAMI = replace(
    make_plan(
        gpu="h100-sxm5-80gb",
        gpus_per_replica=2,
        parallelism=Parallelism(tensor=2),
        share=GpuShare(
            mechanism=ShareMechanism.HAMI, resource="nvidia.com/gpu", slices_per_gpu=1, memory_bytes=79 * GIB
        ),
    )
)

WHOLE_DRA = make_plan(
    gpu="h100-sxm5-80gb",
    gpus_per_replica=4,
    parallelism=Parallelism(tensor=4),
    share=GpuShare(mechanism=ShareMechanism.DRA, slices_per_gpu=1, memory_bytes=79 * GIB),
)
CLAIMED_SLICE = on_share(
    "h200-sxm",
    GpuShare(mechanism=ShareMechanism.DRA, profile="1g.35gb", slices_per_gpu=4, memory_bytes=34 * GIB),
)

CASES = [
    ManifestCase(
        name="share-mig-mixed",
        says="a slice of an H100, named by its profile",
        spec=SPEC | {"hardware": {"migProfile": "1g.20gb"}},
        plan=mig("h100-sxm5-80gb", "1g.20gb"),
        replicas=2,
    ),
    ManifestCase(
        name="share-mig-media",
        says="a slice with a media engine, whose plus sign becomes a dot",
        spec=SPEC,
        plan=mig("h200-sxm", "1g.18gb+me"),
    ),
    ManifestCase(
        name="share-mig-single",
        says="a slice of an A100 that is asked for like a GPU",
        spec=SPEC,
        plan=mig("a100-sxm4-40gb", "3g.20gb", "nvidia.com/gpu"),
    ),
    ManifestCase(
        name="share-time-slicing",
        says="one of four time slices of an L40S",
        spec=SPEC | {"sla": None},
        plan=part("l40s", ShareMechanism.TIME_SLICING, 4),
    ),
    ManifestCase(
        name="share-time-slicing-renamed",
        says="one of two time slices with a resource of their own, on spot nodes",
        spec=SPEC | {"sla": None, "hardware": {"spot": "Only"}},
        plan=part("a10g", ShareMechanism.TIME_SLICING, 2, "nvidia.com/gpu.shared"),
    ),
    ManifestCase(
        name="share-mps",
        says="one of three MPS clients of an L40S",
        spec=SPEC | {"sla": None},
        plan=part("l40s", ShareMechanism.MPS, 3),
    ),
    ManifestCase(
        name="share-hami",
        says="a quarter of an A100 by HAMi, going first",
        spec=SPEC | {"priority": "High"},
        plan=part("a100-sxm4-80gb", ShareMechanism.HAMI, 4),
    ),
    ManifestCase(
        name="share-hami-batch",
        says="an eighth of an H100 by HAMi, yielding",
        spec=SPEC | {"priority": "Batch"},
        plan=part("h100-sxm5-80gb", ShareMechanism.HAMI, 8),
    ),
    ManifestCase(name="share-hami-whole", says="two whole GPUs of a node that HAMi manages", spec={}, plan=WHOLE_HAMI),
    ManifestCase(name="share-dra-whole", says="four whole H100 by a claim", spec={}, plan=WHOLE_DRA, replicas=2),
    ManifestCase(
        name="share-dra-mig",
        says="a MIG slice of an H200 by a claim",
        spec=SPEC | {"hardware": {"migProfile": "1g.35gb"}},
        plan=CLAIMED_SLICE,
    ),
    ManifestCase(
        name="share-dra-part",
        says="a quarter of an L40S by a claim on a part of its memory",
        spec=SPEC | {"sla": None},
        plan=part("l40s", ShareMechanism.DRA, 4, ""),
    ),
    ManifestCase(
        name="share-kai",
        says="half an L40S by KAI, counted in a queue",
        spec=SPEC | {"sla": None, "queueName": "team-a"},
        plan=part("l40s", ShareMechanism.KAI, 2, ""),
    ),
    ManifestCase(
        name="share-kai-without-queue",
        says="a quarter of an H100 by KAI, whose queue the namespace decides",
        spec=SPEC | {"sla": None},
        plan=part("h100-sxm5-80gb", ShareMechanism.KAI, 4, ""),
    ),
]
