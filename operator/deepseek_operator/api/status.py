"""What the operator writes into ``status``: the schema of every field that people, Git tools and scalers read.

These types describe and check; the values are made as plain dicts by ``plan_status``, ``conditions`` and the
reconcile recipe, because status is sent to the API server as it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from deepseek_operator.api.base import ApiModel, list_map
from deepseek_operator.performance.prediction import PredictionSource
from deepseek_operator.planner.compromise import CompromiseKind

MAX_MESSAGE_CHARACTERS = 1024
MAX_REASONS = 8
MAX_ALTERNATIVES = 6
MAX_DECISIONS = 5
MAX_NEAREST_PLANS = 10
MAX_MEASUREMENTS = 4

Word = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(max_length=253)]
Sentence = Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)]
Count = Annotated[int, Field(ge=0)]
Usd = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?$")]
Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


class StatusModel(ApiModel):
    """Base of status types: what a newer operator has added is ignored when an older one reads it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, strict=True)


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusModel):
    """One observation, with the fields of Kubernetes conditions."""

    type: Annotated[str, Field(min_length=1, max_length=316)] = Field(description="What is observed.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="Why, as one CamelCase word.")
    message: Annotated[str, Field(max_length=32768)] = Field(description="Why, as a sentence.")
    last_transition_time: Timestamp = Field(description="When status last flipped.")
    observed_generation: Count = Field(default=0, description="Generation of the spec it is about.")


class ParallelismStatus(StatusModel):
    """Split of one replica."""

    tensor: Count = Field(description="Ranks that share every layer.")
    pipeline: Count = Field(description="Stages that hold consecutive layers.")
    data: Count = Field(description="Attention replicas inside the engine.")
    expert: bool = Field(description="Whether whole experts are spread over the ranks.")


class MemoryStatus(StatusModel):
    """Memory in bytes of the GPU with the least room."""

    stage: Count = Field(description="Pipeline stage of that GPU.")
    total_bytes: int = Field(description="As the driver reports it.")
    budget_bytes: int = Field(description="What the engine may use.")
    weights_bytes: int = Field(description="Weights.")
    kv_cache_bytes: int = Field(description="KV cache: what the budget leaves.")
    activations_bytes: int = Field(description="Activations at the largest step.")
    overhead_bytes: int = Field(description="nonTorchBytes plus cudaGraphBytes.")
    non_torch_bytes: int = Field(description="CUDA context and communication buffers.")
    cuda_graph_bytes: int = Field(description="CUDA graphs.")
    free_bytes: int = Field(description="Outside the engine's budget.")


class PredictionStatus(StatusModel):
    """Speed of one replica at its share of the demand."""

    ttft_milliseconds: Count = Field(description="Time to first token.")
    tpot_milliseconds: Count = Field(description="Mean time per further token.")
    tokens_per_second: Count = Field(description="Output tokens per second of one replica.")
    source: PredictionSource = Field(description="Measured, Transferred from other hardware, or Roofline.")
    error_percent: Count = Field(description="Half width of the 90 % band of the less certain of the two.")


class AlternativeStatus(StatusModel):
    """Another GPU or quantization that was looked at."""

    gpu: Name = Field(description="GPU product.")
    gpus_per_replica: Count = Field(description="GPUs of one replica.")
    parallelism: ParallelismStatus = Field(description="Split.")
    quantization: Word = Field(description="Weight format.")
    feasible: bool = Field(description="Whether it would work.")
    cost_per_hour_usd: Usd | None = Field(default=None, description="Of all replicas; absent without a price.")
    detail: Sentence = Field(description="How it compares, or the limit that excluded it.")


class CompromiseStatus(StatusModel):
    """What a plan gives up, because what was asked has no plan."""

    kind: CompromiseKind = Field(
        description="Fallback: a model of fallbacks. Nearest: by onInfeasible. Else for a time."
    )
    asked_model: Name = Field(description="Model that was asked for.")
    reason: Word = Field(description="Why it has no plan.")
    change: Sentence = Field(description="What runs instead.")
    message: Sentence = Field(description="The limit, what was needed and what there is.")


class GpuShareStatus(StatusModel):
    """How a replica gets its part of a GPU."""

    mechanism: Word = Field(description="Who divides the GPU.")
    resource: Word = Field(default="", description="What a pod requests one of.")
    profile: Word = Field(default="", description="MIG profile.")
    slices_per_gpu: Count = Field(description="Equal shares of one GPU.")


class PlanStatus(StatusModel):
    """How the model is run."""

    hash: Word = Field(description="Identifies what affects pods; approvedPlan names it.")
    model_name: Name = Field(description="Model that is run.")
    gpu: Name = Field(description="GPU product.")
    gpus_per_replica: Count = Field(description="GPUs of one replica.")
    nodes_per_replica: Count = Field(description="Nodes that one replica spans.")
    replicas: Count = Field(description="Replicas that serve the asked demand, at least minReplicas.")
    parallelism: ParallelismStatus = Field(description="Split of one replica.")
    quantization: Word = Field(description="Weight format; Native is as stored.")
    kv_cache: Word = Field(description="KV cache format.")
    max_model_len: Count = Field(description="Longest context in tokens.")
    max_num_seqs: Count = Field(description="Requests in one batch.")
    max_num_batched_tokens: Count = Field(description="Tokens in one scheduler step.")
    gpu_memory_utilization_percent: Count = Field(description="Share of GPU memory that the engine may use.")
    engine_release: Word = Field(description="Engine release planned for.")
    memory_per_gpu: MemoryStatus = Field(description="Memory of the GPU with the least room.")
    kv_cache_tokens: int = Field(description="Tokens that one replica's KV cache holds.")
    kv_cache_bytes_per_token: int = Field(description="On the GPU that stores most.")
    kv_cache_error_percent: Count = Field(description="Half width of the 90 % band of kvCacheTokens.")
    predicted: PredictionStatus | None = Field(default=None, description="Expected speed.")
    cost_per_hour_usd: Usd | None = Field(default=None, description="Of all replicas; absent without a price.")
    cost_per_million_tokens_usd: Usd | None = Field(
        default=None, description="Per million output tokens at the planned load; absent without price or prediction."
    )
    reasons: Annotated[tuple[Sentence, ...], Field(max_length=MAX_REASONS)] = Field(
        default=(), description="Why this and not the next best."
    )
    alternatives: Annotated[tuple[AlternativeStatus, ...], Field(max_length=MAX_ALTERNATIVES)] = Field(
        default=(), description="What else was looked at."
    )
    features: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=4)] = Field(
        default=(), description="Speculative decoding, offloading and adapters that it counts."
    )
    compromise: CompromiseStatus | None = Field(
        default=None, description="What it gives up; absent for a plan of what was asked."
    )
    share: GpuShareStatus | None = Field(default=None, description="Part of a GPU; absent for whole GPUs.")
    rdma: Name = Field(default="", description="Units that a pod asks for to reach the other nodes by RDMA.")
    nodes: Annotated[str, Field(max_length=2048)] = Field(
        default="", description="Labels of the nodes that pods keep to; absent for all with this GPU."
    )


class NearestPlanStatus(StatusModel):
    """One change that would make a plan possible."""

    axis: Word = Field(description="What changes.")
    change: Sentence = Field(description="What to write or to buy.")
    plan: Sentence = Field(description="Plan that this would give.")
    cost_per_hour_usd: Usd | None = Field(default=None, description="Of all replicas; absent without a price.")


class InfeasibleStatus(StatusModel):
    """Why there is no plan."""

    reason: Word = Field(description="Kind of limit.")
    message: Sentence = Field(description="The limit, what was needed and what there is.")
    nearest: Sentence = Field(default="", description="The nearest thing that would work.")
    alternatives: Annotated[tuple[AlternativeStatus, ...], Field(max_length=MAX_ALTERNATIVES)] = Field(
        default=(), description="What was tried, per GPU product."
    )
    nearest_plans: Annotated[tuple[NearestPlanStatus, ...], Field(max_length=MAX_NEAREST_PLANS)] = Field(
        default=(), description="One change per axis that would make a plan possible."
    )


class ObservedStatus(StatusModel):
    """What the engine reported at start-up, next to what was planned."""

    plan_hash: Word = Field(default="", description="Plan that the report is about.")
    variant: Word = Field(default="", description="Image, arguments and weights beside the plan; empty for the usual.")
    pod: Name = Field(default="", description="Pod that reported.")
    image: Annotated[str, Field(max_length=1024)] = Field(default="", description="Image that it runs.")
    engine_release: Word = Field(default="", description="Engine release planned for.")
    kv_cache_tokens: Count = Field(default=0, description="Tokens that one replica's KV cache holds.")
    kv_cache_blocks: Count = Field(default=0, description="Blocks of the KV cache, all engines of a replica together.")
    block_size: Count = Field(default=0, description="Tokens in a block.")
    sized_by_hand: bool = Field(default=False, description="The owner set the size, so no plan is corrected by it.")
    planned_kv_cache_tokens: Count = Field(default=0, description="Tokens that were planned.")
    difference_percent: int = Field(
        default=0, description="Observed minus planned, in percent of planned, rounded away from zero."
    )
    band_percent: Count = Field(default=0, description="Half width of the band of the planned tokens.")


class MeasurementStatus(StatusModel):
    """What an engine reported, with what it was told; corrects plans of the same model on the same GPUs."""

    model_name: Name = Field(description="Model that ran.")
    variant: Word = Field(default="", description="As in observed.")
    gpu: Name = Field(description="GPU product.")
    total_bytes: Count = Field(description="Memory of one GPU that was planned with.")
    parallelism: ParallelismStatus = Field(description="Split.")
    quantization: Word = Field(description="Weight format.")
    kv_cache: Word = Field(description="KV cache format.")
    max_model_len: Count = Field(description="As in plan.")
    max_num_seqs: Count = Field(description="As in plan.")
    max_num_batched_tokens: Count = Field(description="As in plan.")
    gpu_memory_utilization_percent: Count = Field(description="As in plan.")
    engine_release: Word = Field(description="As in plan.")
    kv_cache_tokens: Count = Field(description="Tokens that the replica's KV cache held.")


class CanaryStatus(StatusModel):
    """A change on trial, or one that was rolled back; its plan is proposedPlan."""

    revision: Word = Field(description="Identifies the change.")
    fingerprint: Word = Field(description="Part of the spec that its plan answers.")
    phase: Word = Field(description="Trial, Promoted or RolledBack.")
    replicas: Count = Field(default=0, description="Replicas that run the change.")
    replaces: Count = Field(default=0, description="Replicas that gave their GPUs to them.")
    since: Word = Field(default="", description="When all of them served first.")
    message: Sentence = Field(default="", description="Why, as a sentence.")


class ScalingDecision(StatusModel):
    """One decision of the operator's scaling."""

    time: Timestamp = Field(description="When.")
    from_replicas: Count = Field(description="Replicas before.")
    to_replicas: Count = Field(description="Replicas after.")
    reason: Word = Field(description="Why, as one CamelCase word.")
    message: Sentence = Field(default="", description="Why, with the numbers.")


class ScalingStatus(StatusModel):
    """Scaling as last decided."""

    desired_replicas: Count = Field(default=0, description="Replicas that are wanted now.")
    decisions: Annotated[tuple[ScalingDecision, ...], Field(max_length=MAX_DECISIONS)] = Field(
        default=(), description="The last decisions, newest first."
    )


class SummaryStatus(StatusModel):
    """The plan in a few words, for the columns of `kubectl get`."""

    gpus: Name = Field(default="", description="GPUs of one replica, such as 4 x a100-sxm4-80gb.")
    parallel: Word = Field(default="", description="Split of one replica, such as TP4.")
    ready: Word = Field(default="", description="Ready and wanted replicas, such as 1/1.")


class DeepSeekDeploymentStatus(StatusModel):
    """What runs, what is planned and why."""

    observed_generation: Count = Field(default=0, description="Generation of the spec that this status is about.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Ready, Planned, CapacityAvailable, WorkloadReady, ScalingActive, SLAMet; "
        "PlanAccurate once an engine has reported; RollingOut, Reconciling and Stalled while True.",
        json_schema_extra=list_map("type"),
    )
    plan: PlanStatus | None = Field(default=None, description="The accepted plan.")
    proposed_plan: PlanStatus | None = Field(
        default=None, description="What the planner would now decide; its reasons say why."
    )
    infeasible: InfeasibleStatus | None = Field(default=None, description="Why there is no plan.")
    fingerprint: Word = Field(default="", description="Identifies the part of the spec that the plan answers.")
    observed: ObservedStatus | None = Field(default=None, description="What the engine reported at start-up.")
    measurements: Annotated[tuple[MeasurementStatus, ...], Field(max_length=MAX_MEASUREMENTS)] = Field(
        default=(), description="Reports of the last plans that ran, newest first."
    )
    canary: CanaryStatus | None = Field(default=None, description="A change on trial.")
    replicas: Count = Field(default=0, description="Replicas that exist.")
    ready_replicas: Count = Field(default=0, description="Replicas that serve.")
    selector: Annotated[str, Field(max_length=512)] = Field(
        default="", description="Selects one pod per replica; for the scale subresource."
    )
    endpoint: Annotated[str, Field(max_length=512)] = Field(
        default="", description="URL of the API inside the cluster."
    )
    scaling: ScalingStatus | None = Field(default=None, description="The operator's scaling.")
    summary: SummaryStatus | None = Field(default=None, description="The plan in a few words.")
