"""Disks that are too small are told before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.resources.checkpoint_size import checkpoint_size
from deepseek_operator.resources.claim_check import claim_need, claim_problem
from deepseek_operator.resources.desired import desired
from model_factories import UID, make_deployment, make_plan

NAME = "deepseek-ai/deepseek-llm-67b-chat"
STORED = 2 * 67_425_001_472
"""Bytes of its checkpoint: 16 bits for each parameter."""


def with_model(**model: object) -> DeepSeekDeployment:
    return make_deployment(model={"name": NAME, **model})


def test_a_published_checkpoint_takes_what_it_stores_and_a_quantized_one_less():
    quantized = make_deployment(precision={"quantization": "AWQ", "checkpoint": "a/b-awq"}).spec
    assert checkpoint_size(make_deployment().spec, make_plan()) == STORED
    assert STORED // 5 < checkpoint_size(quantized, make_plan(quantization="AWQ")) < STORED // 3


def test_a_new_cache_that_is_too_small_is_refused_with_both_numbers():
    with pytest.raises(InvalidSpecError) as caught:
        desired(with_model(cache={"sizeBytes": 10**11}), make_plan(), uid=UID, replicas=1, plan_hash="1f3a5c7e")
    assert str(caught.value) == (
        f"spec.model.cache.sizeBytes: 100,000,000,000 bytes do not hold {NAME}, whose weights take {STORED:,}; "
        "write more than that, because a file system keeps some percent for itself"
    )


def claim(capacity: str | None = None, asked: str = "1Ti") -> dict[str, Any]:
    status = {"capacity": {"storage": capacity}} if capacity else {}
    return {"spec": {"resources": {"requests": {"storage": asked}}}, "status": status}


@pytest.mark.parametrize(
    ("model", "found", "problem"),
    [
        pytest.param({"cache": {"claimName": "hub-cache"}}, claim("200Gi"), None, id="large enough"),
        pytest.param({"cache": {"claimName": "hub-cache"}}, claim(), None, id="not bound yet: what it asks for counts"),
        pytest.param(
            {"cache": {"claimName": "hub-cache"}},
            None,
            (
                "ClaimNotFound",
                "PersistentVolumeClaim hub-cache does not exist; create it, or change spec.model.cache.claimName",
            ),
            id="no such claim",
        ),
        pytest.param(
            {"storage": {"persistentVolumeClaim": {"claimName": "weights"}}},
            claim("100Gi"),
            (
                "ClaimTooSmall",
                f"PersistentVolumeClaim weights holds 107,374,182,400 bytes and the weights of {NAME} take {STORED:,}; "
                "grow the claim, or change spec.model.storage.persistentVolumeClaim.claimName",
            ),
            id="a claim with weights that cannot hold them",
        ),
    ],
)
def test_claims_of_the_user(model: dict[str, Any], found: dict[str, Any] | None, problem: tuple[str, str] | None):
    need = claim_need(with_model(**model).spec, make_plan())
    assert need is not None
    assert claim_problem(need, found) == problem


@pytest.mark.parametrize(
    "model",
    [
        pytest.param({}, id="each pod for itself"),
        pytest.param({"cache": {"sizeBytes": 2 * STORED}}, id="a claim of the operator"),
        pytest.param({"storage": {"image": {"reference": "r/w:1"}}}, id="an image"),
    ],
)
def test_specs_that_name_no_claim(model: dict[str, Any]):
    assert claim_need(with_model(**model).spec, make_plan()) is None
