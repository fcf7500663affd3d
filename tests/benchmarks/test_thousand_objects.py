"""A thousand objects on the local control plane: how long, how much CPU, how many writes, how much memory.

Prints a table and asserts only what must hold at any speed: everything exists, and a restart changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

from deepseek_operator.cli.sandbox import install_resources
from deepseek_operator.cluster import Cluster, connect
from deepseek_operator.errors import NotFoundError
from deepseek_operator.sandbox import FakeNode, SandboxState, alike, down, on_stderr, up

OBJECTS = int(os.environ.get("BENCHMARK_OBJECTS", "1000"))
SINGLES = 50
NAMESPACE = "default"
KINDS = ("ConfigMap", "Service", "Deployment")
TICKS = os.sysconf("SC_CLK_TCK")


class Operator:
    """The operator's process with its metrics page."""

    def __init__(self, state: SandboxState, log: Path) -> None:
        self._log = log
        command = [str(Path(sys.executable).with_name("deepseek-operator")), "run", f"--kubeconfig={state.kubeconfig}"]
        command += ["--lease-namespace=default", "--lease-seconds=10", "--address=127.0.0.1", "--port=0"]
        command += ["--no-engine-metrics"]  # fake pods have addresses where no engine listens
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self) -> float:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found.group(1)) / 1000 if found else 0.0

    def metrics(self) -> dict[str, float]:
        port = re.search(r"metrics and health on port (\d+)", self._log.read_text())
        if port is None:
            return {}
        page = urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}/metrics", timeout=10).read().decode()
        return {name: float(value) for name, value in re.findall(r"^(deepseek\S+) (\S+)$", page, re.MULTILINE)}

    def passes(self) -> float:
        return self.metrics().get('deepseek_operator_reconciles_total{result="ok"}', 0)

    def writes(self) -> dict[str, float]:
        """Return the number of writing calls by resource, without the Lease."""
        found: dict[str, float] = {}
        for name, value in self.metrics().items():
            match = re.match(r'deepseek_operator_api_calls_total\{resource="(\w+)",status="\d+",verb="(\w+)"\}', name)
            if match and match.group(2) != "GET" and match.group(1) != "leases":
                found[match.group(1)] = found.get(match.group(1), 0) + value
        return found


def deployment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"},
            "workload": {"inputTokens": 512, "outputTokens": 128, "maxContextTokens": 4096, "concurrency": 8},
        },
    }


async def until(look: Callable[[], Awaitable[bool]], pause: float = 0.1) -> None:
    deadline = time.monotonic() + 900
    while not await look():
        assert time.monotonic() < deadline, "not reached within 15 minutes"
        await asyncio.sleep(pause)


async def count(cluster: Cluster, kind: str) -> int:
    selector = "" if kind == "DeepSeekDeployment" else "app.kubernetes.io/managed-by=deepseek-operator"
    return len([each["metadata"]["name"] async for each in cluster.list(kind, NAMESPACE, label_selector=selector)])


async def versions(cluster: Cluster) -> dict[str, str]:
    found = {}
    for kind in (*KINDS, "DeepSeekDeployment"):
        selector = "" if kind == "DeepSeekDeployment" else "app.kubernetes.io/managed-by=deepseek-operator"
        async for each in cluster.list(kind, NAMESPACE, label_selector=selector):
            found[each["metadata"]["uid"]] = each["metadata"]["resourceVersion"]
    return found


@contextmanager
def plane(directory: Path) -> Iterator[SandboxState]:
    nodes = alike((OBJECTS + SINGLES) // 8 + 2, FakeNode("l40s", "l40s", cpu_cores=192, memory_gib=1536))
    state = up(directory, nodes, progress=on_stderr(), ends_with_caller=True)
    try:
        install_resources(state.kubectl, state.kubeconfig)
        yield state
    finally:
        down(directory)


def test_a_thousand_objects(tmp_path: Path) -> None:
    with plane(tmp_path / "sandbox") as state:
        rows = asyncio.run(measure(state, tmp_path))
    print(f"\n{OBJECTS} objects on {os.cpu_count()} cores, control plane on the same machine")
    for name, value in rows:
        print(f"  {name:<62} {value}")


async def measure(state: SandboxState, folder: Path) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    operator = Operator(state, folder / "first.log")
    try:
        async with await connect(str(state.kubeconfig)) as cluster:
            await until(lambda: leading(operator))
            rows += await single_applies(cluster)
            rows += await all_at_once(cluster, operator)
            await quiet(operator)
            before = await versions(cluster)
            operator.process.kill()
            operator.process.wait()
            operator = Operator(state, folder / "second.log")
            rows += await restart(cluster, operator, before)
            rows += await delete_all(cluster)
    finally:
        operator.process.kill()
        operator.process.wait()
    return rows


async def leading(operator: Operator) -> bool:
    return operator.metrics().get("deepseek_operator_leading") == 1.0


async def quiet(operator: Operator) -> None:
    """Wait until the operator makes no pass for three seconds."""
    last, since = -1.0, time.monotonic()
    while time.monotonic() - since < 3:
        await asyncio.sleep(0.5)
        now = operator.passes()
        if now != last:
            last, since = now, time.monotonic()


async def single_applies(cluster: Cluster) -> list[tuple[str, str]]:
    """From the answer to one create until its workload exists, on a quiet cluster."""
    took = []
    for number in range(SINGLES):
        await cluster.create(deployment(f"single-{number}"))
        started = time.perf_counter()

        async def exists(name: str = f"single-{number}") -> bool:
            try:
                await cluster.get("Deployment", NAMESPACE, name)
            except NotFoundError:
                return False
            return True

        await until(exists, pause=0.002)
        took.append((time.perf_counter() - started) * 1000)
    cuts = quantiles(took[5:], n=100)
    return [("single apply, create answered to workload exists: p50 / p99", f"{cuts[49]:.0f} / {cuts[98]:.0f} ms")]


async def all_at_once(cluster: Cluster, operator: Operator) -> list[tuple[str, str]]:
    cpu, writes, started = operator.cpu_seconds(), operator.writes(), time.perf_counter()
    names = iter(range(OBJECTS))

    async def creator() -> None:
        for number in names:
            await cluster.create(deployment(f"many-{number:04d}"))

    await asyncio.gather(*(creator() for _ in range(16)))
    last_create = time.perf_counter()

    async def all_applied() -> bool:
        made = operator.writes()
        return min(made.get(f"{kind.lower()}s", 0) for kind in KINDS) >= OBJECTS + SINGLES

    # The operator's own counter is asked, because listing a thousand objects ten times a second would be the load.
    await until(all_applied, pause=1.0)
    done = time.perf_counter()
    cpu_children = operator.cpu_seconds() - cpu
    assert [await count(cluster, kind) for kind in KINDS] == [OBJECTS + SINGLES] * len(KINDS)

    async def all_ready() -> bool:
        ready = 0
        async for each in cluster.list("DeepSeekDeployment", NAMESPACE):
            ready += each.get("status", {}).get("readyReplicas", 0)
        return ready >= OBJECTS + SINGLES

    await until(all_ready, pause=2.0)
    ready = time.perf_counter()
    await quiet(operator)
    cpu_ready = operator.cpu_seconds() - cpu
    made = {kind: value - writes.get(kind, 0) for kind, value in operator.writes().items()}
    return [
        ("last create to all children exist", f"{done - last_create:.1f} s ({done - started:.1f} s from the first)"),
        ("first create to all objects Ready", f"{ready - started:.1f} s (bounded by the controller manager's rate)"),
        ("CPU per object until all children exist", f"{cpu_children / OBJECTS * 1000:.1f} ms"),
        ("CPU per object until Ready and quiet", f"{cpu_ready / OBJECTS * 1000:.1f} ms"),
        ("API writes per object until Ready", f"{sum(made.values()) / OBJECTS:.2f}"),
        ("  of these", ", ".join(f"{kind} {value / OBJECTS:.2f}" for kind, value in sorted(made.items()))),
        ("operator RSS", f"{operator.rss_mb():.0f} MB"),
    ]


async def restart(cluster: Cluster, operator: Operator, before: dict[str, str]) -> list[tuple[str, str]]:
    started = time.perf_counter()

    async def all_looked_at() -> bool:
        return operator.passes() >= OBJECTS + SINGLES

    await until(all_looked_at, pause=1.0)
    done = time.perf_counter()
    await quiet(operator)
    after = await versions(cluster)
    changed = sum(1 for uid, version in before.items() if after.get(uid) != version)
    assert changed == 0
    assert len(after) == len(before)
    return [
        ("after SIGKILL: start to all objects looked at", f"{done - started:.1f} s (up to 12 s of it for the Lease)"),
        ("after SIGKILL: CPU", f"{operator.cpu_seconds():.1f} s"),
        ("after SIGKILL: writes that changed a resourceVersion", str(changed)),
        ("after SIGKILL: operator RSS", f"{operator.rss_mb():.0f} MB"),
    ]


async def delete_all(cluster: Cluster) -> list[tuple[str, str]]:
    items = [each async for each in cluster.list("DeepSeekDeployment", NAMESPACE)]
    started = time.perf_counter()
    queue = iter(items)

    async def deleter() -> None:
        for each in queue:
            metadata = each["metadata"]
            await cluster.delete("DeepSeekDeployment", NAMESPACE, metadata["name"], metadata["uid"])

    await asyncio.gather(*(deleter() for _ in range(16)))
    deleted = time.perf_counter()

    async def none_left() -> bool:
        return max([await count(cluster, kind) for kind in KINDS]) == 0

    await until(none_left, pause=1.0)
    return [
        ("all objects deleted", f"{deleted - started:.1f} s"),
        ("all children collected", f"{time.perf_counter() - started:.1f} s"),
    ]
