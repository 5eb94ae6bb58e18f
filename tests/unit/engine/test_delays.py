import math
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.engine.clock import MS, US, S
from simulator.engine.delays import (
    Constant,
    Delay,
    Empirical,
    Exponential,
    Gamma,
    LogNormal,
    Uniform,
    draw_ns,
)
from simulator.engine.draws import Draws

DELAYS: list[Delay] = [
    Constant(5 * MS),
    Exponential(5 * MS),
    Uniform(1 * MS, 2 * MS),
    LogNormal(2 * MS, 20 * MS),
    LogNormal(2 * MS, 2 * MS),
    Gamma(5 * MS, 0.5),
    Gamma(5 * MS, 3.0),
    Empirical((1 * US, 3 * US, 3 * US, 10 * MS)),
]
BELOW_ONE = 1 - 2.0**-53


@pytest.mark.parametrize("delay", DELAYS, ids=repr)
def test_scalar_and_array_agree_bit_for_bit(delay: Delay) -> None:
    u = np.concatenate([Draws(1).uniform_array("u", np.arange(2000)), [0.0, 2.0**-53, 0.5, BELOW_ONE]])
    whole = delay.ns_array(u)
    assert whole.dtype == np.int64
    scalars = [delay.ns(v) for v in u.tolist()]
    assert whole.tolist() == scalars
    assert all(type(ns) is int for ns in scalars)
    assert delay.ns_array(u[::2]).tolist() == scalars[::2]


@pytest.mark.parametrize("delay", DELAYS, ids=repr)
def test_a_delay_grows_with_its_draw_and_is_never_negative(delay: Delay) -> None:
    ns = delay.ns_array(np.linspace(0, BELOW_ONE, 1001))
    assert ns[0] >= 0
    assert bool(np.all(np.diff(ns) >= 0))


@pytest.mark.parametrize("delay", DELAYS, ids=repr)
def test_the_mean_is_the_integral_of_the_inverse_cdf(delay: Delay) -> None:
    n = 200_000
    midpoints = (np.arange(n) + 0.5) / n
    # The midpoint rule misses part of the last cell's tail: about the 1 - 1/n quantile over n.
    tolerance = 3 * delay.ns(1 - 1 / n) / n + 1
    assert float(delay.ns_array(midpoints).mean()) == pytest.approx(delay.mean_ns, abs=tolerance)


@pytest.mark.parametrize(
    ("delay", "u", "ns"),
    [
        (Constant(7), 0.99, 7),
        (Exponential(1000), 0.0, 0),
        (Exponential(1000), 0.5, round(1000 * math.log(2))),
        (Exponential(1000), 1 - math.exp(-3), 3000),
        (Uniform(100, 200), 0.0, 100),
        (Uniform(100, 200), 0.25, 125),
        (Uniform(100, 100), 0.7, 100),
        (LogNormal(2 * MS, 20 * MS), 0.5, 2 * MS),
        (LogNormal(2 * MS, 20 * MS), 0.99, 20 * MS),
        (LogNormal(2 * MS, 20 * MS), 0.01, 200 * US),  # as far below the median as the p99 is above
        (LogNormal(2 * MS, 20 * MS), 0.0, 0),
        (LogNormal(5, 5), 0.0, 5),
        (Gamma(1000, 1.0), 0.5, round(1000 * math.log(2))),  # cv 1 is the exponential
        (Gamma(1000, 1 / math.sqrt(2)), 0.5, 839),  # Erlang of 2: 1 - e^-x (1 + x) = 0.5 at x = 1.67835
        (Gamma(1000, 0.5), 0.0, 0),
        (Empirical((10, 20, 30, 40)), 0.0, 10),
        (Empirical((10, 20, 30, 40)), 0.25, 20),
        (Empirical((10, 20, 30, 40)), 0.7499, 30),
        (Empirical((10, 20, 30, 40)), BELOW_ONE, 40),
        (Empirical((10,)), 0.3, 10),
    ],
    ids=repr,
)
def test_quantiles(delay: Delay, u: float, ns: int) -> None:
    assert delay.ns(u) == ns


@pytest.mark.parametrize(
    ("delay", "u", "ns"),
    [
        (Uniform(S, 2 * S), 0.0, 0),
        (Uniform(S, 2 * S), 0.5, 750 * MS),
        (Uniform(S, 2 * S), 2 / 3, S),
        (Uniform(S, 2 * S), 0.9, round((2 - math.sqrt(0.3)) * S)),
        (Uniform(S, 2 * S), 1.0, 2 * S),
        (Uniform(S, S), 0.25, 250 * MS),
        (Uniform(0, S), 0.75, 500 * MS),
        (Uniform(0, 0), 0.5, 0),
    ],
    ids=repr,
)
def test_what_is_left_of_a_delay_at_a_random_instant(delay: Uniform, u: float, ns: int) -> None:
    assert delay.residual_ns(u) == pytest.approx(ns, abs=1)


@pytest.mark.parametrize("delay", [Uniform(S, 2 * S), Uniform(0, S), Uniform(S, S), Uniform(60 * S, 90 * S)])
def test_the_mean_of_what_is_left_is_half_the_second_moment_over_the_mean(delay: Uniform) -> None:
    n = 100_000
    left = delay.residual_ns_array((np.arange(n) + 0.5) / n)
    low, high = delay.low_ns, delay.high_ns
    second_moment = (low * low + low * high + high * high) / 3
    assert float(left.mean()) == pytest.approx(second_moment / (2 * delay.mean_ns), rel=1e-5)
    assert bool(np.all(np.diff(left) >= 0))
    assert left.tolist()[:: n // 50] == [delay.residual_ns((k + 0.5) / n) for k in range(0, n, n // 50)]


@given(
    bounds=st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)).map(sorted),
    u=st.floats(0, 1, exclude_max=True),
)
@example(bounds=[24_780_404, 36_405_356_262_240_496], u=0.0)  # whole numbers beyond what floats hold
def test_what_is_left_is_the_same_from_a_number_as_from_an_array(bounds: list[int], u: float) -> None:
    delay = Uniform(*bounds)
    left_ns = delay.residual_ns(u)
    assert left_ns == delay.residual_ns_array(np.array([u]))[0]
    assert 0 <= left_ns <= float(bounds[1])


def test_rounding_is_half_to_even() -> None:
    assert [Uniform(0, 5).ns(u) for u in (0.1, 0.3, 0.5, 0.7)] == [0, 2, 2, 4]


@pytest.mark.parametrize(
    ("delay", "is_zero"),
    [
        (Constant(0), True),
        (Constant(1), False),
        (Exponential(0), True),
        (Exponential(1), False),
        (Uniform(0, 0), True),
        (Uniform(0, 1), False),
        (LogNormal(1, 1), False),
        (Gamma(0, 1), True),
        (Gamma(1, 1), False),
        (Empirical((0, 0)), True),
        (Empirical((0, 1)), False),
    ],
    ids=repr,
)
def test_a_delay_knows_whether_it_is_always_zero(delay: Delay, is_zero: bool) -> None:
    assert delay.is_zero is is_zero
    if is_zero:
        assert delay.ns(BELOW_ONE) == 0
        assert delay.mean_ns == 0


def test_a_tail_beyond_int64_is_cut_off_alike_in_both_forms() -> None:
    wild = LogNormal(S, 10_000_000 * S)
    assert wild.ns(BELOW_ONE) == wild.ns_array(np.array([BELOW_ONE]))[0] == 2**62


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Constant(-1), "negative"),
        (lambda: Exponential(-1), "negative"),
        (lambda: Uniform(-1, 5), "negative"),
        (lambda: Uniform(5, 4), "out of order"),
        (lambda: LogNormal(0, 5), "not positive"),
        (lambda: LogNormal(5, 4), "below the median"),
        (lambda: Gamma(-5, 1), "negative"),
        (lambda: Gamma(5, 0), "not positive"),
        (lambda: Empirical(()), "at least one sample"),
        (lambda: Empirical((3, 2)), "sorted"),
        (lambda: Empirical((-3, 2)), "negative"),
        (lambda: Exponential(math.nan), "negative"),
    ],
)
def test_impossible_parameters_are_refused(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()  # type: ignore[operator]


def test_delays_are_values() -> None:
    assert Exponential(5) == Exponential(5) != Exponential(6)
    assert len(dict.fromkeys([Constant(1), Constant(1), Uniform(1, 1)])) == 2
    with pytest.raises(FrozenInstanceError):
        Constant(1).value_ns = 2  # type: ignore[misc]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_delay_is_drawn_with_the_uniform_number_of_its_key(entity: int, index: int) -> None:
    draws, delay = Draws(5), Exponential(MS)
    u = draws.uniform("latency", entity, index)
    assert draw_ns(delay, draws, "latency", entity, index) == delay.ns(u)


def test_a_constant_is_drawn_without_a_number() -> None:
    class NoDraws(Draws):
        def uniform(self, purpose: str, entity: int = 0, index: int = 0) -> float:
            raise AssertionError("drawn")

    assert draw_ns(Constant(5), NoDraws(0), "latency") == 5


@pytest.mark.slow
def test_scipy_is_imported_only_by_the_delays_that_need_it() -> None:
    program = (
        "import sys; from simulator.engine.delays import Exponential, Gamma\n"
        "Exponential(5).ns(0.5); assert 'scipy' not in sys.modules\n"
        "Gamma(5, 1).ns(0.5); assert 'scipy.special' in sys.modules and 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
