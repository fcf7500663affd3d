"""The whole exception tree. Every error that a user can cause is one of these and carries one sentence.

::

    DeepSeekOperatorError
    ├── InvalidSpecError          the DeepSeekDeployment says something that cannot be obeyed
    ├── QuantityError             a Kubernetes quantity cannot be read
    ├── CatalogError              a fact is asked for that the catalogue does not hold
    │   ├── UnknownModelError
    │   ├── UnknownGpuError
    │   ├── UnknownQuantizationError
    │   ├── UnknownEngineReleaseError
    │   └── UnknownOptimizerError
    ├── UnsupportedModelError     a model config names an architecture or field that is not covered
    ├── UnsupportedKvCacheError   an engine cannot keep a KV cache in that way
    ├── InventoryError            a cluster snapshot cannot be read
    ├── EngineMetricsError        the metrics page of an engine cannot be had or read
    ├── PrometheusError           Prometheus does not answer, refuses, or answers something else
    ├── SimulationError           a request trace or a scaling policy cannot be read
    ├── SandboxError              the local control plane cannot be built, started or stopped
    └── ClusterError              the Kubernetes API refused or did not answer
        ├── NotFoundError
        ├── ConflictError
        ├── ExpiredError
        ├── ForbiddenError
        └── InvalidObjectError

"Does not fit" is no exception: the planner returns ``Infeasible``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DeepSeekOperatorError(Exception):
    """Base of every error of this package; its text is one sentence for people."""


class InvalidSpecError(DeepSeekOperatorError):
    """A field of the custom resource cannot be obeyed; the remedy is to edit the object.

    Args:
        field: path of the field, such as ``spec.parallelism.tensor``; empty when no single field is at fault.
        message: what is wrong and what to write instead.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class QuantityError(DeepSeekOperatorError):
    """A Kubernetes quantity cannot be read; the remedy is to write one such as ``80Gi`` or ``500m``."""


class CatalogError(DeepSeekOperatorError):
    """A name is not in the catalogue.

    Args:
        kind: what was looked up, such as ``model``.
        name: the name as the caller wrote it.
        known: names that exist; the nearest ones are offered in the message.
        remedy: what else the caller can do, as a clause.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str] = (), remedy: str = "") -> None:
        near = near_matches(name, known)
        message = f"unknown {kind} {shortened(name)!r}"
        if near:
            message += f"; did you mean {' or '.join(near)}?"
        if remedy:
            message += f"{'' if near else ';'} {remedy}"
        super().__init__(message)
        self.name = name
        self.near = near


class UnknownModelError(CatalogError):
    """No such model; the remedy is a catalogue name or ``spec.model.config``."""


class UnknownGpuError(CatalogError):
    """No such GPU product; the remedy is an id of ``catalog gpus``."""


class UnknownMigProfileError(CatalogError):
    """The GPU product has no such slice; the remedy is one of the profiles that the text names."""


class UnknownQuantizationError(CatalogError):
    """No such quantization; the remedy is a name of the quantization table."""


class UnknownEngineReleaseError(CatalogError):
    """No such engine release."""


class UnknownOptimizerError(CatalogError):
    """No such optimizer; the remedy is a name of the optimizer table."""


class UnsupportedModelError(DeepSeekOperatorError):
    """A model config cannot be planned; the text names the architecture or the field."""


class UnsupportedKvCacheError(DeepSeekOperatorError):
    """A data type or split that the KV cache of a model cannot have; the text says what can be used instead."""


class InventoryError(DeepSeekOperatorError):
    """A cluster snapshot cannot be read; the text names the file or object and what to run instead."""


class EngineMetricsError(DeepSeekOperatorError):
    """The metrics page of an engine cannot be had or read; the text says why. What runs is not touched by it."""


class PrometheusError(DeepSeekOperatorError):
    """Prometheus cannot be asked or refuses a query; the text names its host and never a token. Nothing moves."""


class SimulationError(DeepSeekOperatorError):
    """A request trace or the name of a scaling policy cannot be read; the remedy is in the text."""


class SandboxError(DeepSeekOperatorError):
    """The local control plane cannot be built, started or stopped."""


class ClusterError(DeepSeekOperatorError):
    """The Kubernetes API refused a call or did not answer; retried by the loop with back-off."""


class NotFoundError(ClusterError):
    """The object or its kind does not exist."""


class ConflictError(ClusterError):
    """Another writer owns the field or changed the object first."""


class ExpiredError(ClusterError):
    """The version to go on from is too old; the remedy is to list again."""


class InvalidObjectError(ClusterError):
    """The object breaks a rule of its kind, alone or together with fields that others wrote into it."""


class ForbiddenError(ClusterError):
    """The operator's service account may not do this; the text names verb and resource."""


MAX_ECHO_CHARACTERS = 80
"""How much of a user's own text a message repeats (keeps conditions and log lines short)."""


def shortened(text: str) -> str:
    """Return the text, cut so that a message never repeats an arbitrarily long input.

    >>> shortened("abc")
    'abc'
    >>> len(shortened("x" * 10_000))
    80
    """
    return text if len(text) <= MAX_ECHO_CHARACTERS else text[: MAX_ECHO_CHARACTERS - 1] + "…"


def near_matches(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return the known names closest to a wrong one, best first, at most ``limit``.

    Comparison ignores case and any ``owner/`` prefix, because that is how people mistype model names.

    >>> near_matches("h100-sxm", ["h100-sxm5-80gb", "a100-sxm4-80gb", "t4"])
    ['h100-sxm5-80gb', 'a100-sxm4-80gb']
    """
    by_key = {candidate.rsplit("/", 1)[-1].lower(): candidate for candidate in sorted(set(known))}
    keys = get_close_matches(shortened(name).rsplit("/", 1)[-1].lower(), list(by_key), n=limit, cutoff=0.6)
    return [by_key[key] for key in keys]
