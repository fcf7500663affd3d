"""The answer of this floor: how fast one replica is, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PredictionSource(StrEnum):
    """Where a speed comes from: the same model, GPU and engine were measured; one of them with that engine; neither."""

    MEASURED = "Measured"
    TRANSFERRED = "Transferred"
    ROOFLINE = "Roofline"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Speed of one replica at its share of the demand.

    Args:
        ttft_milliseconds: mean time to the first token, queueing included.
        tpot_milliseconds: mean time per output token after the first.
        tokens_per_second: output tokens of the whole replica.
        error_percent: half width of the 90 % band of the less certain of the two latencies, in percent of it.
        tpot_error_percent: the same for TPOT alone; None when only the larger one is known.
        ttft_error_percent: the same for TTFT alone; None when only the larger one is known.
        blended_with: the second source that TPOT is a mean with, empty where none took part.
    """

    ttft_milliseconds: int
    tpot_milliseconds: int
    tokens_per_second: int
    source: PredictionSource
    error_percent: int
    tpot_error_percent: int | None = None
    ttft_error_percent: int | None = None
    blended_with: str = ""

    @property
    def source_text(self) -> str:
        """The source as people read it, with the second one where there is one."""
        return f"{self.source.value}, TPOT with {self.blended_with}" if self.blended_with else self.source.value
