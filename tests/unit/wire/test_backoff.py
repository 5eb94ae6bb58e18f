"""Full-jitter back-off: each wait anywhere below a bound that doubles."""

from __future__ import annotations

import pytest

from simulator.engine.clock import MS, S
from simulator.engine.draws import Draws
from simulator.wire.backoff import BackoffSettings, JitteredBackoff

ENVOY = BackoffSettings(base_ns=500 * MS, max_ns=30 * S)
BOUNDS_MS = [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]


def waits(seed: int, count: int, entity: int = 0) -> list[int]:
    backoff = JitteredBackoff(ENVOY, Draws(seed), "backoff", entity)
    return [backoff.next_ns() for _ in range(count)]


def test_waits_are_whole_milliseconds_below_the_bound_d2() -> None:
    runs = [waits(seed, 8) for seed in range(200)]
    for attempt, bound_ms in enumerate(BOUNDS_MS):
        drawn = [run[attempt] for run in runs]
        assert all(wait % MS == 0 and 0 <= wait < bound_ms * MS for wait in drawn)
        assert max(drawn) > 0.9 * bound_ms * MS
        assert sum(drawn) / len(drawn) == pytest.approx(bound_ms * MS / 2, rel=0.15)


def test_a_response_makes_the_next_wait_short_again() -> None:
    for seed in range(50):
        backoff = JitteredBackoff(ENVOY, Draws(seed), "backoff", 0)
        for _ in range(6):
            backoff.next_ns()
        backoff.reset()
        assert backoff.next_ns() < 500 * MS
        assert backoff.next_ns() < 1000 * MS


def test_a_reset_does_not_repeat_the_draws() -> None:
    backoff = JitteredBackoff(ENVOY, Draws(1), "backoff", 0)
    drawn = []
    for _ in range(20):
        drawn.append(backoff.next_ns())
        backoff.reset()
    assert len(set(drawn)) > 10


def test_proxies_wait_differently_and_runs_alike() -> None:
    assert waits(1, 5) == waits(1, 5)
    assert waits(1, 5) != waits(1, 5, entity=1)


def test_waits_that_continue_from_others_are_those_that_would_have_come() -> None:
    rest = JitteredBackoff(ENVOY, Draws(5), "backoff", 0)
    rest.continue_from(3, 4000 * MS)
    assert [rest.next_ns() for _ in range(5)] == waits(5, 8)[3:]
    assert rest.drawn == 8
