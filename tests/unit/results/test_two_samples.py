"""The two-sample Kolmogorov-Smirnov distance, held against scipy's, and against what chance does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from simulator.results.two_samples import kolmogorov_smirnov


@pytest.mark.parametrize(("n", "m"), [(20, 20), (100, 1000), (7, 300)])
def test_the_distance_is_scipy_s(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    one, other = rng.uniform(size=n), rng.uniform(size=m) ** 2

    found = kolmogorov_smirnov(one, other)

    assert found.distance == pytest.approx(ks_2samp(one, other).statistic)


def test_the_probability_of_large_samples_is_scipy_s() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=3000), rng.normal(0.05, size=2000)

    # Both are asymptotic; scipy's corrects for the size.
    assert kolmogorov_smirnov(one, other).p == pytest.approx(ks_2samp(one, other).pvalue, abs=0.02)


def test_samples_of_one_distribution_rarely_seem_to_differ() -> None:
    rng = np.random.default_rng(1)
    tries = [kolmogorov_smirnov(rng.normal(size=100), rng.normal(size=200)).is_alike for _ in range(400)]

    # 5 % of 400 are 20 +- 4.4; the asymptotic distance errs on the cautious side.
    assert 400 - sum(tries) < 20 + 3 * 4.4


def test_samples_that_do_not_overlap_are_as_far_apart_as_can_be() -> None:
    found = kolmogorov_smirnov([1, 2, 3] * 10, [4, 5, 6] * 10)

    assert found.distance == 1.0
    assert not found.is_alike
    assert found.p < 1e-9


def test_ties_are_no_distance() -> None:
    assert kolmogorov_smirnov([5, 5, 5], [5, 5]).distance == 0.0
    with pytest.raises(ValueError, match="empty"):
        kolmogorov_smirnov([], [1])
