"""``--batch``: one answer a line whatever the line holds, in order, without ever holding more than one."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepseek_operator.cli import estimate_batch
from deepseek_operator.cli.estimate import app
from deepseek_operator.cli.estimate_batch import MAX_LINE_BYTES, answer_lines
from deepseek_operator.cli.estimate_question import parse_question
from deepseek_operator.errors import InvalidSpecError

LLM_67B = "deepseek-ai/deepseek-llm-67b-chat"
H100 = "h100-sxm5-80gb"
GOOD = {"model": LLM_67B, "gpu": H100, "tensorParallelSize": 4, "gpuMemoryUtilization": 0.9}
LLAMA_8B_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}


def answers(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> list[dict[str, object]]:
    file = tmp_path / "questions.jsonl"
    file.write_bytes(content)
    answer_lines(str(file))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_line_is_answered_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    questions = [
        GOOD,
        {"model": LLM_67B, "gpu": H100, "tensorParallelSize": 1},
        {"model": "deepseek-ai/deepseek-llm-67b-chatt", "gpu": H100},
        {"config": LLAMA_8B_CONFIG, "gpuMemoryBytes": 25_000_000_000, "enforceEager": True},
    ]
    text = "\n".join(map(json.dumps, questions)) + "\n\n\xff no json\n"
    found = answers(tmp_path, capsys, text.encode("latin-1"))
    assert [content.get("fits") for content in found] == [True, False, None, True, None]
    assert str(found[2]["error"]).startswith("unknown model 'deepseek-ai/deepseek-llm-67b-chatt'; did you mean")
    assert found[4] == {"error": "no UTF-8 text; save it as JSON in UTF-8"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        pytest.param("no json", "no JSON object: 'no json'", id="no JSON"),
        pytest.param("[1]", "no JSON object: '[1]'", id="a list"),
        pytest.param("", "empty; write a JSON object such as {}", id="nothing"),
        pytest.param('{"modell": "x"}', "modell: unknown key; did you mean model?", id="a misspelt key"),
        pytest.param('{"tp": 8}', "tp: unknown key; known are ", id="another tool's key"),
        pytest.param(
            '{"maxModelLen": "4096"}',
            'maxModelLen: "4096" has the wrong type; write a whole number',
            id="a text for a number",
        ),
        pytest.param(
            '{"maxNumSeqs": true}',
            "maxNumSeqs: true has the wrong type; write a whole number",
            id="a boolean for a number",
        ),
        pytest.param(
            '{"maxNumSeqs": 8.0}', "maxNumSeqs: 8.0 has the wrong type; write a whole number", id="a fraction"
        ),
        pytest.param(
            '{"enforceEager": 1}',
            "enforceEager: 1 has the wrong type; write true or false",
            id="a number for a boolean",
        ),
        pytest.param('{"model": null}', "model: null has the wrong type; write a text", id="null for a text"),
        pytest.param('{"gpuMemoryUtilization": NaN}', "NaN is no JSON number; write a finite one", id="not a number"),
        pytest.param(
            '{"gpuMemoryUtilization": -Infinity}', "-Infinity is no JSON number; write a finite one", id="infinity"
        ),
        pytest.param(
            '{"gpuMemoryUtilization": 1e400}',
            "1e400 is too large or too long; write a finite number in 64 characters",
            id="a number beyond double precision",
        ),
        pytest.param(
            '{"gpuMemoryUtilization": 0.' + "1" * 100_000 + "}",
            "0.1111111",
            id="a fraction with a hundred thousand digits",
        ),
        pytest.param(
            '{"maxModelLen": ' + "9" * 5_000 + "}",
            "99999999… has 5,000 digits; write a number of at most 18",
            id="more digits than Python reads",
        ),
        pytest.param('{"model": "a", "model": "b"}', "key 'model' stands twice; keep one", id="a key twice"),
        pytest.param(
            '{"config": ' + "[" * 100_000 + "}",
            "nested too deeply; a config or question has a handful of levels",
            id="very deep",
        ),
    ],
)
def test_a_wrong_line_is_refused_in_one_sentence(line: str, sentence: str):
    with pytest.raises(InvalidSpecError) as refusal:
        parse_question(line)
    assert str(refusal.value).startswith(sentence)
    assert "\n" not in str(refusal.value)


def test_whole_numbers_and_nulls_are_taken_where_they_belong():
    question = parse_question(b'\xef\xbb\xbf{"gpuMemoryUtilization": 1, "maxModelLen": null}')
    assert (question.gpu_memory_utilization, question.max_model_len) == (1, None)


def test_a_long_line_is_answered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = answers(tmp_path, capsys, b"x" * (3 * MAX_LINE_BYTES) + b"\n{}\n")
    assert found == [
        {"error": "the line is longer than 1,048,576 bytes; a question has some hundred"},
        {"error": "give a model name (see `catalog models`), a config or parameters"},
    ]


def test_a_line_without_end_is_given_up(tmp_path: Path):
    file = tmp_path / "zeros"
    with file.open("wb") as out:
        out.truncate(200 * 2**20)
    with pytest.raises(InvalidSpecError, match=r"batch: a line is longer than 67,108,864 bytes; give JSON lines"):
        answer_lines(str(file))


def test_a_gigabyte_is_refused_unread(tmp_path: Path):
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(2**30)
    with pytest.raises(InvalidSpecError, match=r"larger than 268,435,456 bytes; split it, or give it as -"):
        answer_lines(str(file))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("/", "batch: / is a folder; give a file of JSON lines, or - to read them from standard input"),
        (
            "/dev/zero",
            "batch: /dev/zero is a device or socket; give a file of JSON lines, or - to read them from standard input",
        ),
    ],
)
def test_what_is_no_file_is_refused(name: str, sentence: str):
    with pytest.raises(InvalidSpecError) as refusal:
        answer_lines(name)
    assert str(refusal.value) == sentence


def test_an_empty_file_has_no_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert answers(tmp_path, capsys, b"") == []


def test_batch_takes_no_other_option(tmp_path: Path):
    for option in (("--model", LLM_67B), ("--explain",), ("-o", "yaml")):
        result = CliRunner().invoke(app, ["--batch", str(tmp_path / "questions.jsonl"), *option])
        assert result.exit_code == 2
        assert "--batch takes every option from its lines" in result.output


def test_a_program_can_ask_line_by_line():
    program = Path(sys.executable).with_name("kubectl-deepseek")
    with subprocess.Popen(
        [program, "estimate", "--batch", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as asked:
        assert asked.stdin is not None
        assert asked.stdout is not None
        for question, fits in ((GOOD, True), ({**GOOD, "tensorParallelSize": 1}, False)):
            asked.stdin.write(json.dumps(question).encode() + b"\n")
            asked.stdin.flush()
            assert json.loads(asked.stdout.readline())["fits"] is fits
        asked.stdin.close()
    assert asked.returncode == 0


def test_standard_input_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n{}\n"), encoding="utf-8"))
    estimate_batch.answer_lines("-")
    assert [list(json.loads(line)) for line in capsys.readouterr().out.splitlines()] == [["error"], ["error"]]
