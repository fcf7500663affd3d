"""Speculative decoding, offloading and adapters from the spec: asked of the planner, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.api.parse import parse
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.catalog import models
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffload,
    KvOffloadBackend,
    Speculative,
    SpeculativeMethod,
)
from spec_table import changed

R1 = "deepseek-ai/DeepSeek-R1"
CHAT_67B, CHAT_7B = "deepseek-ai/deepseek-llm-67b-chat", "deepseek-ai/deepseek-llm-7b-chat"
CLAIM = {"persistentVolumeClaim": {"claimName": "weights"}}


@pytest.mark.parametrize(
    ("changes", "features"),
    [
        pytest.param({}, EngineFeatures(), id="nothing"),
        pytest.param(
            {"model.name": R1, "engine.speculative": {"method": "MTP", "tokens": 2}},
            EngineFeatures(speculative=Speculative(method=SpeculativeMethod.MTP, tokens=2)),
            id="MTP",
        ),
        pytest.param(
            {"engine.speculative": {"method": "NGram", "tokens": 4}},
            EngineFeatures(speculative=Speculative(method=SpeculativeMethod.NGRAM, tokens=4)),
            id="NGram",
        ),
        pytest.param(
            {"engine.weightOffloadBytes": 2**30},
            EngineFeatures(weight_offload_bytes=2**30),
            id="weights in host memory",
        ),
        pytest.param(
            {"engine.kvOffload": {"hostMemoryBytes": 2**36}},
            EngineFeatures(kv_offload=KvOffload(backend=KvOffloadBackend.NATIVE, host_memory_bytes=2**36)),
            id="KV cache in host memory",
        ),
        pytest.param(
            {
                "model.loraAdapters": [
                    {"name": "support", "source": "owner/support", "rank": 9},
                    {"name": "law", "source": "owner/law", "rank": 4},
                ]
            },
            EngineFeatures(max_loras=2, max_lora_rank=16),
            id="adapters, whose buffers have the next rank that the engine takes",
        ),
    ],
)
def test_what_is_asked_of_the_planner(changes: dict[str, Any], features: EngineFeatures) -> None:
    assert plan_request(parse(changed(changes))).features == features


def test_the_draft_model_comes_from_the_catalogue() -> None:
    spec = {
        "model.name": CHAT_67B,
        "engine.speculative": {"method": "DraftModel", "tokens": 4, "draftModel": CHAT_7B},
    }
    request = plan_request(parse(changed(spec)))
    assert request.draft_model == models.shape(CHAT_7B)
    assert request.features.speculative == Speculative(
        method=SpeculativeMethod.DRAFT_MODEL, tokens=4, draft_model=CHAT_7B
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"model.name": CHAT_67B, "engine.speculative": {"method": "MTP"}},
            f"spec.engine.speculative.method: {CHAT_67B} has no layers for multi-token prediction (MTP); use NGram or "
            "DraftModel, or leave speculative out",
            id="a model without prediction layers",
        ),
        pytest.param(
            {"model.name": R1, "engine.speculative": {"method": "MTP"}, "fallbacks": [{"model": CHAT_67B}]},
            f"spec.engine.speculative.method: {CHAT_67B} has no layers for multi-token prediction (MTP); use NGram or "
            "DraftModel, or leave speculative out",
            id="a fallback without prediction layers",
        ),
        pytest.param(
            {
                "model.name": "deepseek-ai/DeepSeek-V4-Flash-DSpark",
                "engine.speculative": {"method": "MTP", "tokens": 6},
            },
            "spec.engine.speculative.tokens: deepseek-ai/DeepSeek-V4-Flash-DSpark drafts blocks of 5 tokens; use that "
            "or fewer",
            id="more than a block",
        ),
        pytest.param(
            {"engine.speculative": {"method": "DraftModel", "draftModel": "owner/none"}},
            "spec.engine.speculative.draftModel: unknown model 'owner/none'; give its config.json as spec.model.config",
            id="a draft model that nobody knows",
        ),
        pytest.param(
            {"model.name": CHAT_67B, "engine.speculative": {"method": "DraftModel", "draftModel": R1}},
            f"spec.engine.speculative.draftModel: its vocabulary of 129,280 tokens is not the 102,400 of {CHAT_67B}; "
            "name a smaller model of the same family, or use method NGram",
            id="a draft model of another family",
        ),
        pytest.param(
            {
                "model.name": CHAT_67B,
                "model.storage": CLAIM,
                "engine.speculative": {"method": "DraftModel", "draftModel": CHAT_7B},
            },
            "spec.engine.speculative.draftModel: it is downloaded, and spec.model.storage keeps the engine off the "
            "hub; use method MTP or NGram",
            id="a draft model beside mounted weights",
        ),
        pytest.param(
            {"model.loraAdapters": [{"name": "a", "source": "adapters/a/b"}]},
            "spec.model.loraAdapters[0].source: 'adapters/a/b' is no repository; write owner/name",
            id="a directory without a volume",
        ),
        *(
            pytest.param(
                {"model.loraAdapters": [{"name": "a", "source": source}]},
                f"spec.model.loraAdapters[0].source: {source!r} is no repository; write owner/name",
                id=f"adapter {source}",
            )
            for source in ("o/..", "o/n=x", "o/n@main", "o/a,b", "o/--x", "-o/n")
        ),
        pytest.param(
            {"model.storage": CLAIM, "model.loraAdapters": [{"name": "a", "source": "a=b"}]},
            "spec.model.loraAdapters[0].source: holds = or a comma, which the engine cannot read; rename it",
            id="a directory that the engine would split",
        ),
        pytest.param(
            {"model.storage": CLAIM, "model.loraAdapters": [{"name": "a", "source": "../a"}]},
            "spec.model.loraAdapters[0].source: leaves the model's volume; name a directory inside it",
            id="a directory outside of the volume",
        ),
        pytest.param(
            {"model.servedName": "chat", "model.loraAdapters": [{"name": "chat", "source": "owner/a"}]},
            "spec.model.loraAdapters[0].name: 'chat' is the model's own name; choose another",
            id="an adapter with the model's name",
        ),
        pytest.param(
            {"model.loraAdapters": [{"name": "a", "source": "owner/a"}], "fallbacks": [{"model": CHAT_7B}]},
            "spec.fallbacks: spec.model.loraAdapters belong to the asked model; leave one of them out",
            id="adapters and a fallback",
        ),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        plan_request(parse(changed(changes)))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("store", "says"),
    [
        pytest.param({"url": "redis://:secret@kv:6379"}, "spec.engine.kvOffload.store.url", id="a password in the URL"),
        pytest.param({"url": "http://kv"}, "spec.engine.kvOffload.store.url", id="no store"),
        pytest.param({"url": "redis://$(HF_TOKEN)"}, "spec.engine.kvOffload.store.url", id="a variable"),
    ],
)
def test_a_store_is_named_without_secrets(store: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse(changed({"engine.kvOffload": {"hostMemoryBytes": 1, "backend": "LMCache", "store": store}}))
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_store_belongs_to_lmcache() -> None:
    with pytest.raises(InvalidSpecError, match="store belongs to backend LMCache"):
        parse(changed({"engine.kvOffload": {"hostMemoryBytes": 1, "store": {"url": "redis://kv:6379"}}}))


@pytest.mark.parametrize("port", ["65536", "0", "99999999"])
def test_a_store_has_a_port_that_there_is(port: str) -> None:
    store = {"url": f"redis://kv.cache:{port}"}
    deployment = parse(changed({"engine.kvOffload": {"hostMemoryBytes": 1, "backend": "LMCache", "store": store}}))
    with pytest.raises(InvalidSpecError) as caught:
        plan_request(deployment)
    assert str(caught.value) == (
        f"spec.engine.kvOffload.store.url: 'redis://kv.cache:{port}' names no port from 1 to 65535; "
        "write redis://host:6379"
    )
