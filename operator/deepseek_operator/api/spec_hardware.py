"""Limits and pins on what the planner may choose: hardware, precision and splits."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from deepseek_operator.api.base import MAX_INT32, ApiModel, DecimalUsd, OptionalRepositoryName, Rule
from deepseek_operator.planner.request import Quality

_LABEL_KEY = r"^([a-z0-9][-.a-z0-9]{0,252}/)?[A-Za-z0-9][-._A-Za-z0-9]{0,62}$"

GpuId = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
LabelKey = Annotated[str, Field(max_length=316, pattern=_LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$")]


class Spot(StrEnum):
    """Whether interruptible capacity may be used."""

    NEVER = "Never"
    ALLOW = "Allow"
    ONLY = "Only"


class TolerationOperator(StrEnum):
    """How a toleration is compared with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """Effect of the taint that is tolerated."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A toleration, with the fields of Kubernetes."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.operator != 'Exists' || !has(self.value)",
            holds=lambda toleration: toleration.operator is not TolerationOperator.EXISTS or toleration.value is None,
            message="a toleration with operator Exists has no value; leave value out",
            field="value",
        ),
        Rule(
            cel="self.operator == 'Exists' || has(self.key)",
            holds=lambda toleration: toleration.operator is TolerationOperator.EXISTS or toleration.key is not None,
            message="a toleration with operator Equal needs a key",
            field="key",
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            holds=lambda toleration: (
                toleration.toleration_seconds is None or toleration.effect is TaintEffect.NO_EXECUTE
            ),
            message="tolerationSeconds needs effect NoExecute",
            field="tolerationSeconds",
        ),
    )

    key: LabelKey | None = Field(default=None, description="Key of the taint. Default: every key.")
    operator: TolerationOperator = Field(
        default=TolerationOperator.EQUAL, description="Equal compares value; Exists does not."
    )
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint. Default: every effect.")
    toleration_seconds: int | None = Field(
        default=None,
        ge=0,
        le=MAX_INT32,
        description="Seconds that a NoExecute taint is tolerated. Default: for ever.",
    )


class HardwareSpec(ApiModel):
    """Which GPUs may be used and how much they may cost; limits hold at scaling.maxReplicas."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"!has(self.nodeSelector) || self.nodeSelector.all(key, key.matches('{_LABEL_KEY}'))",
            holds=lambda hardware: all(re.fullmatch(_LABEL_KEY, key) for key in hardware.node_selector),
            message="the keys of nodeSelector must be label keys such as topology.kubernetes.io/zone",
            field="nodeSelector",
        ),
    )

    gpus: Annotated[tuple[GpuId, ...], Field(max_length=16)] = Field(
        default=(),
        description="GPU products that may be used (`kubectl deepseek catalog gpus`). Default: all of the cluster.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict, description="Labels that a node must have. Default: every GPU node."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(),
        description="Taints that pods tolerate, besides those of GPU nodes.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    max_gpus_total: int | None = Field(
        default=None, ge=1, le=100_000, description="Most GPUs of all replicas together. Default: no limit."
    )
    max_cost_per_hour_usd: DecimalUsd | None = Field(
        default=None,
        description='Most US dollars per hour of all replicas together, as text such as "40.00". Default: no limit.',
    )
    mig_profile: Annotated[str, Field(max_length=32, pattern=r"^([1-9][0-9]*g\.[0-9]+gb([-+][a-z.]+)*)?$")] = Field(
        default="", description="MIG slice of each replica, such as 3g.40gb. Default: planned."
    )
    spot: Spot = Field(
        default=Spot.NEVER,
        description="Whether interruptible (spot) nodes may be used; they are known by the labels of the clouds. "
        "Where a plan may land on both, it counts the dearer price.",
    )


class KvCachePrecision(StrEnum):
    """How the KV cache is stored."""

    AUTO = "Auto"
    BF16 = "BF16"
    FP8 = "FP8"


class PrecisionSpec(ApiModel):
    """How weights and KV cache are stored."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.checkpoint) || self.checkpoint == '' || !(self.quantization in ['Auto', 'Native'])",
            holds=lambda precision: not precision.checkpoint or precision.quantization not in ("Auto", "Native"),
            message="checkpoint names a quantized repository; name its format in quantization",
            field="quantization",
        ),
    )

    quality: Quality = Field(
        default=Quality.LOSSLESS,
        description="Lossless runs the checkpoint as stored; NearLossless allows 8-bit formats and NVFP4; "
        "Economy allows 4-bit formats. The cheapest plan inside the class wins.",
    )
    quantization: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        default="Auto",
        description="Auto, Native, or a format of the catalogue such as FP8, which is then obeyed.",
    )
    kv_cache: KvCachePrecision = Field(
        default=KvCachePrecision.AUTO, description="Auto stores the KV cache as the model computes it."
    )
    checkpoint: OptionalRepositoryName = Field(
        default="",
        description="Repository with the weights already quantized; needed for AWQ, GPTQ and NVFP4. Default: none.",
    )


class ParallelismSpec(ApiModel):
    """Splits to obey; what is left out is chosen by the planner. GPUs of a replica: tensor x pipeline x data."""

    tensor: int | None = Field(default=None, ge=1, le=128, description="Ranks that share every layer.")
    pipeline: int | None = Field(default=None, ge=1, le=128, description="Stages that hold consecutive layers.")
    data: int | None = Field(default=None, ge=1, le=1024, description="Attention replicas inside one replica's engine.")
    expert: bool | None = Field(
        default=None,
        description="true spreads whole experts over the tensor and data ranks; false cuts each expert.",
    )
