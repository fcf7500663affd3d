"""The DeepSeek models that are known by name: their config, where it comes from and how far it can be trusted."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from deepseek_operator.catalog.data_files import DATA, read_json
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import UnknownModelError, UnsupportedModelError


@dataclass(frozen=True, kw_only=True)
class CatalogModel:
    """One model repository.

    Args:
        name: ``owner/name`` on the Hugging Face hub, spelled as there.
        license: licence of the weights as the model card or hub states it.
        evidence_grade: A (config and checkpoint reproduced exactly) to D (geometry recalled, only the
            checkpoint size agrees).
        provenance: where the config was read.
        notes: what to know before relying on a field.
        config: the fields of ``config.json``.
    """

    name: str
    license: str
    evidence_grade: str
    provenance: tuple[str, ...]
    notes: tuple[str, ...]
    config: Mapping[str, object]

    @property
    def architecture(self) -> str:
        """The class name of the config, such as ``LlamaForCausalLM``."""
        architectures = self.config["architectures"]
        return str(architectures[0]) if isinstance(architectures, list) else str(architectures)


@functools.cache
def model_names() -> tuple[str, ...]:
    """Return every known name, sorted. Reads a directory listing only."""
    files = (entry.name for entry in DATA.joinpath("models").iterdir())
    return tuple(sorted(name.removesuffix(".json").replace("--", "/", 1) for name in files if name.endswith(".json")))


@functools.cache
def model(name: str) -> CatalogModel:
    """Return one model by its full name.

    Args:
        name: ``owner/name`` in the hub's own spelling. Other spellings are refused and not guessed, because the
            name goes on to the engine, which downloads by it.

    Raises:
        UnknownModelError: no such name; the text offers the nearest ones.

    >>> model("deepseek-ai/DeepSeek-R1").evidence_grade
    'A'
    """
    if name not in model_names():
        raise UnknownModelError("model", name, model_names(), "give its config.json as spec.model.config")
    record = read_json(f"models/{name.replace('/', '--', 1)}.json")
    config = record["config"]
    if not isinstance(config, dict):
        raise UnsupportedModelError(f"catalogue file of {name} holds no config")
    return CatalogModel(
        name=name,
        license=str(record["license"]),
        evidence_grade=str(record["evidence_grade"]),
        provenance=_sentences(record["provenance"]),
        notes=_sentences(record["notes"]),
        config=MappingProxyType(config),
    )


@functools.cache
def models() -> tuple[CatalogModel, ...]:
    """Return every model, by name. Reads one small file each; a single model is cheaper through ``model``."""
    return tuple(model(name) for name in model_names())


@functools.cache
def shape(name: str) -> ModelShape:
    """Return the shape of a catalogue model.

    Raises:
        UnknownModelError: no such name.
        UnsupportedModelError: the catalogue lists it, but its architecture cannot be planned.
    """
    return shape_from_config(model(name).config)


def _sentences(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
