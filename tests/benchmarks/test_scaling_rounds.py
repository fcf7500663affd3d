"""What a round of scaling costs with 1,000 objects of two replicas: reading all signals and deciding; prints a table.

Prometheus' place is taken by a process that answers with ready-made JSON, so the figures are the operator's own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from prometheus_client import CollectorRegistry

from deepseek_operator.handlers.scaling_loop import ScalingLoop
from deepseek_operator.handlers.scaling_metrics import ScalingMetrics
from deepseek_operator.handlers.signal_reader import SignalReader
from deepseek_operator.prometheus_api import PrometheusSettings
from deepseek_operator.scaling.readings import MeasuredObject
from scaled_cluster import OPTIONS, START, ScaledCluster

OBJECTS, REPLICAS, ROUNDS = 1_000, 2, 5


@pytest.fixture
def url() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("prometheus_stand_in.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()


def test_reading_the_signals_of_a_thousand_objects(url: str) -> None:
    objects = [
        MeasuredObject(
            uid=f"uid-{number}",
            namespace="chat",
            name=f"m{number}",
            engine="vllm",
            release="0.32.0",
            pods=tuple(f"m{number}-7d9f8b6c5-{letter * 5}" for letter in "ab"[:REPLICAS]),
            served_name=f"m{number}",
        )
        for number in range(OBJECTS)
    ]
    reader = SignalReader(PrometheusSettings(url=url))
    readings = asyncio.run(reader.read(objects, START))
    assert [each.problem for each in readings.values()] == [None] * OBJECTS
    wall, cpu = timed(lambda: asyncio.run(reader.read(objects, START)))
    show("reading alone", wall, cpu, reader)


def test_a_round_over_a_thousand_objects(url: str) -> None:
    cluster = ScaledCluster(OBJECTS)
    uids = [cluster.run(f"m{number}", replicas=REPLICAS) for number in range(OBJECTS)]
    for number in range(OBJECTS):
        for replica in range(REPLICAS):
            cluster.pod(f"m{number}", replica, node=f"a100-{number}")
    reader = SignalReader(PrometheusSettings(url=url))
    now = [START]
    loop = ScalingLoop(
        cluster.observed,
        cluster.nodes,
        reader,
        lambda uid: None,
        ScalingMetrics(CollectorRegistry()),
        OPTIONS,
        lambda: now[0],
    )

    def one_round() -> None:
        now[0] += OPTIONS.interval_seconds
        asyncio.run(loop.round(now[0]))

    cold, cold_cpu = timed(one_round, times=1)
    told = [loop.outcome(cluster.observed.deployments[uid]) for uid in uids]
    assert [each.told.active if each and each.told else None for each in told] == [True] * OBJECTS
    show("first round (reads all specs)", cold, cold_cpu, reader)
    wall, cpu = timed(one_round)
    show("reading and deciding", wall, cpu, reader)


def timed(work: object, times: int = ROUNDS) -> tuple[float, float]:
    """Return the median seconds and CPU seconds of some runs."""
    assert callable(work)
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return median(walls), median(cpus)


def show(what: str, wall: float, cpu: float, reader: SignalReader) -> None:
    """Print one row; the unit of bytes is a million."""
    print(
        f"\n{OBJECTS} objects of {REPLICAS} replicas, {what:<30} {wall:6.2f} s {cpu:6.2f} s CPU "
        f"{reader.cost.queries:4d} queries {reader.cost.answer_bytes / 1e6:6.1f} MB"
    )
