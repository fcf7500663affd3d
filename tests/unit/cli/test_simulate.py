"""The verb ``simulate``: its JSON, its page, its exit codes, and what it says of traces that it cannot read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from deepseek_operator.cli import trace
from deepseek_operator.cli.output import EXIT_NO, PageFormat
from deepseek_operator.cli.simulate import simulate
from deepseek_operator.cli.trace import read_trace
from deepseek_operator.errors import InvalidSpecError, SimulationError
from deployment_file import written
from spec_table import Changes

HEADER = "arrival_seconds,input_tokens,output_tokens\n"
TRACE = HEADER + "".join(f"{second},1000,200\n" for second in range(600))
SLA = {"ttftMilliseconds": 2000, "tpotMilliseconds": 60}
SCALES: Changes = {"sla": SLA, "scaling": {"maxReplicas": 4}}


def trace_file(folder: Path, text: str = TRACE) -> Path:
    file = folder / "trace.csv"
    file.write_text(text)
    return file


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("policy", ["operator", "hpa-waiting", "keda-inflight:16", "static:2", "clairvoyant"])
def test_every_policy_answers_in_json(
    policy: str, tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(
        written(tmp_path, SCALES),
        trace_file(tmp_path),
        cluster=nodes,
        policy=policy,
        scrape_gap_seconds=60,
        output=PageFormat.JSON,
    )
    answer = printed(capsys)
    assert list(answer) == [
        "slaAttainmentPercent",
        "ttftP99Milliseconds",
        "tpotP99Milliseconds",
        "gpuHours",
        "replicaChanges",
        "flaps",
        "rejected",
        "secondsSimulated",
        "wallSeconds",
    ]
    assert answer["slaAttainmentPercent"] > 95
    assert answer["secondsSimulated"] >= 599


def test_a_packed_trace_is_the_same_trace(tmp_path: Path):
    packed = tmp_path / "trace"
    packed.write_bytes(gzip.compress(TRACE.encode()))
    assert read_trace(packed) == read_trace(trace_file(tmp_path))


def test_other_columns_and_orders_are_taken(tmp_path: Path):
    text = "client,output_tokens,arrival_seconds,input_tokens\n7,0,0.5,10\n"
    trace = read_trace(trace_file(tmp_path, text))
    assert (list(trace.arrivals), list(trace.prompt_tokens), list(trace.output_tokens)) == ([0.5], [10], [1])


def test_the_page_needs_nothing_else(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(written(tmp_path, SCALES), trace_file(tmp_path), cluster=nodes, output=PageFormat.HTML)
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 4
    assert "http" not in page


def test_a_table_for_people(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(written(tmp_path, SCALES), trace_file(tmp_path), cluster=nodes)
    said = capsys.readouterr().out
    assert said.startswith("small, policy operator: 600 requests in 0.2 hours\n")
    assert "of 4 allowed replicas served\n" in said


def test_more_replicas_than_may_run_are_refused_and_not_cut(tmp_path: Path, nodes: Path) -> None:
    with pytest.raises(SimulationError) as refused:
        simulate(written(tmp_path, SCALES), trace_file(tmp_path), cluster=nodes, policy="static:5")
    assert str(refused.value) == (
        "--policy static:5 asks for more than the 4 that scaling.maxReplicas and the GPUs allow; "
        "raise --max-replicas, or take fewer"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "must have one column arrival_seconds: its first line is empty", id="empty"),
        pytest.param(HEADER, "holds no request", id="no requests"),
        pytest.param("a,b\n1,2\n", "its first line is a,b, and arrival_seconds,input", id="other columns"),
        pytest.param(HEADER + "1,2\n", "line 2: 2 columns, and 3 are needed", id="short line"),
        pytest.param(HEADER + "x,2,3\n", "line 2: arrival_seconds is 'x', not 0 to 2,764,800", id="no number"),
        pytest.param(HEADER + "nan,2,3\n", "line 2: arrival_seconds is 'nan'", id="not a number"),
        pytest.param(HEADER + "-1,2,3\n", "line 2: arrival_seconds is '-1'", id="before the start"),
        pytest.param(HEADER + "2,2,3\n1,2,3\n", "line 3: arrival_seconds falls from 2 to 1; sort", id="unsorted"),
        pytest.param(HEADER + "1,2.5,3\n", "line 2: input_tokens is '2.5', not a whole number", id="half a token"),
        pytest.param(HEADER + "1,2,-3\n", "line 2: output_tokens is '-3'", id="negative"),
        pytest.param(HEADER + f"1,{10**9},3\n", "not a whole number from 0 to 10,000,000", id="too many"),
        pytest.param(HEADER + '1,"2,3\n', "is no CSV of UTF-8 text", id="open quote"),
    ],
)
def test_a_bad_trace_is_one_sentence(text: str, said: str, tmp_path: Path):
    with pytest.raises(SimulationError, match=said.replace("(", r"\(")) as caught:
        read_trace(trace_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_cut_archive_is_said(tmp_path: Path):
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(TRACE.encode())[:-20])
    with pytest.raises(SimulationError, match="cannot be unpacked"):
        read_trace(file)


def test_a_damaged_archive_is_said(tmp_path: Path):
    file = tmp_path / "trace.csv.gz"
    packed = bytearray(gzip.compress((HEADER + "".join(f"{second},100,{second}\n" for second in range(999))).encode()))
    packed[200:260] = bytes(255 - byte for byte in packed[200:260])
    file.write_bytes(packed)
    with pytest.raises(SimulationError, match="cannot be unpacked"):
        read_trace(file)


def test_a_small_archive_of_endless_lines_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trace, "MOST_LINES", 100)
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(HEADER.encode() + b"\n" * 10_000))
    with pytest.raises(SimulationError, match="has more than 100 lines; cut the trace"):
        read_trace(file)


@pytest.mark.parametrize("policy", ["keda", "static", "static:0", "static:x", "keda-inflight:1.5", "operator:1", ""])
def test_unknown_policies_are_named(policy: str, tmp_path: Path, nodes: Path):
    with pytest.raises(SimulationError, match="is none of operator, hpa-waiting"):
        simulate(written(tmp_path, SCALES), trace_file(tmp_path), cluster=nodes, policy=policy)


def test_without_a_plan_the_answer_is_no(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        simulate(written(tmp_path, SCALES | {"hardware.gpus": ["l40s"]}), trace_file(tmp_path), cluster=nodes)
    assert ended.value.exit_code == EXIT_NO
    assert "cannot be planned" in capsys.readouterr().err


def test_requests_are_judged_by_a_service_level(tmp_path: Path, nodes: Path):
    with pytest.raises(InvalidSpecError, match=r"spec\.sla: is missing"):
        simulate(written(tmp_path, {}), trace_file(tmp_path), cluster=nodes)
