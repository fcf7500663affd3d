"""How many replicas, when, and how a change reaches them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from deepseek_operator.api.base import ApiModel, DnsLabel, RepositoryName, Rule, list_map

MAX_REPLICAS = 1000


class ScalingOwner(StrEnum):
    """Who decides the number of replicas."""

    OPERATOR = "Operator"
    EXTERNAL = "External"


class ScalingSchedule(ApiModel):
    """A window that repeats, in which other replica limits hold."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.minReplicas <= self.maxReplicas",
            holds=lambda schedule: schedule.min_replicas <= schedule.max_replicas,
            message="minReplicas must be at most maxReplicas",
            field="maxReplicas",
        ),
    )

    name: DnsLabel = Field(description="Name of the window; fallbacks refer to it.")
    start: Annotated[str, Field(min_length=9, max_length=64, pattern=r"^[0-9A-Za-z*/,-]+( [0-9A-Za-z*/,-]+){4}$")] = (
        Field(description="When the window opens, as a cron expression of five fields.")
    )
    duration_seconds: int = Field(ge=60, le=604_800, description="How long the window stays open, in seconds.")
    time_zone: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = Field(
        default="UTC", description="IANA time zone of start."
    )
    min_replicas: int = Field(ge=0, le=MAX_REPLICAS, description="Fewest replicas inside the window.")
    max_replicas: int = Field(ge=1, le=MAX_REPLICAS, description="Most replicas inside the window.")


class ScalingSpec(ApiModel):
    """Limits of scaling and who does it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            holds=lambda scaling: scaling.max_replicas is None or scaling.min_replicas <= scaling.max_replicas,
            message="minReplicas must be at most maxReplicas",
            field="maxReplicas",
        ),
        Rule(
            cel="self.owner != 'Operator' || (self.minReplicas == 0) == (self.scaleToZeroAfterSeconds > 0)",
            holds=lambda scaling: (
                scaling.owner is not ScalingOwner.OPERATOR
                or (scaling.min_replicas == 0) == (scaling.scale_to_zero_after_seconds > 0)
            ),
            message="scaling to zero needs both minReplicas 0 and scaleToZeroAfterSeconds above 0; set both or neither",
            field="scaleToZeroAfterSeconds",
        ),
        Rule(
            cel="self.owner != 'External' || "
            "(self.scaleToZeroAfterSeconds == 0 && (!has(self.schedules) || self.schedules.size() == 0))",
            holds=lambda scaling: (
                scaling.owner is not ScalingOwner.EXTERNAL
                or (scaling.scale_to_zero_after_seconds == 0 and not scaling.schedules)
            ),
            message="with owner External the other scaler decides; leave out scaleToZeroAfterSeconds and schedules",
            field="owner",
        ),
    )

    owner: ScalingOwner = Field(
        default=ScalingOwner.OPERATOR,
        description="Operator: the operator runs what the plan needs, within minReplicas and maxReplicas. External: an "
        "HPA or KEDA sets spec.replicas through the scale subresource.",
    )
    min_replicas: int = Field(default=1, ge=0, le=MAX_REPLICAS, description="Fewest replicas that are planned for.")
    max_replicas: int | None = Field(
        default=None,
        ge=1,
        le=MAX_REPLICAS,
        description="Most replicas; GPU and cost limits hold here. Default: minReplicas, at least 1.",
    )
    scale_to_zero_after_seconds: int = Field(
        default=0,
        ge=0,
        le=604_800,
        description="Idle seconds before the last replica stops; 0 keeps it.",
    )
    schedules: Annotated[tuple[ScalingSchedule, ...], Field(max_length=16)] = Field(
        default=(),
        description="Windows with other limits; the largest minReplicas and maxReplicas of the open ones hold.",
        json_schema_extra=list_map("name"),
    )

    @property
    def most_replicas(self) -> int:
        """Most replicas that this spec can ever run, schedules included; money and GPU limits hold here."""
        base = self.max_replicas if self.max_replicas is not None else max(1, self.min_replicas)
        return max([base, *(schedule.max_replicas for schedule in self.schedules)])


class FallbackTrigger(StrEnum):
    """When a fallback runs."""

    INFEASIBLE = "Infeasible"
    SCHEDULE = "Schedule"


class FallbackSpec(ApiModel):
    """A smaller model that runs in place of the asked one; its answers come from another model, so it is opt-in."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.when == 'Schedule') == has(self.schedule)",
            holds=lambda fallback: (fallback.when is FallbackTrigger.SCHEDULE) == (fallback.schedule is not None),
            message="schedule belongs to when: Schedule, and that trigger needs it",
            field="schedule",
        ),
    )

    model: RepositoryName = Field(description="Name of the smaller model in the catalogue.")
    revision: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9._/-]*$")] = Field(
        default="", description="Commit, tag or branch. Default: the main branch."
    )
    when: FallbackTrigger = Field(
        default=FallbackTrigger.INFEASIBLE,
        description="Infeasible: when no plan exists for the asked model. "
        "Schedule: inside a window of scaling.schedules.",
    )
    schedule: DnsLabel | None = Field(default=None, description="Name of that window.")


class PressureAction(StrEnum):
    """What happens under memory pressure."""

    ALERT = "Alert"
    QUANTIZE = "Quantize"


class MemoryPressureSpec(ApiModel):
    """KV cache nearly full together with preemptions or waiting requests."""

    kv_cache_percent: int = Field(default=90, ge=50, le=100, description="KV cache usage that counts as pressure.")
    for_seconds: int = Field(default=120, ge=10, le=86_400, description="How long it must last, in seconds.")
    action: PressureAction = Field(
        default=PressureAction.ALERT,
        description="Alert sets a condition and an event. "
        "Quantize also plans the next format that precision.quality allows.",
    )


class Promotion(StrEnum):
    """Who ends a canary."""

    AUTO = "Auto"
    MANUAL = "Manual"


class CanarySpec(ApiModel):
    """A changed plan first gets a part of the traffic."""

    traffic_percent: int = Field(
        default=10,
        ge=1,
        le=50,
        description="Share of requests that the change gets, in whole replicas: at least one, else rounded down.",
    )
    for_seconds: int = Field(default=600, ge=60, le=604_800, description="How long it is watched at least, in seconds.")
    promotion: Promotion = Field(
        default=Promotion.AUTO,
        description="Auto promotes when the service level held and rolls back when not; "
        "Manual keeps both (an A/B test) until it is set to Auto.",
    )


class RolloutSpec(ApiModel):
    """How a change of the plan reaches running replicas."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.maxSurge) || !has(self.maxUnavailable) || self.maxSurge > 0 || self.maxUnavailable > 0",
            holds=lambda rollout: rollout.max_surge != 0 or rollout.max_unavailable != 0,
            message="maxSurge and maxUnavailable must not both be 0",
        ),
    )

    max_surge: int | None = Field(
        default=None,
        ge=0,
        le=MAX_REPLICAS,
        description="Extra replicas during a rollout. Default: 1 where spare GPUs and the limits allow it, else 0.",
    )
    max_unavailable: int | None = Field(
        default=None,
        ge=0,
        le=MAX_REPLICAS,
        description="Replicas that may be missing during a rollout. Default: 0 where an extra one fits, else 1.",
    )
    canary: CanarySpec | None = Field(
        default=None, description="Try a change on part of the traffic first. Needs replicas on one node. Default: off."
    )
