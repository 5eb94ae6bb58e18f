"""Confidence intervals from independent units: replications, batches of one long run, or cycles of rest.

The samples inside a unit may depend on each other as they like, as the deliveries of one push do; only the
units are taken to be independent. Means are ratios of sums over units (a unit may hold any number of
samples), with Student's t, which takes the units for normal: where few of them carry the scatter, or a unit
is as skewed as one exponential sample, a 95 % interval covers 92.7 % with thirty units and 94 % with a
hundred (measured; tests/statistical). Quantiles pool all samples; their interval is Woodruff's (1952): the
standard error of the share of samples below the quantile comes from its scatter between units, and is turned
into the effective number of independent samples (Korn and Graubard 1998), whose order statistics bound the
quantile. Where no formula fits, as for the difference of two quantiles, whole units are drawn again
(bootstrap), in pairs where the units are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from simulator.engine.draws import Draws
from simulator.results.samples import Samples
from simulator.results.statistics import Values

__all__ = [
    "LEVEL",
    "NO_INTERVAL",
    "Interval",
    "are_uncorrelated",
    "batches",
    "bootstrap_difference",
    "cycles",
    "difference_interval",
    "mean_interval",
    "order_statistic_interval",
    "paired_mean_interval",
    "quantile_interval",
]

LEVEL: Final = 0.95
"""Confidence of every interval unless another is asked for."""
RESAMPLES: Final = 2000
"""Bootstrap resamples: the end of a 95 % interval rests on the outermost fifty."""
_CANDIDATES: Final = 1000
"""Order statistics around a quantile that a bootstrap tells apart."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval: NaN at both ends where there is none, infinite at an end that nothing bounds."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


NO_INTERVAL: Final = Interval(math.nan, math.nan)


def mean_interval(totals: Values, counts: Values, level: float = LEVEL) -> Interval:
    """The interval of a mean, from each unit's sum and number of samples.

    No interval from fewer than two units, nor where anything is infinite.
    """
    if len(totals) < 2 or not np.isfinite(totals).all() or counts.sum() == 0:
        return NO_INTERVAL
    mean = float(totals.sum() / counts.sum())
    half = student(len(totals) - 1, level) * _standard_error(_influence(totals, counts))
    return Interval(mean - half, mean + half)


def paired_mean_interval(
    first: tuple[Values, Values], second: tuple[Values, Values], level: float = LEVEL
) -> Interval:
    """The interval of the difference of two means whose units are paired: (totals, counts) of each."""
    if len(first[0]) < 2 or not all(np.isfinite(part).all() for part in (*first, *second)):
        return NO_INTERVAL
    if first[1].sum() == 0 or second[1].sum() == 0:
        return NO_INTERVAL
    difference = float(first[0].sum() / first[1].sum() - second[0].sum() / second[1].sum())
    half = student(len(first[0]) - 1, level) * _standard_error(_influence(*first) - _influence(*second))
    return Interval(difference - half, difference + half)


def difference_interval(
    first: tuple[Values, Values], second: tuple[Values, Values], level: float = LEVEL
) -> Interval:
    """The same interval had the units not been paired (Welch's degrees of freedom)."""
    if min(len(first[0]), len(second[0])) < 2:
        return NO_INTERVAL
    if not all(np.isfinite(part).all() and part[1].sum() for part in (np.array(first), np.array(second))):
        return NO_INTERVAL
    difference = float(first[0].sum() / first[1].sum() - second[0].sum() / second[1].sum())
    variances = [_standard_error(_influence(*part)) ** 2 for part in (first, second)]
    if sum(variances) == 0:
        return Interval(difference, difference)
    degrees = sum(variances) ** 2 / sum(
        variance**2 / (len(part[0]) - 1) for variance, part in zip(variances, (first, second), strict=True)
    )
    half = student(degrees, level) * math.sqrt(sum(variances))
    return Interval(difference - half, difference + half)


def quantile_interval(
    units: Sequence[Samples], q: float, level: float = LEVEL, pooled: Samples | None = None
) -> Interval:
    """The interval of the q-quantile of the pooled samples of independent units.

    An end is infinite where the units are too few to bound the quantile on that side.
    """
    filled = [unit for unit in units if unit.n]
    together = Samples.merged(filled) if pooled is None else pooled
    if len(filled) < 2:
        return NO_INTERVAL
    if all(unit.n == 1 for unit in filled):
        return _between_ranks(together, q, together.n, level)
    value = together.quantile(q)
    if math.isinf(value) and together.never == together.n:
        return NO_INTERVAL
    error = _share_error(filled, value)
    if error == 0:
        return Interval(value, value)
    adjusted = (normal(level) / student(len(filled) - 1, level)) ** 2
    return _between_ranks(together, q, adjusted * q * (1 - q) / error**2, level)


def order_statistic_interval(values: Values, q: float, level: float = LEVEL) -> Interval:
    """The interval of the q-quantile of independent samples, between two of them.

    Only for independent samples: of waiting times in one queue, or deliveries of one push, a nominal 95 %
    interval of this kind covers the truth far less often.
    """
    return _between_ranks(Samples.of(values, kept_at_most=len(values)), q, len(values), level)


def bootstrap_difference(
    first: Sequence[Samples],
    second: Sequence[Samples],
    q: float,
    *,
    paired: bool = True,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of the difference of two pooled q-quantiles: whole units are drawn again.

    With `paired`, the same units are drawn on both sides, so that what they share cancels. Percentiles are
    widened for few units as Hesterberg (2015) does. No interval from fewer than two units.
    """
    count = len(first)
    if count < 2 or (paired and len(second) != count):
        return NO_INTERVAL
    picks = _resampled_units(count, resamples, "bootstrap.first")
    others = picks if paired else _resampled_units(len(second), resamples, "bootstrap.second")
    left, right = _resampled_quantiles(first, picks, q), _resampled_quantiles(second, others, q)
    with np.errstate(invalid="ignore"):
        differences = left - right
    if np.isnan(differences).any():
        return NO_INTERVAL  # both infinite: their difference means nothing
    from scipy.special import ndtr

    fewer = min(count, len(second))
    tail = float(ndtr(-math.sqrt(fewer / (fewer - 1)) * student(fewer - 1, level)))
    ordered = np.sort(differences)
    places = np.clip([tail * (resamples - 1), (1 - tail) * (resamples - 1)], 0, resamples - 1)
    return Interval(float(ordered[int(places[0])]), float(ordered[math.ceil(places[1])]))


def batches(values: Values, count: int = 20) -> list[Values]:
    """A long run cut into `count` pieces of equal length, in order; what is over is left out at the start."""
    length = len(values) // count
    start = len(values) - length * count
    return [values[start + length * place : start + length * (place + 1)] for place in range(count)]


def cycles(values: Values, starts: Sequence[int]) -> list[Values]:
    """The samples of each regeneration cycle, from one start to the next; the last, unfinished, left out."""
    return [values[begin:end] for begin, end in pairwise(starts)]


def are_uncorrelated(means: Values, level: float = LEVEL) -> bool:
    """Whether means of successive units show no correlation with the ones before (von Neumann's ratio)."""
    count = len(means)
    spread = float(((means - means.mean()) ** 2).sum())
    if count < 3 or spread == 0:
        return count >= 3
    correlation = 1 - float((np.diff(means) ** 2).sum()) / (2 * spread)
    from scipy.special import ndtri

    return correlation < float(ndtri(level)) * math.sqrt((count - 2) / (count**2 - 1))


def student(degrees: float, level: float) -> float:
    """Student's t that the middle `level` lies within."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def normal(level: float) -> float:
    """The standard normal that the middle `level` lies within."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def _influence(totals: Values, counts: Values) -> Values:
    """How far each unit pulls the mean: its residual from the ratio, per mean number of samples."""
    residuals: Values = (totals - totals.sum() / counts.sum() * counts) / counts.mean()
    return residuals


def _standard_error(influences: Values) -> float:
    count = len(influences)
    return math.sqrt(float((influences**2).sum()) / (count * (count - 1)))


def _share_error(units: Sequence[Samples], value: float) -> float:
    """Standard error of the share of samples at most, or below, the value: the larger of the two."""
    counts = np.array([unit.n for unit in units], dtype=np.float64)
    at = np.array([value])
    up_to = np.array([unit.count_at_most(at)[0] for unit in units])
    below = np.array([unit.count_below(at)[0] for unit in units])
    return max(_standard_error(_influence(up_to, counts)), _standard_error(_influence(below, counts)))


def _between_ranks(pooled: Samples, q: float, effective: float, level: float) -> Interval:
    """The pooled samples between which the q-quantile lies, as if `effective` of them were independent."""
    from scipy.special import bdtrik

    tail = (1 - level) / 2
    low, high = -math.inf, math.inf
    # Between ranks of `effective` samples the binomial is interpolated; their shares lead to pooled ones.
    if (1 - q) ** effective <= tail:
        low = _at_share(pooled, (float(bdtrik(tail, effective, q)) + 0.5) / effective)
    if q**effective <= tail:
        high = _at_share(pooled, (float(bdtrik(1 - tail, effective, q)) + 0.5) / effective)
    return Interval(low, high)


def _at_share(pooled: Samples, share: float) -> float:
    """The pooled sample below which that share lies; sample k of n stands for the share (k - 1/2) / n."""
    place = (share * pooled.n - 0.5) / max(pooled.n - 1, 1)
    return pooled.quantile(min(max(place, 0.0), 1.0))


def _resampled_units(count: int, resamples: int, purpose: str) -> Values:
    """Resample x unit: how often each unit is drawn."""
    draws = Draws(count)
    indices = np.arange(resamples * count)
    drawn = (draws.uniform_array(purpose, 0, indices) * count).astype(np.int64)
    cells = indices // count * count + drawn
    return np.bincount(cells, minlength=len(indices)).reshape(resamples, count).astype(np.float64)


def _resampled_quantiles(units: Sequence[Samples], picks: Values, q: float) -> Values:
    """The pooled q-quantile of each resample, read at the order statistics around the pooled one."""
    pooled = Samples.merged(units)
    levels = np.linspace(0, 1, min(pooled.n, _CANDIDATES)) if pooled.n else np.empty(0)
    if pooled.n > _CANDIDATES:
        filled = [unit for unit in units if unit.n]
        reach = 8 * max(_share_error(filled, pooled.quantile(q)), 1 / pooled.n)
        levels = np.clip(np.linspace(q - reach, q + reach, _CANDIDATES), 0, 1)
    places = np.unique(np.round(levels * (pooled.n - 1)).astype(np.int64))
    values = np.unique(pooled.at_ranks(places))
    if not len(values):
        return np.full(len(picks), math.nan)
    below = np.array([unit.count_at_most(values) for unit in units])
    counts = np.array([float(unit.n) for unit in units])
    wanted = np.round(q * (picks @ counts - 1) + 1, 9)
    cumulated = picks @ below

    def at_rank(rank: Values) -> Values:
        reached = cumulated >= rank[:, None]
        found: Values = np.where(reached.any(axis=1), values[reached.argmax(axis=1)], values[-1])
        return found

    # Between two samples as the pooled quantile is: else a median in a gap lies beside its own interval.
    lower, upper, weight = at_rank(np.floor(wanted)), at_rank(np.ceil(wanted)), wanted % 1
    with np.errstate(invalid="ignore"):
        between = lower + (upper - lower) * weight
    return np.where(weight == 0, lower, np.where(np.isinf(upper), math.inf, between))
