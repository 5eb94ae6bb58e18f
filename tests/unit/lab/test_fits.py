"""Lines through measured times find what made them, and say how well."""

from __future__ import annotations

import pytest

from simulator.lab.fits import fit


def test_a_line_is_found_whatever_an_outlier_says() -> None:
    points = [(n, 900.0 + 11.5 * n) for n in (1, 100, 1000, 5000) for _ in range(3)]
    points.append((1000, 90_000.0))  # a push that met something else

    found = fit(points)

    assert found.intercept_us == pytest.approx(900.0)
    assert found.slope_us == pytest.approx(11.5)
    assert found.r2 == pytest.approx(1.0)
    assert (found.n, found.sizes) == (13, (1, 100, 1000, 5000))


def test_a_large_time_does_not_decide_what_nothing_costs() -> None:
    # 10 % off at the largest size are 40 ms: unweighted they would move the intercept by milliseconds.
    exact = {1: 1400.0, 100: 41_000.0, 500: 201_000.0, 1000: 401_000.0 * 1.1}

    found = fit(list(exact.items()))

    assert found.intercept_us == pytest.approx(1000.0, abs=60.0)
    assert found.slope_us == pytest.approx(400.0, rel=0.1)
    assert 0.98 < found.r2 < 1.0


def test_noise_about_zero_is_not_negative() -> None:
    falling, below = fit([(1, 1010.0), (1000, 1000.0)]), fit([(1, 0.5), (10, 60.0)])

    assert falling.slope_us == 0.0
    assert falling.intercept_us == pytest.approx(1005.0, abs=5.0)
    assert below.intercept_us == 0.0
    assert below.slope_us > 0


def test_one_size_gives_its_median() -> None:
    found = fit([(1, 3.0), (1, 1.0), (1, 200.0)])

    assert (found.intercept_us, found.slope_us, found.n) == (3.0, 0.0, 3)
    with pytest.raises(ValueError, match="nothing to fit"):
        fit([])
