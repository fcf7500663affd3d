"""The promise (service level), the demand (workload) that a deployment is planned for, and who may reach it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from deepseek_operator.api.base import ApiModel, Rule

MAX_TOKENS = 10_000_000
"""Longest context that a spec may name; above every released model's `max_position_embeddings`."""


class SlaSpec(ApiModel):
    """A request meets the service level when its TTFT and its own mean TPOT are both within these limits."""

    ttft_milliseconds: int = Field(ge=1, le=3_600_000, description="Longest time to the first token, in milliseconds.")
    tpot_milliseconds: int = Field(
        ge=1, le=600_000, description="Longest mean time per further token of one request, in milliseconds."
    )
    percentile: int = Field(
        default=95, ge=50, le=99, description="Share of requests that must meet both limits, in percent."
    )


Namespace = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Namespaces = Annotated[tuple[Namespace, ...], Field(max_length=32)]


class NetworkPolicySpec(ApiModel):
    """Who may reach the pods; they themselves reach name resolution and what they need."""

    from_namespaces: Namespaces = Field(
        default=(), description="Namespaces that may send requests, besides the object's own."
    )
    metrics_from_namespaces: Namespaces = Field(
        default=(), description="Namespaces that may read metrics; list the operator's own too."
    )


class WorkloadSpec(ApiModel):
    """The demand on the whole deployment, over all replicas."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.concurrency) != has(self.requestsPerMinute)",
            holds=lambda workload: (workload.concurrency is None) != (workload.requests_per_minute is None),
            message="give exactly one of concurrency and requestsPerMinute",
        ),
        Rule(
            cel="self.inputTokens + self.outputTokens <= self.maxContextTokens",
            holds=lambda workload: workload.input_tokens + workload.output_tokens <= workload.max_context_tokens,
            message="inputTokens plus outputTokens must be at most maxContextTokens",
            field="maxContextTokens",
        ),
    )

    input_tokens: int = Field(ge=1, le=MAX_TOKENS, description="Mean tokens of a prompt.")
    output_tokens: int = Field(ge=1, le=MAX_TOKENS, description="Mean tokens of an answer.")
    max_context_tokens: int = Field(
        ge=2,
        le=MAX_TOKENS,
        description="Longest prompt and answer together, in tokens; longer requests are refused by the engine.",
    )
    concurrency: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Requests in flight at the same time, at the peak."
    )
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Requests that arrive per minute, at the peak."
    )
