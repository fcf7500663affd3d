"""How often drafted tokens are accepted, from the data file, with source and range."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.catalog.data_files import read_json


class DraftKind(StrEnum):
    """What proposes tokens, as acceptance distinguishes it."""

    PREDICTION_LAYERS = "prediction-layers"
    BLOCK = "block"
    PROMPT = "prompt"
    MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Shares of drafted tokens that are accepted, 0 to 100 percent.

    Args:
        first: of the first token of a step.
        further: of each further one, given that those before it were accepted.
        verified: whether the source was read and names the first range.
    """

    first: int
    first_low: int
    first_high: int
    further: int
    further_low: int
    further_high: int
    verified: bool
    source: str

    def tokens_per_step(self, drafted: int) -> tuple[float, float, float]:
        """Return the mean tokens that a step yields with so many drafted, and the ends of its range.

        The model's own token is always one of them: ``1 + a + a b + a b^2 ...``.

        >>> [round(tokens, 2) for tokens in acceptance(DraftKind.PREDICTION_LAYERS).tokens_per_step(1)]
        [1.87, 1.85, 1.9]
        """
        pairs = (
            (self.first, self.further),
            (self.first_low, self.further_low),
            (self.first_high, self.further_high),
        )
        mean, low, high = (
            1 + sum(first / 100 * (further / 100) ** position for position in range(drafted))
            for first, further in pairs
        )
        return mean, low, high


@functools.cache
def acceptance(kind: DraftKind) -> Acceptance:
    """Return the acceptance of a kind of draft."""
    rows = read_json("draft_acceptance.json")["rows"]
    if not isinstance(rows, list):
        raise TypeError("draft_acceptance.json holds no list")
    row = next(row for row in rows if row["method"] == kind)
    return Acceptance(**{name: value for name, value in row.items() if name != "method"})
