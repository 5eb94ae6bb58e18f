"""Delays as values: a distribution turns a number in [0, 1) into whole nanoseconds by its inverse CDF.

Rounding happens once, here, half to even; a delay is never negative. The scalar and the array form of a delay
give equal integers, so both call the same special functions: those of `scipy.special`, imported when first
used, and numpy's `log1p`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws

LONGEST_NS = 2.0**62  # about 146 years: the tail of a heavy distribution must still fit int64, sums included


class Delay(Protocol):
    """A delay that can be drawn."""

    @property
    def mean_ns(self) -> float:
        """Its mean in ns, before rounding."""
        ...

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0 ns."""
        ...

    def ns(self, u: float) -> int:
        """The delay of which a fraction `u`, in [0, 1), of all draws is shorter; whole ns."""
        ...

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        ...


def draw_ns(delay: Delay, draws: Draws, purpose: str, entity: int = 0, index: int = 0) -> int:
    """The delay drawn for this key, in ns. A constant needs no draw."""
    if type(delay) is Constant:
        return delay.value_ns
    return delay.ns(draws.uniform(purpose, entity, index))


@dataclass(frozen=True, slots=True)
class Constant:
    """Always `value_ns`."""

    value_ns: int

    def __post_init__(self) -> None:
        _require(self.value_ns >= 0, f"a delay of {self.value_ns} ns is negative")

    @property
    def mean_ns(self) -> float:
        """The value."""
        return float(self.value_ns)

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0 ns."""
        return self.value_ns == 0

    def ns(self, u: float) -> int:
        """The value, whatever `u`."""
        return self.value_ns

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        return np.full(np.shape(u), self.value_ns, np.int64)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Memoryless, with this mean in ns."""

    mean_ns: float

    def __post_init__(self) -> None:
        _require(self.mean_ns >= 0, f"a mean of {self.mean_ns} ns is negative")

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0 ns."""
        return self.mean_ns == 0

    def ns(self, u: float) -> int:
        """-mean * ln(1 - u), in whole ns."""
        return _whole(float(-self.mean_ns * np.log1p(-u)))

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        return _whole_array(-self.mean_ns * np.log1p(-u))


@dataclass(frozen=True, slots=True)
class Uniform:
    """Evenly between `low_ns` and `high_ns`."""

    low_ns: float
    high_ns: float

    def __post_init__(self) -> None:
        _require(self.low_ns >= 0, f"a lower bound of {self.low_ns} ns is negative")
        _require(self.low_ns <= self.high_ns, f"{self.low_ns} ns to {self.high_ns} ns is out of order")

    @property
    def mean_ns(self) -> float:
        """Halfway."""
        return (self.low_ns + self.high_ns) / 2

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0 ns."""
        return self.high_ns == 0

    def ns(self, u: float) -> int:
        """`between` its bounds, in whole ns."""
        return _whole(between(self.low_ns, self.high_ns, u))

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        return _whole_array(between(self.low_ns, self.high_ns, u))

    def residual_ns(self, u: float) -> int:
        """What is left of such a delay at a random instant, where one follows another without end; whole ns.

        The inverse CDF of the stationary residual life of the renewal process, whose density is
        P(delay > x) / mean: flat up to `low_ns`, then falling to nothing at `high_ns`. Bounds r and 2 r give
        a mean of 7/9 r and a median of 3/4 r.
        """
        low_ns, spread_ns = float(self.low_ns), float(self.high_ns - self.low_ns)  # floats, as in arrays
        beyond = min(2 * self.mean_ns * (1 - u), spread_ns)
        return _whole(min(u * self.mean_ns, low_ns) + spread_ns - math.sqrt(spread_ns * beyond))

    def residual_ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`residual_ns` for each element."""
        spread_ns = self.high_ns - self.low_ns
        # Twice the area that the draw leaves to its right, as far as the falling part of the density goes.
        beyond = np.minimum(2 * self.mean_ns * (1 - u), spread_ns)
        return _whole_array(
            np.minimum(u * self.mean_ns, self.low_ns) + spread_ns - np.sqrt(spread_ns * beyond)
        )


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal with this median, and exceeded by one draw in a hundred beyond `p99_ns`."""

    median_ns: float
    p99_ns: float

    def __post_init__(self) -> None:
        _require(self.median_ns > 0, f"a median of {self.median_ns} ns is not positive")
        _require(self.p99_ns >= self.median_ns, f"a p99 of {self.p99_ns} ns is below the median")

    @property
    def sigma(self) -> float:
        """The standard deviation of the logarithm."""
        return _sigma(self.median_ns, self.p99_ns)

    @property
    def mean_ns(self) -> float:
        """median * e^(sigma^2 / 2)."""
        return self.median_ns * math.exp(self.sigma**2 / 2)

    @property
    def is_zero(self) -> bool:
        """Never: the median is positive."""
        return False

    def ns(self, u: float) -> int:
        """median * e^(sigma z), where z is the standard normal quantile of `u`; in whole ns."""
        return int(self.ns_array(np.array([u]))[0])

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        from scipy.special import ndtri

        if self.median_ns == self.p99_ns:
            # No spread: sigma is 0, the quantile of 0 is -infinity, and their product would be no number.
            return _whole_array(np.full(np.shape(u), self.median_ns, np.float64))
        with np.errstate(over="ignore"):  # an infinite tail is cut to the longest delay below
            return _whole_array(self.median_ns * np.exp(self.sigma * ndtri(u)))


@dataclass(frozen=True, slots=True)
class Gamma:
    """Gamma distributed with this mean and coefficient of variation (standard deviation over mean)."""

    mean_ns: float
    cv: float

    def __post_init__(self) -> None:
        _require(self.mean_ns >= 0, f"a mean of {self.mean_ns} ns is negative")
        _require(self.cv > 0, f"a coefficient of variation of {self.cv} is not positive")

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0 ns."""
        return self.mean_ns == 0

    def ns(self, u: float) -> int:
        """The inverse regularized incomplete gamma function of shape 1/cv^2, scaled; in whole ns."""
        return int(self.ns_array(np.array([u]))[0])

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        from scipy.special import gammaincinv

        variance = self.cv**2
        quantiles = np.asarray(gammaincinv(1 / variance, u), np.float64)
        return _whole_array(self.mean_ns * variance * quantiles)


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of the given delays, each as likely as any other. They are sorted."""

    samples_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(len(self.samples_ns) > 0, "an empirical delay needs at least one sample")
        _require(self.samples_ns[0] >= 0, f"a sample of {self.samples_ns[0]} ns is negative")
        in_order = all(a <= b for a, b in zip(self.samples_ns, self.samples_ns[1:], strict=False))
        _require(in_order, "the samples of an empirical delay must be sorted")

    @property
    def mean_ns(self) -> float:
        """The mean of the samples."""
        return sum(self.samples_ns) / len(self.samples_ns)

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0 ns."""
        return self.samples_ns[-1] == 0

    def ns(self, u: float) -> int:
        """The sample at position floor(u * n), counted from 0."""
        return self.samples_ns[int(u * len(self.samples_ns))]

    def ns_array(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """`ns` for each element."""
        samples = np.array(self.samples_ns, np.int64)
        return samples[(np.asarray(u) * len(samples)).astype(np.int64)]


def between(low_ns: Any, high_ns: Any, u: Any) -> Any:
    """Evenly between these: of numbers, of arrays, and compiled (fleet/compiled.py)."""
    return low_ns + u * (high_ns - low_ns)


@cache
def _sigma(median_ns: float, p99_ns: float) -> float:
    from scipy.special import ndtri

    return math.log(p99_ns / median_ns) / float(ndtri(0.99))


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _whole(ns: float) -> int:
    return round(min(ns, LONGEST_NS))


def _whole_array(ns: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(np.minimum(ns, LONGEST_NS)).astype(np.int64)
