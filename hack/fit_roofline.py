"""Fit performance/ on measured serving points, print the errors, and write coefficients.json.

    python hack/fit_roofline.py [serving_measurements.csv]

Errors are those of points whose group (model, engine, GPU, precision and split), GPU, engine or model the fit has not
seen; the 90 % bands that the package states are taken from them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from roofline_fit import Data, Matrix, band_percent, data_of, file_form, fit, unseen
from serving_points import serving_points

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests/accuracy/data/serving_measurements.csv"
OUTPUT = ROOT / "operator/deepseek_operator/performance/coefficients.json"

Speeds = tuple[Matrix, Matrix]


def main(path: Path) -> None:
    """Fit, print and write."""
    points, left_out = serving_points(path)
    for row, reason in left_out:
        print(f"row {row} is left out: {reason}")
    data = data_of(points)
    groups = report("unseen configuration", data, unseen(data, data.groups(lambda each: each.group)))
    products = report("unseen GPU", data, unseen(data, data.groups(lambda each: each.point.gpu.id)))
    report("unseen engine", data, unseen(data, data.groups(lambda each: each.point.engine)))
    models = report("unseen model", data, unseen(data, data.groups(lambda each: each.model.label)))
    sources = {"Measured": [groups], "Transferred": [products], "Roofline": [products, models]}
    bands = {
        latency: {source: max(band_percent(speeds[index], truth) for speeds in of) for source, of in sources.items()}
        for index, (latency, truth) in enumerate((("tpot", data.tpot), ("ttft", data.ttft)))
    }
    print(f"90 % bands: {bands}")
    content = file_form(data, fit(data, np.ones(len(points), dtype=bool)), bands)
    OUTPUT.write_text(json.dumps(content, indent=1) + "\n")


def report(title: str, data: Data, speeds: Speeds) -> Speeds:
    """Print the errors of predictions and return them."""
    for latency, predicted, truth in (("TPOT", speeds[0], data.tpot), ("TTFT", speeds[1], data.ttft)):
        errors = 100 * np.abs(predicted / truth - 1)
        print(
            f"{title}: {latency} of {len(errors)} points: mean {errors.mean():.1f} %, "
            f"median {np.median(errors):.1f} %, 90 % below {np.quantile(errors, 0.9):.0f} %"
        )
    return speeds


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
