from __future__ import annotations

import copy
from typing import Any

import pytest

from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import model, shape
from deepseek_operator.catalog.shapes import GroupedQueryAttention, LatentAttention, VisionTower, VisionTowerKind
from deepseek_operator.errors import UnsupportedModelError

TINY = "deepseek-ai/deepseek-vl2-tiny"
SMALL = "deepseek-ai/deepseek-vl2-small"
OCR = "deepseek-ai/DeepSeek-OCR"
OCR2 = "deepseek-ai/DeepSeek-OCR-2"
ABSENT = object()


def config(name: str, path: str, value: object) -> dict[str, Any]:
    """Return a catalogue config with one nested field changed or taken out."""
    changed: dict[str, Any] = copy.deepcopy(dict(model(name).config))
    *parents, last = path.split("/")
    part = changed
    for parent in parents:
        part = part[parent]
    if value is ABSENT:
        del part[last]
    else:
        part[last] = value
    return changed


@pytest.mark.parametrize(
    ("name", "tower"),
    [
        pytest.param(
            TINY,
            VisionTower(
                kind=VisionTowerKind.SIGLIP,
                num_layers=27,
                hidden_size=1152,
                intermediate_size=4304,
                patch_size=14,
                projector="downsample_mlp_gelu",
                projector_input=1152,
                num_heads=16,
                downsample_ratio=2,
                image_size=384,
            ),
            id="vl2: projector defaults of its class",
        ),
        pytest.param(
            OCR,
            VisionTower(
                kind=VisionTowerKind.SAM_CLIP,
                num_layers=24,
                hidden_size=1024,
                intermediate_size=4096,
                patch_size=14,
                projector="linear",
                projector_input=2048,
                num_heads=16,
                image_size=224,
            ),
            id="OCR",
        ),
        pytest.param(
            OCR2,
            VisionTower(
                kind=VisionTowerKind.SAM_QWEN2,
                num_layers=24,
                hidden_size=896,
                intermediate_size=4864,
                patch_size=16,
                projector="linear",
                projector_input=896,
                num_heads=14,
                image_size=1024,
            ),
            id="OCR-2",
        ),
    ],
)
def test_image_encoder(name: str, tower: VisionTower):
    assert shape(name).vision == tower


def test_language_model_without_latent_heads_has_plain_ones():
    assert shape(TINY).attention == GroupedQueryAttention(num_heads=10, num_kv_heads=10, head_dim=128)
    assert isinstance(shape(SMALL).attention, LatentAttention)


def test_names_are_those_of_the_outer_config():
    assert (shape(OCR).architecture, shape(OCR).model_type) == ("DeepseekOCRForCausalLM", "deepseek_vl_v2")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("language_config/architectures", id="the class has a default"),
        pytest.param("language_config/torch_dtype", id="the outer dtype holds"),
        pytest.param("projector_config/projector_type", id="a class default of the projector"),
        pytest.param("vision_config/model_name", id="the class default of the encoder"),
    ],
)
def test_what_may_be_left_out(path: str):
    assert shape_from_config(config(TINY, path, ABSENT)) == shape(TINY)


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        pytest.param(
            TINY, "language_config", ABSENT, "language_config is missing; expected an object", id="no language model"
        ),
        pytest.param(TINY, "vision_config", 3, "vision_config is 3; expected an object", id="no encoder"),
        pytest.param(TINY, "projector_config", None, "projector_config is null", id="no projector"),
        pytest.param(
            TINY,
            "vision_config/layers",
            26,
            "vision_config.layers is 26; expected 27, the size of the encoder that the engine builds",
            id="another depth",
        ),
        pytest.param(
            OCR,
            "vision_config/width/sam_vit_b/width",
            1024,
            "vision_config.width.sam_vit_b.width is 1024; expected 768",
            id="another SAM",
        ),
        pytest.param(OCR2, "vision_config/model_name", "vit", "model_name is 'vit'; expected deepencoderv2", id="name"),
        pytest.param(
            OCR,
            "projector_config/projector_type",
            "identity",
            "projector_config.projector_type is 'identity'; expected downsample_mlp_gelu or linear",
            id="another projector",
        ),
        pytest.param(
            TINY,
            "projector_config/n_embed",
            2048,
            "projector_config.n_embed is 2048; expected the language model's hidden_size (1280)",
            id="a projector that does not meet the language model",
        ),
        pytest.param(
            TINY,
            "language_config/hidden_size",
            ABSENT,
            "language_config.hidden_size is missing",
            id="a field of the language model is named with its path",
        ),
        pytest.param(
            TINY,
            "language_config/architectures",
            ["DeepseekOCRForCausalLM"],
            "model architecture 'DeepseekOCRForCausalLM' cannot be planned",
            id="an image model inside an image model",
        ),
        pytest.param(
            TINY,
            "language_config/use_mla",
            True,
            "language_config.use_mla is true; expected false",
            id="latent attention with latent heads of 0",
        ),
        pytest.param(
            TINY,
            "language_config/num_attention_heads",
            9,
            "language_config.num_attention_heads is 9; expected a divisor of hidden_size and a multiple of 10",
            id="heads that do not divide",
        ),
    ],
)
def test_refusals(name: str, path: str, value: object, said: str):
    with pytest.raises(UnsupportedModelError) as refused:
        shape_from_config(config(name, path, value))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
