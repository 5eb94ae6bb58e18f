"""The limiter of new streams: burst 1, a wait of a second at most, a refusal at once beyond."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.control_plane.istiod.admission import (
    Admission,
    AdmissionSettings,
    KubernetesClientSettings,
    token_bucket,
)
from simulator.engine.clock import MS, S


def test_the_first_goes_on_at_once_and_the_others_one_interval_apart() -> None:
    admission = Admission(AdmissionSettings(per_second=20))
    assert [admission.admit(0) for _ in range(4)] == [0, 50 * MS, 100 * MS, 150 * MS]


def test_of_many_at_once_one_seconds_worth_waits_and_the_rest_is_refused() -> None:
    admission = Admission(AdmissionSettings(per_second=25))
    answers = [admission.admit(0) for _ in range(5_000)]
    assert [wait for wait in answers if wait is not None] == [number * 40 * MS for number in range(26)]
    assert answers[26:] == [None] * (5_000 - 26)


def test_a_refused_stream_takes_no_token() -> None:
    admission = Admission(AdmissionSettings(per_second=1))
    assert [admission.admit(0) for _ in range(4)] == [0, S, None, None]
    assert admission.admit(S) == S  # the token of the second instant, not of a later one
    assert admission.admit(3 * S) == 0


def test_an_idle_limiter_keeps_no_more_than_one_token() -> None:
    admission = Admission(AdmissionSettings(per_second=10))
    assert admission.admit(0) == 0
    assert [admission.admit(60 * S) for _ in range(2)] == [0, 100 * MS]


def test_the_first_instant_of_a_run_may_lie_before_0() -> None:
    assert Admission(AdmissionSettings(per_second=10)).admit(-1) == 0


@pytest.mark.parametrize("per_second", [35, 30, 7, 0.3, 12.5])
def test_no_rounding_builds_up(per_second: float) -> None:
    admission = Admission(AdmissionSettings(per_second, max_wait_ns=10**15))
    waits = [admission.admit(0) for _ in range(1_001)]
    assert waits[1_000] == pytest.approx(1_000 / per_second * S, abs=1)
    assert waits == sorted(waits)  # type: ignore[type-var]


def plain_limiter(per_second: int, times_ns: list[int]) -> list[int | None]:
    """A bucket of one token, its level kept as an exact fraction, negative while tokens are promised."""
    level, latest_ns = Fraction(1), 0
    waits: list[int | None] = []
    for now_ns in times_ns:
        level = min(Fraction(1), level + Fraction((now_ns - latest_ns) * per_second, S))
        latest_ns = now_ns
        wait_ns = max(0, math.ceil((1 - level) * S / per_second))
        if wait_ns <= S:
            level -= 1
        waits.append(wait_ns if wait_ns <= S else None)
    return waits


@given(st.integers(1, 7), st.lists(st.sampled_from([0, 0, 0, 10 * MS, 333 * MS, S, 3 * S]), max_size=40))
def test_the_limiter_agrees_with_a_bucket_whose_level_is_a_fraction(
    per_second: int, gaps_ns: list[int]
) -> None:
    admission = Admission(AdmissionSettings(per_second))
    times_ns = list(accumulate(gaps_ns))
    assert [admission.admit(t_ns) for t_ns in times_ns] == plain_limiter(per_second, times_ns)


def test_without_a_limit_nobody_waits() -> None:
    admission = Admission(AdmissionSettings(per_second=None))
    assert [admission.admit(0) for _ in range(100)] == [0] * 100


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="0 streams a second"):
        Admission(AdmissionSettings(per_second=0))


def test_token_reviews_pass_the_clients_burst_and_then_its_rate() -> None:
    bucket = token_bucket(KubernetesClientSettings())
    waits = [bucket.take(0) for _ in range(162)]
    assert waits[:160] == [0] * 160
    assert waits[160:] == [12_500_000, 25_000_000]
