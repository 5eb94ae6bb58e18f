"""Whether two samples may be of one distribution: the two-sample Kolmogorov-Smirnov distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["KolmogorovSmirnov", "kolmogorov_smirnov"]


@dataclass(frozen=True, slots=True)
class KolmogorovSmirnov:
    """The largest distance between the empirical distribution functions of two samples.

    Attributes:
        distance: 0 where they are the same, 1 where the samples do not overlap.
        n: Sizes of the samples.
        critical: The distance that samples of one distribution exceed with probability 5 % (asymptotic).
        p: The probability that they exceed this distance (asymptotic; cautious where values are tied).
    """

    distance: float
    n: tuple[int, int]
    critical: float
    p: float

    @property
    def is_alike(self) -> bool:
        """Whether the samples do not show, at 5 %, that their distributions differ."""
        return self.distance <= self.critical


def kolmogorov_smirnov(one: ArrayLike, other: ArrayLike) -> KolmogorovSmirnov:
    """Holds two samples against each other; infinite values are values. Raises ValueError if one is empty."""
    from scipy.special import kolmogi, kolmogorov

    a, b = np.sort(np.asarray(one, float)), np.sort(np.asarray(other, float))
    if not len(a) or not len(b):
        raise ValueError("an empty sample has no distribution")
    at = np.concatenate((a, b))
    shares = (np.searchsorted(sample, at, "right") / len(sample) for sample in (a, b))
    first, second = shares
    distance = float(np.max(np.abs(first - second)))
    scale = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    critical = min(1.0, float(kolmogi(0.05)) / scale)
    return KolmogorovSmirnov(distance, (len(a), len(b)), critical, float(kolmogorov(distance * scale)))
