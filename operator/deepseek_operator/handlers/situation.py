"""Everything that one pass over an object has found out, as values; conditions and status are functions of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepseek_operator.api.conditions import Observation
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.fits import FitsNow
from deepseek_operator.handlers.acceptance import Acceptance
from deepseek_operator.handlers.feedback import Feedback
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.scaling_outcome import ScalingOutcome
from deepseek_operator.scaling.canary import Canary
from deepseek_operator.scaling.decision import ReplicaDecision
from deepseek_operator.scaling.rollout import RolloutStep


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The observed workload.

    Args:
        generation: of the workload's spec.
        status: as its controller wrote it.
    """

    generation: int
    status: Mapping[str, Any]

    @property
    def seen(self) -> bool:
        """Whether its controller has looked at the newest spec."""
        return int(self.status.get("observedGeneration") or 0) >= self.generation

    def count(self, field: str) -> int:
        """Return a number of its status, 0 when absent."""
        return int(self.status.get(field) or 0)

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Return a condition of its status, empty when absent."""
        return next((each for each in self.status.get("conditions") or () if each.get("type") == kind), {})


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Why the workload is not made or changed yet.

    Args:
        reason: one CamelCase word.
        message: one sentence.
        stuck: whether only a person can end it.
    """

    reason: str
    message: str
    stuck: bool = False


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is known at the end of a pass.

    Args:
        invalid: why the spec cannot be obeyed, one sentence; empty when it can.
        deployment: the parsed object; None when it is invalid beyond reading.
        acceptance: which plan runs; None when there was nothing to plan.
        unsupported: why no pods can be made for the plan, one sentence; empty when they can.
        decision: how many replicas; None without a plan that runs.
        workload: what runs; None when there is none.
        pods: of the object, ordered by name.
        fits: whether the missing replicas fit what is free; None when none is missing.
        feedback: what engines have reported, as the status holds it.
        canary: the change on trial; None when there is none.
        rollout: the step of a rollout that was taken or is announced; None when nothing was decided.
        failure: why the children could not be applied, one sentence; empty when they were.
        hold: what the workload waits for; None when it is as desired.
        pressure: what is told of memory pressure; None for nothing.
        variant: of what may change the engine's memory beside the plan.
        scaling: what scaling by measured load tells; None when no metrics are configured.
        deferred: whether the workload was left to the next pass, which follows at once.
    """

    generation: int
    invalid: str = ""
    deployment: DeepSeekDeployment | None = None
    acceptance: Acceptance | None = None
    unsupported: str = ""
    decision: ReplicaDecision | None = None
    workload: Workload | None = None
    pods: tuple[PodState, ...] = ()
    fits: FitsNow | None = None
    feedback: Feedback = field(default_factory=Feedback)
    canary: Canary | None = None
    rollout: RolloutStep | None = None
    failure: str = ""
    hold: Hold | None = None
    pressure: Observation | None = None
    variant: str = ""
    scaling: ScalingOutcome | None = None
    deferred: bool = False

    @property
    def wanted_replicas(self) -> int:
        """Replicas that should run."""
        return (self.decision.replicas if self.decision else None) or 0

    @property
    def trial(self) -> Canary | None:
        """The change on trial that answers today's spec; one that is left from a spec before says nothing of it."""
        return self.canary if self.acceptance is not None and self.acceptance.current else None

    @property
    def track_replicas(self) -> int | None:
        """Replicas to ask of the workload: the wanted ones without those that gave their GPUs to a trial."""
        wanted = self.decision.replicas if self.decision else None
        return wanted if wanted is None or self.canary is None else max(0, wanted - self.canary.replaces)

    @property
    def ready_replicas(self) -> int:
        """Replicas that serve."""
        return self.workload.count("readyReplicas") if self.workload else 0

    @property
    def only_started(self) -> bool:
        """Whether a status would say no more than that the children were made just now."""
        return (
            self.acceptance is not None
            and self.acceptance.current
            and not self.invalid
            and not self.unsupported
            and self.workload is not None
            and not self.workload.status
        )
