"""A saved cluster of more than 500 MB, as kubectl writes it: seconds and memory of reading it as a stream."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peak_memory
from cluster_objects import gpu_node, gpu_pod

NODES, PODS_PER_NODE = 2_200, 8
LEAST_BYTES = 500_000_000

ENVIRONMENT = [{"name": f"SETTING_{number}", "value": "x" * 160} for number in range(110)]
"""Makes a pod some 29 kB large, as those are that carry managed fields and settings."""

READ = """
import sys
from pathlib import Path
from deepseek_operator.cli.facts_stream import read_file
found = read_file(Path(sys.argv[1]))
print(len(found.nodes), len(found.pods))
"""


def objects() -> Iterator[dict[str, Any]]:
    for number in range(NODES):
        yield gpu_node(f"node-{number}")
    for number in range(NODES * PODS_PER_NODE):
        pod = gpu_pod(f"pod-{number}", node=f"node-{number % NODES}")
        pod["spec"]["containers"][0]["env"] = ENVIRONMENT
        yield pod


def test_a_dump_of_more_than_500_mb(tmp_path: Path) -> None:
    dump = tmp_path / "dump.json"
    with dump.open("w") as file:
        file.write('{\n    "apiVersion": "v1",\n    "items": [\n')
        for number, item in enumerate(objects()):
            file.write((",\n" if number else "") + json.dumps(item, indent=4))
        file.write('\n    ],\n    "kind": "List"\n}\n')
    program = tmp_path / "read.py"
    program.write_text(READ)
    started = time.perf_counter()
    command = [sys.executable, peak_memory.__file__, str(program), str(dump)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    memory = told.stderr.split()[-1]
    size = dump.stat().st_size
    print(f"\n{size / 1e6:.0f} MB, {NODES:,} nodes, {NODES * PODS_PER_NODE:,} pods: {seconds:.1f} s, {memory} MB")
    assert told.stdout.split() == [str(NODES), str(NODES * PODS_PER_NODE)]
    assert size >= LEAST_BYTES
