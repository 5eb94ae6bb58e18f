"""Statistics of samples in which some things never happened.

What never happened counts as +infinity: it raises quantiles, the mean and the maximum instead of being left
out, because leaving it out would flatter an outage.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def quantile(values: Values, q: Fraction) -> float:
    """The q-quantile of the values, 0 <= q <= 1, interpolated as numpy and pandas do; NaN without values.

    It is infinite as soon as an infinite value takes part in it.
    """
    if not len(values):
        return math.nan
    ordered = np.sort(values)
    place = q * (len(ordered) - 1)
    index = int(place)
    below = float(ordered[index])
    weight = float(place - index)
    if weight == 0:
        return below
    above = float(ordered[index + 1])
    return math.inf if math.isinf(above) else below + (above - below) * weight


def supports(count: int, q: Fraction) -> bool:
    """Whether `count` samples say anything about the q-quantile: at least one is expected beyond it."""
    return count * min(q, 1 - q) >= 1


def percent(text: str) -> Fraction:
    """The quantile that ``p99.9`` or ``99.9`` names, exactly."""
    return Fraction(text.removeprefix("p")) / 100


def number(value: Any) -> float:
    """A numpy or pandas scalar as a plain float."""
    return float(value)
