"""The services and request traces of the scaling benchmark: what is tuned on, and what is scored.

The folder of traces holds ``servegen_deepseek-r1_clients_a.csv.gz`` (alibaba/ServeGen, Apache-2.0: one day of a
DeepSeek-R1 service, generated from the rates and lengths of its real clients) and ``azure_llm_2023_conv.csv.gz``
(Azure/AzurePublicDataset, CC-BY-4.0).
"""

from __future__ import annotations

import csv
import gzip
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.request import GpuPool, PinnedParallelism, PlanRequest, Sla, Supply, Workload
from deepseek_operator.planner.result import Plan
from deepseek_operator.scaling.fleet_values import Trace

MOST_REPLICAS = 64
"""GPUs end there: 128 of them for the R1 day, which is three times what perfect foresight needs."""

DAY_SECONDS = 86400.0
COPIES = 4
SHIFT_SECONDS = 1800.0
"""The scored half serves two to five replicas for most of its day; so that fleets are of ten and more, each of its
clients comes four times, each time shifted by up to half an hour either way around the day. The shifts also smear the
steps that the generator takes at full ten minutes."""

Row = tuple[float, int, int, str]
"""Arrival, prompt tokens, answer tokens, client."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model on GPUs with a service level: what one replica of the benchmark is.

    Its batch is stated, so that figures compare whatever headroom plans have.
    """

    model: str
    gpu: str
    tensor: int
    sla: Sla
    workload: Workload
    batch: int

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
        return replace(answer, max_num_seqs=self.batch)


REASONING = Service(
    model="deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    gpu="h100-sxm5-80gb",
    tensor=2,
    sla=Sla(ttft_milliseconds=4000, tpot_milliseconds=30, percentile=99),
    workload=Workload(input_tokens=800, output_tokens=2600, max_context_tokens=32768, requests_per_minute=480),
    batch=104,
)
CHAT = Service(
    model="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    gpu="l4",
    tensor=1,
    sla=Sla(ttft_milliseconds=4000, tpot_milliseconds=100, percentile=99),
    workload=Workload(input_tokens=1155, output_tokens=211, max_context_tokens=8192, requests_per_minute=330),
    batch=21,
)


def read(path: Path) -> list[Row]:
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


def trace_of(rows: Iterable[Row]) -> Trace:
    """Return rows as columns."""
    chosen = list(rows)
    return Trace(
        arrivals=array("d", [row[0] for row in chosen]),
        prompt_tokens=array("l", [row[1] for row in chosen]),
        output_tokens=array("l", [row[2] for row in chosen]),
    )


def dealt(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the requests of two halves of the clients: those with most requests are dealt in turns."""
    order = [client for client, _ in Counter(row[3] for row in rows).most_common()]
    first = frozenset(order[0::2])
    return [row for row in rows if row[3] in first], [row for row in rows if row[3] not in first]


def repeated(rows: Sequence[Row], copies: int = COPIES) -> list[Row]:
    """Return requests with each of their clients so many times at shifted times of the day."""
    draws = random.Random(1)  # noqa: S311 - shifts of a benchmark, not a secret
    clients = sorted({row[3] for row in rows})
    found: list[Row] = []
    for _ in range(copies):
        shift = {client: draws.uniform(-SHIFT_SECONDS, SHIFT_SECONDS) for client in clients}
        found += [((row[0] + shift[row[3]]) % DAY_SECONDS, *row[1:]) for row in rows]
    return sorted(found)


def scored(rows: Sequence[Row], copies: int = COPIES) -> list[Row]:
    """Return the second half of the clients, repeated."""
    return repeated(dealt(rows)[1], copies)


def tuned_besides(rows: Sequence[Row]) -> list[Row]:
    """Return the first half of the clients without the largest, repeated: a second day that tuning may see."""
    first = dealt(rows)[0]
    [(largest, _)] = Counter(row[3] for row in first).most_common(1)
    return repeated([row for row in first if row[3] != largest])
