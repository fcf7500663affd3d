"""Predicted against measured speed, each point by a fit that saw nothing of its group. Tables: ``pytest -s``."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import pytest
from numpy.typing import NDArray
from roofline_fit import Data, Matrix, data_of, fit, predictions, unseen
from serving_points import MeasuredPoint, serving_points

from accuracy.recorded_startups import DATA
from deepseek_operator.performance.coefficients import coefficients
from deepseek_operator.performance.prediction import PredictionSource
from deepseek_operator.performance.roofline import predict_seconds

pytestmark = pytest.mark.timeout(900)

Key = Callable[[MeasuredPoint], Hashable]
NO_LOAD = {334, 545, 679, 734, 1341}
FASTER_THAN_THE_MEMORY = {276, 403, 405, 702}


@pytest.fixture(scope="module")
def data() -> Data:
    return data_of(serving_points(DATA / "serving_measurements.csv")[0])


@pytest.fixture(scope="module")
def unseen_configurations(data: Data) -> tuple[Matrix, Matrix]:
    """Speeds by fits without the point's model, engine, GPU, precision and split together."""
    return unseen(data, data.groups(lambda each: each.group))


@pytest.fixture(scope="module")
def unseen_products(data: Data) -> tuple[Matrix, Matrix]:
    """Speeds by fits without the point's GPU product."""
    return unseen(data, data.groups(product))


def product(each: MeasuredPoint) -> str:
    return each.point.gpu.id


def model_and_engine(each: MeasuredPoint) -> str:
    return f"{each.model.label} {each.point.engine}"


def errors_percent(predicted: Matrix, measured: Matrix) -> Matrix:
    return 100 * np.abs(predicted / measured - 1)


def of_deepseek(data: Data) -> NDArray[np.bool_]:
    return np.array([each.model.label == "DeepSeek-V3" for each in data.points])


def means(data: Data, errors: Matrix, key: Key) -> dict[Hashable, float]:
    masks = data.groups(key)
    return {key(data.points[int(np.argmax(mask))]): float(errors[mask].mean()) for mask in masks}


def table(title: str, found: dict[Hashable, float]) -> str:
    rows = "\n".join(f"  {name!s:<42} {error:5.1f} %" for name, error in found.items())
    return f"\n{title}\n{rows}"


def test_every_row_is_used_or_left_out_for_a_reason():
    points, left_out = serving_points(DATA / "serving_measurements.csv")
    assert {row for row, reason in left_out if "not stated" in reason} == NO_LOAD
    assert {row for row, reason in left_out if "full bandwidth" in reason} == FASTER_THAN_THE_MEMORY
    assert len(points) + len(left_out) == 1659


def test_time_per_output_token(
    data: Data, unseen_configurations: tuple[Matrix, Matrix], capsys: pytest.CaptureFixture[str]
):
    errors = errors_percent(unseen_configurations[0], data.tpot)
    with capsys.disabled():
        print(
            f"\nTPOT of {len(errors)} points in unseen configurations: mean {errors.mean():.1f} %, "
            f"median {np.median(errors):.1f} %, DeepSeek {errors[of_deepseek(data)].mean():.1f} %"
        )
        print(
            table(
                "mean TPOT error by model and engine",
                means(data, errors, model_and_engine),
            )
        )
        print(table("mean TPOT error by GPU", means(data, errors, product)))
    assert errors.mean() < 15
    assert errors[of_deepseek(data)].mean() < 18


def test_time_to_the_first_token(
    data: Data, unseen_configurations: tuple[Matrix, Matrix], capsys: pytest.CaptureFixture[str]
):
    errors = errors_percent(unseen_configurations[1], data.ttft)
    with capsys.disabled():
        print(f"\nTTFT in unseen configurations: mean {errors.mean():.1f} %, median {np.median(errors):.1f} %")
        print(
            table(
                "mean TTFT error by model and engine",
                means(data, errors, model_and_engine),
            )
        )
    assert errors.mean() < 35


def test_a_gpu_that_the_fit_never_saw(
    data: Data, unseen_products: tuple[Matrix, Matrix], capsys: pytest.CaptureFixture[str]
):
    found = means(data, errors_percent(unseen_products[0], data.tpot), product)
    with capsys.disabled():
        print(table("mean TPOT error of a GPU that the fit never saw", found))
    assert np.mean(list(found.values())) < 21


def test_an_engine_that_the_fit_never_saw(data: Data, capsys: pytest.CaptureFixture[str]):
    speeds = unseen(data, data.groups(lambda each: each.point.engine))
    with capsys.disabled():
        for name, predicted, truth in (("TPOT", speeds[0], data.tpot), ("TTFT", speeds[1], data.ttft)):
            found = means(data, errors_percent(predicted, truth), lambda each: each.point.engine)
            print(table(f"mean {name} error of an engine that the fit never saw", found))
    assert np.isfinite(speeds[0]).all()


def test_bands_contain_nine_of_ten(
    data: Data, unseen_configurations: tuple[Matrix, Matrix], unseen_products: tuple[Matrix, Matrix]
):
    """Of what was predicted, the measured value lies within the stated percent of the prediction."""
    found = coefficients()
    for source, speeds in (
        (PredictionSource.MEASURED, unseen_configurations),
        (PredictionSource.TRANSFERRED, unseen_products),
    ):
        for index, (latency, truth) in enumerate(((found.tpot, data.tpot), (found.ttft, data.ttft))):
            inside = np.abs(truth / speeds[index] - 1) <= latency.band_percent[source] / 100
            assert inside.mean() >= 0.9


def test_the_shipped_coefficients_are_the_fit_on_all_points(data: Data):
    """And the package predicts with them what the fit does, where a model's layers all read the whole context."""
    tpot, ttft = predictions(data, fit(data, np.ones(len(data.points), dtype=bool)))
    for index in range(0, len(data.points), 25):
        measured = data.points[index]
        if measured.model.cached_share == 1.0:
            shipped = predict_seconds(measured.point, coefficients())
            assert shipped is not None
            assert shipped[:2] == pytest.approx((ttft[index], tpot[index]), rel=0.02)
