"""Wrong usage and broken surroundings: one line on stderr and exit code 1, whatever happens."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deepseek_operator.cli import main, sandbox
from deepseek_operator.cli.files import read_deployments
from deepseek_operator.errors import InvalidSpecError, InventoryError
from spec_table import Changes, changed

NEVER = {"name": "day", "start": "99 25 * * *", "durationSeconds": 3600, "minReplicas": 1, "maxReplicas": 1}
LONGEST_LINE = len("error: ") + main.MAX_LINE + len("\n")


def failed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, program: str, *arguments: str) -> str:
    """Run a program that must fail, and return its one line."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        (main.operator if program == "deepseek-operator" else main.kubectl_plugin)()
    assert ended.value.code == 1
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert len(text) <= LONGEST_LINE
    return text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("plan",), "Missing option '--filename'"),
        (("plan", "--nonsense"), "No such option: --nonsense"),
        (("plan", "-f"), "'-f' requires an argument"),
        (("plan", "-f", "x", "-o", "xml"), "Invalid value for '--output'"),
        (("plan", "-f", "x" * 100_000), "File name too long"),
        (("estimate", "--tensor-parallel-size", "9" * 6_000), "Invalid value for '--tensor-parallel-size'"),
        (("x" * 100_000,), "No such command"),
        (("sandbox", "up", "--nodes", "h100-sxm5-80gb:8:99999999"), "numbers from 1 to 9,999"),
        (("sandbox", "up", "--nodes", "h100-sxm5-80gb:" + "9" * 6_000), "numbers from 1 to 9,999"),
        (("plan", "-f", "a.yaml", "-f", "b.yaml"), "--filename is given twice and one file is read; run once for each"),
        (("explain", "-f", "a.json", "--filename=b.json"), "--filename is given twice and one file is read"),
        (("inventory", "--cluster", "a.json", "--cluster", "b.json"), "--cluster is given twice; give it once"),
        (("render", "-f", "/"), "/ is a folder; name one file of it"),
        (("capacity", "--suggest"), "--suggest asks about DeepSeekDeployments; name their file with -f"),
        (("capacity", "--at-max"), "--at-max asks about DeepSeekDeployments; name their file with -f"),
        (
            ("status", "-A", "--kubeconfig", "/no/such"),
            "no cluster to talk to (there is no file /no/such); give --kubeconfig another file, or give a snapshot",
        ),
        (("plan", "-f", "/missing/\x1b[31m\udcff"), "/missing/\\x1b[31m\\udcff"),
    ],
)
def test_wrong_usage_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
):
    assert expected in failed(capsys, monkeypatch, "kubectl-deepseek", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "99999"),
        ("--port", "-1"),
        ("--resync-seconds", "-4"),
        ("--lease-seconds", "1" + "0" * 30),
        ("--namespace", ""),
        ("--lease-namespace", ""),
        ("--prometheus-url", "thanos:9091"),
        ("--scrape-seconds", "0"),
    ],
)
def test_the_operator_refuses_impossible_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
):
    failed(capsys, monkeypatch, "deepseek-operator", "run", *arguments)


@pytest.mark.parametrize(
    "kubeconfig",
    [
        "",
        "[]",
        "3",
        "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: 3\nusers: 4\n",
    ],
)
def test_a_kubeconfig_of_another_shape_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kubeconfig: str
):
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig)
    line = failed(capsys, monkeypatch, "kubectl-deepseek", "inventory", "--kubeconfig", str(file))
    assert f"no cluster to talk to ({file}"[:60] in line


def test_a_missing_default_kubeconfig_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KUBECONFIG", "/no/such:/nor/this")
    line = failed(capsys, monkeypatch, "kubectl-deepseek", "inventory")
    assert "(there is no file /no/such:/nor/this); set KUBECONFIG or give --kubeconfig, or give" in line


def test_a_defect_is_told_in_one_line_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def broken(_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(sandbox, "parse_nodes", broken)
    assert "please report it: KeyError: 'lost' (test_main.py:" in failed(
        capsys, monkeypatch, "kubectl-deepseek", "sandbox", "up"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_raise_no_traceback(tmp_path: Path, closed: str):
    program = Path(sys.executable).with_name("kubectl-deepseek")
    log = tmp_path / "log"
    command = f'exec "{program}" plan -f - {closed}' if closed != "2>&-" else f'exec "{program}" plan -f - 2>&- <&-'
    with log.open("wb") as output:
        done = subprocess.run(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    assert done.returncode == 1
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.name": "deepseek-ai/R1"}, "second: spec.model.name: unknown model 'deepseek-ai/R1'"),
        ({"hardware.gpus": ["h1000"]}, "second: spec.hardware.gpus"),
        (
            {"scaling.schedules": [NEVER]},
            "second: spec.scaling.schedules[0].start: '99 25 * * *' is no cron expression",
        ),
    ],
)
def test_a_mistake_in_one_of_several_names_the_object(tmp_path: Path, changes: Changes, sentence: str):
    file = tmp_path / "two.yaml"
    named = {"metadata": {"name": "second"}}
    file.write_text(yaml.safe_dump_all([changed({}), changed(changes) | named]))
    with pytest.raises(InvalidSpecError) as refused:
        read_deployments(str(file))
    assert str(refused.value).startswith(sentence)


def test_a_device_is_no_snapshot(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from deepseek_operator.cli import facts_stream

    monkeypatch.setattr(facts_stream, "MAX_SNAPSHOT_BYTES", 10_000)
    with pytest.raises(InventoryError, match="larger than 1 GiB"):
        facts_stream.read_file(Path("/dev/zero"))


def test_standard_input_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    with pytest.raises(InvalidSpecError, match="standard input is no UTF-8 text"):
        read_deployments("-")


@pytest.mark.parametrize("verb", [(), *((verb,) for verb in main.PluginVerbs.verbs)], ids=" ".join)
def test_help_promises_no_later_version(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["kubectl-deepseek", *verb, "--help"])
    with pytest.raises(SystemExit) as ended:
        main.kubectl_plugin()
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split()).lower()
    assert text
    for stale in ("not planned yet", "not yet", "todo", "coming soon", "later version"):
        assert stale not in text
