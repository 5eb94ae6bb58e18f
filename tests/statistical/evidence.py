"""How statistical tests judge: by standard errors and exact distributions, at levels fixed beforehand.

Every test draws from a fixed seed, so it passes or fails for good; a level of one in ten thousand leaves
little room for a sound generator to fail by bad luck, and a tolerance is never tuned to make a test pass.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov, stdtrit

LEVEL = 1e-4


def assert_mean(samples: NDArray[np.float64], expected: float) -> None:
    """The mean of independent samples is `expected`, but for chance (Student's t)."""
    n = len(samples)
    standard_error = float(samples.std(ddof=1)) / math.sqrt(n)
    t = (float(samples.mean()) - expected) / standard_error
    limit = float(stdtrit(n - 1, 1 - LEVEL / 2))
    assert abs(t) < limit, f"mean {samples.mean():.6g} is {t:.1f} standard errors from {expected:.6g}"
    # A test that cannot tell 5 % apart would pass for too many wrong answers.
    assert limit * standard_error < 0.05 * abs(expected) or expected == 0, "too few samples to tell anything"


def assert_cells(counts: NDArray[np.int64], expected: NDArray[np.float64] | float) -> None:
    """Counts in cells follow their expectation (chi-square), being neither too uneven nor too even."""
    statistic = float(((counts - expected) ** 2 / expected).sum())
    p = float(chdtrc(counts.size - 1, statistic))
    assert LEVEL < p < 1 - LEVEL, f"chi-square {statistic:.1f} over {counts.size} cells has p = {p:.2g}"


def assert_uniform(u: NDArray[np.float64]) -> None:
    """The numbers are uniform on [0, 1) (Kolmogorov-Smirnov)."""
    u = np.sort(u)
    n = len(u)
    steps = np.arange(n + 1) / n
    distance = max(float((steps[1:] - u).max()), float((u - steps[:-1]).max()))
    p = float(kolmogorov(distance * math.sqrt(n)))
    assert p > LEVEL, f"distance {distance:.2g} from uniform over {n} numbers has p = {p:.2g}"


def assert_uncorrelated(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Pairs of uniform numbers fill the unit square evenly, and are not correlated linearly."""
    cells, *_ = np.histogram2d(a, b, bins=16, range=[[0, 1], [0, 1]])
    assert_cells(cells.astype(np.int64), a.size / 256)
    z = float(np.corrcoef(a, b)[0, 1]) * math.sqrt(a.size)
    assert abs(z) < 4, f"correlation is {z:.1f} standard errors from none"
