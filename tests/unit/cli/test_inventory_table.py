from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster_objects import gpu_node
from deepseek_operator.cli.inventory import inventory
from deepseek_operator.cli.output import OutputFormat
from share_nodes import mig_node, sliced_node


def test_the_table_counts_every_physical_gpu_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "cluster.json"
    nodes = [gpu_node("a"), mig_node("b", {"1g.10gb": 56}), sliced_node("c"), gpu_node("d", unschedulable=True)]
    file.write_text(json.dumps({"kind": "List", "items": nodes}))
    inventory(cluster=file, output=OutputFormat.TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith(("a ", "b ", "c ", "d "))] == [
        ["a", "h100-sxm5-80gb", "8", "8"],
        ["b", "h100-sxm5-80gb", "8", "0"],
        ["c", "l40s", "8", "0"],
        ["d", "h100-sxm5-80gb", "8", "8"],
    ]
    assert " ".join(lines[-1].split()) == "32 GPUs on 4 nodes (8 free, 8 unusable, 16 shared); 0 other nodes"
