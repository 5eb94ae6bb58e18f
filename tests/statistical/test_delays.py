"""Drawn delays follow the distribution they are named after."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr

from simulator.engine.clock import MS
from simulator.engine.delays import Delay, Empirical, Exponential, Gamma, LogNormal, Uniform
from simulator.engine.draws import Draws
from tests.statistical.evidence import assert_cells, assert_mean, assert_uniform

N = 50_000

EXPONENTIAL = Exponential(5 * MS)
UNIFORM = Uniform(1 * MS, 2 * MS)
LOG_NORMAL = LogNormal(2 * MS, 20 * MS)
GAMMA = Gamma(5 * MS, 0.5)


def sample(delay: Delay) -> NDArray[np.int64]:
    return delay.ns_array(Draws(11).uniform_array("delay", np.arange(N)))


@pytest.mark.parametrize(
    ("delay", "cdf"),
    [
        (EXPONENTIAL, lambda ns: -np.expm1(-ns / (5 * MS))),
        (UNIFORM, lambda ns: (ns - MS) / MS),
        (LOG_NORMAL, lambda ns: ndtr(np.log(ns / (2 * MS)) / (np.log(10) / 2.3263478740408408))),
        (GAMMA, lambda ns: gammainc(4, ns / (1.25 * MS))),
    ],
    ids=["exponential", "uniform", "log-normal", "gamma"],
)
def test_a_delay_pushed_through_its_cdf_is_uniform(delay: Delay, cdf: object) -> None:
    assert_uniform(cdf(sample(delay).astype(np.float64)))  # type: ignore[operator]


@pytest.mark.parametrize("delay", [EXPONENTIAL, UNIFORM, LOG_NORMAL, GAMMA], ids=repr)
def test_the_mean_is_the_one_it_states(delay: Delay) -> None:
    # Batch means are closer to normal than single draws of a skewed distribution.
    batches = sample(delay).astype(np.float64).reshape(100, -1).mean(axis=1)
    assert_mean(batches, delay.mean_ns)


def test_a_gamma_has_the_coefficient_of_variation_asked_for() -> None:
    squares = (sample(GAMMA) / GAMMA.mean_ns - 1) ** 2
    assert_mean(squares.reshape(100, -1).mean(axis=1), GAMMA.cv**2)


def test_an_empirical_delay_gives_each_sample_its_share() -> None:
    drawn = sample(Empirical((1, 3, 3, 7)))
    assert_cells(np.array([(drawn == ns).sum() for ns in (1, 3, 7)]), np.array([N / 4, N / 2, N / 4]))
