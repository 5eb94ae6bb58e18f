"""Requests are integrated over spans of one outcome; a draining connection closes when Envoy's law says
so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.clock import MS, S
from simulator.engine.draws import Draws
from simulator.workload.traffic import (
    OutcomeTimeline,
    Span,
    TrafficSettings,
    connection_closed_after_ns,
    split_by_staleness,
)


def timeline(begin_ns: int = 0, until_ns: int = 100) -> OutcomeTimeline:
    return OutcomeTimeline(TrafficSettings("l0", 10.0, False, begin_ns, until_ns))


def test_requests_are_refused_until_something_accepts_them() -> None:
    train = timeline()
    train.set(40, "200")
    train.set(60, "200")
    train.set(70, "UH")
    assert train.finish(90) == [Span(0, 40, "refused"), Span(40, 70, "200"), Span(70, 90, "UH")]


def test_only_the_time_of_the_train_counts() -> None:
    train = timeline(begin_ns=50, until_ns=80)
    train.set(40, "200")
    train.set(90, "UH")
    assert train.finish(100) == [Span(50, 80, "200")]


@given(
    st.lists(st.integers(0, 200), max_size=6).map(sorted),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted).map(tuple), max_size=5),
)
def test_splitting_by_staleness_loses_and_invents_no_time(
    changes: list[int], stale: list[tuple[int, int]]
) -> None:
    train = timeline(until_ns=200)
    for number, t_ns in enumerate(changes):
        train.set(t_ns, f"outcome {number}")
    spans = train.finish(200)
    pieces = split_by_staleness(spans, stale)
    assert sum(piece.t_end_ns - piece.t_start_ns for piece, _ in pieces) == 200
    for instant in range(200):
        (whole,) = [s for s in spans if s.t_start_ns <= instant < s.t_end_ns]
        ((piece, is_stale),) = [p for p in pieces if p[0].t_start_ns <= instant < p[0].t_end_ns]
        assert piece.outcome == whole.outcome
        assert is_stale == any(begin <= instant < end for begin, end in stale)


def closed_after(
    uniform: float, drain_time_ns: int = 10 * S, is_gradual: bool = True, per_second: float = 10.0
) -> int:
    return connection_closed_after_ns(
        drain_time_ns, is_gradual=is_gradual, per_second=per_second, uniform=lambda second: uniform
    )


def test_immediate_draining_closes_with_the_next_request() -> None:
    assert closed_after(0.5, is_gradual=False) == 100 * MS


def test_gradual_draining_closes_nothing_in_the_first_second_w9() -> None:
    assert closed_after(0.0) == 1 * S + 100 * MS
    assert min(closed_after(u / 100) for u in range(100)) > 1 * S


def test_a_connection_without_requests_stays_until_the_drain_time() -> None:
    assert closed_after(0.0, per_second=0.0) == 10 * S
    assert closed_after(0.999999, drain_time_ns=2 * S, per_second=0.1) == 2 * S


def test_no_connection_outlives_the_drain_time() -> None:
    assert closed_after(1.0 - 2**-53, drain_time_ns=3 * S) <= 3 * S
    assert closed_after(0.0, drain_time_ns=0) == 0


def test_each_request_closes_with_the_share_of_whole_seconds_elapsed() -> None:
    """In the second second of ten each request closes with probability 1/10; of ten requests 1 - 0.9^10
    do."""
    draws, count = Draws(7), 4000
    closed = [
        connection_closed_after_ns(
            10 * S,
            is_gradual=True,
            per_second=10.0,
            uniform=lambda second, i=i: draws.uniform("close", i, second),
        )
        for i in range(count)
    ]
    within_second_second = sum(t <= 2 * S for t in closed) / count
    assert within_second_second == pytest.approx(1 - 0.9**10, abs=0.03)
    first_request = sum(t == S + 100 * MS for t in closed) / count
    assert first_request == pytest.approx(0.1, abs=0.02)
