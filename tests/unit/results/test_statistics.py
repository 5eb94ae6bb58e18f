"""Quantiles agree with numpy's, and what never happened pushes them to infinity."""

import math
from fractions import Fraction

import numpy as np
import pytest

from simulator.results.statistics import percent, quantile, supports


@pytest.mark.parametrize("text", ["p0", "p50", "p90", "p99", "p99.9", "p100"])
def test_quantiles_of_finite_values_are_numpys(text: str) -> None:
    values = np.random.default_rng(3).exponential(size=777)
    assert quantile(values, percent(text)) == pytest.approx(
        np.quantile(values, float(percent(text))), rel=1e-12
    )


def test_a_quantile_is_infinite_once_an_infinite_value_takes_part() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, math.inf])
    assert quantile(values, Fraction(3, 4)) == 4.0
    assert quantile(values, Fraction(76, 100)) == math.inf
    assert quantile(np.array([math.inf, math.inf]), Fraction(1, 2)) == math.inf


def test_no_values_have_no_quantile() -> None:
    assert math.isnan(quantile(np.array([]), Fraction(1, 2)))


def test_a_quantile_is_supported_by_one_sample_beyond_it() -> None:
    assert supports(100, percent("p99"))
    assert not supports(99, percent("p99"))
    assert supports(1000, percent("99.9"))
    assert not supports(99, percent("p1"))
