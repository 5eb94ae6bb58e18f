"""Replications until an interval is narrow enough.

Rounds grow by what the interval so far predicts, at most to twice as many, and are decided on whole rounds
only: how many runs there are depends on their results, never on who plays them or how fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simulator.experiment.errors import ExperimentError
from simulator.results.estimates import Estimate, parse_statistic

__all__ = ["FIRST_ROUND", "UntilCi", "next_count", "parse_until_ci"]

FIRST_ROUND: Final = 10
"""Replications before the first look: fewer say too little about their own scatter (assumption)."""
_SAFETY: Final = 1.1
"""More replications than predicted, so that most experiments end after this round (assumption)."""


@dataclass(frozen=True, slots=True)
class UntilCi:
    """When to stop.

    Attributes:
        half_width: Of the 95 % interval, as a share of the estimate.
        metric: Which metric it is about; None for the delay until active, or, where no change concerns any
            proxy, the time to ready.
        statistic: Which of its statistics.
    """

    half_width: float
    metric: str | None
    statistic: str

    def is_met(self, estimate: Estimate) -> bool:
        """Whether the interval is narrow enough; never where there is none."""
        return relative_half_width(estimate) <= self.half_width


def parse_until_ci(width: str | float, of: str | None) -> UntilCi:
    """Reads ``5%`` or 0.05, and ``mean(active_delay)`` or ``p99(time_to_ready)``. Raises ExperimentError."""
    if isinstance(width, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", width)
        share = float(match[1]) / 100 if match else math.nan
    else:
        share = float(width)
    if not 0 < share < 1:
        raise ExperimentError(
            f"until_ci {width!r}: write a share of the estimate above 0 % and below 100 %, such as 5%"
        )
    if of is None:
        return UntilCi(share, None, "mean")
    try:
        statistic, metric = parse_statistic(of)
    except ValueError as error:
        raise ExperimentError(f"ci_of {of!r}: {error}") from error
    return UntilCi(share, metric, statistic)


def relative_half_width(estimate: Estimate) -> float:
    """Half of the interval, as a share of the estimate; infinite where there is no interval."""
    half = (estimate.high - estimate.low) / 2
    if not math.isfinite(half) or not math.isfinite(estimate.value):
        return math.inf
    return 0.0 if half == 0 else half / abs(estimate.value) if estimate.value else math.inf


def next_count(estimates: Sequence[Estimate], count: int, until: UntilCi, most: int) -> int:
    """How many replications there should be, given the intervals from `count` of them: `count` if enough."""
    widest = max((relative_half_width(estimate) for estimate in estimates), default=0.0)
    if widest <= until.half_width or count >= most:
        return count
    predicted = count * (widest / until.half_width) ** 2 * _SAFETY if math.isfinite(widest) else math.inf
    return min(most, max(count + 1, math.ceil(min(predicted, 2 * count))))
