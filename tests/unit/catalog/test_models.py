from __future__ import annotations

import pytest

from deepseek_operator.catalog import models
from deepseek_operator.catalog.shapes import (
    GroupedQueryAttention,
    LatentAttention,
    MixtureOfExperts,
    ModelShape,
    StoredPrecision,
)
from deepseek_operator.errors import UnknownModelError


def test_all_73_models_load_with_grade_license_and_provenance():
    loaded = models.models()
    print(f"{len(loaded)} models: {', '.join(row.name for row in loaded)}")
    assert len(loaded) == 73
    assert [row.name for row in loaded] == sorted(row.name for row in loaded)
    assert {row.evidence_grade for row in loaded} == {"A", "B", "C", "D"}
    assert all(row.license and row.provenance and row.architecture for row in loaded)


@pytest.mark.parametrize("name", models.model_names())
def test_every_model_has_a_shape(name: str):
    shape = models.shape(name)
    print(name, shape)
    assert shape.num_layers * shape.hidden_size > 0
    assert shape.architecture == models.model(name).architecture


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("DeepSeek-R1", id="an unqualified name is not completed"),
        pytest.param("deepseek-ai/deepseek-r1", id="a wrongly cased name is not corrected"),
        pytest.param("DeepSeek-AI/DeepSeek-R1", id="a wrongly cased owner is not corrected"),
        pytest.param("deepseek-ai/DeepSeekR1", id="a name with a missing hyphen is not corrected"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_one_first(name: str):
    with pytest.raises(UnknownModelError) as refused:
        models.model(name)
    assert refused.value.near[0] == "deepseek-ai/DeepSeek-R1"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("../gpus", id="a path out of the folder"),
        pytest.param("deepseek-ai--DeepSeek-R1", id="the file's own name"),
        pytest.param("deepseek-ai/DeepSeek-R1.json", id="with an extension"),
        pytest.param("x" * 100_000, id="absurdly long"),
        pytest.param("deepseek-ai/\x00", id="a NUL"),
    ],
)
def test_a_name_never_reaches_the_file_system_unchecked(name: str):
    with pytest.raises(UnknownModelError) as refused:
        models.model(name)
    assert len(str(refused.value)) < 400


def test_a_config_cannot_be_changed_by_a_reader():
    with pytest.raises(TypeError):
        models.model("deepseek-ai/DeepSeek-R1").config["hidden_size"] = 1  # type: ignore[index]  # the point


V3_ATTENTION = LatentAttention(
    num_heads=128,
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
)
V3_EXPERTS = MixtureOfExperts(
    num_experts=256,
    num_experts_per_token=8,
    num_shared_experts=1,
    expert_intermediate_size=2048,
    num_dense_layers=3,
    router_bias=True,
)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        pytest.param(
            "deepseek-ai/deepseek-llm-67b-chat",
            ModelShape(
                architecture="LlamaForCausalLM",
                model_type="llama",
                num_layers=95,
                hidden_size=8192,
                vocab_size=102400,
                max_position_embeddings=4096,
                intermediate_size=22016,
                tie_word_embeddings=False,
                attention=GroupedQueryAttention(num_heads=64, num_kv_heads=8, head_dim=128),
            ),
            id="llama with grouped queries",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
            ModelShape(
                architecture="Qwen2ForCausalLM",
                model_type="qwen2",
                num_layers=28,
                hidden_size=3584,
                vocab_size=152064,
                max_position_embeddings=131072,
                intermediate_size=18944,
                tie_word_embeddings=False,
                attention=GroupedQueryAttention(num_heads=28, num_kv_heads=4, head_dim=128, bias=True),
            ),
            id="qwen2 has a bias without a field that says so",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
            ModelShape(
                architecture="Qwen3ForCausalLM",
                model_type="qwen3",
                num_layers=36,
                hidden_size=4096,
                vocab_size=151936,
                max_position_embeddings=131072,
                intermediate_size=12288,
                tie_word_embeddings=False,
                attention=GroupedQueryAttention(num_heads=32, num_kv_heads=8, head_dim=128, qk_norm=True),
            ),
            id="qwen3 normalises q and k",
        ),
        pytest.param(
            "deepseek-ai/deepseek-moe-16b-chat",
            ModelShape(
                architecture="DeepseekForCausalLM",
                model_type="deepseek",
                num_layers=28,
                hidden_size=2048,
                vocab_size=102400,
                max_position_embeddings=4096,
                intermediate_size=10944,
                tie_word_embeddings=False,
                attention=GroupedQueryAttention(num_heads=16, num_kv_heads=16, head_dim=128),
                experts=MixtureOfExperts(
                    num_experts=64,
                    num_experts_per_token=6,
                    num_shared_experts=2,
                    expert_intermediate_size=1408,
                    num_dense_layers=1,
                ),
            ),
            id="the first mixture of experts has plain attention",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-V2-Lite",
            ModelShape(
                architecture="DeepseekV2ForCausalLM",
                model_type="deepseek_v2",
                num_layers=27,
                hidden_size=2048,
                vocab_size=102400,
                max_position_embeddings=163840,
                intermediate_size=10944,
                tie_word_embeddings=False,
                attention=LatentAttention(
                    num_heads=16,
                    q_lora_rank=None,
                    kv_lora_rank=512,
                    qk_nope_head_dim=128,
                    qk_rope_head_dim=64,
                    v_head_dim=128,
                ),
                experts=MixtureOfExperts(
                    num_experts=64,
                    num_experts_per_token=6,
                    num_shared_experts=2,
                    expert_intermediate_size=1408,
                    num_dense_layers=1,
                ),
            ),
            id="v2-lite does not compress queries",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-R1",
            ModelShape(
                architecture="DeepseekV3ForCausalLM",
                model_type="deepseek_v3",
                num_layers=61,
                hidden_size=7168,
                vocab_size=129280,
                max_position_embeddings=163840,
                intermediate_size=18432,
                tie_word_embeddings=False,
                attention=V3_ATTENTION,
                experts=V3_EXPERTS,
                stored_precision=StoredPrecision.FP8_BLOCK,
                quantization_block=(128, 128),
                num_draft_layers=1,
            ),
            id="r1 is stored in fp8 blocks with one draft layer",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-V3.2",
            ModelShape(
                architecture="DeepseekV32ForCausalLM",
                model_type="deepseek_v32",
                num_layers=61,
                hidden_size=7168,
                vocab_size=129280,
                max_position_embeddings=163840,
                intermediate_size=18432,
                tie_word_embeddings=False,
                attention=LatentAttention(
                    num_heads=128,
                    q_lora_rank=1536,
                    kv_lora_rank=512,
                    qk_nope_head_dim=128,
                    qk_rope_head_dim=64,
                    v_head_dim=128,
                    index_num_heads=64,
                    index_head_dim=128,
                    index_topk=2048,
                ),
                experts=V3_EXPERTS,
                stored_precision=StoredPrecision.FP8_BLOCK,
                quantization_block=(128, 128),
                num_draft_layers=1,
            ),
            id="v3.2 adds the indexer",
        ),
    ],
)
def test_shape(name: str, want: ModelShape):
    assert models.shape(name) == want
