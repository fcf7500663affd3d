"""Arguments and variables of speculative decoding, offloading and adapters."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.catalog.engines import engine_flags
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffload,
    KvOffloadBackend,
    Speculative,
    SpeculativeMethod,
)
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.runnable import is_runnable
from deepseek_operator.resources.vllm_features import feature_environment, feature_options
from model_factories import make_deployment, make_plan

FLAGS = engine_flags("vllm", "0.32.0")
LMCACHE = EngineFeatures(kv_offload=KvOffload(backend=KvOffloadBackend.LMCACHE, host_memory_bytes=64 * 2**30))
MTP = Speculative(method=SpeculativeMethod.MTP, tokens=1)


@pytest.mark.parametrize(
    ("features", "block_draft", "options"),
    [
        pytest.param(EngineFeatures(), False, [], id="nothing"),
        pytest.param(
            EngineFeatures(speculative=MTP),
            False,
            [("--speculative-config", '{"method":"mtp","num_speculative_tokens":1}')],
            id="MTP",
        ),
        pytest.param(
            EngineFeatures(speculative=MTP),
            True,
            [("--speculative-config", '{"method":"dspark","num_speculative_tokens":1}')],
            id="the block draft of a checkpoint",
        ),
        pytest.param(
            EngineFeatures(speculative=Speculative(method=SpeculativeMethod.NGRAM, tokens=3)),
            False,
            [
                (
                    "--speculative-config",
                    '{"method":"ngram","prompt_lookup_min":5,"prompt_lookup_max":5,"num_speculative_tokens":3}',
                )
            ],
            id="n-grams",
        ),
        pytest.param(
            EngineFeatures(
                speculative=Speculative(method=SpeculativeMethod.DRAFT_MODEL, tokens=4, draft_model="a/small")
            ),
            False,
            [("--speculative-config", '{"method":"draft_model","model":"a/small","num_speculative_tokens":4}')],
            id="a draft model",
        ),
        pytest.param(
            EngineFeatures(weight_offload_bytes=10 * 10**9),
            False,
            [("--cpu-offload-gb", "9.313225")],
            id="weights in host memory, in GiB per GPU",
        ),
        pytest.param(
            EngineFeatures(kv_offload=KvOffload(backend=KvOffloadBackend.NATIVE, host_memory_bytes=64 * 2**30)),
            False,
            [("--kv-offloading-size", "32"), ("--kv-offloading-backend", "native")],
            id="KV cache in host memory, shared by two engines",
        ),
        pytest.param(
            LMCACHE,
            False,
            [("--kv-transfer-config", '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}')],
            id="LMCache",
        ),
        pytest.param(
            EngineFeatures(max_loras=2, max_lora_rank=32),
            False,
            [("--enable-lora", True), ("--max-loras", 2), ("--max-lora-rank", 32)],
            id="adapters",
        ),
    ],
)
def test_options_of_each_feature(features: EngineFeatures, block_draft: bool, options: list[tuple[str, Any]]) -> None:
    found = feature_options(features, 2, block_draft=block_draft)
    assert found == options
    for name, value in found:
        assert FLAGS[name].names[0] == name
        assert FLAGS[name].takes_value is (value is not True)
        assert not FLAGS[name].choices or str(value) in FLAGS[name].choices


def variables(**engine: object) -> dict[str, Any]:
    plan = make_plan(features=LMCACHE, parallelism=Parallelism(tensor=4))
    made = feature_environment(make_deployment(engine=engine).spec.engine, plan)
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in made}


def test_lmcache_shares_its_memory_between_the_ranks_and_hashes_alike() -> None:
    offload = {"hostMemoryBytes": 64 * 2**30, "backend": "LMCache"}
    assert variables(kvOffload=offload) == {
        "PYTHONHASHSEED": "0",
        "LMCACHE_TRACK_USAGE": "false",
        "LMCACHE_LOCAL_CPU": "True",
        "LMCACHE_MAX_LOCAL_CPU_SIZE": "16",
    }


def test_the_password_of_a_store_comes_from_a_secret_and_into_no_log() -> None:
    store = {"url": "redis://kv.cache:6379", "passwordSecretRef": {"name": "kv", "key": "password"}}
    found = variables(kvOffload={"hostMemoryBytes": 2**36, "backend": "LMCache", "store": store})
    assert found["KV_STORE_PASSWORD"] == {"secretKeyRef": {"name": "kv", "key": "password"}}
    assert found["LMCACHE_REMOTE_URL"] == "redis://:$(KV_STORE_PASSWORD)@kv.cache:6379"
    assert found["LMCACHE_LOG_LEVEL"] == "WARNING"
    assert list(found).index("KV_STORE_PASSWORD") < list(found).index("LMCACHE_REMOTE_URL")


def test_native_offload_needs_no_variables() -> None:
    native = EngineFeatures(kv_offload=KvOffload(backend=KvOffloadBackend.NATIVE, host_memory_bytes=2**30))
    assert feature_environment(make_deployment().spec.engine, make_plan(features=native)) == []


def test_lmcache_needs_an_image_that_holds_it() -> None:
    offload = {"hostMemoryBytes": 2**36, "backend": "LMCache"}
    assert is_runnable(make_plan(features=LMCACHE), make_deployment(engine={"kvOffload": offload})) == (
        "spec.engine.kvOffload.backend: LMCache needs an image that holds it; set spec.engine.image, or use backend "
        "Native"
    )
    own = {"kvOffload": offload, "image": "registry/vllm-lmcache:1"}
    assert is_runnable(make_plan(features=LMCACHE), make_deployment(engine=own)) == ""


def test_the_pod_asks_for_the_memory_of_its_features() -> None:
    features = EngineFeatures(
        weight_offload_bytes=2**30,
        kv_offload=KvOffload(backend=KvOffloadBackend.NATIVE, host_memory_bytes=64 * 2**30),
    )
    plain, asked = (
        int(
            build_pod_template(make_deployment(), plan, "hash")["spec"]["containers"][0]["resources"]["requests"][
                "memory"
            ].removesuffix("Gi")
        )
        for plan in (make_plan(), make_plan(features=features))
    )
    assert asked - plain >= 64 + 4


def test_adapters_lie_in_the_hub_or_in_the_volume() -> None:
    adapters = [{"name": "law", "source": "owner/law", "rank": 8}]
    features = EngineFeatures(max_loras=1, max_lora_rank=8)

    def last_words(model: dict[str, Any]) -> list[str]:
        deployment = make_deployment(model={"name": "deepseek-ai/deepseek-llm-67b-chat", **model})
        args = build_pod_template(deployment, make_plan(features=features), "hash")["spec"]["containers"][0]["args"]
        at = args.index("--lora-modules")
        return list(args[at : at + 2])

    assert last_words({"loraAdapters": adapters}) == ["--lora-modules", "law=owner/law"]
    claim = {"persistentVolumeClaim": {"claimName": "weights"}}
    mounted = {"loraAdapters": [{"name": "law", "source": "adapters/law"}], "storage": claim}
    assert last_words(mounted) == ["--lora-modules", "law=/models/model/adapters/law"]
