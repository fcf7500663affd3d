"""A replica on a share counts as its part of a GPU."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from deepseek_operator.metrics import Metrics
from deepseek_operator.planner.gpu_share import ShareMechanism
from manifest_cases.sharing import part


def test_four_quarters_are_one_gpu():
    metrics = Metrics(CollectorRegistry())
    metrics.set_plan("uid", part("l40s", ShareMechanism.HAMI, 4), replicas=4)
    assert metrics.registry.get_sample_value("deepseek_operator_planned_gpus", {"gpu": "l40s"}) == 1.0
    metrics.drop_plan("uid")
    assert metrics.registry.get_sample_value("deepseek_operator_planned_gpus", {"gpu": "l40s"}) == 0.0
