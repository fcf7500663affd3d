"""Objects that run on A100 nodes, as the watches show them, and engines that measure a load: for tests of scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cluster_objects import A100_LABELS, gpu_node, gpu_pod
from deepseek_operator.api.fingerprint import spec_fingerprint
from deepseek_operator.api.plan_status import plan_status
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.handlers.scaling_options import ScalingOptions
from deepseek_operator.planner.result import Plan
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings, SignalProblem
from deepseek_operator.scaling.signals import Signal
from model_factories import make_deployment, make_plan

START = 1_790_000_000.0
"""Seconds since 1970 at which tests begin."""

OPTIONS = ScalingOptions(interval_seconds=30.0, hold_seconds=600.0)
KIND = "DeepSeekDeployment"


def text(time: float | str, later: float = 0.0) -> str:
    """Return a time as Kubernetes writes it; text as it is, for what nobody can read."""
    if isinstance(time, str):
        return time
    return datetime.fromtimestamp(time + later, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ScaledCluster:
    """The operator's memory of a cluster in which some objects run."""

    def __init__(self, nodes: int = 4) -> None:
        self.observed, self.nodes = Observed(), ClusterState()
        self._version = 0
        for number in range(nodes):
            self.nodes.set_node(gpu_node(f"a100-{number}", gpus=8, labels=A100_LABELS))

    def run(
        self,
        name: str = "r1",
        *,
        replicas: int = 1,
        plan: Plan | None = None,
        status: Mapping[str, Any] | None = None,
        **spec: object,
    ) -> str:
        """Run an object, or change it, with so many replicas asked for; returns its UID."""
        deployment = make_deployment(name, **{"scaling": {"maxReplicas": 8}, **spec})
        uid = f"uid-{name}"
        metadata = {"name": name, "namespace": "chat", "uid": uid}
        self._version += 1
        self.observed.put_deployment(
            {
                "apiVersion": "deepseek-operator.io/v1alpha1",
                "kind": KIND,
                "metadata": {**metadata, "resourceVersion": str(self._version), "generation": 1},
                "spec": deployment.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True),
                "status": {
                    "plan": plan_status(plan or make_plan()),
                    "fingerprint": spec_fingerprint(deployment),
                    "scaling": {"desiredReplicas": replicas},
                    **(status or {}),
                },
            }
        )
        reference = {"kind": KIND, "uid": uid, "controller": True, "name": name}
        child = {**metadata, "uid": f"workload-{name}", "resourceVersion": "1", "ownerReferences": [reference]}
        self.observed.put_child({"kind": "Deployment", "metadata": child, "spec": {"replicas": replicas}})
        return uid

    def pod(self, name: str, number: int, *, node: str = "", created: float = START, took: float | None = 60.0) -> None:
        """Show a pod of an object: on a node it is ready after so many seconds, with None not yet."""
        labels = {"deepseek-operator.io/deployment": name, "deepseek-operator.io/role": "leader"}
        body = gpu_pod(f"{name}-{number}", gpus=4, node=node, namespace="chat", labels=labels)
        ready = node and took is not None
        body["metadata"]["creationTimestamp"] = text(created)
        conditions = [{"type": "PodScheduled", "status": str(bool(node)), "lastTransitionTime": text(created)}]
        if ready:
            conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": text(created, took or 0.0)})
        body["status"] = {"phase": "Running" if ready else "Pending", "conditions": conditions}
        self.observed.put_pod(body)
        self.nodes.set_pod(body)

    def pods(self, name: str, count: int) -> None:
        """Show so many pods that serve, two on each node."""
        for number in range(count):
            self.pod(name, number, node=f"a100-{number // 2}")


class Engines:
    """What engines measure: for each object the tokens per second of all answers, or a problem."""

    def __init__(self, tokens_per_second: Mapping[str, float]) -> None:
        self.tokens_per_second = dict(tokens_per_second)
        self.problem: SignalProblem | None = None
        self.ttft_seconds, self.tpot_seconds = 0.5, 0.03
        self.asked: list[Sequence[MeasuredObject]] = []

    async def read(self, objects: Sequence[MeasuredObject], now: float) -> Mapping[str, Readings]:
        """Return what is measured now."""
        self.asked.append(objects)
        return {each.uid: self._of(each) for each in objects}

    def _of(self, measured: MeasuredObject) -> Readings:
        if self.problem is not None or not measured.pods:
            return Readings(problem=self.problem)
        tokens = self.tokens_per_second[measured.name]
        running = tokens * self.tpot_seconds
        return Readings(
            tokens_per_second=Signal(value=tokens),
            starts_per_second=Signal(value=tokens / 256),
            seconds_per_token=Signal(value=self.tpot_seconds),
            prompt_work=Signal(value=tokens / 256 * 0.05),
            running=Signal(value=running),
            waiting=Signal(value=0.0),
            cached_tokens=Signal(value=running * 1152),
            ttft_percentile_seconds=Signal(value=self.ttft_seconds),
            tpot_percentile_seconds=Signal(value=self.tpot_seconds),
        )


UNREACHABLE = SignalProblem(reason=ProblemReason.UNREACHABLE, message="http://prometheus:9090 does not answer")
