"""From the nested config of a model that reads images (VL2, OCR, OCR-2) to its ``ModelShape``.

The engine builds these image encoders with sizes of its own and reads only the projector from the config (vLLM 0.32
``models/deepseek_vl2.py`` names one timm model, ``deepencoder.py`` and ``deepencoder2.py`` hold the sizes as
arguments). So a config that says another size would not run, and is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from deepseek_operator.catalog.config_fields import ConfigFields
from deepseek_operator.catalog.shapes import ModelShape, VisionTower, VisionTowerKind

DEFAULT_LANGUAGE_ARCHITECTURE = "DeepseekV2ForCausalLM"
"""Class of ``language_config`` where it names none (vLLM 0.32 ``configs/deepseek_vl2.py``)."""

DOWNSAMPLE_PROJECTOR = "downsample_mlp_gelu"
LINEAR_PROJECTOR = "linear"

_INHERITED = ("dtype", "torch_dtype", "quantization_config")
"""Fields that hold for the language model when only the outer config has them."""


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    """What one architecture's image encoder is, and which config fields must agree with it.

    Args:
        model_names: values of ``vision_config.model_name`` that mean this encoder; the first is the class default.
        fields: path inside ``vision_config`` and the only value that the engine builds.
    """

    tower: VisionTower
    model_names: tuple[str, ...]
    fields: tuple[tuple[tuple[str, ...], int], ...]


_SAM_FIELDS = (
    (("image_size",), 1024),
    (("width", "sam_vit_b", "heads"), 12),
    (("width", "sam_vit_b", "layers"), 12),
    (("width", "sam_vit_b", "width"), 768),
)

_ENCODERS: Mapping[str, _Encoder] = {
    "DeepseekVLV2ForCausalLM": _Encoder(
        tower=VisionTower(
            kind=VisionTowerKind.SIGLIP,
            num_layers=27,
            hidden_size=1152,
            intermediate_size=4304,
            patch_size=14,
            num_heads=16,
            image_size=384,
        ),
        model_names=("vit_so400m_patch14_siglip_384.webli", "siglip_so400m_patch14_384"),
        fields=((("layers",), 27), (("width",), 1152), (("patch_size",), 14)),
    ),
    "DeepseekOCRForCausalLM": _Encoder(
        tower=VisionTower(
            kind=VisionTowerKind.SAM_CLIP,
            num_layers=24,
            hidden_size=1024,
            intermediate_size=4096,
            patch_size=14,
            num_heads=16,
            image_size=224,
        ),
        model_names=("deeplip_b_l",),
        fields=(
            *_SAM_FIELDS,
            (("width", "clip-l-14-224", "heads"), 16),
            (("width", "clip-l-14-224", "image_size"), 224),
            (("width", "clip-l-14-224", "layers"), 24),
            (("width", "clip-l-14-224", "patch_size"), 14),
            (("width", "clip-l-14-224", "width"), 1024),
        ),
    ),
    "DeepseekOCR2ForCausalLM": _Encoder(
        tower=VisionTower(
            kind=VisionTowerKind.SAM_QWEN2,
            num_layers=24,
            hidden_size=896,
            intermediate_size=4864,
            patch_size=16,
            num_heads=14,
            image_size=1024,
        ),
        model_names=("deepencoderv2",),
        fields=(*_SAM_FIELDS, (("width", "qwen2-0-5b", "dim"), 896)),
    ),
}

VISION_ARCHITECTURES = tuple(sorted(_ENCODERS))
"""Class names of models that are an image encoder before a language model."""


def vision_language_shape(
    config: Mapping[str, object], architecture: str, read_language: Callable[[ConfigFields], ModelShape]
) -> ModelShape:
    """Return the shape of a model that reads images: its language model's, with the encoder beside it.

    Args:
        config: the parsed ``config.json`` with ``language_config``, ``vision_config`` and ``projector_config``.
        architecture: one of ``VISION_ARCHITECTURES``.
        read_language: reads the config of the language model.

    Raises:
        UnsupportedModelError: a part is missing or differs from what the engine builds; the text names the field.
    """
    fields = ConfigFields(config)
    encoder = _ENCODERS[architecture]
    language = fields.mapping("language_config")
    if language is None:
        raise fields.refuse("language_config", "an object with the language model's config")
    inherited = {name: config[name] for name in _INHERITED if name in config}
    merged = {"architectures": [DEFAULT_LANGUAGE_ARCHITECTURE], **inherited, **language}
    shape = read_language(ConfigFields(merged, "language_config."))
    _check_encoder(fields, encoder)
    return replace(
        shape,
        architecture=architecture,
        model_type=fields.text("model_type", "deepseek_vl_v2"),
        vision=_with_projector(fields, encoder.tower, shape.hidden_size),
    )


def _check_encoder(fields: ConfigFields, encoder: _Encoder) -> None:
    vision = fields.nested("vision_config")
    if vision is None:
        raise fields.refuse("vision_config", "an object with the image encoder's config")
    if vision.text("model_name", encoder.model_names[0]) not in encoder.model_names:
        raise vision.refuse("model_name", f"{' or '.join(encoder.model_names)}, the encoder that the engine builds")
    for path, built in encoder.fields:
        part: ConfigFields | None = vision
        for name in path[:-1]:
            part = part.nested(name) if part is not None else None
        if part is not None and part.integer_or(path[-1], built) != built:
            raise part.refuse(path[-1], f"{built}, the size of the encoder that the engine builds")


def _with_projector(fields: ConfigFields, tower: VisionTower, hidden_size: int) -> VisionTower:
    """Add the projector; defaults are those of vLLM 0.32 ``configs/deepseek_vl2.py`` ``MlpProjectorConfig``."""
    projector = fields.nested("projector_config")
    if projector is None:
        raise fields.refuse("projector_config", "an object with the projector's config")
    kind = projector.text("projector_type", DOWNSAMPLE_PROJECTOR)
    if kind not in (DOWNSAMPLE_PROJECTOR, LINEAR_PROJECTOR):
        raise projector.refuse("projector_type", f"{DOWNSAMPLE_PROJECTOR} or {LINEAR_PROJECTOR}")
    if projector.integer("n_embed") != hidden_size:
        raise projector.refuse("n_embed", f"the language model's hidden_size ({hidden_size})")
    for name, built in (("depth", 2), ("mlp_ratio", 1)):
        if projector.integer_or(name, built) != built:
            raise projector.refuse(name, f"{built}, because other projectors are not covered")
    return replace(
        tower,
        projector=kind,
        projector_input=projector.integer_or("input_dim", 1152),
        downsample_ratio=projector.integer_or("downsample_ratio", 2) if kind == DOWNSAMPLE_PROJECTOR else 0,
    )
