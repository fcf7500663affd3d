"""Every metric that exists: exported by the operator, on the recorded page of vLLM, or known of DCGM."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric

from deepseek_operator.handlers.object_metrics import ObjectMetrics
from deepseek_operator.handlers.scaling_metrics import ScalingMetrics
from deepseek_operator.metrics import Metrics

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "engine" / "data" / "vllm_0.32_metrics.txt"
SIGNALS = ROOT / "operator" / "deepseek_operator" / "catalog" / "data" / "signals.json"

PROFILING = {"DCGM_FI_PROF_SM_ACTIVE"}
"""Source: NVIDIA dcgm-exporter, etc/dcp-metrics-included.csv."""

_METRIC = re.compile(r"\b(?:deepseek_operator_|vllm:|DCGM_)\w+")


def asked(query: str) -> set[str]:
    """Return the metrics that a query names.

    >>> sorted(asked('rate(vllm:prompt_tokens_total{pod="x"}[5m]) > deepseek_operator_leading'))
    ['deepseek_operator_leading', 'vllm:prompt_tokens_total']
    """
    return set(_METRIC.findall(query))


def of_the_operator() -> list[Metric]:
    """Return every metric that the operator exports."""
    registry = CollectorRegistry()
    Metrics(registry)
    ScalingMetrics(registry)
    ObjectMetrics(registry)
    return list(registry.collect())


def exported() -> set[str]:
    """Return every name that a query may use."""
    kinds = [(family.name, family.type) for family in of_the_operator()]
    for line in RECORDED.read_text().splitlines():
        if line.startswith("# TYPE vllm:"):
            name, kind = line.split(" ")[2:4]
            kinds.append((name.removesuffix("_total") if kind == "counter" else name, kind))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    names = {name + suffix for name, kind in kinds for suffix in suffixes.get(kind, ("",))}
    dcgm = {each["metric"] for each in json.loads(SIGNALS.read_text())["metrics"] if each["engine"] == "dcgm"}
    return names | dcgm | PROFILING
