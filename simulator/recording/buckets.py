"""Buckets of log-linear histograms: each power of two of seconds is cut into equal parts.

As in HdrHistogram (Tene, hdrhistogram.org). A bucket is a whole number: `SUB_BUCKETS` times the power of two
plus the part; zero and what never happened have buckets of their own. Spans are whole nanoseconds, so each
bucket begins at one of these, and counting sorted spans is looking up where the buckets begin.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["NEVER", "SUB_BUCKETS", "ZERO", "begins_ns", "buckets_of", "buckets_of_ns", "first_bucket"]

SUB_BUCKETS: Final = 128
"""Equal parts of each power of two."""
ZERO: Final = -(2**40)
"""Bucket of zero, below every other."""
NEVER: Final = 2**40
"""Bucket of +infinity, above every other."""

_SECOND: Final = 1e9
_LAST_POWER: Final = 33
"""2^33 s is more than 2^62 ns, the longest delay."""

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


def buckets_of(seconds: Floats) -> Whole:
    """The bucket of each span, which is not negative or +infinity."""
    is_finite = np.isfinite(seconds) & (seconds > 0)
    mantissas, exponents = np.frexp(np.where(is_finite, seconds, 1.0))
    parts = np.floor((mantissas * 2 - 1) * SUB_BUCKETS).astype(np.int64)
    buckets = exponents.astype(np.int64) * SUB_BUCKETS + parts
    chosen: Whole = np.where(is_finite, buckets, np.where(seconds > 0, NEVER, ZERO))
    return chosen


def buckets_of_ns(spans_ns: Whole) -> Whole:
    """The bucket of each span of whole ns; of 0 the first, which it shares with 1 ns."""
    found: Whole = np.searchsorted(begins_ns(), np.maximum(spans_ns, 1), "right") + (first_bucket() - 1)
    return found


@cache
def first_bucket() -> int:
    """The bucket of 1 ns: whole nanoseconds have none between it and zero."""
    return int(buckets_of(np.array([1 / _SECOND]))[0])


@cache
def begins_ns() -> Whole:
    """The shortest span, in whole ns, of each bucket from the first on; of one that holds no whole number,
    that of the next."""
    buckets = np.arange(first_bucket(), _LAST_POWER * SUB_BUCKETS)
    powers, parts = np.divmod(buckets, SUB_BUCKETS)
    begins_s = np.ldexp((1 + parts / SUB_BUCKETS) / 2, powers.astype(np.int32))
    begins: Whole = np.ceil(begins_s * _SECOND).astype(np.int64)
    # The division by which a span becomes seconds rounds: it may reach the bucket a little earlier or later.
    while (sooner := (begins - 1) / _SECOND >= begins_s).any():
        begins -= sooner
    while (later := begins / _SECOND < begins_s).any():
        begins += later
    return begins
