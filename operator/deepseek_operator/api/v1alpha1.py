"""DeepSeekDeployment, version v1alpha1: the whole object as people write it.

The API server drops unknown fields (HTTP 200, with a warning) unless the client asks for ``fieldValidation=Strict``, as
``kubectl apply`` does by default and many Git tools do not. These types refuse them, so ``plan -f`` does too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from deepseek_operator.api.base import ApiModel, DnsSubdomain, Rule
from deepseek_operator.api.spec_engine import EngineSpec
from deepseek_operator.api.spec_hardware import HardwareSpec, ParallelismSpec, PrecisionSpec
from deepseek_operator.api.spec_model import ModelSpec
from deepseek_operator.api.spec_scaling import (
    MAX_REPLICAS,
    FallbackSpec,
    MemoryPressureSpec,
    PressureAction,
    RolloutSpec,
    ScalingOwner,
    ScalingSpec,
)
from deepseek_operator.api.spec_service import NetworkPolicySpec, SlaSpec, WorkloadSpec
from deepseek_operator.planner.gpu_share import Sharing
from deepseek_operator.planner.request import Quality

GROUP = "deepseek-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "DeepSeekDeployment"
PLURAL = "deepseekdeployments"
SHORT_NAME = "dsd"


class Priority(StrEnum):
    """Who keeps GPUs when they are short."""

    CRITICAL = "Critical"
    HIGH = "High"
    STANDARD = "Standard"
    BATCH = "Batch"
    NONE = "None"


class OnInfeasible(StrEnum):
    """What happens when no plan exists."""

    REPORT = "Report"
    DEPLOY_NEAREST = "DeployNearest"


class Apply(StrEnum):
    """Whether a plan waits for a person."""

    AUTO = "Auto"
    MANUAL = "Manual"


class Replan(StrEnum):
    """What happens when a better plan appears."""

    PROPOSE = "Propose"
    AUTO = "Auto"


def _external(spec: DeepSeekDeploymentSpec) -> bool:
    return spec.scaling.owner is ScalingOwner.EXTERNAL


def _limited(spec: DeepSeekDeploymentSpec) -> bool:
    return spec.hardware.max_gpus_total is not None or spec.hardware.max_cost_per_hour_usd is not None


def _may_quantize(spec: DeepSeekDeploymentSpec) -> bool:
    return spec.precision.quality is not Quality.LOSSLESS and spec.precision.quantization == "Auto"


def _schedules_exist(spec: DeepSeekDeploymentSpec) -> bool:
    names = {schedule.name for schedule in spec.scaling.schedules}
    return all(fallback.schedule in names for fallback in spec.fallbacks if fallback.schedule is not None)


_EXTERNAL = "(has(self.scaling) && self.scaling.owner == 'External')"
_LIMITED = "(has(self.hardware) && (has(self.hardware.maxGpusTotal) || has(self.hardware.maxCostPerHourUsd)))"

_SPEC_RULES = (
    Rule(
        cel=f"!has(self.replicas) || {_EXTERNAL}",
        holds=lambda spec: spec.replicas is None or _external(spec),
        message="the operator owns the number of replicas; remove replicas and use scaling.minReplicas "
        "and maxReplicas, or set scaling.owner to External",
        field="replicas",
    ),
    Rule(
        cel="!has(self.replicas) || !has(self.scaling) || !has(self.scaling.maxReplicas) "
        "|| self.replicas <= self.scaling.maxReplicas",
        holds=lambda spec: (
            spec.replicas is None or spec.scaling.max_replicas is None or spec.replicas <= spec.scaling.max_replicas
        ),
        message="replicas must be at most scaling.maxReplicas",
        field="replicas",
    ),
    Rule(
        cel=f"!{_EXTERNAL} || !{_LIMITED} || has(self.scaling.maxReplicas)",
        holds=lambda spec: not _external(spec) or not _limited(spec) or spec.scaling.max_replicas is not None,
        message="with scaling.owner External, maxGpusTotal and maxCostPerHourUsd need scaling.maxReplicas",
        field="scaling",
    ),
    Rule(
        cel="!has(self.priority) || !has(self.priorityClassName) || self.priorityClassName == ''",
        holds=lambda spec: spec.priority is None or not spec.priority_class_name,
        message="give only one of priority and priorityClassName",
        field="priorityClassName",
    ),
    Rule(
        cel="!has(self.approvedPlan) || self.approvedPlan == '' || self.apply == 'Manual'",
        holds=lambda spec: not spec.approved_plan or spec.apply is Apply.MANUAL,
        message="approvedPlan belongs to apply: Manual; remove it, or set apply to Manual",
        field="approvedPlan",
    ),
    Rule(
        cel="self.apply != 'Manual' || self.replan != 'Auto'",
        holds=lambda spec: spec.apply is not Apply.MANUAL or spec.replan is not Replan.AUTO,
        message="replan Auto rolls out plans that apply Manual would have to wait for; change one of them",
        field="replan",
    ),
    Rule(
        cel="!has(self.memoryPressure) || self.memoryPressure.action != 'Quantize' || (has(self.precision) "
        "&& self.precision.quality != 'Lossless' && self.precision.quantization == 'Auto')",
        holds=lambda spec: spec.memory_pressure.action is not PressureAction.QUANTIZE or _may_quantize(spec),
        message="memoryPressure.action Quantize needs precision.quality NearLossless or Economy, "
        "and precision.quantization Auto",
        field="memoryPressure",
    ),
    Rule(
        cel="!has(self.fallbacks) || self.fallbacks.all(fallback, !has(fallback.schedule) || (has(self.scaling) "
        "&& has(self.scaling.schedules) && self.scaling.schedules.exists(s, s.name == fallback.schedule)))",
        holds=_schedules_exist,
        message="a fallback's schedule must be the name of one of scaling.schedules",
        field="fallbacks",
    ),
)


class DeepSeekDeploymentSpec(ApiModel):
    """Which model, for which service level and demand; everything else is optional, and what is given is obeyed."""

    RULES: ClassVar[tuple[Rule, ...]] = _SPEC_RULES

    model: ModelSpec = Field(description="The model.")
    sla: SlaSpec | None = Field(
        default=None, description="The promised latency. Default: none; the plan then only fits the memory."
    )
    workload: WorkloadSpec = Field(description="The demand on the whole deployment.")
    hardware: HardwareSpec = Field(default_factory=HardwareSpec, description="GPUs, nodes and cost limits.")
    precision: PrecisionSpec = Field(default_factory=PrecisionSpec, description="How weights and KV cache are stored.")
    parallelism: ParallelismSpec = Field(
        default_factory=ParallelismSpec, description="Splits to obey. Default: planned."
    )
    engine: EngineSpec = Field(default_factory=EngineSpec, description="The inference engine.")
    sharing: Sharing = Field(
        default=Sharing.AUTO,
        description="Auto: whole GPUs, or slices with memory of their own (MIG, HAMi). Exclusive: whole GPUs. Shared: "
        "parts of GPUs, also by time slicing, MPS or KAI, which isolate no memory and take no sla.",
    )
    priority: Priority | None = Field(
        default=None,
        description="Who keeps GPUs when they are short, as one of the operator's PriorityClasses; None "
        "names no class. Default: Standard.",
    )
    priority_class_name: Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$")] = Field(
        default="", description="A PriorityClass of the cluster, in place of priority."
    )
    queue_name: Annotated[str, Field(max_length=63, pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$")] = Field(
        default="", description="Queue of Kueue or another batch scheduler. Default: none."
    )
    network_policy: NetworkPolicySpec | None = Field(
        default=None, description="Makes NetworkPolicies for the pods. Default: none."
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=MAX_REPLICAS,
        description="Replicas as the scale subresource sets them; only with scaling.owner External. Leave it out of "
        "manifests kept in Git: the operator fills it once with what runs, at least 1.",
    )
    scaling: ScalingSpec = Field(default_factory=ScalingSpec, description="Limits of scaling and who does it.")
    fallbacks: Annotated[tuple[FallbackSpec, ...], Field(max_length=4)] = Field(
        default=(),
        description="Smaller models, tried in this order when the asked one has no plan. Weights come from the hub. "
        "Responses carry the name of the model that answers. Default: none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    memory_pressure: MemoryPressureSpec = Field(
        default_factory=MemoryPressureSpec,
        description="What counts as memory pressure, where no replica can be added, and what then happens.",
    )
    rollout: RolloutSpec = Field(default_factory=RolloutSpec, description="How a change reaches running replicas.")
    on_infeasible: OnInfeasible = Field(
        default=OnInfeasible.REPORT,
        description="Report runs nothing and says what would work. DeployNearest runs the nearest plan with a looser "
        "service level, fewer requests or a shorter context, and says so; limits, quality and pins are kept.",
    )
    apply: Apply = Field(default=Apply.AUTO, description="Manual: a plan runs only after approvedPlan names its hash.")
    approved_plan: Annotated[str, Field(max_length=64, pattern=r"^([0-9a-f]{8,64})?$")] = Field(
        default="", description="Hash of the plan (status.proposedPlan.hash) that may run, with apply: Manual."
    )
    replan: Replan = Field(
        default=Replan.PROPOSE,
        description="Propose shows a better plan in status.proposedPlan; Auto also rolls it out.",
    )


class ObjectMeta(ApiModel):
    """The part of Kubernetes metadata that the operator reads; the rest passes unread."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, strict=True)

    name: DnsSubdomain
    namespace: str = Field(default="default", max_length=63)
    uid: str = Field(default="", max_length=128)
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class DeepSeekDeployment(ApiModel):
    """One DeepSeek model for one service level. Status is not part of it: it is written by ``plan_status``."""

    api_version: Annotated[str, Field(pattern=f"^{API_VERSION}$")] = API_VERSION
    kind: Annotated[str, Field(pattern=f"^{KIND}$")] = KIND
    metadata: ObjectMeta
    spec: DeepSeekDeploymentSpec
