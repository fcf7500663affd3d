"""Makes the Grafana dashboards of the chart (``files/dashboards``); ``--check`` writes nothing and fails when stale.

Every panel has a unit and a description. Units are Grafana's own ids
(https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "charts" / "deepseek-operator" / "files" / "dashboards"
SCHEMA_VERSION = 39
"""Dashboard model of Grafana 11; newer ones migrate it on loading."""

COLUMNS, WIDTH, HEIGHT = 24, 8, 8
"""Grafana's grid, and the size of a panel in it."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

OBJECT = 'namespace=~"$namespace",name=~"$name"'
PODS = 'namespace=~"$namespace",pod=~"$name(-canary)?-[a-z0-9]+-[a-z0-9]+|$name-[0-9]+(-[0-9]+)?"'
"""Pods of the chosen objects: of a Deployment, or leaders and workers of a group."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture.

    Args:
        queries: PromQL to the legend of its series.
        unit: Grafana's id of it.
        kind: Grafana's panel type.
    """

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


def percentile(metric: str, share: float) -> str:
    """Return the percentile of a histogram of all chosen pods together."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{PODS}}}[5m])))"


def rate(metric: str) -> str:
    """Return a counter's rate of all chosen pods together."""
    return f"sum(rate({metric}{{{PODS}}}[5m]))"


def _name(share: float) -> str:
    return f"p{round(100 * share)}"


RECONCILES = "deepseek_operator_reconcile_seconds"
BY_OBJECT = "{{namespace}}/{{name}}"

CLUSTER = (
    Panel(
        title="GPUs in use",
        description="Physical GPUs that pods hold, by product.",
        unit="short",
        queries={'sum by (gpu) (deepseek_operator_cluster_gpus{state="used"})': "{{gpu}}"},
    ),
    Panel(
        title="Free GPUs",
        description="GPUs that a replica could take now, by product.",
        unit="short",
        queries={'sum by (gpu) (deepseek_operator_cluster_gpus{state="free"})': "{{gpu}}"},
    ),
    Panel(
        title="Stranded and unusable GPUs",
        description="Free GPUs that no replica can use, and free ones on nodes that nothing can be planned on.",
        unit="short",
        queries={
            'sum by (gpu) (deepseek_operator_cluster_gpus{state="stranded"})': "{{gpu}} stranded",
            'sum by (gpu) (deepseek_operator_cluster_gpus{state="unusable"})': "{{gpu}} unusable",
        },
    ),
    Panel(
        title="Planned and serving GPUs",
        description="GPUs of the accepted plans at the replicas that are wanted now, and those of replicas that serve.",
        unit="short",
        queries={
            "sum by (gpu) (deepseek_operator_planned_gpus)": "{{gpu}} planned",
            "sum by (gpu) (deepseek_operator_running_gpus)": "{{gpu}} serving",
        },
    ),
    Panel(
        title="Cost",
        description="US dollars per hour of all GPUs, and of what the accepted plans take of them.",
        unit="currencyUSD",
        queries={
            "sum(deepseek_operator_cluster_cost_usd_per_hour)": "all GPUs, per hour",
            "sum(deepseek_operator_planned_cost_usd_per_hour)": "planned, per hour",
        },
    ),
    Panel(
        title="Room for one more",
        description="Replicas that fit on what is free now besides those asked for, each object looked at alone.",
        unit="short",
        queries={"min by (namespace, name) (deepseek_operator_placeable_replicas)": BY_OBJECT},
    ),
    Panel(
        title="Deployments without a plan",
        description="Deployments that are refused at this moment, by reason, and those whose better plan waits.",
        unit="short",
        queries={
            "sum by (reason) (deepseek_operator_refused_deployments)": "{{reason}}",
            "sum(deepseek_operator_proposed_plans)": "proposed, not taken",
        },
    ),
    Panel(
        title="Plans by result",
        description="Plans computed per second: Planned, or the reason of the refusal.",
        unit="ops",
        queries={"sum by (result) (rate(deepseek_operator_plans_total[5m]))": "{{result}}"},
    ),
    Panel(
        title="Reconcile time",
        description="Nine of ten and 99 of 100 reconciles end within this time.",
        unit="s",
        queries={
            f"histogram_quantile({each}, sum by (le) (rate(deepseek_operator_reconcile_seconds_bucket[5m])))": _name(
                each
            )
            for each in (0.9, 0.99)
        },
    ),
    Panel(
        title="Reconciles by result",
        description="ok, cluster-error (the API server refused or did not answer), bug (unexpected).",
        unit="ops",
        queries={"sum by (result) (rate(deepseek_operator_reconciles_total[5m]))": "{{result}}"},
    ),
    Panel(
        title="Calls to the API server",
        description="Calls per second by HTTP status; 0 is no answer.",
        unit="reqps",
        queries={"sum by (status) (rate(deepseek_operator_api_calls_total[5m]))": "{{status}}"},
    ),
    Panel(
        title="Planning and scaling time",
        description="99 of 100 plans, and rounds of scaling over all objects, take no longer than this.",
        unit="s",
        queries={
            "histogram_quantile(0.99, sum by (le) (rate(deepseek_operator_plan_seconds_bucket[5m])))": "plan p99",
            "histogram_quantile(0.99, sum by (le) (rate(deepseek_operator_scaling_round_seconds_bucket[5m])))": (
                "round p99"
            ),
        },
    ),
)

DEPLOYMENT = (
    Panel(
        title="Replicas",
        description="Replicas that scaling asks for, and those that serve.",
        unit="short",
        queries={
            f"sum(deepseek_operator_desired_replicas{{{OBJECT}}})": "asked for",
            f"sum(deepseek_operator_ready_replicas{{{OBJECT}}})": "serving",
        },
    ),
    Panel(
        title="Requests",
        description="Requests in the batches of the engines, and those that wait for room.",
        unit="short",
        queries={
            f"sum(vllm:num_requests_running{{{PODS}}})": "running",
            f"sum(vllm:num_requests_waiting{{{PODS}}})": "waiting",
        },
    ),
    Panel(
        title="Tokens",
        description="Tokens per second that are read from prompts and written as answers.",
        unit="short",
        queries={
            rate("vllm:prompt_tokens_total"): "prompt tokens/s",
            rate("vllm:generation_tokens_total"): "answer tokens/s",
        },
    ),
    Panel(
        title="Time to the first token",
        description="Half, 95 and 99 of 100 requests get their first token within this time.",
        unit="s",
        queries={
            percentile("vllm:time_to_first_token_seconds", each): f"p{round(100 * each)}" for each in (0.5, 0.95, 0.99)
        },
    ),
    Panel(
        title="Time per output token",
        description="Mean gap between the tokens of a request: half, 95 and 99 of 100 requests are faster.",
        unit="s",
        queries={
            percentile("vllm:request_time_per_output_token_seconds", each): _name(each) for each in (0.5, 0.95, 0.99)
        },
    ),
    Panel(
        title="KV cache",
        description="Share of the KV cache blocks that are taken, by pod.",
        unit="percentunit",
        queries={f"max by (pod) (vllm:kv_cache_usage_perc{{{PODS}}})": "{{pod}}"},
    ),
    Panel(
        title="Preemptions and rejections",
        description="Requests per second that lost their KV cache to others, and that were not admitted.",
        unit="reqps",
        queries={
            rate("vllm:num_preemptions_total"): "preempted",
            rate("vllm:admission_rejections_total"): "rejected",
        },
    ),
    Panel(
        title="Planned against reported KV cache",
        description="Tokens of the KV cache that the engine reported less those planned, in percent of planned.",
        unit="percent",
        queries={f"max by (namespace, name) (deepseek_operator_plan_kv_cache_error_percent{{{OBJECT}}})": "{{name}}"},
    ),
    Panel(
        title="Tokens of the KV cache",
        description="Tokens that one replica's KV cache holds, by the plan and by the engine's report.",
        unit="short",
        queries={
            f"max by (name) (deepseek_operator_planned_kv_cache_tokens{{{OBJECT}}})": "{{name}} planned",
            f"max by (name) (deepseek_operator_reported_kv_cache_tokens{{{OBJECT}}})": "{{name}} reported",
        },
    ),
    Panel(
        title="Memory pressure",
        description="1 while the KV cache is full, requests suffer and no replica can be added; nothing while unknown.",
        unit="bool_yes_no",
        queries={f"max by (namespace, name) (deepseek_operator_memory_pressure{{{OBJECT}}})": BY_OBJECT},
    ),
    Panel(
        title="Prefix cache hits",
        description="Share of prompt tokens that were found in the prefix cache.",
        unit="percentunit",
        queries={f"{rate('vllm:prefix_cache_hits_total')} / {rate('vllm:prefix_cache_queries_total')}": "hits"},
    ),
)

SERVICE_LEVEL = (
    Panel(
        title="Service level met now",
        description="1 while the measured latency keeps the service level, 0 while not; no value while unknown.",
        unit="bool_yes_no",
        queries={f"min by (namespace, name) (deepseek_operator_sla_met{{{OBJECT}}})": BY_OBJECT},
        kind="stat",
    ),
    Panel(
        title="Time within the service level",
        description="Share of the last 24 hours in which it was met.",
        unit="percentunit",
        queries={f"min by (namespace, name) (avg_over_time(deepseek_operator_sla_met{{{OBJECT}}}[24h]))": BY_OBJECT},
        kind="stat",
    ),
    Panel(
        title="Burn rate",
        description="How many times faster than an objective of 99 % allows it is missed, over one hour.",
        unit="short",
        queries={
            f"(1 - min by (namespace, name) (avg_over_time(deepseek_operator_sla_met{{{OBJECT}}}[1h]))) / 0.01": (
                BY_OBJECT
            )
        },
    ),
    Panel(
        title="Latency over what is asked",
        description="Measured latency at the service level's percentile over its limit; above 1 it is missed.",
        unit="percentunit",
        queries={f"max by (name, latency) (deepseek_operator_sla_latency_ratio{{{OBJECT}}})": "{{name}} {{latency}}"},
    ),
    Panel(
        title="Scaling decisions",
        description="Changes of replicas per hour, by reason, of all objects.",
        unit="short",
        queries={"sum by (reason) (increase(deepseek_operator_scaling_decisions_total[1h]))": "{{reason}}"},
    ),
    Panel(
        title="Objects without signals",
        description="Objects that keep their replicas because a metric is missing, by reason.",
        unit="short",
        queries={"sum by (reason) (deepseek_operator_scaling_signal_problems)": "{{reason}}"},
    ),
)

DASHBOARDS = {
    "deepseek-cluster": ("DeepSeek: GPUs of the cluster", CLUSTER, False),
    "deepseek-deployment": ("DeepSeek: one deployment", DEPLOYMENT, True),
    "deepseek-sla": ("DeepSeek: service levels", SERVICE_LEVEL, True),
}


def dashboard(uid: str, title: str, panels: tuple[Panel, ...], *, by_object: bool) -> dict[str, Any]:
    """Return a dashboard as Grafana stores it."""
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    ]
    if by_object:
        known = "deepseek_operator_ready_replicas"
        variables += [
            _variable("namespace", f"label_values({known}, namespace)"),
            _variable("name", f'label_values({known}{{namespace=~"$namespace"}}, name)'),
        ]
    return {
        "uid": uid,
        "title": title,
        "tags": ["deepseek-operator"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": [_panel(panel, number) for number, panel in enumerate(panels)],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    per_row = COLUMNS // WIDTH
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"x": WIDTH * (number % per_row), "y": HEIGHT * (number // per_row), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend, "datasource": SOURCE}
            for place, (query, legend) in enumerate(panel.queries.items())
        ],
    }


def main(arguments: list[str]) -> int:
    """Write or check all files; return the exit code."""
    stale = []
    FOLDER.mkdir(exist_ok=True)
    for uid, (title, panels, by_object) in DASHBOARDS.items():
        text = json.dumps(dashboard(uid, title, panels, by_object=by_object), indent=1) + "\n"
        file = FOLDER / f"{uid}.json"
        if not file.exists() or file.read_text() != text:
            stale.append(file.name)
            if "--check" not in arguments:
                file.write_text(text)
    if stale and "--check" in arguments:
        print(f"not up to date: {', '.join(stale)}; run hack/dashboards.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
