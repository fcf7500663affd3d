"""The fit of performance/: weights of the roofline's terms, corrections beside it, and predictions of unseen groups.

Weights are non-negative and minimise a robust loss of the logarithm of predicted over measured; corrections are then
fitted to what is left by ridge regression, so that a level that few points speak for stays near 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls
from serving_points import MeasuredPoint, measured_models

from deepseek_operator.performance.coefficients import Coefficients, coefficients_from_json
from deepseek_operator.performance.effects import covariates_of, factors_of, signature
from deepseek_operator.performance.features import (
    TPOT_TERMS,
    TTFT_TERMS,
    prefill_of,
    tpot_terms,
    ttft_terms,
)

Matrix = NDArray[np.float64]

SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-3, 1e3
"""Bounds of a term's weight; terms are seconds at the limit of the data sheet, or a microsecond per layer."""

BAND = 0.9
"""Share of the points that a band should contain."""

Block = tuple[tuple[str, ...], tuple[str, ...], float]
"""Factors, covariates, and how strongly a level is pulled to 1, in points."""

SLOPE_PENALTY = 2.0
"""A slope is pulled to 0 so many times as strongly as a level to 1."""

TPOT_BLOCKS: tuple[Block, ...] = (
    (("engine",), ("one",), 30),
    (("family",), ("one",), 30),
    (("gpu",), ("one",), 50),
    (("precision", "family"), ("one",), 30),
    (("engine", "family"), ("one", "tensor"), 30),
    (("release",), ("one", "load"), 30),
    (("release", "family"), ("one", "load"), 30),
    (("release", "model"), ("one", "load"), 20),
    (("release", "model", "gpu"), ("one", "load"), 20),
    (("model",), ("one", "tensor"), 30),
    (("model", "engine"), ("one", "tensor"), 30),
    (("model", "gpu"), ("one",), 30),
    (("gpu", "engine"), ("one",), 50),
    (("data_parallel", "engine"), ("one",), 50),
    (("expert_parallel", "engine"), ("one",), 50),
    (("model", "precision"), ("one",), 30),
    (("release", "model", "gpu", "precision"), ("one", "load"), 20),
)
TTFT_BLOCKS: tuple[Block, ...] = (
    (("engine",), ("one",), 9),
    (("engine", "family"), ("one",), 9),
    (("release",), ("one", "load", "prompt"), 9),
    (("release", "family"), ("one", "load", "prompt"), 9),
    (("release", "model"), ("one", "load", "prompt"), 6),
    (("release", "model", "gpu"), ("one", "load"), 6),
    (("gpu",), ("one",), 15),
    (("model",), ("one", "tensor"), 9),
    (("model", "engine"), ("one", "tensor"), 9),
    (("gpu", "engine"), ("one",), 15),
    (("data_parallel", "engine"), ("one",), 9),
    (("expert_parallel", "engine"), ("one",), 15),
    (("release", "model", "gpu", "precision"), ("one", "load"), 6),
)


@dataclass(frozen=True, kw_only=True)
class Data:
    """The points with everything about them that does not depend on a fit."""

    points: tuple[MeasuredPoint, ...]
    levels: tuple[dict[str, str], ...]
    tpot_terms: Matrix
    ttft_terms_without_step: Matrix
    tpot_design: Matrix
    ttft_design: Matrix
    tpot: Matrix
    ttft: Matrix

    def groups(self, key: Callable[[MeasuredPoint], Hashable]) -> list[NDArray[np.bool_]]:
        """Return a mask for each value of a key, in order of first appearance."""
        keys = [key(each) for each in self.points]
        return [np.array([each == value for each in keys]) for value in dict.fromkeys(keys)]

    def ttft_terms(self, tpot: Matrix) -> Matrix:
        """Return the terms of the first token, which contain a decode step of that many seconds."""
        terms = self.ttft_terms_without_step.copy()
        terms[:, TTFT_TERMS.index("decode_step")] = tpot
        return terms


def data_of(points: Sequence[MeasuredPoint]) -> Data:
    """Return the points with their terms, levels and covariates."""
    models = {signature(each.shape): each.label for each in measured_models().values()}
    rows = [tpot_terms(each.point, prefill_of(each.point)) for each in points]
    first = [ttft_terms(each.point, prefill_of(each.point), 0.0) for each in points]
    levels = tuple(factors_of(each.point, models) for each in points)
    covariates = tuple(covariates_of(each.point) for each in points)
    return Data(
        points=tuple(points),
        levels=levels,
        tpot_design=_design(levels, covariates, TPOT_BLOCKS),
        ttft_design=_design(levels, covariates, TTFT_BLOCKS),
        tpot_terms=_with_cached_share(points, rows, TPOT_TERMS),
        ttft_terms_without_step=_with_cached_share(points, first, TTFT_TERMS),
        tpot=np.array([each.tpot_seconds for each in points]),
        ttft=np.array([each.ttft_seconds for each in points]),
    )


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One fitted latency: weights of the terms, and one correction per column of the design."""

    weights: Matrix
    corrections: Matrix


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Both latencies."""

    tpot: Latency
    ttft: Latency


def fit(data: Data, seen: NDArray[np.bool_], start: Fit | None = None) -> Fit:
    """Return the fit on the points of a mask; ``start`` is a fit to begin from, which only saves time."""
    tpot_weights = _weights(data.tpot_terms[seen], data.tpot[seen], 0.2, start.tpot.weights if start else None)
    roofline = data.tpot_terms @ tpot_weights
    terms = data.ttft_terms(roofline)
    ttft_weights = _weights(terms[seen], data.ttft[seen], 0.4, start.ttft.weights if start else None)
    return Fit(
        tpot=Latency(
            weights=tpot_weights,
            corrections=_corrections(data, TPOT_BLOCKS, data.tpot_design[seen], (data.tpot / roofline)[seen]),
        ),
        ttft=Latency(
            weights=ttft_weights,
            corrections=_corrections(
                data, TTFT_BLOCKS, data.ttft_design[seen], (data.ttft / (terms @ ttft_weights))[seen]
            ),
        ),
    )


def predictions(data: Data, fitted: Fit) -> tuple[Matrix, Matrix]:
    """Return TPOT and TTFT in seconds of every point."""
    roofline = data.tpot_terms @ fitted.tpot.weights
    first = data.ttft_terms(roofline) @ fitted.ttft.weights
    tpot = roofline * np.exp(data.tpot_design @ fitted.tpot.corrections)
    return tpot, first * np.exp(data.ttft_design @ fitted.ttft.corrections)


def unseen(data: Data, groups: Sequence[NDArray[np.bool_]]) -> tuple[Matrix, Matrix]:
    """Return TPOT and TTFT of every point as predicted by a fit that saw no point of its group."""
    start = fit(data, np.ones(len(data.points), dtype=bool))
    tpot, ttft = np.full(len(data.points), math.nan), np.full(len(data.points), math.nan)
    for group in groups:
        found = predictions(data, fit(data, ~group, start))
        tpot[group], ttft[group] = found[0][group], found[1][group]
    return tpot, ttft


def band_percent(predicted: Matrix, measured: Matrix) -> int:
    """Return the half width in percent of the predicted value that contains the measured one in 90 % of the points."""
    return math.ceil(100 * float(np.quantile(np.abs(measured / predicted - 1), BAND)))


def file_form(data: Data, fitted: Fit, bands: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return ``coefficients.json``.

    Args:
        data: the points of the fit.
        fitted: the fit on all of them.
        bands: half widths by latency (``tpot``, ``ttft``) and source.
    """
    labels = {signature(each.shape): each.label for each in measured_models().values()}
    return {
        "source": "InferenceX runs as collected in aiconfigurator-core 0.12.0 (Apache-2.0)",
        "fitted_by": "hack/fit_roofline.py",
        "points": len(data.points),
        "models": [{"signature": list(key), "label": label} for key, label in labels.items()],
        "measured": sorted({(each["model"], each["gpu"], each["engine"]) for each in data.levels}),
        "tpot": _latency_form(data, TPOT_TERMS, TPOT_BLOCKS, fitted.tpot, bands["tpot"]),
        "ttft": _latency_form(data, TTFT_TERMS, TTFT_BLOCKS, fitted.ttft, bands["ttft"]),
    }


def as_coefficients(content: Mapping[str, Any]) -> Coefficients:
    """Return a fit's file form as the package reads it."""
    return coefficients_from_json(json.loads(json.dumps(content)))


def _with_cached_share(
    points: Sequence[MeasuredPoint], rows: Sequence[Mapping[str, float]], names: Sequence[str]
) -> Matrix:
    """Return terms as a matrix; attention over prompts counts only the layers that read the whole context."""
    return np.array(
        [
            [row[name] * (each.model.cached_share if name.endswith("attention") else 1.0) for name in names]
            for each, row in zip(points, rows, strict=True)
        ]
    )


def _weights(terms: Matrix, measured: Matrix, scale: float, start: Matrix | None) -> Matrix:
    """Return non-negative weights by a robust loss of log(predicted / measured); ``scale`` is where outliers begin."""
    first = nnls(terms / measured[:, None], np.ones(len(measured)))[0] if start is None else start
    first = np.clip(first, 2 * SMALLEST_WEIGHT, LARGEST_WEIGHT / 2)

    def residuals(logs: Matrix) -> Matrix:
        return np.log(terms @ np.exp(logs) / measured)

    def slopes(logs: Matrix) -> Matrix:
        parts = terms * np.exp(logs)
        return parts / parts.sum(axis=1, keepdims=True)

    bounds = (math.log(SMALLEST_WEIGHT), math.log(LARGEST_WEIGHT))
    found = least_squares(
        residuals, np.log(first), slopes, loss="soft_l1", f_scale=scale, bounds=bounds, ftol=1e-6, xtol=1e-5
    )
    return np.exp(found.x)


def _corrections(data: Data, blocks: Sequence[Block], design: Matrix, ratios: Matrix) -> Matrix:
    """Return the corrections that explain measured over roofline; 0 for a level that none of the points has."""
    columns = _columns(data.levels, blocks)
    pull = np.array([blocks[block][2] * (1.0 if name == "one" else SLOPE_PENALTY) for block, _, name in columns])
    left, share = np.log(ratios), np.ones(len(ratios))
    corrections = np.zeros(len(columns))
    for _ in range(4):  # outliers count less in each round
        weighted = design * share[:, None]
        corrections = np.linalg.solve(weighted.T @ design + np.diag(pull), weighted.T @ left)
        share = 1 / np.sqrt(1 + ((left - design @ corrections) / 0.25) ** 2)
    return corrections


def _columns(levels: Sequence[Mapping[str, str]], blocks: Sequence[Block]) -> list[tuple[int, str, str]]:
    """Return (block, level, covariate) of each column."""
    found = []
    for block, (factors, covariates, _) in enumerate(blocks):
        for level in sorted({_level(each, factors) for each in levels}):
            found += [(block, level, name) for name in covariates]
    return found


def _design(
    levels: Sequence[Mapping[str, str]], covariates: Sequence[Mapping[str, float]], blocks: Sequence[Block]
) -> Matrix:
    columns = _columns(levels, blocks)
    position = {column: index for index, column in enumerate(columns)}
    design = np.zeros((len(levels), len(columns)))
    for row, (each, numbers) in enumerate(zip(levels, covariates, strict=True)):
        for block, (factors, names, _) in enumerate(blocks):
            for name in names:
                design[row, position[block, _level(each, factors), name]] = numbers[name]
    return design


def _level(levels: Mapping[str, str], factors: Sequence[str]) -> str:
    return "|".join(levels[name] for name in factors)


def _latency_form(
    data: Data, terms: Sequence[str], blocks: Sequence[Block], fitted: Latency, bands: Mapping[str, int]
) -> dict[str, Any]:
    values: list[dict[str, list[float]]] = [{} for _ in blocks]
    for (block, level, _), value in zip(_columns(data.levels, blocks), fitted.corrections, strict=True):
        values[block].setdefault(level, []).append(round(float(value), 4))
    return {
        "weights": {name: float(f"{weight:.5g}") for name, weight in zip(terms, fitted.weights, strict=True)},
        "band_percent": dict(bands),
        "effects": [
            {"factors": list(factors), "covariates": list(covariates), "values": level_values}
            for (factors, covariates, _), level_values in zip(blocks, values, strict=True)
        ],
    }
