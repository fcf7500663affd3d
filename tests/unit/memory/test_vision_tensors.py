from __future__ import annotations

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.kv_cache import kv_cache_law
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import KvCacheDtype
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.weights import checkpoint_bytes, parameter_counts, stage_weights

GIB = 2**30
VL2 = "deepseek-ai/deepseek-vl2"
OCR = "deepseek-ai/DeepSeek-OCR"
OCR2 = "deepseek-ai/DeepSeek-OCR-2"


# OCR: the listing of its checkpoint. The others: the same layers, whose sum gives the published size in GiB.
@pytest.mark.parametrize(
    ("name", "vision", "projector", "total", "gib"),
    [
        pytest.param(f"{VL2}-tiny", 428_225_600, 7_541_760, 3_370_501_440, "6.278", id="vl2-tiny"),
        pytest.param(f"{VL2}-small", 428_225_600, 13_639_680, 16_148_349_504, "30.079", id="vl2-small"),
        pytest.param(VL2, 428_225_600, 18_360_320, 27_480_134_248, "51.186", id="vl2"),
        pytest.param(OCR, 398_746_880, 2_625_280, 3_336_106_240, "6.214", id="OCR"),
        pytest.param(OCR2, 453_235_840, 1_149_440, 3_389_119_360, "6.313", id="OCR-2"),
    ],
)
def test_parameters_and_checkpoint_size(name: str, vision: int, projector: int, total: int, gib: str):
    counts = parameter_counts(shape(name))
    assert (counts[Component.VISION], counts[Component.PROJECTOR], sum(counts.values())) == (vision, projector, total)
    assert f"{checkpoint_bytes(shape(name)) / GIB:.3f}" == gib


@pytest.mark.parametrize(
    ("name", "per_token"),
    [
        pytest.param(f"{VL2}-tiny", 61_440, id="plain heads"),
        pytest.param(OCR, 61_440, id="OCR, plain heads"),
        pytest.param(OCR2, 61_440, id="OCR-2, plain heads"),
        pytest.param(f"{VL2}-small", 31_104, id="latent, half of tiny's though five times the model"),
        pytest.param(VL2, 34_560, id="latent"),
    ],
)
def test_cache_is_that_of_the_language_model(name: str, per_token: int):
    model = shape(name)
    assert kv_cache_law(model).bytes_per_token_per_layer(1, KvCacheDtype.AUTO) * model.num_layers == per_token


# Bytes that TP 2 takes off each rank: half of the linear layers that the engine builds itself.
@pytest.mark.parametrize(
    ("name", "saved_parameters"),
    [
        pytest.param(VL2, 28 * (1152 * 4304 + 4304 // 2), id="SigLIP: the MLPs of 27 layers and of the pooling"),
        pytest.param(OCR, 24 * (6 * 1024 * 1024 + (3 * 1024 + 4096) // 2), id="CLIP is cut, SAM is not"),
        pytest.param(OCR2, 0, id="the Qwen2 encoder is replicated"),
    ],
)
def test_tensor_parallelism_cuts_what_the_engine_builds(name: str, saved_parameters: int):
    whole, cut = (
        dict(stage_weights(shape(name), Parallelism(tensor=tensor))[0].by_component)[Component.VISION]
        for tensor in (1, 2)
    )
    # Small vectors are rounded up to 512 bytes, large matrices to 2 MiB segments.
    assert whole - cut == pytest.approx(2 * saved_parameters, abs=2**21)


def test_every_pipeline_stage_holds_the_encoder():
    stages = stage_weights(shape(OCR), Parallelism(pipeline=3))
    encoders = {dict(stage.by_component)[Component.VISION] for stage in stages}
    projectors = {dict(stage.by_component)[Component.PROJECTOR] for stage in stages}
    (whole,) = stage_weights(shape(OCR), Parallelism())
    sizes = dict(whole.by_component)
    assert (encoders, projectors) == ({sizes[Component.VISION]}, {sizes[Component.PROJECTOR]})
