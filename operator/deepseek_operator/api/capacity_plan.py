"""CapacityPlan, version v1alpha1: a question about the whole cluster as an object, with its answer in status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationError

from deepseek_operator.api.base import ApiModel, list_map
from deepseek_operator.api.sentences import invalid_spec
from deepseek_operator.api.spec_scaling import MAX_REPLICAS
from deepseek_operator.api.status import Condition, Count, Name, Sentence, StatusModel, Usd, Word

CAPACITY_KIND = "CapacityPlan"
CAPACITY_PLURAL = "capacityplans"
CAPACITY_SHORT_NAME = "dscap"

MAX_CHANGES = 32
"""Node pools and deployments that one question changes."""

MAX_PRODUCTS, MAX_UNPLACED, MAX_SUGGESTIONS = 32, 32, 8
"""Rows of the answer that a status holds; ``truncated`` says when there are more."""

MAX_ADDED = 10_000
"""Nodes of one instance type that a question adds; more are a slip of the keyboard."""


_ATOMIC: dict[str, JsonValue] = {"x-kubernetes-list-type": "atomic"}


class AddedNodes(ApiModel):
    """Nodes that are not there yet."""

    instance: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Cloud instance type (`kubectl deepseek catalog instances`)."
    )
    count: Annotated[int, Field(ge=1, le=MAX_ADDED)] = Field(description="How many nodes of it.")


class AskedReplicas(ApiModel):
    """Another number of replicas of one DeepSeekDeployment."""

    namespace: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Of the DeepSeekDeployment.")
    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Of the DeepSeekDeployment.")
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = Field(description="Replicas in place of its own number.")


class CapacityPlanSpec(ApiModel):
    """What to ask; an empty spec asks about the cluster and its DeepSeekDeployments as they are."""

    add_nodes: Annotated[tuple[AddedNodes, ...], Field(max_length=MAX_CHANGES)] = Field(
        default=(), description="As if these nodes were there too."
    )
    remove_nodes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=MAX_CHANGES)
    ] = Field(default=(), description="As if nodes of these names, or patterns such as a100-*, were gone.")
    replicas: Annotated[tuple[AskedReplicas, ...], Field(max_length=MAX_CHANGES)] = Field(
        default=(), description="As if these DeepSeekDeployments asked for so many replicas."
    )
    at_max_replicas: bool = Field(
        default=False, description="As if every DeepSeekDeployment ran at scaling.maxReplicas; `replicas` wins."
    )
    suggest: bool = Field(default=False, description="Also say which node pools would hold what does not fit.")


class ProductGpus(StatusModel):
    """GPUs of one product."""

    gpu: Name = Field(description="Product.")
    nodes: Count = Field(description="Nodes with it.")
    total: Count = Field(description="Physical GPUs.")
    used: Count = Field(description="Held by pods.")
    free: Count = Field(description="Free where something can be planned.")
    unusable: Count = Field(description="On nodes that nothing can be planned on.")
    shared: Count = Field(default=0, description="Offered in parts or by claim.")
    unhealthy: Count = Field(default=0, description="Not offered.")
    cost_per_hour_usd: Usd | None = Field(default=None, description="US dollars per hour of all of them.")


class Unplaced(StatusModel):
    """A DeepSeekDeployment without room."""

    name: Name = Field(description="Of the DeepSeekDeployment.")
    replicas: Count | None = Field(default=None, description="Replicas without room; absent where it has no plan.")
    reason: Sentence = Field(description="Why, as a sentence.")


class Suggestion(StatusModel):
    """A node pool that would hold what does not fit."""

    name: Name = Field(description="Of the DeepSeekDeployment.")
    provider: Word = Field(description="Cloud provider.")
    instance: Word = Field(description="Instance type.")
    nodes: Count = Field(description="Nodes to add.")
    cost_per_hour_usd: Usd = Field(description="US dollars per hour of these nodes.")
    cost_per_month_usd: Usd = Field(description="US dollars per month (730 hours).")
    price_as_of: Word = Field(description="Date of the price.")


class CapacityPlanStatus(StatusModel):
    """The answer, bounded; `kubectl deepseek capacity` has all of it."""

    observed_generation: Count = Field(default=0, description="Generation of the spec that is answered.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] = Field(
        default=(),
        description="Ready: the question is answered. Fits: everything that was asked for has room now.",
        json_schema_extra=list_map("type"),
    )
    summary: Sentence = Field(default="", description="The answer in one sentence.")
    gpus: Annotated[tuple[ProductGpus, ...], Field(max_length=MAX_PRODUCTS)] = Field(
        default=(), description="GPUs by product, as asked.", json_schema_extra=_ATOMIC
    )
    unplaced: Annotated[tuple[Unplaced, ...], Field(max_length=MAX_UNPLACED)] = Field(
        default=(), description="What has no room, and why.", json_schema_extra=_ATOMIC
    )
    suggestions: Annotated[tuple[Suggestion, ...], Field(max_length=MAX_SUGGESTIONS)] = Field(
        default=(),
        description="Node pools that would hold it, cheapest first.",
        json_schema_extra=_ATOMIC,
    )
    stranded_gpus: Count = Field(default=0, description="Free GPUs that no replica can use.")
    truncated: bool = Field(default=False, description="Whether the lists above leave something out.")


class CapacityPlan(ApiModel):
    """The part of the object that is read."""

    spec: CapacityPlanSpec = Field(default_factory=CapacityPlanSpec, description="What to ask.")


def parse_capacity_plan(obj: Mapping[str, Any]) -> CapacityPlanSpec:
    """Return the question of a CapacityPlan, as the API server gives the object.

    Raises:
        InvalidSpecError: the first thing that is wrong, with the field's path and what to write.

    >>> parse_capacity_plan({"spec": {"addNodes": [{"instance": "p5.48xlarge", "count": 2}]}}).add_nodes[0].count
    2
    """
    try:
        return CapacityPlan.model_validate_json(json.dumps({"spec": obj.get("spec") or {}})).spec
    except ValidationError as error:
        raise invalid_spec(error, CapacityPlan) from None
