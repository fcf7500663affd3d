"""The fit that is shipped with the package: weights of the roofline's terms, corrections, and 90 % bands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from deepseek_operator.performance.effects import EffectBlock, ModelSignature, correction_of, slopes
from deepseek_operator.performance.prediction import PredictionSource

DEEPSEEK = "DeepSeek"
"""How the labels of DeepSeek's own measured models begin."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LatencyFit:
    """One latency; equal to itself alone.

    Args:
        weights: per term of ``features.py``; near 1 means that the GPU runs at the data sheet's limit.
        effects: corrections beside the roofline.
        band_percent: half width of the 90 % band by source, from predictions of groups that the fit had not seen.
    """

    weights: Mapping[str, float]
    effects: tuple[EffectBlock, ...]
    band_percent: Mapping[PredictionSource, int]

    def factor(self, levels: Mapping[str, str], covariates: Mapping[str, float]) -> float:
        """Return the factor on the roofline's latency, as `effects.correction` with its effects."""
        return correction_of(_slopes(self, tuple(levels.items())), covariates)


@lru_cache(maxsize=4096)
def _slopes(fit: LatencyFit, levels: tuple[tuple[str, str], ...]) -> Mapping[str, float]:
    """Points differ in their load far more often than in what they run on."""
    return slopes(fit.effects, dict(levels))


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """The whole fit.

    Args:
        models: labels of the measured models.
        measured: (model, GPU, engine) of which points were measured.
    """

    tpot: LatencyFit
    ttft: LatencyFit
    models: Mapping[ModelSignature, str]
    measured: frozenset[tuple[str, str, str]]

    def source(self, levels: Mapping[str, str]) -> PredictionSource:
        """Return how near the measurements a point is.

        Measured: the same DeepSeek model, GPU and engine; another maker's model of the same shape is not the same.
        Transferred: the shape or the GPU was measured with that engine.
        """
        model, gpu, engine = levels["model"], levels["gpu"], levels["engine"]
        if (model, gpu, engine) in self.measured and model.startswith(DEEPSEEK):
            return PredictionSource.MEASURED
        if any(other == engine and (model == name or gpu == product) for name, product, other in self.measured):
            return PredictionSource.TRANSFERRED
        return PredictionSource.ROOFLINE


@cache
def coefficients() -> Coefficients:
    """Return the fit that is shipped with the package (``coefficients.json``, by ``hack/fit_roofline.py``)."""
    text = resources.files(__package__).joinpath("coefficients.json").read_text(encoding="utf-8")
    return coefficients_from_json(json.loads(text))


def coefficients_from_json(data: Mapping[str, Any]) -> Coefficients:
    """Return the fit from its file form."""
    return Coefficients(
        tpot=_latency(data["tpot"]),
        ttft=_latency(data["ttft"]),
        models={tuple(each["signature"]): each["label"] for each in data["models"]},
        measured=frozenset((model, gpu, engine) for model, gpu, engine in data["measured"]),
    )


def _latency(data: Mapping[str, Any]) -> LatencyFit:
    return LatencyFit(
        weights=data["weights"],
        effects=tuple(
            EffectBlock(
                factors=tuple(block["factors"]),
                covariates=tuple(block["covariates"]),
                values={level: tuple(values) for level, values in block["values"].items()},
            )
            for block in data["effects"]
        ),
        band_percent={PredictionSource(source): percent for source, percent in data["band_percent"].items()},
    )
