"""Point estimates of a metric over replications, with their intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from simulator.results.intervals import NO_INTERVAL, Interval, mean_interval, quantile_interval
from simulator.results.samples import Samples
from simulator.results.statistics import Values, percent, supports

__all__ = ["Estimate", "estimate", "parse_statistic", "totals_and_counts"]

_STATISTIC: Final = re.compile(r"mean|max|p(?:100|[0-9]{1,2}(?:\.[0-9]{1,4})?)")
ONE_UNIT: Final = "no interval: one run is one independent unit"
NOTHING_FINITE: Final = "no interval: {never:,} of {n:,} never came to an end"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, the 95 % interval around it, and what it rests on.

    Attributes:
        value: The estimate; from pooled samples, never an average of percentiles.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end; infinite where the samples cannot bound it.
        n: Pooled samples.
        units: Independent units that the interval rests on.
        note: Why there is no interval, or what to beware of.
    """

    value: float
    low: float
    high: float
    n: int
    units: int
    note: str = ""


def parse_statistic(text: str) -> tuple[str, str]:
    """``p99(active_delay)`` as its statistic and its metric; a metric alone means its mean.

    Raises ValueError.
    """
    match = re.fullmatch(r"\s*(?:([a-z0-9.]+)\s*\(\s*([\w.]+)\s*\)|([\w.]+))\s*", text)
    if match is None:
        raise ValueError("write statistic(metric), such as p99(active_delay)")
    statistic = match[1] or "mean"
    if _STATISTIC.fullmatch(statistic) is None:
        raise ValueError(f"unknown statistic {statistic!r}: write mean, max or a percentile such as p99")
    return statistic, match[2] or match[3]


def estimate(units: Sequence[Samples], statistic: str, pooled: Samples | None = None) -> Estimate:
    """The statistic (mean, max, p50 ... p99.9) of the pooled samples, its interval from independent units."""
    together = Samples.merged(units) if pooled is None else pooled
    filled = [unit for unit in units if unit.n]
    if not together.n:
        return Estimate(math.nan, math.nan, math.nan, 0, len(filled), "no samples")
    if statistic == "max":
        return Estimate(together.max, math.nan, math.nan, together.n, len(filled), "no interval: an extreme")
    notes = []
    if statistic == "mean":
        value, interval = together.mean, mean_interval(*totals_and_counts(filled))
        if together.never:
            notes.append(NOTHING_FINITE.format(never=together.never, n=together.n))
    else:
        q = percent(statistic)
        value, interval = together.quantile(q), quantile_interval(filled, float(q), pooled=together)
        if not supports(together.n, Fraction(q)):
            notes.append(f"{together.n:,} samples are too few for {statistic}")
        if not together.is_exact:
            notes.append("from histograms: within 0.4 %")
    if len(filled) < 2:
        notes.insert(0, ONE_UNIT)
    low, high = _not_negative(interval, together)
    return Estimate(value, low, high, together.n, len(filled), "; ".join(notes))


def totals_and_counts(units: Sequence[Samples]) -> tuple[Values, Values]:
    """Each unit's sum and number of samples."""
    return np.array([unit.total for unit in units]), np.array([float(unit.n) for unit in units])


def _not_negative(interval: Interval, pooled: Samples) -> tuple[float, float]:
    """Times and counts do not fall below zero, and neither do their intervals."""
    if interval is NO_INTERVAL or math.isnan(interval.low) or float(pooled.values[0]) < 0:
        return interval.low, interval.high
    return max(interval.low, 0.0), interval.high
