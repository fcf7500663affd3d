"""Reading single fields of a user's ``config.json``: each is typed, bounded and named in every refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from deepseek_operator.errors import UnsupportedModelError, shortened

LARGEST: Mapping[str, int] = {
    "engram_num_embeddings": 1_000_000_000_000,
    "first_k_dense_replace": 10_000,
    "head_dim": 65_536,
    "hidden_size": 1_048_576,
    "intermediate_size": 16_777_216,
    "max_position_embeddings": 1_000_000_000,
    "moe_intermediate_size": 16_777_216,
    "moe_layer_freq": 10_000,
    "n_routed_experts": 65_536,
    "n_shared_experts": 1_024,
    "num_experts_per_tok": 65_536,
    "num_hidden_layers": 2_000,
    "num_nextn_predict_layers": 64,
    "vocab_size": 100_000_000,
}
"""Plausibility limits, at least an order of magnitude above any published model: larger is a typing error."""

DEFAULT_LARGEST = 65_536
"""Limit of the fields that are head counts, ranks or head sizes."""


class ConfigFields:
    """Typed access to the fields of one model config.

    Args:
        config: the parsed ``config.json``, or an object inside it; it is not changed.
        path: where that object lies, such as ``vision_config.``, for refusals.
    """

    def __init__(self, config: Mapping[str, object], path: str = "") -> None:
        self._config = config
        self._path = path

    def has(self, name: str) -> bool:
        """Return whether the field is present and not null."""
        return self._config.get(name) is not None

    def refuse(self, name: str, expected: str) -> UnsupportedModelError:
        """Return the error for a field, to be raised by the caller.

        Args:
            name: the field as ``config.json`` spells it.
            expected: what should stand there, as a noun phrase.
        """
        if name not in self._config:
            return UnsupportedModelError(f"model config field {self._path}{name} is missing; expected {expected}")
        found = shortened(_described(self._config[name]))
        return UnsupportedModelError(f"model config field {self._path}{name} is {found}; expected {expected}")

    def integer(self, name: str, *, smallest: int = 1) -> int:
        """Return a whole number within plausible limits.

        Raises:
            UnsupportedModelError: it is missing, null, a bool, a fraction, a string or out of range; the remedy
                is to correct the field.
        """
        value = self._config.get(name)
        if not _is_whole(value, smallest, LARGEST.get(name, DEFAULT_LARGEST)):
            raise self.refuse(name, f"a whole number from {_limits(name, smallest)}")
        return value

    def integer_or(self, name: str, default: int, *, smallest: int = 1) -> int:
        """Return a whole number, or the default where the field is missing or null."""
        return self.integer(name, smallest=smallest) if self.has(name) else default

    def integers(self, name: str, *, smallest: int = 0) -> tuple[int, ...]:
        """Return a list of whole numbers within plausible limits, as a tuple.

        Raises:
            UnsupportedModelError: it is missing, no list, too long, or an entry is no such number; the remedy is to
                correct the field.
        """
        value = self._config.get(name)
        largest = LARGEST.get(name, DEFAULT_LARGEST)
        if not isinstance(value, list) or len(value) > LARGEST["num_hidden_layers"]:
            raise self.refuse(name, "a list of whole numbers")
        if not all(_is_whole(entry, smallest, largest) for entry in value):
            raise self.refuse(name, f"a list of whole numbers from {_limits(name, smallest)}")
        return tuple(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return true or false, or the default where the field is missing or null."""
        value = self._config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false")
        return value

    def text(self, name: str, default: str) -> str:
        """Return a string, or the default where the field is missing or null."""
        value = self._config.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.refuse(name, "a string")
        return value

    def required_null_or_integer(self, name: str, *, smallest: int = 1) -> int | None:
        """Return a whole number, or None where the field says null; a missing field is refused.

        It serves fields whose class default is not null, so that leaving them out would mean something else.
        """
        if name not in self._config:
            raise self.refuse(name, "a whole number, or null when the model has none")
        return self.integer(name, smallest=smallest) if self.has(name) else None

    def mapping(self, name: str) -> Mapping[str, object] | None:
        """Return a nested object, or None where the field is missing or null."""
        value = self._config.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.refuse(name, "an object")
        return value

    def nested(self, name: str) -> ConfigFields | None:
        """Return typed access to a nested object, or None where the field is missing or null."""
        value = self.mapping(name)
        return None if value is None else ConfigFields(value, f"{self._path}{name}.")

    def required_object(self, name: str) -> ConfigFields:
        """Return typed access to a nested object; a missing one is refused."""
        found = self.nested(name)
        if found is None:
            raise self.refuse(name, "an object")
        return found

    def nested_objects(self, name: str) -> list[ConfigFields]:
        """Return the objects that a nested object holds, in its order."""
        groups = self.required_object(name)
        return [groups.required_object(key) for key in self.mapping(name) or ()]

    def sequence(self, name: str) -> tuple[object, ...]:
        """Return a list; empty where the field is missing or null."""
        value = self._config.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.refuse(name, "a list")
        return tuple(value)

    def pair(self, name: str, largest: int = DEFAULT_LARGEST) -> tuple[int, int]:
        """Return two whole numbers from 1 to ``largest``, such as the sides of a block."""
        value = self._config.get(name)
        if (
            not isinstance(value, list)
            or len(value) != 2
            or any(not isinstance(side, int) or isinstance(side, bool) for side in value)
            or not all(1 <= side <= largest for side in value)
        ):
            raise self.refuse(name, f"two whole numbers from 1 to {largest:,}, such as [128, 128]")
        return value[0], value[1]

    def choice(self, name: str, allowed: tuple[int, ...], default: int | None = None) -> int:
        """Return a whole number that is one of those allowed, or the default where the field is missing or null."""
        value = self._config.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise self.refuse(
                name, f"{', '.join(map(str, allowed[:-1]))} or {allowed[-1]}" if allowed[1:] else str(allowed[0])
            )
        return value

    def word(self, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """Return a text that is one of those allowed, or the default where the field is missing or null."""
        value = self._config.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value not in allowed:
            raise self.refuse(name, " or ".join(allowed))
        return value

    def single_text_of_list(self, name: str) -> str:
        """Return the only string of a list field such as ``architectures``."""
        value = self._config.get(name)
        if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
            raise self.refuse(name, "a list with one class name, such as LlamaForCausalLM")
        return value[0]

    def must_be_off(self, name: str) -> None:
        """Refuse a model that switches on something that is not planned for."""
        if self.boolean(name, default=False):
            raise self.refuse(name, "false, because the other case is not covered")


def _is_whole(value: object, smallest: int, largest: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest


def _limits(name: str, smallest: int) -> str:
    return f"{smallest:,} to {LARGEST.get(name, DEFAULT_LARGEST):,}"


def _described(value: object) -> str:
    """Return a value as ``config.json`` would write it, or only its kind when it is a container."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(shortened(value))
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a number of more than 18 digits"
    if isinstance(value, float):
        return str(value)
    return f"a {type(value).__name__}"
