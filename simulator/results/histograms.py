"""Log-linear histograms: many samples in little memory, mergeable, with a known error.

Each power of two is cut into `SUB_BUCKETS` equal parts, as in HdrHistogram (Tene, hdrhistogram.org). A sample
is remembered as the middle of its part, so every value read back is within `RELATIVE_ERROR` of the true one:
1/256, or 0.4 %. Zero, the smallest and the largest sample and the number of infinite ones are exact. Merging
adds counts and loses nothing: a merged histogram equals that of all samples together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simulator.recording.buckets import NEVER, SUB_BUCKETS, ZERO, buckets_of

__all__ = ["RELATIVE_ERROR", "SUB_BUCKETS", "Histogram"]

RELATIVE_ERROR: Final = 1 / (2 * SUB_BUCKETS)
"""A sample and the middle of its bucket differ by at most this share of the sample."""

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of samples that are not negative; `buckets` ascend and hold no empty one."""

    buckets: Whole
    counts: Whole
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Histogram:
        """The histogram of at least one sample, each >= 0 or +infinity."""
        assert len(values), "a histogram of nothing"
        assert float(values.min()) >= 0, f"a negative sample: {values.min()}"
        low, high = float(values.min()), float(values.max())
        if low == high:
            return cls(buckets_of(values[:1]), np.array([len(values)], np.int64), low, high)
        buckets, counts = _counted(buckets_of(values))
        return cls(buckets, counts, low, high)

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        """The histogram of the samples of all parts."""
        listed = list(parts)
        every = np.concatenate([part.buckets for part in listed])
        buckets, places = np.unique(every, return_inverse=True)
        counts = np.zeros(len(buckets), dtype=np.int64)
        np.add.at(counts, places, np.concatenate([part.counts for part in listed]))
        return cls(buckets, counts, min(part.low for part in listed), max(part.high for part in listed))

    def values(self) -> Floats:
        """The value that stands for each bucket: its middle, within what was seen."""
        exponents, parts = np.divmod(self.buckets, SUB_BUCKETS)
        is_finite = (self.buckets != ZERO) & (self.buckets != NEVER)
        middles = np.ldexp(
            (1 + (parts + 0.5) / SUB_BUCKETS) / 2, np.where(is_finite, exponents, 0).astype(np.int32)
        )
        middles = np.where(self.buckets == NEVER, np.inf, np.where(self.buckets == ZERO, 0.0, middles))
        within: Floats = np.clip(middles, self.low, self.high)
        return within

    def to_lists(self) -> dict[str, Any]:
        """The histogram as plain data."""
        return {"buckets": self.buckets.tolist(), "counts": self.counts.tolist()}

    @classmethod
    def from_lists(cls, content: dict[str, Any], low: float, high: float) -> Histogram:
        """What `to_lists` gave."""
        return cls(np.array(content["buckets"], np.int64), np.array(content["counts"], np.int64), low, high)


def _counted(buckets: Whole) -> tuple[Whole, Whole]:
    """Each bucket once, ascending, and how often it is there: by counting, since sorting is slower."""
    is_finite = (buckets > ZERO) & (buckets < NEVER)
    zeros, infinite = int((buckets == ZERO).sum()), int((buckets == NEVER).sum())
    within = buckets if is_finite.all() else buckets[is_finite]
    found, counts = within, np.empty(0, np.int64)
    if len(within):
        first = int(within.min())
        every = np.bincount(within - first)
        found = np.flatnonzero(every) + first
        counts = every[found - first].astype(np.int64)
    ends = [(ZERO, zeros), (NEVER, infinite)]
    below, above = ([n for n in (end,) if n[1]] for end in ends)
    return (
        np.array([*(b for b, _ in below), *found.tolist(), *(b for b, _ in above)], np.int64),
        np.array([*(n for _, n in below), *counts.tolist(), *(n for _, n in above)], np.int64),
    )
