"""The keyed generator behaves as independent uniform numbers, along every direction a model uses it in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.engine.draws import Draws
from tests.statistical.evidence import assert_cells, assert_uncorrelated, assert_uniform

N = 50_000
RANGE = np.arange(N)

Numbers = NDArray[np.float64]


def along_entities(draws: Draws) -> Numbers:
    return draws.uniform_array("latency", RANGE)


def along_indices(draws: Draws) -> Numbers:
    return draws.uniform_array("latency", 17, RANGE)


def along_a_grid(draws: Draws) -> Numbers:
    return draws.uniform_array("latency", np.arange(250)[:, None], np.arange(200)).ravel()


def along_the_diagonal(draws: Draws) -> Numbers:
    return draws.uniform_array("latency", RANGE, RANGE)


def along_powers_of_two(draws: Draws) -> Numbers:
    return draws.uniform_array("latency", RANGE << 40, RANGE << 20)


DIRECTIONS = [along_entities, along_indices, along_a_grid, along_the_diagonal, along_powers_of_two]


@pytest.mark.parametrize("along", DIRECTIONS)
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_draws_are_uniform_and_neighbours_are_independent(along: object, seed: int) -> None:
    u = along(Draws(seed))  # type: ignore[operator]
    assert_uniform(u)
    assert_cells(np.bincount((u * 1000).astype(np.int64), minlength=1000), N / 1000)
    for distance in (1, 2, 3, 200):
        assert_uncorrelated(u[:-distance], u[distance:])


def test_the_lowest_bits_are_as_even_as_the_highest(draws: Draws) -> None:
    whole = (along_entities(draws) * 2**53).astype(np.int64)
    for bit in range(53):
        assert_cells(np.bincount((whole >> bit) & 1, minlength=2), N / 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Draws(0), Draws(1)),
        (Draws(0), Draws(2**32)),
        (Draws(0, 0), Draws(0, 1)),
        (Draws(0, 1), Draws(1, 0)),
    ],
    ids=["seeds", "far seeds", "replications", "seed and replication"],
)
def test_runs_are_independent_of_each_other(one: Draws, other: Draws) -> None:
    for along in DIRECTIONS:
        assert_uncorrelated(along(one), along(other))


@pytest.mark.parametrize("other", ["latency ", "latencz", "backoff", "latency/1"])
def test_purposes_are_independent_of_each_other(draws: Draws, other: str) -> None:
    assert_uncorrelated(draws.uniform_array("latency", RANGE), draws.uniform_array(other, RANGE))


def test_entity_and_index_exchanged_are_independent(draws: Draws) -> None:
    rows, columns = (axis.ravel() for axis in np.meshgrid(np.arange(300), np.arange(300)))
    below = rows < columns
    a = draws.uniform_array("latency", rows[below], columns[below])
    b = draws.uniform_array("latency", columns[below], rows[below])
    assert_uncorrelated(a, b)


def test_sums_of_an_entitys_draws_spread_as_sums_of_independent_numbers(draws: Draws) -> None:
    # Twelve uniform numbers sum to variance 1; any dependence along the index shows in the spread.
    sums = draws.uniform_array("latency", np.arange(20_000)[:, None], np.arange(12)).sum(axis=1)
    standard_error = np.sqrt((sums.var() ** 2 * 2 - 0.1 * 1) / len(sums))  # kurtosis of the sum: 3 - 0.1
    assert abs(sums.var() - 1) < 4 * standard_error


def test_seeds_one_after_another_give_independent_first_draws() -> None:
    first = np.array([Draws(seed).uniform("latency") for seed in range(20_000)])
    assert_uniform(first)
    assert_uncorrelated(first[:-1], first[1:])


@pytest.mark.parametrize("word", ["entity", "index"])
def test_each_bit_of_the_key_flips_each_bit_of_the_draw_half_the_time(draws: Draws, word: str) -> None:
    keys = np.arange(4096)
    other = 5 * np.ones_like(keys)

    def bits(keys: NDArray[np.int64]) -> NDArray[np.int64]:
        pair = {"entity": (keys, other), "index": (other, keys)}[word]
        return (draws.uniform_array("x", *pair) * 2**53).astype(np.int64)

    plain = bits(keys)
    flips = np.array(
        [[((plain ^ bits(keys ^ (1 << k))) >> b & 1).sum() for b in range(53)] for k in range(62)]
    )
    # Each count is binomial(4096, 1/2), standard deviation 32; 62 * 53 of them stay within 5 deviations.
    # Keys below 4096 pair up under their own low bits, which doubles the variance of those rows.
    deviations = (flips - 2048) / 32
    deviations[:12] /= np.sqrt(2)
    assert float(np.abs(deviations).max()) < 5
    assert 0.9 < float(deviations.std()) < 1.1


def test_no_two_of_a_million_keys_share_a_draw(draws: Draws) -> None:
    u = draws.uniform_array("x", np.arange(1000)[:, None], np.arange(1000)).ravel()
    # Among 2**53 values a million draws collide 1e12 / 2**54 = 5.6e-5 times on average.
    assert len(np.unique(u)) == u.size


def test_integers_below_n_are_even(draws: Draws) -> None:
    drawn = np.array([draws.integer_below(7, "choice", entity) for entity in range(21_000)])
    assert_cells(np.bincount(drawn, minlength=7), 3000)
