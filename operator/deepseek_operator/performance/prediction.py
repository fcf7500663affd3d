"""The answer of this floor: how fast one replica is, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PredictionSource(StrEnum):
    """Where a speed comes from."""

    MEASURED = "Measured"
    TRANSFERRED = "Transferred"
    ROOFLINE = "Roofline"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Speed of one replica at its share of the demand."""

    ttft_milliseconds: int
    tpot_milliseconds: int
    tokens_per_second: int
    source: PredictionSource
    error_percent: int
