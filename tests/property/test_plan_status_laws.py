"""Laws of the custom resource's two ways: every plan survives status, and no input makes more than a sentence."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.parse import parse, parse_documents
from deepseek_operator.api.plan_status import plan_from_status, plan_status
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.tiers import MOST_PIN_CHARACTERS
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.estimate import KvCacheDtype, RankMemory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.prediction import Prediction, PredictionSource
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffload,
    KvOffloadBackend,
    Speculative,
    SpeculativeMethod,
)
from deepseek_operator.planner.node_pin import LabelOperator, LabelRule, NodePin
from deepseek_operator.planner.result import Alternative, Plan
from spec_table import SMALL, changed

counts = st.integers(0, 2**40)
amounts = st.integers(-(2**50), 2**50)
sizes = st.integers(1, 1024)
names = st.text("abcdefgh-0123456789", min_size=1, max_size=40)
sentences = st.text(max_size=200)
dollars = st.none() | st.decimals(0, 10**7, places=6, allow_nan=False)
splits = st.builds(Parallelism, tensor=sizes, pipeline=sizes, data=sizes, expert=st.booleans())
alternatives = st.builds(
    Alternative,
    gpu=names,
    gpus_per_replica=counts,
    parallelism=splits,
    quantization=names,
    feasible=st.booleans(),
    cost_per_hour_usd=dollars,
    detail=sentences,
)
predictions = st.builds(
    Prediction,
    ttft_milliseconds=counts,
    tpot_milliseconds=counts,
    tokens_per_second=counts,
    source=st.sampled_from(PredictionSource),
    error_percent=counts,
)
memories = st.builds(
    RankMemory,
    stage=counts,
    total_bytes=counts,
    budget_bytes=counts,
    weights_bytes=counts,
    activations_bytes=counts,
    non_torch_bytes=amounts,
    cuda_graph_bytes=counts,
    kv_cache_bytes=amounts,
)
compromises = st.builds(
    Compromise,
    kind=st.sampled_from(CompromiseKind),
    asked_model=names,
    reason=names,
    change=sentences,
    message=sentences,
)
positive = st.integers(1, 2**50)
features = st.builds(
    EngineFeatures,
    speculative=st.none()
    | st.builds(
        Speculative, method=st.sampled_from(SpeculativeMethod), tokens=positive, draft_model=st.just("") | names
    ),
    kv_offload=st.none() | st.builds(KvOffload, backend=st.sampled_from(KvOffloadBackend), host_memory_bytes=positive),
    weight_offload_bytes=counts,
    max_loras=st.just(0),
) | st.builds(EngineFeatures, max_loras=positive, max_lora_rank=positive)
words = st.text("abc.-_012", min_size=1, max_size=12)
rules = st.one_of(
    st.builds(
        LabelRule,
        key=words,
        operator=st.sampled_from([LabelOperator.IN, LabelOperator.NOT_IN]),
        values=st.lists(words | st.just(""), min_size=1, max_size=4).map(tuple),
    ),
    st.builds(LabelRule, key=words, operator=st.just(LabelOperator.DOES_NOT_EXIST)),
    st.builds(
        LabelRule, key=words, operator=st.just(LabelOperator.GREATER), values=counts.map(lambda bound: (str(bound),))
    ),
)
pins = st.builds(
    NodePin,
    terms=st.lists(st.lists(rules, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple),
).filter(lambda pin: len(str(pin)) <= MOST_PIN_CHARACTERS)
plans = st.builds(
    Plan,
    model_name=names,
    gpu=names,
    gpus_per_replica=counts,
    nodes_per_replica=counts,
    replicas=counts,
    parallelism=splits,
    quantization=names,
    kv_cache_dtype=st.sampled_from(KvCacheDtype),
    max_model_len=counts,
    max_num_seqs=counts,
    max_num_batched_tokens=counts,
    gpu_memory_utilization_percent=counts,
    engine_release=names,
    memory=memories,
    kv_cache_tokens=counts,
    kv_cache_bytes_per_token=counts,
    kv_cache_error_percent=counts,
    predicted=st.none() | predictions,
    cost_per_hour_usd=dollars,
    reasons=st.lists(sentences, max_size=8).map(tuple),
    alternatives=st.lists(alternatives, max_size=6).map(tuple),
    compromise=st.none() | compromises,
    features=features,
    pin=st.none() | pins,
)


@given(plans)
def test_every_plan_survives_the_way_through_status(plan: Plan) -> None:
    read = plan_from_status(plan_status(plan))
    assert read == plan
    assert plan_hash(read) == plan_hash(plan)


@given(plans, st.integers(0, 9), dollars)
def test_the_hash_does_not_know_replicas_and_prices(plan: Plan, replicas: int, cost: Decimal | None) -> None:
    assert plan_hash(replace(plan, replicas=replicas, cost_per_hour_usd=cost)) == plan_hash(plan)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=4) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)
PATHS = [
    "apply",
    "engine.env",
    "fallbacks",
    "hardware.nodeSelector",
    "model",
    "model.config",
    "model.name",
    "precision.quality",
    "replicas",
    "scaling.schedules",
    "sla",
    "unknown",
    "workload.inputTokens",
]


def sentence_of(read: Any) -> str:  # noqa: ANN401 - a parse function with its argument bound
    try:
        read()
    except InvalidSpecError as error:
        return str(error)
    return ""


@given(st.sampled_from(PATHS), anything)
def test_no_value_of_a_field_makes_more_than_one_bounded_sentence(path: str, value: object) -> None:
    sentence = sentence_of(lambda: parse(changed({path: value})))
    assert len(sentence) < 700
    assert "\n" not in sentence


@given(st.text(max_size=300))
def test_no_text_makes_more_than_one_bounded_sentence(text: str) -> None:
    assert len(sentence_of(lambda: parse_documents(text))) < 700


def test_what_is_read_can_be_written_and_read_again() -> None:
    once = parse(SMALL)
    written = once.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert DeepSeekDeployment.model_validate(written, strict=False) == once
