"""The planner's two normal answers: a plan, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from deepseek_operator.memory.estimate import KvCacheDtype, RankMemory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.planner.compromise import Compromise
from deepseek_operator.planner.engine_features import NO_FEATURES, EngineFeatures, with_features
from deepseek_operator.planner.gpu_share import GpuShare
from deepseek_operator.planner.node_pin import NodePin


class InfeasibleReason(StrEnum):
    """Which kind of limit stopped the plan; used as the condition's reason."""

    NO_SUCH_GPU = "NoSuchGpu"
    MEMORY_INSUFFICIENT = "MemoryInsufficient"
    SPLIT_ILLEGAL = "SplitIllegal"
    SLA_UNREACHABLE = "SlaUnreachable"
    TOO_FEW_NODES = "TooFewNodes"
    BUDGET_EXCEEDED = "BudgetExceeded"
    CONTEXT_TOO_LONG = "ContextTooLong"
    QUANTIZATION_UNAVAILABLE = "QuantizationUnavailable"


class NearestAxis(StrEnum):
    """What would have to change for a plan to exist."""

    PIN = "Pin"
    REPLICAS = "MoreReplicas"
    LIMIT = "Limit"
    PRODUCT = "OtherGpu"
    NODES = "MoreGpus"
    NEW_PRODUCT = "NewGpu"
    QUALITY = "Quality"
    CONTEXT = "Context"
    CONCURRENCY = "Concurrency"
    SERVICE_LEVEL = "ServiceLevel"
    MODEL = "SmallerModel"


@dataclass(frozen=True, kw_only=True)
class NearestPlan:
    """One change that would make a refused request feasible.

    Args:
        axis: what changes.
        change: what to write or to buy, in words of the spec's fields.
        plan: the plan that this would give, in a few words.
        cost_per_hour_usd: of all its replicas; None when the GPU has no price.
    """

    axis: NearestAxis
    change: str
    plan: str
    cost_per_hour_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another hardware or quantization, with its cost or the limit that excluded it.

    Args:
        feasible: whether it would work (then it is dearer or less simple than the plan).
        cost_per_hour_usd: of all planned replicas; None when the GPU has no price.
        detail: one sentence: the limit with its numbers, or how it compares.
    """

    gpu: str
    gpus_per_replica: int
    parallelism: Parallelism
    quantization: str
    feasible: bool
    cost_per_hour_usd: Decimal | None
    detail: str


_WITH_IPC_LOCK = " with IPC_LOCK"


@dataclass(frozen=True, kw_only=True)
class Rdma:
    """The network of a replica that spans nodes.

    Args:
        resource: extended resource that each of its pods asks for.
        devices: units of it, 1 or more.
        network: secondary network that pods join; empty for none.
        ipc_lock: whether pods get the capability to lock memory without limit.
    """

    resource: str
    devices: int
    network: str = ""
    ipc_lock: bool = False

    def __str__(self) -> str:
        """Return it as status shows it.

        >>> str(Rdma(resource="nvidia.com/hostdev", devices=8, network="hostdev-net", ipc_lock=True))
        '8 nvidia.com/hostdev on hostdev-net with IPC_LOCK'
        """
        network = f" on {self.network}" if self.network else ""
        return f"{self.devices} {self.resource}{network}{_WITH_IPC_LOCK if self.ipc_lock else ''}"

    @classmethod
    def read(cls, text: str) -> Rdma:
        """Return what ``str`` wrote.

        Raises:
            ValueError: it is something else.

        >>> Rdma.read("1 rdma/hca")
        Rdma(resource='rdma/hca', devices=1, network='', ipc_lock=False)
        """
        said = text.removesuffix(_WITH_IPC_LOCK)
        units, _, network = said.partition(" on ")
        devices, resource = units.split(" ")
        return cls(resource=resource, devices=int(devices), network=network, ipc_lock=said != text)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to run one model.

    Args:
        gpu: catalogue id.
        gpus_per_replica: world size of one replica.
        nodes_per_replica: nodes that one replica spans.
        replicas: replicas that serve the asked demand, and no fewer than the request asks for.
        quantization: name in the quantization table; ``Native`` runs the checkpoint as stored.
        memory: the rank with the least room.
        kv_cache_tokens: tokens that one replica's KV cache holds.
        kv_cache_error_percent: half width of its 90 % band.
        cost_per_hour_usd: of all replicas; None when the GPU has no price.
        cost_per_million_tokens_usd: per million output tokens at the planned load; None without price or prediction.
        reasons: at most 8 sentences.
        alternatives: at most 6.
        compromise: what it gives up; None for a plan of what was asked.
        share: the part of a GPU that each replica gets; None for whole GPUs by plain request.
        features: what it counts beside the model.
        rdma: network between the nodes of a replica; None on one node, and where the nodes offer none.
        pin: labels of the nodes that its pods keep to; None for all nodes of the product.
    """

    model_name: str
    gpu: str
    gpus_per_replica: int
    nodes_per_replica: int
    replicas: int
    parallelism: Parallelism
    quantization: str
    kv_cache_dtype: KvCacheDtype
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization_percent: int
    engine_release: str
    memory: RankMemory
    kv_cache_tokens: int
    kv_cache_bytes_per_token: int
    kv_cache_error_percent: int
    predicted: Prediction | None
    cost_per_hour_usd: Decimal | None
    reasons: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    cost_per_million_tokens_usd: Decimal | None = None
    compromise: Compromise | None = None
    rdma: Rdma | None = None
    share: GpuShare | None = None
    pin: NodePin | None = None

    @property
    def fixed_kv_cache_bytes(self) -> int:
        """KV cache to tell the engine where nobody else keeps it inside its share; 0 lets the engine size it."""
        return 0 if self.share is None or self.share.isolates_memory else self.memory.kv_cache_bytes

    @property
    def gpu_name(self) -> str:
        """The product, and the share of it, as people read them: ``h100-sxm5-80gb (MIG 3g.40gb)``."""
        return self.gpu if self.share is None else f"{self.gpu} ({self.share})"

    features: EngineFeatures = NO_FEATURES

    @property
    def engine_settings(self) -> EngineSettings:
        """What its engine is told, but for a draft model's shape."""
        told = EngineSettings(
            release=self.engine_release,
            gpu_memory_utilization_percent=self.gpu_memory_utilization_percent,
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            kv_cache_dtype=self.kv_cache_dtype,
            quantization=self.quantization,
        )
        return with_features(told, self.features)


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """Why there is no plan.

    Args:
        reason: the kind of limit.
        message: one sentence with the limit, what was needed and what there is.
        nearest: the nearest thing that would work, as a sentence; empty when nothing is known to.
        alternatives: what was tried, per GPU product, at most 6.
        nearest_plans: one change per axis that would make it feasible, the most likely to help first.
    """

    reason: InfeasibleReason
    message: str
    nearest: str
    alternatives: tuple[Alternative, ...] = ()
    nearest_plans: tuple[NearestPlan, ...] = ()
