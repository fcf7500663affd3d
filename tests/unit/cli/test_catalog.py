from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from deepseek_operator.cli.catalog import app

COUNTS = {"models": 73, "gpus": 53, "instances": 110}


@pytest.mark.parametrize(("verb", "count"), COUNTS.items())
def test_json_and_yaml_say_the_same(verb: str, count: int):
    as_json = CliRunner().invoke(app, [verb, "-o", "json"])
    as_yaml = CliRunner().invoke(app, [verb, "-o", "yaml"])
    assert (as_json.exit_code, as_yaml.exit_code) == (0, 0)
    assert len(json.loads(as_json.stdout)["items"]) == count
    assert json.loads(as_json.stdout) == yaml.safe_load(as_yaml.stdout)


@pytest.mark.parametrize(("verb", "count"), COUNTS.items())
def test_a_table_in_a_pipe_has_one_line_per_row(verb: str, count: int):
    result = CliRunner().invoke(app, [verb])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == count + 1


def test_a_gpu_row_keeps_unknown_apart_from_zero():
    items = json.loads(CliRunner().invoke(app, ["gpus", "-o", "json"]).stdout)["items"]
    by_id = {item["id"]: item for item in items}
    assert by_id["l20x-141gb"]["bf16Tflops"] is None
    assert by_id["l4"]["linkGbPerSecond"] == 0
    assert by_id["h100-sxm5-80gb"]["pricePerHourUsd"] == "1.99"


def test_every_model_is_planned_and_has_a_grade():
    items = json.loads(CliRunner().invoke(app, ["models", "-o", "json"]).stdout)["items"]
    assert {(item["planned"], item["refusal"]) for item in items} == {(True, "")}
    assert {item["evidenceGrade"] for item in items} == set("ABCD")


def test_a_model_row_says_its_size_and_how_it_is_stored():
    items = json.loads(CliRunner().invoke(app, ["models", "-o", "json"]).stdout)["items"]
    by_name = {item["name"].removeprefix("deepseek-ai/"): item for item in items}
    assert [
        (by_name[name]["parameters"], by_name[name]["storedPrecision"], by_name[name]["contextTokens"])
        for name in ("DeepSeek-R1", "DeepSeek-V4-Flash", "deepseek-llm-7b-chat")
    ] == [
        (671_026_419_200, "fp8-block", 163_840),
        (by_name["DeepSeek-V4-Flash"]["parameters"], "fp8-block, experts fp4", 1_048_576),
        (6_910_365_696, "bfloat16", 4096),
    ]
    assert by_name["DeepSeek-V4-Flash"]["parametersText"] == "284.3 B"


def test_the_table_names_grade_and_planning():
    header = CliRunner().invoke(app, ["models"]).stdout.splitlines()[0]
    assert header.split("  ")[0] == "MODEL"
    assert [name.strip() for name in header.split("  ") if name.strip()] == [
        "MODEL",
        "ARCHITECTURE",
        "PLANNED",
        "GRADE",
        "PARAMETERS",
        "STORED AS",
        "CONTEXT",
        "LICENSE",
    ]
