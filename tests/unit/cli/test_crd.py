"""The verb ``crd``."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
import yaml

from deepseek_operator.api.crd import capacity_plan_definition, crd_yaml, custom_resource_definition
from deepseek_operator.cli.crd import DefinedKind, crd


def test_the_definition_is_printed_as_yaml_that_can_be_piped(capsys: pytest.CaptureFixture[str]) -> None:
    crd()
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["kind"], printed["spec"]["names"]["kind"]) == ("CustomResourceDefinition", "DeepSeekDeployment")


def test_a_file_that_is_up_to_date_passes_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text(crd_yaml(custom_resource_definition()))
    crd(check=file)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_differs_fails_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text(crd_yaml(custom_resource_definition()) + "\n")
    with pytest.raises(typer.Exit) as ended:
        crd(check=file)
    assert ended.value.exit_code == 1
    assert capsys.readouterr() == (
        "",
        f"error: {file} differs from the types; write it with `kubectl deepseek crd deepseekdeployments > {file}`\n",
    )


def test_the_definition_of_questions_about_capacity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text(crd_yaml(capacity_plan_definition()))
    crd(DefinedKind.CAPACITY_PLANS, check=file)
    assert capsys.readouterr() == ("", "")
