"""Fit the overheads by engine release on recorded start-ups, print what the fit misses, and write them as package data.

    python hack/fit_overheads.py            # prints only
    python hack/fit_overheads.py --write

Reads ``tests/accuracy/data`` and rewrites the fitted figures and the bands in ``catalog/data/engine_overheads.json``.
Figures are medians over campaigns (independent series of runs); bands are the smallest shares that contain 90 % of the
rows and of the campaigns when the row's own campaign is left out. A release without start-ups of its own gets the band
that contains 90 % of the changes from one known release to the next.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "tests")]

from accuracy.overhead_fit import (  # noqa: E402 - the tests hold the recorded start-ups and are no installed package
    DATA_FILE,
    Miss,
    campaign_misses,
    covered_share,
    fitted,
    half_width,
    observations,
    release_misses,
    with_bands,
)

OUTPUT = ROOT / "operator/deepseek_operator/catalog/data" / DATA_FILE
GIB = 2**30
QUANTITIES = ("activations", "non_torch", "cuda_graphs", "total")


def main() -> None:
    """Fit, print and, when asked to, write."""
    data = with_bands(fitted(observations()))
    for name in ("sampler_bytes_per_logit", "non_torch_mib_by_tensor", "cuda_graphs", "bands"):
        print(f"{name}: {json.dumps(data[name])}")
    for title, misses in (
        ("own campaign left out", campaign_misses(data)),
        ("own release left out", release_misses(data)),
    ):
        print(f"\n{title}: logged / computed GiB, * outside the band")
        for miss in misses:
            kind = "measured" if miss.is_measured else "stand_in"
            cells = " ".join(_cell(miss, quantity, data["bands"][kind]) for quantity in QUANTITIES)
            print(f"{miss.row.id:5} {miss.unit[:24]:24} {miss.row.release:8} {miss.row.split!s:9} {kind:8} {cells}")
        for kind in ("measured", "stand_in"):
            of_kind = [miss for miss in misses if miss.is_measured == (kind == "measured")]
            for quantity in QUANTITIES:
                if any(miss.logged.of(quantity) is not None for miss in of_kind):
                    share = covered_share(of_kind, data["bands"][kind], quantity)
                    print(f"  {kind}, {quantity}: {share:.0%} inside")
    if "--write" in sys.argv[1:]:
        OUTPUT.write_text(json.dumps(data, indent=2) + "\n")


def _cell(miss: Miss, quantity: str, bands: dict[str, dict[str, int]]) -> str:
    truth, value = miss.logged.of(quantity), miss.computed.of(quantity)
    if truth is None or value is None:
        return f"{'-':>14}"
    mark = "*" if abs(truth - value) > half_width(miss, bands, quantity) else " "
    return f"{truth / GIB:6.2f}/{value / GIB:6.2f}{mark}"


if __name__ == "__main__":
    main()
