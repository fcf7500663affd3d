"""Compare the operator's scaling with other policies and with perfect foresight on request traces; prints the tables.

``python hack/scaling_benchmark.py --traces FOLDER [--store FILE]`` (``make scaling-benchmark TRACES=FOLDER``). The
traces are those of ``hack/scaling_cases.py``. With ``--store``, runs that the file holds are not repeated; those of the
operator are, once its code has changed.

The clients of the R1 day are dealt into two halves. Policies are tuned on the first, KEDA as well: its setting is the
cheapest that reaches the target there. They are scored on the second half and on Azure, where KEDA is also given its
best setting in hindsight: the cheapest that reaches the target on the scored trace itself, which nobody can know. All
policies get the same faults: metrics 15 to 30 seconds old, one gap of two minutes, one replica lost, start-ups that
differ by 20 %, and no more GPUs than there are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from scaling_cases import CHAT, MOST_REPLICAS, REASONING, Row, Service, dealt, read, scored, trace_of, tuned_besides

from deepseek_operator.planner.replica import pace_of
from deepseek_operator.scaling import decide as decision_module
from deepseek_operator.scaling.decide import Limit, ScalingPolicy
from deepseek_operator.scaling.fleet_values import ServiceLevel, Trace
from deepseek_operator.scaling.operator_policy import OperatorPolicy
from deepseek_operator.scaling.rival_policies import (
    WAITING_TARGET,
    ClairvoyantPolicy,
    HpaWaitingPolicy,
    KedaInFlightPolicy,
    StaticPolicy,
)
from deepseek_operator.scaling.rival_policies import ScalingPolicy as Policy
from deepseek_operator.scaling.simulated_object import capacity_of, limits_of
from deepseek_operator.scaling.simulator import (
    START_SPREAD,
    TICK_SECONDS,
    Faults,
    Scenario,
    offered_in_flight,
    offered_load,
    simulate,
    with_seed,
)

STARTS = (60, 120, 300, 600)
SEEDS = (1, 2, 3, 4, 5)
TARGETS = {60: 99.5, 120: 99.5, 300: 99.0, 600: 99.0}
KEDA_SHARES = (0.45, 0.4, 0.35, 0.3, 0.26, 0.22, 0.18)
"""Requests in flight per replica that KEDA aims at, as shares of the batch: some 15 % apart."""

FILLS = (0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
"""Shares of a replica that perfect foresight fills."""

STATIC_SHARES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
"""Fixed numbers of replicas, as shares of what the peak takes with full batches."""

DECIDING = ("decide", "expected_load", "forecast", "history", "operator_policy", "replica_capacity", "restored")
"""Modules of the operator's decision."""

FIRST_SHARE = 0.4
"""Share of the batch that the first replicas are filled to in the first ten minutes, the same for every policy."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trace that is served, and what its lines of the table are headed."""

    name: str
    title: str
    service: Service
    trace: Trace


@dataclass(frozen=True, kw_only=True)
class Run:
    """One policy on one case with one seed."""

    sla: float
    gpu_hours: float
    changes: int
    turns: int
    flaps: int
    ttft: float
    peak: int
    wall: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """One policy over seeds: means, and the worst seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def sla(self) -> float:
        """Mean share of requests within the service level, in percent."""
        return statistics.mean(run.sla for run in self.runs)

    @property
    def gpu_hours(self) -> float:
        """Mean GPU hours."""
        return statistics.mean(run.gpu_hours for run in self.runs)

    @property
    def turns(self) -> float:
        """Mean number of changes against the change before."""
        return statistics.mean(run.turns for run in self.runs)

    def line(self, start: int, *notes: str) -> str:
        """Return it as a line of the table."""
        changes = statistics.mean(run.changes for run in self.runs)
        flaps = statistics.mean(run.flaps for run in self.runs)
        ttft = statistics.mean(run.ttft for run in self.runs)
        return (
            f"| {start} | {self.name} | {self.sla:.2f} ({min(run.sla for run in self.runs):.2f}) | "
            f"{self.gpu_hours:,.{0 if self.gpu_hours >= 100 else 1}f} | {changes:.0f} | {self.turns:.0f} | "
            f"{flaps:.0f} | {ttft:.1f} | {max(run.peak for run in self.runs)} | {', '.join(notes)} |"
        )


class Store:
    """Runs that were done, kept in a file of one JSON object per line."""

    def __init__(self, path: Path | None) -> None:
        """Read the file, where there is one."""
        self._path = path
        self._known: dict[str, Run] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self._known[entry["key"]] = Run(**entry["run"])

    def run(self, key: str, make: Callable[[], Run]) -> Run:
        """Return the run of a key, which is done when it is not known."""
        if key not in self._known:
            self._known[key] = done = make()
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "run": asdict(done)}) + "\n")
        return self._known[key]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One case at one start-up time, with all that is needed to score a policy on it."""

    case: Case
    start: int
    seeds: Sequence[int]
    store: Store

    @property
    def target(self) -> float:
        """Share of requests that must be within the service level, in percent."""
        return TARGETS[self.start]

    @property
    def scenario(self) -> Scenario:
        """What is replayed."""
        return scenario_of(self.case.service, self.case.trace, float(self.start))

    def score(self, name: str, make: Callable[[Scenario], Policy], seeds: Sequence[int] | None = None) -> Score:
        """Return how a policy does; its name must tell its setting."""

        def runs() -> Iterator[Run]:
            for seed in seeds or self.seeds:
                key = f"{self.case.name} {self.start} {name} {seed}"
                key = f"{key} {code_digest()}" if name == "operator" else key
                yield self.store.run(key, lambda seed=seed: self._run(make, seed))  # type: ignore[misc] - bound seed

        return Score(name=name, runs=tuple(runs()))

    def _run(self, make: Callable[[Scenario], Policy], seed: int) -> Run:
        scenario = with_seed(self.scenario, seed)
        policy = make(scenario)
        if isinstance(policy, StaticPolicy):
            scenario = replace(scenario, first_replicas=policy.count)
        found = simulate(scenario, policy)
        return Run(
            sla=found.sla_percent,
            gpu_hours=found.gpu_hours,
            changes=found.replica_changes,
            turns=found.reversals,
            flaps=found.flaps,
            ttft=found.ttft_p99_seconds,
            peak=found.peak_replicas,
            wall=round(found.wall_seconds, 1),
        )

    def operator(self) -> Score:
        """Return the score of the shipped decision."""
        return self.score("operator", lambda scenario: operator(self.case.service, scenario))

    def keda(self, share: float, seeds: Sequence[int] | None = None) -> Score:
        """Return the score of KEDA on requests in flight that aims at a share of the batch."""
        target = max(1, round(share * self.scenario.limits.batch))
        return self.score(f"keda-inflight:{target}", lambda each: KedaInFlightPolicy(target, 1, MOST_REPLICAS), seeds)

    def waiting(self) -> Score:
        """Return the score of an HPA on waiting requests; one seed shows what it is."""
        return self.score(
            "hpa-waiting", lambda each: HpaWaitingPolicy(WAITING_TARGET, 1, MOST_REPLICAS), self.seeds[:1]
        )

    def static(self, share: float, seeds: Sequence[int] | None = None) -> Score:
        """Return the score of a fixed number of replicas."""
        most = max(offered_load(self.scenario)) / self.scenario.limits.batch
        count = max(1, min(MOST_REPLICAS, math.ceil(most * share)))
        return self.score(f"static:{count}", lambda each: StaticPolicy(count), seeds)

    def clairvoyant(self, fill: float, seeds: Sequence[int] | None = None) -> Score:
        """Return the score of perfect foresight that fills a share of each replica."""
        return self.score(f"clairvoyant (fills {fill:.0%})", lambda scenario: clairvoyant(scenario, fill), seeds)

    def cheapest(
        self, score: Callable[[float, Sequence[int] | None], Score], settings: Sequence[float]
    ) -> tuple[float, Score] | None:
        """Return the first of some settings, cheapest first, that reaches the target over all seeds; None for none."""
        for setting in settings:
            if score(setting, self.seeds[:1]).sla >= self.target - 0.1:
                found = score(setting, None)
                if found.sla >= self.target:
                    return setting, found
        return None


@cache
def code_digest() -> str:
    """Return a digest of the code that decides."""
    digest = hashlib.sha256()
    for name in DECIDING:
        digest.update(Path(str(decision_module.__file__)).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:12]


def scenario_of(service: Service, trace: Trace, start: float) -> Scenario:
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
        faults=Faults(metric_age_seconds=15.0, scrape_gap_seconds=120.0, lost_replicas=1),
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
    """Return perfect foresight that fills so much of each replica."""
    ahead = scenario.start_seconds * (1 + START_SPREAD) + TICK_SECONDS
    return ClairvoyantPolicy(offered_load(scenario), TICK_SECONDS, share * scenario.limits.batch, ahead, 1)


def show(bench: Bench, tuned: float | None) -> None:
    """Print the lines of one case at one start-up time; ``tuned`` is KEDA's share of the batch from the tuning half."""
    own, start = bench.operator(), bench.start
    best = bench.cheapest(bench.keda, KEDA_SHARES)
    given = bench.keda(tuned) if tuned is not None else None
    peak = bench.cheapest(bench.static, STATIC_SHARES)
    knowing = bench.cheapest(bench.clairvoyant, FILLS)
    notes = [f"target {bench.target} %: {'met' if own.sla >= bench.target else 'missed'}"]
    for name, other in (("tuned KEDA", given), ("best KEDA", best and best[1])):
        if other is not None:
            notes.append(f"{_percent(own.gpu_hours, other.gpu_hours)} of {name}")
            notes.append(f"{_percent(own.turns, other.turns)} of its turns")
    if best is None and peak is not None:
        notes.append(f"{_percent(own.gpu_hours, peak[1].gpu_hours)} of {peak[1].name}")
    if knowing is not None:
        notes.append(f"{own.gpu_hours / knowing[1].gpu_hours:.2f} x clairvoyant")
    print(own.line(start, *notes))
    rows = {row.name: row for row in (bench.keda(share, bench.seeds[:1]) for share in KEDA_SHARES)}
    for row in rows.values():
        marks = []
        if given is not None and row.name == given.name:
            row, marks = given, ["tuned on the first half"]
        if best is not None and row.name == best[1].name:
            row, marks = best[1], [*marks, "best in hindsight"]
        print(row.line(start, *marks, *(() if len(row.runs) == len(bench.seeds) else ("one seed",))))
    for each in (peak and peak[1], knowing and knowing[1], bench.waiting()):
        if each is not None:
            print(each.line(start))


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def cases_of(folder: Path, names: Iterable[str]) -> list[Case]:
    """Return the cases of some names."""
    asked, found = set(names), []
    day = (
        read(folder / "servegen_deepseek-r1_clients_a.csv.gz")
        if asked & {"tuning", "besides", "scored", "small"}
        else []
    )
    titles = {
        "tuning": "R1 day (generated), first half of the clients: what policies are tuned on",
        "besides": "R1 day (generated), first half without its largest client, each four times: tuned on as well",
        "scored": "R1 day (generated), second half of the clients, each four times: scored",
        "small": "R1 day (generated), second half of the clients, each once: fleets below ten replicas, not scored",
    }
    rows_of: dict[str, Callable[[], list[Row]]] = {
        "tuning": lambda: dealt(day)[0],
        "besides": lambda: tuned_besides(day),
        "scored": lambda: scored(day),
        "small": lambda: scored(day, 1),
    }
    for name, title in titles.items():
        if name in asked:
            rows = rows_of[name]()
            found.append(Case(name=name, title=title, service=REASONING, trace=trace_of(rows)))
    if "azure" in asked:
        rows = read(folder / "azure_llm_2023_conv.csv.gz")
        found.append(Case(name="azure", title="Azure conversations 2023: scored", service=CHAT, trace=trace_of(rows)))
    return found


def main() -> None:
    """Print the tables that are asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--traces", type=Path, required=True)
    asked.add_argument("--only", choices=("tuning", "besides", "scored", "small", "azure"), action="append")
    asked.add_argument("--starts", type=int, nargs="*", default=STARTS, choices=STARTS)
    asked.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    asked.add_argument("--store", type=Path, help="file of the runs that were done, to go on with")
    options = asked.parse_args()
    store = Store(options.store)
    tuning, *rest = cases_of(options.traces, {"tuning", *(options.only or ("scored", "azure"))})
    tuned: dict[int, float | None] = {}
    for start in options.starts:
        found = Bench(case=tuning, start=start, seeds=options.seeds, store=store)
        chosen = found.cheapest(found.keda, KEDA_SHARES)
        tuned[start] = chosen[0] if chosen is not None else None
    for case in [*([tuning] if not options.only or "tuning" in options.only else []), *rest]:
        print(f"\n{case.title}: {len(case.trace.arrivals):,} requests in {case.trace.seconds / 3600:.1f} hours")
        print("| start s | policy | SLA % (worst seed) | GPU-h | changes | turns | flaps | TTFT p99 s | peak | |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for start in options.starts:
            show(Bench(case=case, start=start, seeds=options.seeds, store=store), tuned[start])


if __name__ == "__main__":
    main()
