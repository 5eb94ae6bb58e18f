"""95 % intervals cover the truth in 93 to 97 % of 1,000 repetitions, of independent samples and of M/M/1."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.engine.draws import Draws
from simulator.results.intervals import (
    Interval,
    batches,
    cycles,
    mean_interval,
    order_statistic_interval,
    paired_mean_interval,
    quantile_interval,
)
from simulator.results.samples import Samples

Floats = NDArray[np.float64]
REPETITIONS = 1000
LOAD = 0.5


def exponential(purpose: str, repetition: int, count: int) -> Floats:
    """Independent samples of mean 1."""
    return -np.log1p(-Draws(7, repetition).uniform_array(purpose, 0, np.arange(count)))


def sojourns(repetition: int, count: int, run: int = 0, warm_up: int = 500) -> tuple[Floats, Floats]:
    """Sojourn times of an M/M/1 queue of load `LOAD` and service time 1, and who found it empty (Lindley)."""
    between = exponential(f"arrivals/{run}", repetition, count + warm_up) / LOAD
    service = exponential(f"services/{run}", repetition, count + warm_up)
    walk = np.cumsum(np.concatenate([[0.0], service[:-1] - between[1:]]))
    waits = walk - np.minimum.accumulate(walk)
    return (waits + service)[warm_up:], waits[warm_up:] == 0


def truth(q: float | None) -> float:
    """Of the sojourn time, which is exponential of mean 1 / (1 - load)."""
    return (1.0 if q is None else -math.log(1 - q)) / (1 - LOAD)


def covered(interval_of: Callable[[int], Interval], true: float) -> float:
    """The share of repetitions whose interval holds the truth."""
    intervals = [interval_of(repetition) for repetition in range(REPETITIONS)]
    return sum(interval.low <= true <= interval.high for interval in intervals) / REPETITIONS


def of_units(units: list[Floats], q: float | None) -> Interval:
    """The interval of a mean, or of a percentile."""
    if q is None:
        return mean_interval(np.array([u.sum() for u in units]), np.array([float(len(u)) for u in units]))
    return quantile_interval([Samples.of(unit) for unit in units], q)


@pytest.mark.slow
@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_order_statistics_of_independent_samples(q: float) -> None:
    share = covered(lambda r: order_statistic_interval(exponential("iid", r, 1000), q), -math.log(1 - q))
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("q", [None, 0.5, 0.9])
def test_independent_samples_in_replications(q: float | None) -> None:
    true = 1.0 if q is None else -math.log(1 - q)
    share = covered(lambda r: of_units(batches(exponential("iid", r, 1500), 30), q), true)
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("q", [None, 0.5, 0.9])
def test_replications_of_a_queue(q: float | None) -> None:
    share = covered(lambda r: of_units([sojourns(r, 400, run)[0] for run in range(20)], q), truth(q))
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("q", [None, 0.5, 0.9])
def test_batches_of_one_long_queue(q: float | None) -> None:
    share = covered(lambda r: of_units(batches(sojourns(r, 30_000)[0], 20), q), truth(q))
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("q", [None, 0.5])
def test_regeneration_cycles_of_one_long_queue(q: float | None) -> None:
    def interval(repetition: int) -> Interval:
        times, is_empty = sojourns(repetition, 5000)
        return of_units(cycles(times, np.flatnonzero(is_empty).tolist()), q)

    assert 0.93 <= covered(interval, truth(q)) <= 0.97


@pytest.mark.slow
def test_taking_a_queue_for_independent_samples_would_cover_far_too_little() -> None:
    share = covered(lambda r: order_statistic_interval(sojourns(r, 2000)[0], 0.5), truth(0.5))
    assert share < 0.85


@pytest.mark.slow
def test_the_difference_of_paired_means() -> None:
    def interval(repetition: int) -> Interval:
        shared = exponential("shared", repetition, 30) * 5
        own = exponential("own", repetition, 30)
        ones = np.ones(30)
        return paired_mean_interval((shared + own, ones), (shared, ones))

    assert 0.93 <= covered(interval, 1.0) <= 0.97
