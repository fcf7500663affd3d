"""Files that people hand over, friendly and hostile."""

from __future__ import annotations

import json

import pytest
import yaml

from deepseek_operator.api.parse import MAX_OBJECT_BYTES, parse, parse_documents
from deepseek_operator.api.yaml_text import MAX_DEPTH, yaml_documents
from deepseek_operator.errors import InvalidSpecError
from spec_table import SMALL, changed

SMALL_YAML = yaml.safe_dump(SMALL)


def test_every_deployment_of_a_file_is_found_in_order_and_other_kinds_are_passed_over() -> None:
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [other, SMALL | {"metadata": {"name": "second"}}]}
    text = yaml.safe_dump_all([SMALL, other, None, listed, SMALL | {"metadata": {"name": "third"}}])
    assert [each.metadata.name for each in parse_documents(text)] == ["small", "second", "third"]


def test_json_is_read_as_well() -> None:
    assert [each.metadata.name for each in parse_documents(json.dumps(SMALL))] == ["small"]


def test_aliases_are_allowed_where_they_stay_small() -> None:
    text = SMALL_YAML + "  parallelism: &split {tensor: 2}\n---\n" + SMALL_YAML.replace("small", "&name other")
    text += "  queueName: *name\n  hardware:\n    nodeSelector: {<<: &zone {zone: a}, pool: *name}\n"
    spec = parse_documents(text)[1].spec
    assert (spec.queue_name, spec.hardware.node_selector) == ("other", {"zone": "a", "pool": "other"})


def alias_bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merge_bomb(levels: int) -> str:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


HOSTILE = {
    "nothing": ("", "there is no DeepSeekDeployment in the file"),
    "another kind": ("kind: Pod", "there is no DeepSeekDeployment in the file, only Pod"),
    "text": ("hello", "document 1 (line 1): an object is a block of fields, not str"),
    "a misspelt kind": (
        SMALL_YAML.replace("kind: DeepSeekDeployment", "kind: DeepseekDeployment"),
        "document 1 (line 1): apiVersion must be deepseek-operator.io/v1alpha1 and kind DeepSeekDeployment, "
        "not 'deepseek-operator.io/v1alpha1' and 'DeepseekDeployment'",
    ),
    "a version that is not served": (
        SMALL_YAML.replace("v1alpha1", "v2"),
        "document 1 (line 1): apiVersion must be deepseek-operator.io/v1alpha1 and kind DeepSeekDeployment, "
        "not 'deepseek-operator.io/v2' and 'DeepSeekDeployment'",
    ),
    "an error in the second document": (
        f"{SMALL_YAML}---\n\n{yaml.safe_dump(changed({'hardware': {'maxGpuTotal': 4}}))}",
        "document 2 (line 16): spec.hardware.maxGpuTotal: is no field; did you mean maxGpusTotal?",
    ),
    "no YAML": ("a: {", "line 2: the text is no YAML (did not find expected node content)"),
    "a control character": (
        "\x07",
        "the text is no YAML (unacceptable character #x0007: control characters are not allowed)",
    ),
    "a Python object": (
        "a: !!python/object/apply:os.system [x]",
        "line 1: the text is no YAML (could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system')",
    ),
    "a key twice": ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice"),
    "an alias bomb": (alias_bomb(9), "line 6: the document stands for more than 200,000 values"),
    "a bomb of merge keys": (merge_bomb(9), "line 6: the document stands for more than 200,000 values"),
    "an alias of itself": ("a: &a [*a]", "line 1: an alias contains itself; write the value out"),
    "half a million brackets": ("[" * 500_000, "line 1: the text is nested deeper than 64 levels"),
    "half a million blocks": ("- " * 500_000, "line 1: the text is nested deeper than 64 levels"),
    "a large file": ("#" * 2**20 + "#", "the text has 1,048,577 bytes; at most 1,048,576 are read"),
    "a number of a million digits": (
        SMALL_YAML + "  replicas: 0x" + "f" * 900_000,
        "document 1 (line 1): spec.replicas: must be a whole number of at most 9223372036854775807",
    ),
    "a date": (
        SMALL_YAML + "  replicas: 2026-01-01",
        "document 1 (line 1): spec.replicas: is read as a date; put text in quotes",
    ),
    "a word that YAML takes for true": (
        SMALL_YAML + "  fallbacks: [{on: 1}]",
        "document 1 (line 1): spec.fallbacks[0]: the key True must be text; put it in quotes",
    ),
    "no number": (
        SMALL_YAML + "  replicas: .nan",
        "document 1 (line 1): spec.replicas: must be a finite number, not nan",
    ),
    "half a character": (
        SMALL_YAML.replace("name: small", r'name: "\uD83D"'),
        "line 4: the text is no YAML (found invalid Unicode character escape code)",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_cannot_be_read_is_told_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse_documents(text)
    assert str(error.value) == sentence


def test_typos_are_told_before_the_field_that_they_leave_missing_and_all_errors_are_counted() -> None:
    wrong = changed({"model": {"nmae": "x"}, "sla": {"ttft": 5}})
    with pytest.raises(InvalidSpecError) as error:
        parse(wrong)
    assert str(error.value) == "spec.model.nmae: is no field; did you mean name? (and 4 more errors)"


def test_a_field_without_a_near_name_is_told_with_the_names_that_exist() -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed({"sla": {"ttftMilliseconds": 5, "tpotMilliseconds": 5, "zzz": 1}}))
    assert str(error.value) == "spec.sla.zzz: is no field; there are ttftMilliseconds, tpotMilliseconds, percentile"


def test_what_is_repeated_of_the_input_is_bounded() -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed({"model": {"name": "x" * 100_000}, "y" * 100_000: 1}))
    assert len(str(error.value)) < 600


def test_nesting_is_read_up_to_its_limit() -> None:
    assert [line for line, _ in yaml_documents("[" * MAX_DEPTH + "]" * MAX_DEPTH)] == [1]
    with pytest.raises(InvalidSpecError, match="nested deeper than 64 levels"):
        list(yaml_documents("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)))


def test_an_empty_field_is_refused_because_a_forgotten_limit_costs_gpus() -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed({"hardware.maxGpusTotal": None}))
    assert str(error.value) == "spec.hardware.maxGpusTotal: is empty; write a value or leave the field out"


def test_half_a_character_is_refused_where_it_stands() -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed({"model.name": "\ud83d"}))
    assert str(error.value) == "spec.model.name: holds half a character (a lone UTF-16 surrogate)"


def test_a_large_object_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match=r"the object has 1,\d{3},\d{3} bytes; at most 1,048,576 are read"):
        parse(changed({"model.config": {"a": "x" * MAX_OBJECT_BYTES}}))


def test_an_object_that_contains_itself_is_refused() -> None:
    endless = changed({})
    endless["spec"]["model"]["config"] = endless
    with pytest.raises(InvalidSpecError, match="nested deeper than 64 levels"):
        parse(endless)
