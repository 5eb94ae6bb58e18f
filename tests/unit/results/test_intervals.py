"""Intervals come from independent units and say what they cannot bound; pairing narrows them."""

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from simulator.engine.draws import Draws
from simulator.results.intervals import (
    NO_INTERVAL,
    are_uncorrelated,
    batches,
    bootstrap_difference,
    cycles,
    difference_interval,
    mean_interval,
    order_statistic_interval,
    paired_mean_interval,
    quantile_interval,
)
from simulator.results.samples import Samples


def uniforms(count: int, purpose: str = "test") -> np.ndarray:
    return Draws(1).uniform_array(purpose, 0, np.arange(count))


def units(values: np.ndarray, count: int) -> list[Samples]:
    return [Samples.of(part) for part in batches(values, count)]


def test_the_mean_of_equal_units_has_students_t() -> None:
    totals = np.array([2.0, 4.0, 9.0])
    interval = mean_interval(totals, np.ones(3))
    half = stdtrit(2, 0.975) * totals.std(ddof=1) / math.sqrt(3)
    assert (interval.low, interval.high) == pytest.approx((5 - half, 5 + half))


def test_samples_inside_a_unit_may_depend_on_each_other() -> None:
    # Every sample a hundred times over tells nothing new.
    values = uniforms(10)
    once = mean_interval(values, np.ones(10))
    often = mean_interval(values * 100, np.full(10, 100.0))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    repeated = [Samples.of(np.repeat(value, 100)) for value in values]
    single = [Samples.of(np.array([value])) for value in values]
    wide, exact = quantile_interval(repeated, 0.5), quantile_interval(single, 0.5)
    assert wide.high - wide.low > 0.8 * (exact.high - exact.low)
    naive = order_statistic_interval(np.repeat(values, 100), 0.5)
    assert naive.high - naive.low < 0.5 * (exact.high - exact.low)


@pytest.mark.parametrize("parts", [[], [np.array([1.0, 2.0])]])
def test_one_unit_has_no_interval(parts: list[np.ndarray]) -> None:
    samples = [Samples.of(part) for part in parts]
    assert quantile_interval(samples, 0.5) is NO_INTERVAL
    totals = np.array([unit.total for unit in samples])
    assert mean_interval(totals, np.ones(len(totals))) is NO_INTERVAL


def test_a_percentile_that_samples_cannot_bound_is_open_at_that_end() -> None:
    interval = order_statistic_interval(uniforms(50), 0.99)
    assert math.isinf(interval.high)
    assert 0.8 < interval.low < 1
    assert order_statistic_interval(uniforms(50), 0.01).low == -math.inf
    assert math.isfinite(order_statistic_interval(uniforms(2000), 0.99).high)


def test_order_statistics_of_a_known_case() -> None:
    # Of ten, the median lies between the 2nd and the 9th with 97.9 %, the 3rd and the 8th with 89.1 %.
    interval = order_statistic_interval(np.arange(1.0, 11.0), 0.5)
    assert 2 < interval.low < 3
    assert 8 < interval.high < 9


def test_equal_samples_everywhere_are_known_exactly() -> None:
    interval = quantile_interval([Samples.of(np.full(20, 0.1)) for _ in range(5)], 0.9)
    assert (interval.low, interval.high) == (0.1, 0.1)


def test_pairs_that_share_their_scatter_are_told_apart_better() -> None:
    shared, own = uniforms(30), uniforms(30, "own") * 0.1
    ones = np.ones(30)
    paired = paired_mean_interval((shared + own + 0.2, ones), (shared, ones))
    unpaired = difference_interval((shared + own + 0.2, ones), (shared, ones))
    assert paired.low <= 0.25 <= paired.high
    assert paired.half_width < unpaired.half_width / 5


def test_pairs_that_share_nothing_gain_nothing() -> None:
    ones = np.ones(500)
    first, second = (uniforms(500, "a"), ones), (uniforms(500, "b"), ones)
    paired, unpaired = paired_mean_interval(first, second), difference_interval(first, second)
    assert paired.half_width == pytest.approx(unpaired.half_width, rel=0.15)


def test_the_paired_bootstrap_of_a_percentile_is_narrow_and_repeatable() -> None:
    shared = uniforms(30)
    noise = uniforms(30 * 20, "noise").reshape(30, 20) * 0.2
    first = [Samples.of(shift + row + 0.5) for shift, row in zip(shared, noise, strict=True)]
    second = [Samples.of(shift + row) for shift, row in zip(shared, noise, strict=True)]
    paired = bootstrap_difference(first, second, 0.9)
    unpaired = bootstrap_difference(first, second, 0.9, paired=False)
    assert paired.low <= 0.5 + 1e-9
    assert paired.high >= 0.5 - 1e-9
    assert paired.half_width < unpaired.half_width
    assert bootstrap_difference(first, second, 0.9) == paired


def test_a_median_in_a_gap_lies_within_its_bootstrap_interval() -> None:
    """Half of every unit is fast and half slow: the median is in the gap, that of units drawn again too."""
    noise = uniforms(5 * 20, "gap").reshape(5, 20) * 0.01
    halves = np.where(np.arange(20) < 10, 1.0, 3.0)
    first = [Samples.of(2 * halves + row) for row in noise]
    second = [Samples.of(halves + row) for row in noise]
    pooled = [Samples.merged(side).quantile(0.5) for side in (first, second)]
    for paired in (True, False):
        interval = bootstrap_difference(first, second, 0.5, paired=paired)
        assert interval.low <= pooled[0] - pooled[1] <= interval.high
        assert interval.half_width < 0.02


def test_a_resampled_quantile_with_an_infinite_neighbour_is_infinite() -> None:
    some = [Samples.of(np.array([1.0, math.inf])) for _ in range(4)]
    never_less = bootstrap_difference(some, [Samples.of(np.array([1.0, 1.0])) for _ in range(4)], 0.5)
    assert (never_less.low, never_less.high) == (math.inf, math.inf)


def test_nothing_is_said_of_the_difference_of_two_infinities() -> None:
    never = [Samples.of(np.array([math.inf])) for _ in range(5)]
    assert bootstrap_difference(never, never, 0.5) is NO_INTERVAL
    assert mean_interval(np.array([math.inf, 1.0]), np.ones(2)) is NO_INTERVAL


def test_batches_and_cycles_cut_in_order() -> None:
    assert [batch.tolist() for batch in batches(np.arange(7.0), 3)] == [[1, 2], [3, 4], [5, 6]]
    assert [cycle.tolist() for cycle in cycles(np.arange(7.0), [0, 2, 6])] == [[0, 1], [2, 3, 4, 5]]


def test_a_trend_between_units_is_noticed() -> None:
    assert are_uncorrelated(uniforms(40))
    assert not are_uncorrelated(np.arange(40.0))
    assert not are_uncorrelated(np.array([1.0, 2.0]))
