"""Lines through measured times: what a cost is at nothing, and what each thing adds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[int, float]
"""A size, and a time in microseconds."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A line ``intercept + slope x size``, in microseconds.

    Attributes:
        intercept_us: At size 0; not negative.
        slope_us: For each one more; not negative.
        r2: Share of the variance of the medians that the line explains; 1 where there is one size only.
        n: Measured times.
        sizes: The sizes, in order.
    """

    intercept_us: float
    slope_us: float
    r2: float
    n: int
    sizes: tuple[int, ...]

    @property
    def text(self) -> str:
        """For people."""
        if len(self.sizes) == 1:
            return f"median {self.intercept_us:.0f} us (n={self.n})"
        line = f"{self.intercept_us:.0f} + {self.slope_us:.4g} us each"
        return f"{line} (r2 {self.r2:.3f}, n={self.n}, {self.sizes[0]} to {self.sizes[-1]})"


def fit(points: Sequence[Point]) -> Fit:
    """The least-squares line through the medians of each size, each weighted by the inverse of its time.

    Times scatter in proportion to themselves: unweighted, the largest size would decide what nothing costs.
    A negative intercept or slope is noise about zero, and the line is drawn through zero, or level.
    With one size only, the line is level at its median.

    Raises:
        ValueError: There is no point.
    """
    if not points:
        raise ValueError("there is nothing to fit")
    by_size: dict[int, list[float]] = defaultdict(list)
    for size, time_us in points:
        by_size[size].append(time_us)
    sizes = tuple(sorted(by_size))
    x = np.array(sizes, float)
    y = np.array([float(np.median(by_size[size])) for size in sizes])
    if len(sizes) == 1:
        return Fit(max(0.0, float(y[0])), 0.0, 1.0, len(points), sizes)
    weight = 1.0 / np.maximum(y, 1.0)
    terms = np.column_stack((np.ones_like(x), x))
    intercept, slope = np.linalg.lstsq(terms * weight[:, None], y * weight)[0]
    if slope < 0:
        intercept, slope = float(np.average(y, weights=weight**2)), 0.0
    elif intercept < 0:
        intercept, slope = 0.0, float(np.sum(weight**2 * x * y) / np.sum((weight * x) ** 2))
    rest, spread = np.sum((y - intercept - slope * x) ** 2), np.sum((y - y.mean()) ** 2)
    r2 = 1.0 - float(rest / spread) if spread > 0 else 1.0
    return Fit(max(0.0, float(intercept)), float(slope), r2, len(points), sizes)
