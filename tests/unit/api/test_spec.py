"""What a spec may say, as the command line judges it; the API server's judgement is tests/cluster/test_crd.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepseek_operator.api.base import ApiModel, Rule
from deepseek_operator.api.parse import parse
from deepseek_operator.errors import InvalidSpecError
from spec_table import ACCEPTED, BROKEN_RULES, OUT_OF_RANGE, Changes, changed


def all_rules(model: type[ApiModel] = ApiModel) -> Iterator[Rule]:
    yield from model.RULES
    for derived in model.__subclasses__():
        yield from all_rules(derived)


@pytest.mark.parametrize(("changes", "field", "sentence"), BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_a_broken_rule_is_told_in_its_own_sentence(changes: Changes, field: str, sentence: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed(changes))
    assert str(error.value) == f"{field}: {sentence}"
    assert error.value.field == field


@pytest.mark.parametrize(("changes", "field", "part"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_a_value_out_of_range_is_told_with_its_field(changes: Changes, field: str, part: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed(changes))
    assert error.value.field == field
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("field", "item"),
    [
        ("engine.env", {"name": "A", "value": "1"}),
        ("model.loraAdapters", {"name": "a", "source": "owner/a"}),
    ],
)
def test_two_items_of_one_name_are_refused_as_by_the_api_server(field: str, item: dict[str, str]) -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed({field: [item, item]}))
    assert str(error.value) == f"spec.{field}: {item['name']} is there twice; leave one of them out"


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_a_right_spec_is_accepted(changes: Changes) -> None:
    parse(changed(changes))


def test_every_rule_has_an_example_that_breaks_it() -> None:
    told = {sentence for _, _, sentence in BROKEN_RULES.values()}
    assert {rule.message for rule in all_rules()} == told


def test_the_full_example_names_every_field_of_the_spec() -> None:
    full = changed(ACCEPTED["everything at once"])["spec"]
    others = {"replicas", "approvedPlan", "priority"}  # which exclude fields that the example has
    names = {field.alias for field in type(parse(changed({})).spec).model_fields.values()}
    assert names - set(full) == others


def test_an_object_that_is_read_back_from_the_cluster_is_read_whatever_its_status_and_metadata_hold() -> None:
    stored = changed({})
    stored["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "finalizers": ["x"], "generation": 3}
    stored["status"] = {"plan": {"fromTheFuture": 1.5}}
    assert parse(stored).metadata.generation == 3


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("NVIDIA-A100-SXM4-80GB", "did you mean a100-sxm4-80gb?"),
        ("H100 SXM", "did you mean h100-sxm5-80gb?"),
        ("Q!", "see `kubectl deepseek catalog gpus` for the ids"),
    ],
)
def test_a_gpu_that_is_named_as_elsewhere_is_told_its_id(named: str, hint: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        parse(changed({"hardware.gpus": ["l40s", named]}))
    assert str(error.value) == f"spec.hardware.gpus[1]: {named!r} is no id of the catalogue; {hint}"
