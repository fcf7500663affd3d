"""What the planner is asked, and with which GPUs it may answer. Plain values; no YAML, no Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.hashed_once import hashed_once
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.performance.second_source import SecondSource
from deepseek_operator.planner.compromise import Compromise
from deepseek_operator.planner.engine_features import NO_FEATURES, EngineFeatures
from deepseek_operator.planner.gpu_share import GpuShare, Sharing
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.node_pin import ALL_NODES, LeftOut, NodePin


class Quality(StrEnum):
    """How much quantization loss the owner allows, mildest first."""

    LOSSLESS = "Lossless"
    NEAR_LOSSLESS = "NearLossless"
    ECONOMY = "Economy"


@dataclass(frozen=True, kw_only=True)
class Sla:
    """A request meets it when TTFT and its own mean TPOT are both within limits.

    Args:
        percentile: share of requests that must, in percent, 1 to 99.
        surely: whether the limits must hold at the upper end of the prediction's 90 % band, and not just by its value.
    """

    ttft_milliseconds: int
    tpot_milliseconds: int
    percentile: int = 95
    surely: bool = False


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Demand of the whole deployment: either ``concurrency`` or ``requests_per_minute`` is set."""

    input_tokens: int
    output_tokens: int
    max_context_tokens: int
    concurrency: int | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True)
class PinnedParallelism:
    """Splits the user fixed; None leaves the choice to the planner."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    expert: bool | None = None


@hashed_once
@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """One question to the planner.

    Args:
        model_name: catalogue or user's name, for messages.
        gpus: catalogue ids that are allowed; empty allows every product of the supply.
        max_gpus_total: GPUs of all replicas together at ``max_replicas``; None has no limit.
        max_cost_per_hour_usd: cost of all replicas together at ``max_replicas``; None has no limit.
        min_replicas: fewest replicas that run whatever the demand, 1 to ``max_replicas``; a plan has room for them
            and its cost is theirs.
        max_replicas: most replicas that scaling may ask for; limits apply there.
        assumes_checkpoints: whether ``Auto`` tries the formats that need a quantized checkpoint, and no others, as if
            there were one; a plan for the cluster never does, because only the user can name it.
        engine_release: engine release whose memory law and flags apply.
        sharing: whether parts of GPUs may, must or must not be used.
        mig_profile: MIG profile that each replica gets; empty leaves the choice to the planner.
        features: speculative decoding, offloading and adapters that are obeyed.
        draft_model: shape of the draft model that the features name.
        fallbacks: questions about smaller models, one of which is answered when this one has no plan; tried in order.
        deploy_nearest: whether a plan that gives up service is taken when nothing else is feasible.
        compromise: what a plan of this question gives up, because it was asked in place of another; None for none.
        second_source: measured kernel times that take part in predictions; no part of the question itself.
    """

    model_name: str
    model: ModelShape
    workload: Workload
    sla: Sla | None = None
    gpus: tuple[str, ...] = ()
    max_gpus_total: int | None = None
    max_cost_per_hour_usd: Decimal | None = None
    min_replicas: int = 1
    max_replicas: int = 1
    quality: Quality = Quality.LOSSLESS
    quantization: str = "Auto"
    assumes_checkpoints: bool = False
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.AUTO
    parallelism: PinnedParallelism = field(default_factory=PinnedParallelism)
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization_percent: int | None = None
    engine_release: str = "0.32.0"
    sharing: Sharing = Sharing.AUTO
    mig_profile: str = ""
    features: EngineFeatures = NO_FEATURES
    draft_model: ModelShape | None = None
    fallbacks: tuple[PlanRequest, ...] = ()
    deploy_nearest: bool = False
    compromise: Compromise | None = None
    second_source: SecondSource | None = field(default=None, compare=False, repr=False)


@hashed_once
@dataclass(frozen=True, kw_only=True)
class GpuPool:
    """Nodes of one GPU product, or of one kind of share of it.

    Args:
        gpu: the catalogue's facts; of a share, its part of them (`gpu_share.shared_gpu`).
        usable_memory_bytes: memory per GPU that the engine will see (the label wins over the catalogue); of a share,
            that of the share.
        nodes_by_gpu_count: schedulable nodes by their number of physical GPUs, or of shares,
            as sorted pairs (GPUs per node, nodes).
        measurements: what engines of the asked model reported on this product; they correct the estimate.
        host_memory_bytes: allocatable memory of the node that has least; 0 when a node does not tell.
        host_memory_by_node: nodes by their number of GPUs (or shares) and allocatable host memory in bytes, as sorted
            triples (GPUs per node, bytes, nodes); 0 bytes for a node that does not tell, empty when none tells.
        rdma_resource: what a pod asks for to reach other nodes by RDMA; None unless every node offers the same.
        rdma_devices: units of it on the node that has fewest.
        share: how a pod gets its GPU where that is no plain request for whole GPUs.
        rdma_network: network that pods join for it, as the owner of the nodes names it; empty for none.
        rdma_ipc_lock: whether the owner of the nodes lets such pods lock memory without limit.
        pin: labels that keep pods on these nodes, where they are not all of the product; None where none are needed.
        left_out: the nodes of the product that it does not have, by what they are weaker in.
    """

    gpu: Gpu
    usable_memory_bytes: int
    nodes_by_gpu_count: tuple[tuple[int, int], ...]
    measurements: tuple[Measurement, ...] = ()
    host_memory_bytes: int = 0
    host_memory_by_node: tuple[tuple[int, int, int], ...] = ()
    rdma_resource: str | None = None
    rdma_devices: int = 0
    rdma_network: str = ""
    rdma_ipc_lock: bool = False
    share: GpuShare | None = None
    pin: NodePin | None = None
    left_out: LeftOut = ALL_NODES

    @property
    def name(self) -> str:
        """The product, and the share of it, as people read them: ``h100-sxm5-80gb (MIG 3g.40gb)``."""
        return self.gpu.id if self.share is None else f"{self.gpu.id} ({self.share})"

    @property
    def largest_node(self) -> int:
        """GPUs of the largest node, 0 for an empty pool."""
        return max((gpus for gpus, _ in self.nodes_by_gpu_count), default=0)

    @property
    def total_gpus(self) -> int:
        """Physical GPUs of the pool."""
        return sum(gpus * nodes for gpus, nodes in self.nodes_by_gpu_count)


@dataclass(frozen=True, kw_only=True)
class Supply:
    """Every GPU that planning may use: schedulable and physical, whether or not it is free today.

    Args:
        excluded: which nodes were left out and why, as a clause for messages; empty when none was.
    """

    pools: tuple[GpuPool, ...]
    excluded: str = ""

    def measured_for(self, model_name: str) -> Supply:
        """Return the supply with the measurements of one model only, because another's say nothing of it."""
        if all(each.model_name == model_name for pool in self.pools for each in pool.measurements):
            return self
        pools = tuple(
            replace(pool, measurements=tuple(each for each in pool.measurements if each.model_name == model_name))
            for pool in self.pools
        )
        return replace(self, pools=pools)
