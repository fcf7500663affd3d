"""Compare the operator's scaling with KEDA, a fixed number and perfect foresight on request traces; prints tables.

``python hack/scaling_benchmark.py --traces FOLDER`` (``make scaling-benchmark TRACES=FOLDER``). The folder holds
``servegen_deepseek-r1_clients_a.csv.gz`` (alibaba/ServeGen, Apache-2.0: one day of a DeepSeek-R1 service, generated
from the rates and lengths of its real clients) and ``azure_llm_2023_conv.csv.gz`` (Azure/AzurePublicDataset,
CC-BY-4.0).

The clients of the day, in the order of their requests, are dealt into two halves. KEDA is given the benefit of the
doubt: its baseline is the setting that is cheapest on the scored trace itself among those that reach the target. All
policies get the same faults: metrics 15 to 30 seconds old, one gap of two minutes, one replica lost, start-ups
that differ by 20 %.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.planner.plan import plan
from deepseek_operator.planner.replica import pace_of
from deepseek_operator.planner.request import GpuPool, PinnedParallelism, PlanRequest, Sla, Supply, Workload
from deepseek_operator.planner.result import Plan
from deepseek_operator.scaling.decide import Limit, ScalingPolicy
from deepseek_operator.scaling.fleet_values import ServiceLevel, Trace
from deepseek_operator.scaling.operator_policy import OperatorPolicy
from deepseek_operator.scaling.rival_policies import ClairvoyantPolicy, KedaInFlightPolicy, StaticPolicy
from deepseek_operator.scaling.rival_policies import ScalingPolicy as Policy
from deepseek_operator.scaling.simulated_object import capacity_of, limits_of
from deepseek_operator.scaling.simulator import (
    START_SPREAD,
    TICK_SECONDS,
    Faults,
    Scenario,
    offered_in_flight,
    simulate,
    with_seed,
)

STARTS = (60.0, 120.0, 300.0, 600.0)
SEEDS = (1, 2, 3, 4, 5)
TARGETS = {60.0: 99.5, 120.0: 99.5, 300.0: 99.0, 600.0: 99.0}
KEDA_STEP = 1.12
MOST_REPLICAS = 64
FIRST_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model on GPUs with a service level: what one replica of the benchmark is."""

    model: str
    gpu: str
    tensor: int
    sla: Sla
    workload: Workload

    def request(self) -> PlanRequest:
        """Return the planner's question."""
        return PlanRequest(
            model_name=self.model,
            model=shape(self.model),
            workload=self.workload,
            sla=self.sla,
            max_replicas=MOST_REPLICAS,
            parallelism=PinnedParallelism(tensor=self.tensor, pipeline=1, data=1),
        )

    def planned(self) -> Plan:
        """Return the plan on more GPUs than are ever needed."""
        product = gpu(self.gpu)
        pool = GpuPool(gpu=product, usable_memory_bytes=product.usable_memory_bytes or 0, nodes_by_gpu_count=((8, 64),))
        answer = plan(self.request(), Supply(pools=(pool,)))
        if not isinstance(answer, Plan):
            raise SystemExit(answer.message)
        return answer


REASONING = Service(
    model="deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    gpu="h100-sxm5-80gb",
    tensor=2,
    sla=Sla(ttft_milliseconds=4000, tpot_milliseconds=30, percentile=99),
    workload=Workload(input_tokens=800, output_tokens=2600, max_context_tokens=32768, requests_per_minute=480),
)
CHAT = Service(
    model="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    gpu="l4",
    tensor=1,
    sla=Sla(ttft_milliseconds=4000, tpot_milliseconds=100, percentile=95),
    workload=Workload(input_tokens=1155, output_tokens=211, max_context_tokens=8192, requests_per_minute=330),
)


def read(path: Path) -> list[tuple[float, int, int, str]]:
    """Return the requests of a trace as (arrival, input, output, client)."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [
            (
                float(row["arrival_seconds"]),
                int(row["input_tokens"]),
                max(1, int(row["output_tokens"])),
                row.get("client", ""),
            )
            for row in csv.DictReader(file)
        ]


def trace_of(rows: Iterable[tuple[float, int, int, str]]) -> Trace:
    """Return rows as columns."""
    chosen = list(rows)
    return Trace(
        arrivals=array("d", [row[0] for row in chosen]),
        prompt_tokens=array("l", [row[1] for row in chosen]),
        output_tokens=array("l", [row[2] for row in chosen]),
    )


def halves(rows: Sequence[tuple[float, int, int, str]]) -> tuple[Trace, Trace]:
    """Return two traces: the clients with most requests are dealt in turns."""
    order = [client for client, _ in Counter(row[3] for row in rows).most_common()]
    first = frozenset(order[0::2])
    return trace_of(row for row in rows if row[3] in first), trace_of(row for row in rows if row[3] not in first)


def scenario_of(service: Service, trace: Trace, start: float, *, faults: bool = True) -> Scenario:
    """Return a scenario whose first replicas carry the first minutes with ease, the same for every policy."""
    planned = service.planned()
    pace = pace_of(service.request(), planned)
    if pace is None:
        raise SystemExit(f"the speed of {service.gpu} is not known")
    bare = Scenario(
        trace=trace,
        pace=pace,
        limits=limits_of(planned),
        level=ServiceLevel(
            ttft_seconds=service.sla.ttft_milliseconds / 1000, tpot_seconds=service.sla.tpot_milliseconds / 1000
        ),
        gpus_per_replica=planned.gpus_per_replica,
        start_seconds=start,
        first_replicas=1,
        most_replicas=MOST_REPLICAS,
        faults=Faults(metric_age_seconds=15.0, scrape_gap_seconds=120.0 * faults, lost_replicas=int(faults)),
        seed=1,
    )
    first = math.ceil(max(offered_in_flight(bare)[:40]) / (FIRST_SHARE * bare.limits.batch))
    return replace(bare, first_replicas=first)


def operator(service: Service, scenario: Scenario) -> Policy:
    """Return the shipped decision."""
    planned = service.planned()
    limits = (Limit(replicas=scenario.most_replicas, name="the most replicas"),)
    return OperatorPolicy(
        capacity_of(planned, scenario.pace, service.sla),
        ScalingPolicy(
            least=1,
            limits=limits,
            start_seconds=scenario.start_seconds,
            output_tokens=service.workload.output_tokens,
        ),
    )


def clairvoyant(scenario: Scenario, share: float) -> Policy:
    """Return perfect foresight that fills so much of each batch."""
    ahead = scenario.start_seconds * (1 + START_SPREAD) + TICK_SECONDS
    return ClairvoyantPolicy(offered_in_flight(scenario), TICK_SECONDS, share * scenario.limits.batch, ahead, 1)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One policy over seeds: means."""

    name: str
    sla: float
    worst: float
    gpu_hours: float
    changes: float
    reversals: float
    flaps: float
    ttft: float
    peak: int


def score(name: str, scenario: Scenario, make: Callable[[Scenario], Policy], seeds: Sequence[int]) -> Row:
    """Return the means of a policy over seeds."""
    found = [simulate(each, make(each)) for each in (with_seed(scenario, seed) for seed in seeds)]
    return Row(
        name=name,
        sla=statistics.mean(each.sla_percent for each in found),
        worst=min(each.sla_percent for each in found),
        gpu_hours=statistics.mean(each.gpu_hours for each in found),
        changes=statistics.mean(each.replica_changes for each in found),
        reversals=statistics.mean(each.reversals for each in found),
        flaps=statistics.mean(each.flaps for each in found),
        ttft=statistics.mean(each.ttft_p99_seconds for each in found),
        peak=max(each.peak_replicas for each in found),
    )


def show(start: float, row: Row, note: str = "") -> None:
    """Print a line of the table."""
    print(
        f"| {start:.0f} | {row.name} | {row.sla:.2f} ({row.worst:.2f}) | {row.gpu_hours:,.0f} | {row.changes:.0f} | "
        f"{row.reversals:.0f} | {row.flaps:.0f} | {row.ttft:.1f} | {row.peak} | {note} |",
        flush=True,
    )


def cheapest_reaching(
    target: float, scenario: Scenario, settings: Sequence[float], make: Callable[[float], Callable[[Scenario], Policy]]
) -> float | None:
    """Return the largest setting (the cheapest) that reaches a target with the first seed; None when none does."""
    for setting in settings:
        if score("", scenario, make(setting), SEEDS[:1]).sla >= target:
            return setting
    return None


def keda_settings(batch: int) -> list[float]:
    """Return in-flight targets from half a batch down, each some 12 % below the one before."""
    found, value = [], batch * 0.5
    while value >= batch * 0.08 and value >= 1:
        found.append(float(max(1, round(value))))
        value /= KEDA_STEP
    return list(dict.fromkeys(found))


def compare(
    title: str,
    service: Service,
    trace: Trace,
    starts: Sequence[float],
    seeds: Sequence[int],
    keda: Sequence[float] | None,
) -> None:
    """Print the table of one trace."""
    print(f"\n{title}: {len(trace.arrivals):,} requests in {trace.seconds / 3600:.1f} hours")
    print("| start s | policy | SLA % (worst seed) | GPU-h | changes | turns | flaps | TTFT p99 s | peak | |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for start in starts:
        target, scenario = TARGETS[start], scenario_of(service, trace, start)
        own = score("operator", scenario, lambda each: operator(service, each), seeds)
        best = _keda(target, scenario, seeds, keda or keda_settings(scenario.limits.batch))
        fixed = _static(target, scenario, seeds) if best is None or best.sla < target else None
        baseline = fixed or best
        knowing = _knowing(target, scenario, seeds)
        note = "" if baseline is None else f"{100 * own.gpu_hours / baseline.gpu_hours:.0f} % of {baseline.name}"
        if best is not None and best.reversals:
            note += f", {100 * own.reversals / best.reversals:.0f} % of its turns"
        if knowing is not None:
            note += f", {own.gpu_hours / knowing.gpu_hours:.2f} x clairvoyant"
        show(start, own, note)
        for row in (best, fixed, knowing):
            if row is not None:
                show(start, row)


def _keda(target: float, scenario: Scenario, seeds: Sequence[int], settings: Sequence[float]) -> Row | None:
    """Return KEDA with the largest target per replica that reaches the share over all seeds."""

    def make(setting: float) -> Callable[[Scenario], Policy]:
        return lambda each: KedaInFlightPolicy(setting, 1, each.most_replicas)

    found = cheapest_reaching(target, scenario, settings, make)
    if found is None:
        return None
    for setting in settings[settings.index(found) :][:3]:
        row = score(f"keda-inflight:{setting:.0f}", scenario, make(setting), seeds)
        if row.sla >= target:
            return row
    return row


def _static(target: float, scenario: Scenario, seeds: Sequence[int]) -> Row | None:
    most = math.ceil(max(offered_in_flight(scenario)) / scenario.limits.batch)
    counts = [float(max(1, round(most * share))) for share in (0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)]
    found = cheapest_reaching(target, scenario, counts, lambda count: lambda _: StaticPolicy(int(count)))
    if found is None:
        return None
    return score(
        f"static:{found:.0f}", replace(scenario, first_replicas=int(found)), lambda _: StaticPolicy(int(found)), seeds
    )


def _knowing(target: float, scenario: Scenario, seeds: Sequence[int]) -> Row | None:
    shares = (0.9, 0.8, 0.7, 0.6, 0.5)
    found = cheapest_reaching(target, scenario, shares, lambda share: lambda each: clairvoyant(each, share))
    if found is None:
        return None
    return score(f"clairvoyant ({found:.0%} of the batch)", scenario, lambda each: clairvoyant(each, found), seeds)


def main() -> None:
    """Print the tables that are asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--traces", type=Path, required=True)
    asked.add_argument("--only", choices=("first", "second", "azure"), action="append")
    asked.add_argument("--starts", type=float, nargs="*", default=STARTS)
    asked.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    asked.add_argument(
        "--keda", type=float, nargs="*", help="settings to try, largest first; default: all sensible ones"
    )
    options = asked.parse_args()
    only = options.only or ("first", "second", "azure")
    if {"first", "second"} & set(only):
        first, second = halves(read(options.traces / "servegen_deepseek-r1_clients_a.csv.gz"))
        if "first" in only:
            compare(
                "DeepSeek-R1 day (generated), first half of the clients",
                REASONING,
                first,
                options.starts,
                options.seeds,
                options.keda,
            )
        if "second" in only:
            compare(
                "DeepSeek-R1 day (generated), second half",
                REASONING,
                second,
                options.starts,
                options.seeds,
                options.keda,
            )
    if "azure" in only:
        rows = read(options.traces / "azure_llm_2023_conv.csv.gz")
        compare("Azure conversations 2023", CHAT, trace_of(rows), options.starts, options.seeds, options.keda)


if __name__ == "__main__":
    main()
