"""Fit of the overheads by release on recorded start-ups, and what each row misses when its own campaign is left out."""

from __future__ import annotations

import copy
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from accuracy.recorded_startups import GIB, RecordedStartup, overhead_totals, recorded_startups
from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.memory.overhead import Activations, activations, cuda_graph_bytes
from deepseek_operator.memory.release_overheads import ReleaseOverheads, overheads_of
from deepseek_operator.memory.stages import Stage, stages
from deepseek_operator.units import MIB

DATA_FILE = "engine_overheads.json"

GRAPH_ROUNDING = 0.005
"""A change of the graphs' scale below this is the rounding of the stored figures."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Overheads of a rank in bytes, logged or computed; None where not known.

    ``total`` is what the budget loses beside weights and KV cache.
    """

    activations: float | None
    non_torch: float | None
    cuda_graphs: float | None
    total: float | None

    def of(self, quantity: str) -> float | None:
        value: float | None = getattr(self, quantity)
        return value


def observations() -> tuple[RecordedStartup, ...]:
    """Return every row that tells something about overheads."""
    return tuple(row for row in recorded_startups() if row.uses & {"full", "parts"}) + overhead_totals()


_ESTIMATE = re.compile(r"CUDA graph estimate ([0-9.]+) GiB")


def estimated_graphs(row: RecordedStartup) -> float | None:
    """Return the engine's own estimate of its graphs, which releases since 0.21 subtract; None where not logged."""
    found = _ESTIMATE.search(row.cells.get("notes", ""))
    return None if found is None else float(found[1]) * GIB


def logged(row: RecordedStartup) -> Parts:
    """Return what the log says of the rank that it prints."""

    def of(column: str) -> float | None:
        value = row.gib(column)
        return None if value is None else value * GIB

    total = row.logged_overhead_gib
    return Parts(
        activations=of("activation_peak_gib"),
        non_torch=of("non_torch_gib"),
        cuda_graphs=of("cuda_graph_gib"),
        total=None if total is None else total * GIB,
    )


def computed(row: RecordedStartup, data: Mapping[str, Any]) -> Parts:
    """Return the same rank's overheads by the law, with the figures of ``data``."""
    release = overheads_of(data, row.release)
    peaks = _peaks(row, release)
    non_torch = release.non_torch_bytes(row.split.tensor)
    graphs = cuda_graph_bytes(_stage(row), row.settings, release)
    total = peaks.total_bytes + non_torch + (graphs if release.cuda_graphs_inside_budget else 0)
    return Parts(activations=peaks.total_bytes, non_torch=non_torch, cuda_graphs=graphs, total=total)


def fitted(rows: Iterable[RecordedStartup], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the data with the figures that are fitted replaced by medians over the rows; the rest stays.

    A figure that no row tells of keeps the next larger split's, then that of the other group.
    """
    data: dict[str, Any] = copy.deepcopy(dict(read_json(DATA_FILE) if base is None else base))
    rows = list(rows)
    _fit_sampler(data, rows)
    _fit_non_torch(data, rows)
    _fit_graphs(data, rows)
    return data


def without(campaign: str, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the data as it would be had a campaign never been recorded.

    Releases that only this campaign shows vanish, so that the next older one stands in; what was read off it
    about workspaces falls back to the cautious answer.
    """
    data: dict[str, Any] = copy.deepcopy(dict(read_json(DATA_FILE) if base is None else base))
    kept = []
    for entry in data["releases"]:
        if entry["campaigns"] == [campaign]:
            continue
        entry["campaigns"] = [name for name in entry["campaigns"] if name != campaign]
        if entry["workspace_campaigns"] == [campaign]:
            entry["workspace_stays"] = True
        kept.append(entry)
    data["releases"] = kept
    return fitted((row for row in observations() if row.campaign != campaign), data)


def _fit_sampler(data: dict[str, Any], rows: list[RecordedStartup]) -> None:
    """Rows whose peak is the sampler's give the bytes per logit; each campaign counts once."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        peak = logged(row).activations
        release = overheads_of(data, row.release)
        peaks = _peaks(row, release)
        if peak is None or peaks.sampler_bytes + peaks.workspace_bytes < peaks.total_bytes - peaks.between_stages_bytes:
            continue
        if peaks.sampler_bytes <= peaks.forward_bytes or peaks.workspace_bytes:
            continue  # the forward pass decides, or a workspace hides the sampler
        logits = row.settings.max_num_seqs * row.model.vocab_size
        residual = 2 * row.settings.max_num_batched_tokens * row.model.hidden_size
        sampler = _entry(data, row)["sampler"]
        found[sampler][row.campaign].append((peak - residual - peaks.between_stages_bytes) / logits)
    for sampler in data["sampler_bytes_per_logit"]:
        if sampler in found:
            data["sampler_bytes_per_logit"][sampler] = round(_median_of_campaigns(found[sampler]), 1)


def _fit_non_torch(data: dict[str, Any], rows: list[RecordedStartup]) -> None:
    found: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        known = logged(row)
        value = known.non_torch
        if value is None and known.total is not None and not _entry(data, row)["cuda_graphs_inside_budget"]:
            # only the sum is known: what the activations leave
            value = known.total - _peaks(row, overheads_of(data, row.release)).total_bytes
        if value is not None and row.split.pipeline == 1:
            found[_entry(data, row)["non_torch"], row.split.tensor][row.campaign].append(value / MIB)
    for group, by_tensor in data["non_torch_mib_by_tensor"].items():
        for tensor in by_tensor:
            if values := found.get((group, int(tensor))):
                by_tensor[tensor] = round(_median_of_campaigns(values))
            elif larger := [n for n in (1, 2, 4, 8) if n > int(tensor) and found.get((group, n))]:
                by_tensor[tensor] = round(_median_of_campaigns(found[group, larger[0]]))


def _fit_graphs(data: dict[str, Any], rows: list[RecordedStartup]) -> None:
    """Scale the three figures together: their shares were read off the largest campaign."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        graphs = logged(row).cuda_graphs
        if graphs is not None and graphs > 0:
            law = cuda_graph_bytes(_stage(row), row.settings, overheads_of(data, row.release))
            if law:
                ratios[row.campaign].append(graphs / law)
    if not ratios:
        return
    # rows of one campaign count alike: the law was read off these figures, a median of campaigns would follow one log
    factor = median(ratio for values in ratios.values() for ratio in values)
    if abs(factor - 1) < GRAPH_ROUNDING:
        return
    graphs = data["cuda_graphs"]
    for name in ("base_mib", "mib_per_layer", "mib_per_moe_layer"):
        graphs[name] = round(graphs[name] * factor, 1)


def _median_of_campaigns(values: Mapping[str, list[float]]) -> float:
    return median(median(each) for each in values.values())


def _entry(data: Mapping[str, Any], row: RecordedStartup) -> dict[str, Any]:
    release = overheads_of(data, row.release).release
    entry: dict[str, Any] = next(entry for entry in data["releases"] if entry["release"] == release)
    return entry


def _stage(row: RecordedStartup) -> Stage:
    """Return the stage that the row's figures belong to: the log's first line is that of rank 0."""
    return stages(row.model, row.split.pipeline)[0]


def _peaks(row: RecordedStartup, release: ReleaseOverheads) -> Activations:
    return activations(row.model, row.split, _stage(row), row.settings, release)


BAND_STEP_PERCENT = 5
LARGEST_BAND_PERCENT = 200
COVERAGE = 0.9
"""Share of rows, and of campaigns with equal weight, that a stated band must contain."""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A row judged by figures that its own campaign, or its release, was left out of.

    Args:
        unit: what counts once when misses are weighed: a campaign, or a release when whole releases were left out.
        is_measured: whether the release kept figures of its own.
    """

    row: RecordedStartup
    unit: str
    is_measured: bool
    logged: Parts
    computed: Parts


def campaign_misses(data: Mapping[str, Any]) -> list[Miss]:
    """Return every row judged with its campaign left out."""
    left_out = {row.campaign: without(row.campaign, data) for row in observations()}
    return [_miss(row, row.campaign, left_out[row.campaign]) for row in observations()]


def release_misses(data: Mapping[str, Any]) -> list[Miss]:
    """Return every row judged by the next older release's figures: what a release without its own must expect."""
    misses = []
    for row in observations():
        own = _entry(data, row)["release"]
        others = dict(data) | {"releases": [entry for entry in data["releases"] if entry["release"] != own]}
        misses.append(_miss(row, own, others))
    return misses


def with_bands(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with the smallest shares whose bands contain ``COVERAGE`` of rows and of units."""
    result: dict[str, Any] = copy.deepcopy(dict(data))
    measured = [miss for miss in campaign_misses(data) if miss.is_measured]
    for quantity in ("cuda_graphs", "non_torch"):
        _widen(result["bands"]["measured"], (quantity,), measured, quantity)
    _widen(result["bands"]["measured"], ("activations",), measured, "total")
    # a change from one release to the next counts once, however many rows show it
    _widen(result["bands"]["stand_in"], ("activations", "non_torch"), release_misses(data), "total", of_rows=False)
    return result


def _widen(
    bands: dict[str, Any], quantities: tuple[str, ...], misses: list[Miss], judged: str, *, of_rows: bool = True
) -> None:
    for percent in range(BAND_STEP_PERCENT, LARGEST_BAND_PERCENT + 1, BAND_STEP_PERCENT):
        for quantity in quantities:
            bands[quantity]["percent"] = percent
        if covered_share(misses, bands, judged, of_rows=of_rows) >= COVERAGE:
            return


def covered_share(misses: list[Miss], bands: Mapping[str, Any], judged: str, *, of_rows: bool = True) -> float:
    """Return the share of units inside the band, each with equal weight; of rows, too, whichever is smaller."""
    inside: dict[str, list[bool]] = defaultdict(list)
    for miss in misses:
        if (truth := miss.logged.of(judged)) is None:
            continue
        value = miss.computed.of(judged)
        assert value is not None
        inside[miss.unit].append(abs(truth - value) <= half_width(miss, bands, judged))
    rows = [each for values in inside.values() for each in values]
    units = mean(mean(values) for values in inside.values())
    return min(mean(rows), units) if of_rows else units


def half_width(miss: Miss, bands: Mapping[str, Any], judged: str) -> float:
    """Return the half width of a quantity's band around what was computed, in bytes; squares of parts add up."""
    names = (judged,) if judged != "total" else ("activations", "non_torch")
    widths = []
    for name in names:
        value = miss.computed.of(name)
        assert value is not None
        widths.append(max(value * bands[name]["percent"] / 100, bands[name]["floor_mib"] * MIB))
    return math.hypot(*widths)


def _miss(row: RecordedStartup, unit: str, data: Mapping[str, Any]) -> Miss:
    is_measured = overheads_of(data, row.release).campaigns > 0
    return Miss(row=row, unit=unit, is_measured=is_measured, logged=logged(row), computed=computed(row, data))
