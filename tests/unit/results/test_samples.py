"""Percentiles are those of the pooled samples, exact or within the error of a histogram."""

import math
from fractions import Fraction

import numpy as np
import pytest

from simulator.results.histograms import RELATIVE_ERROR
from simulator.results.samples import Samples


def test_a_percentile_of_many_runs_is_that_of_their_samples_together() -> None:
    parts = [np.array([1.0, 2.0, 3.0]), np.array([10.0]), np.array([0.5] * 20)]
    pooled = Samples.merged([Samples.of(part) for part in parts])
    together = np.concatenate(parts)
    for q in (0.5, 0.9, 0.99):
        assert pooled.quantile(q) == pytest.approx(np.quantile(together, q))
    average = np.mean([np.quantile(part, 0.9) for part in parts])
    assert pooled.quantile(0.9) != pytest.approx(average)
    assert pooled.mean == pytest.approx(together.mean())
    assert (pooled.n, pooled.max, pooled.is_exact) == (24, 10.0, True)


def test_more_samples_than_are_kept_become_a_histogram_within_its_error() -> None:
    values = np.exp(np.sin(np.arange(30_000.0)) * 3)
    samples = Samples.of(values)
    assert not samples.is_exact
    assert samples.n == 30_000
    assert samples.mean == pytest.approx(values.mean(), rel=1e-12)
    for q in (0.01, 0.5, 0.9, 0.999):
        assert samples.quantile(q) == pytest.approx(np.quantile(values, q), rel=2 * RELATIVE_ERROR)
    assert samples.share_at_most(np.array([1.0]))[0] == pytest.approx((values <= 1).mean(), abs=0.01)


def test_exact_samples_and_a_histogram_merge_into_a_histogram() -> None:
    values = np.linspace(1, 2, 20_001)
    merged = Samples.merged([Samples.of(values[:10_000]), Samples.of(values[10_000:])])
    assert not merged.is_exact
    assert merged.n == 20_001
    assert merged.quantile(0.5) == pytest.approx(1.5, rel=2 * RELATIVE_ERROR)


def test_more_than_memory_holds_is_pooled_as_a_histogram() -> None:
    parts = [Samples.of(np.full(10, float(part + 1))) for part in range(10)]
    assert Samples.merged(parts, pooled_at_most=100).is_exact
    assert not Samples.merged(parts, pooled_at_most=99).is_exact


def test_the_order_of_the_parts_changes_nothing() -> None:
    parts = [Samples.of(np.array([0.1, 0.7])), Samples.of(np.array([0.2, 1e9])), Samples.of(np.array([0.3]))]
    forwards, backwards = Samples.merged(parts), Samples.merged(parts[::-1])
    assert forwards.total == backwards.total
    assert forwards.values.tolist() == backwards.values.tolist()


def test_what_never_happened_is_infinite_and_counted() -> None:
    samples = Samples.merged([Samples.of(np.array([1.0, math.inf])), Samples.of(np.array([2.0]))])
    assert samples.never == 1
    assert math.isinf(samples.mean)
    assert samples.quantile(Fraction(1, 2)) == 2.0
    assert math.isinf(samples.quantile(0.99))


def test_of_no_samples_everything_is_unknown() -> None:
    nothing = Samples.merged([])
    assert (nothing.n, nothing.never) == (0, 0)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.quantile(0.5))
    assert math.isnan(nothing.max)
