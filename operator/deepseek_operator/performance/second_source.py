"""A second source of speeds beside the roofline, for points whose kernels it has measured.

The source is ``aiconfigurator-core`` (the optional extra ``measured``), which sums kernel times that were measured one
by one. Where it is installed and its times of matrices, attention and all-reduces are measured, the time per output
token is the geometric mean of both answers. The rule was chosen on InferenceX points of vLLM, each predicted by a fit
without its GPU product (``tests/accuracy/test_second_source.py``): of dense models the mean error falls from 15.0 % to
11.9 %. It rises for models with a latent cache (12.5 % to 18.8 %), and the first token is not predicted better (35 %
against 22 %), so neither is asked for. The band stays that of the roofline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from deepseek_operator.catalog.shapes import GroupedQueryAttention
from deepseek_operator.performance.features import ServingPoint
from deepseek_operator.performance.prediction import PredictionSource

SECOND_SHARE = 0.5
"""Weight of the second source in the logarithm of the time per output token; 0.5 and 0.6 have the smallest error."""

ENGINE = "vllm"
"""The engine that plans are for, and on which the rule was checked."""


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """The answer of a second source for one point.

    Args:
        tpot_seconds: mean time per output token, above 0.
    """

    tpot_seconds: float


class SecondSource(Protocol):
    """Answers from measured kernels; never raises."""

    @property
    def name(self) -> str:
        """What it is and of which version, as people read it."""
        ...

    @property
    def failed(self) -> bool:
        """Whether it broke, and answers nothing any more."""
        ...

    def opinion(self, point: ServingPoint) -> SecondOpinion | None:
        """Return its answer; None where it has none or has not measured what it rests on."""
        ...


def is_asked(point: ServingPoint) -> bool:
    """Return whether a second source improves a point: a dense model, cut by tensor parallelism inside one node."""
    split = point.parallelism
    return (
        point.engine == ENGINE
        and isinstance(point.shape.attention, GroupedQueryAttention)
        and point.shape.experts is None
        and (split.pipeline, split.data, point.nodes) == (1, 1, 1)
    )


def transferred(source: PredictionSource) -> PredictionSource:
    """Return the source of a blended speed: kernels of that GPU and engine were measured, so it is no mere roofline.

    It is never raised to Measured, because kernels are not the model at work.

    >>> transferred(PredictionSource.ROOFLINE).value, transferred(PredictionSource.MEASURED).value
    ('Transferred', 'Measured')
    """
    return PredictionSource.TRANSFERRED if source is PredictionSource.ROOFLINE else source


def blended_seconds(tpot_seconds: float, opinion: SecondOpinion) -> float:
    """Return the time per output token of both sources together.

    >>> round(blended_seconds(0.050, SecondOpinion(tpot_seconds=0.032)), 3)
    0.04
    """
    return math.exp((1 - SECOND_SHARE) * math.log(tpot_seconds) + SECOND_SHARE * math.log(opinion.tpot_seconds))
