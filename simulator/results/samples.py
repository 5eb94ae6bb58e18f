"""The samples of one metric: kept as they are, or as a histogram when they are too many.

`Samples` of several runs merge into those of all of them together, so that a percentile of many runs is one
of the pooled samples and never an average of percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simulator.results.histograms import Histogram
from simulator.results.statistics import Values, quantile

__all__ = ["KEPT_AT_MOST", "POOLED_AT_MOST", "Samples"]

KEPT_AT_MOST: Final = 10_000
"""Samples of one metric that a run keeps as they are; more become a histogram."""
POOLED_AT_MOST: Final = 5_000_000
"""Samples that are pooled as they are (40 MB); more become a histogram."""


@dataclass(frozen=True, eq=False)
class Samples:
    """How often each value was seen.

    Attributes:
        values: The distinct or repeated values, ascending; +infinity is what never happened.
        counts: How many samples each value stands for; None when each stands for one.
        total: Exact sum of all samples.
        is_exact: Whether the values are the samples themselves, not the middles of histogram buckets.
    """

    values: Values
    total: float
    is_exact: bool = True
    counts: Values | None = None
    histogram: Histogram | None = None

    @classmethod
    def of(cls, values: Values, kept_at_most: int = KEPT_AT_MOST) -> Samples:
        """Samples in any order."""
        total = float(np.sum(np.sort(values)))
        if len(values) <= kept_at_most or float(values.min()) < 0:
            return cls(np.sort(values).astype(np.float64), total)
        return cls.of_histogram(Histogram.of(values), total)

    @classmethod
    def of_histogram(cls, histogram: Histogram, total: float) -> Samples:
        """Samples that a histogram stands for, and their exact sum."""
        counts = histogram.counts.astype(np.float64)
        return cls(histogram.values(), total, is_exact=False, counts=counts, histogram=histogram)

    @classmethod
    def merged(cls, parts: Sequence[Samples], pooled_at_most: int = POOLED_AT_MOST) -> Samples:
        """The samples of all parts together, in whatever order these come."""
        filled = [part for part in parts if part.n]
        total = math.fsum(part.total for part in filled) if _is_finite(filled) else math.inf
        is_few = sum(part.n for part in filled) <= pooled_at_most
        if not filled or (is_few and all(part.is_exact for part in filled)):
            return cls(np.sort(np.concatenate([np.empty(0), *(part.values for part in filled)])), total)
        return cls.of_histogram(Histogram.merged(part.as_histogram() for part in filled), total)

    @cached_property
    def n(self) -> int:
        """How many samples."""
        return len(self.values) if self.counts is None else int(self.counts.sum())

    @cached_property
    def never(self) -> int:
        """How many of them never came to an end, and so are +infinity."""
        infinite = np.isinf(self.values)
        return int(infinite.sum()) if self.counts is None else int(self.counts[infinite].sum())

    @property
    def mean(self) -> float:
        """Mean; NaN of nothing, infinite if anything never happened."""
        return self.total / self.n if self.n else math.nan

    @property
    def max(self) -> float:
        """Largest, exactly; NaN of nothing."""
        if self.histogram is not None:
            return self.histogram.high
        return float(self.values[-1]) if len(self.values) else math.nan

    @property
    def min(self) -> float:
        """Smallest, exactly; NaN of nothing."""
        if self.histogram is not None:
            return self.histogram.low
        return float(self.values[0]) if len(self.values) else math.nan

    def as_histogram(self) -> Histogram:
        """The samples as a histogram."""
        return Histogram.of(self.values) if self.histogram is None else self.histogram

    def quantile(self, q: Fraction | float) -> float:
        """The q-quantile, interpolated between samples; off by at most the histogram's relative error."""
        exact = q if isinstance(q, Fraction) else Fraction(q)
        if self.counts is None:
            return quantile(self.values, exact)
        if not self.n:
            return math.nan
        place = exact * (self.n - 1)
        below, weight = self._at(int(place)), float(place - int(place))
        if weight == 0:
            return below
        above = self._at(int(place) + 1)
        return math.inf if math.isinf(above) else below + (above - below) * weight

    def _at(self, rank: int) -> float:
        return float(self.values[int(np.searchsorted(self._cumulative, rank, side="right"))])

    @cached_property
    def _cumulative(self) -> Values:
        counts = np.ones(len(self.values)) if self.counts is None else self.counts
        summed: Values = np.cumsum(counts)
        return summed

    def at_ranks(self, ranks: npt.NDArray[np.int64]) -> Values:
        """The samples of some ranks, counted from 0 in ascending order."""
        places = ranks if self.counts is None else np.searchsorted(self._cumulative, ranks, side="right")
        found: Values = self.values[places]
        return found

    def count_at_most(self, x: Values) -> Values:
        """How many samples are at most each of `x`."""
        return self._count(np.searchsorted(self.values, x, side="right"))

    def count_below(self, x: Values) -> Values:
        """How many samples are below each of `x`."""
        return self._count(np.searchsorted(self.values, x, side="left"))

    def _count(self, places: Any) -> Values:
        if self.counts is None:
            return np.asarray(places, dtype=np.float64)
        counted: Values = np.concatenate([[0.0], self._cumulative])[places]
        return counted

    def share_at_most(self, x: Values) -> Values:
        """Share of samples that are at most each of `x`."""
        return self.count_at_most(x) / max(self.n, 1)


def _is_finite(parts: Sequence[Samples]) -> bool:
    return all(math.isfinite(part.total) for part in parts)
