"""Expected requests by outcome: what a proxy knows meets who answers."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.clock import S
from simulator.mesh.lives import EndpointLives, Life
from simulator.workload.mesh_traffic import (
    EdgeSettings,
    EdgeTraffic,
    RoutingView,
    Shares,
    TrafficRow,
    kinds_of,
    outcome_shares,
)

SERVING, TERMINATING, GONE = Life.SERVING, Life.TERMINATING, Life.GONE


def traffic(
    views: dict[int, RoutingView],
    lives: dict[int, list[tuple[int, Life]]] | None = None,
    *,
    per_second: float = 10.0,
    begin_ns: int = 0,
    until_ns: int = 100 * S,
    retries: int = 2,
    attempt_ns: int = 0,
    end_ns: int = 100 * S,
) -> list[tuple[float, float, str, bool, float, float]]:
    facts = EndpointLives()
    for pod, notes in (lives or {}).items():
        for t_ns, life in notes:
            facts.note(pod, t_ns, life)
    edge = EdgeTraffic(EdgeSettings(per_second, begin_ns, until_ns, retries, attempt_ns), facts)
    for t_ns, view in views.items():
        edge.set(t_ns, view)
    return [as_tuple(row) for row in edge.rows(end_ns)]


def as_tuple(row: TrafficRow) -> tuple[float, float, str, bool, float, float]:
    return (
        row.t_start_ns / S,
        row.t_end_ns / S,
        row.outcome,
        row.stale,
        pytest.approx(row.attempts),
        pytest.approx(row.requests),
    )


def knows(*pods: int) -> RoutingView:
    return RoutingView(None, pods)


def test_requests_are_rate_times_time_and_equal_spans_are_joined() -> None:
    views = {0: knows(1, 2), 10 * S: knows(2, 3), 20 * S: knows(2, 3)}
    assert traffic(views) == [(0, 100, "200", False, 1000, 1000)]
    assert traffic(views, begin_ns=90 * S, until_ns=95 * S) == [(90, 95, "200", False, 50, 50)]
    assert traffic(views, end_ns=30 * S) == [(0, 30, "200", False, 300, 300)]
    assert traffic(views, begin_ns=50 * S, end_ns=30 * S) == []


def test_a_sender_that_comes_later_sends_nothing_before() -> None:
    edge = EdgeTraffic(EdgeSettings(10.0, 10 * S, 100 * S), EndpointLives())
    edge.set(15 * S, knows(1))
    assert [as_tuple(row) for row in edge.rows(50 * S, begin_ns=5 * S)] == [
        (10, 15, "refused", False, 50, 50),
        (15, 50, "200", False, 350, 350),
    ]
    assert [as_tuple(row) for row in edge.rows(50 * S, begin_ns=20 * S)] == [(20, 50, "200", False, 300, 300)]
    assert edge.rows(50 * S, begin_ns=60 * S) == []


def test_what_stands_in_the_way_is_the_outcome() -> None:
    views = {
        10 * S: RoutingView("NR"),
        20 * S: RoutingView("NC"),
        30 * S: knows(),
        40 * S: knows(1),
    }
    assert traffic(views, end_ns=50 * S) == [
        (0, 10, "refused", False, 100, 100),
        (10, 20, "NR", False, 100, 100),
        (20, 30, "NC", False, 100, 100),
        (30, 40, "UH", False, 100, 100),
        (40, 50, "200", False, 100, 100),
    ]


def test_a_terminating_pod_answers_and_is_counted_apart() -> None:
    lives = {1: [(10 * S, TERMINATING)]}
    views = {0: knows(1, 2, 3, 4), 12 * S: knows(2, 3, 4)}
    assert traffic(views, lives, end_ns=20 * S) == [
        (0, 10, "200", False, 100, 100),
        (10, 12, "200", False, 15, 15),
        (10, 12, "200", True, 5, 5),
        (12, 20, "200", False, 80, 80),
    ]


def test_requests_to_a_pod_that_is_gone_fail_unless_retried() -> None:
    lives = {1: [(10 * S, GONE)]}
    views = {0: knows(1, 2, 3, 4), 12 * S: knows(2, 3, 4)}
    between = [row for row in traffic(views, lives, retries=0) if row[0] == 10]
    assert sorted(between) == [(10, 12, "200", False, 15, 15), (10, 12, "UF", True, 5, 5)]
    retried = [row for row in traffic(views, lives) if row[0] == 10]
    assert sorted(retried) == [(10, 12, "200", False, 15, 20), (10, 12, "UF", True, 5, 0)]


def test_retries_avoid_the_hosts_tried_before() -> None:
    lives = {pod: [(0, GONE)] for pod in (1, 2, 3)}
    rows = traffic({0: knows(1, 2, 3, 4, 5)}, lives, end_ns=S)
    failed = 10 * (3 * 2 * 1) / (5 * 4 * 3)
    assert sorted(rows) == [(0, 1, "200", False, 4, 10 - failed), (0, 1, "UF", True, 6, failed)]
    assert traffic({0: knows(1)}, lives, end_ns=S) == [(0, 1, "UF", True, 10, 10)]


def test_a_black_hole_fails_after_the_connect_timeout_and_the_retry_meets_what_is_known_then() -> None:
    lives = {1: [(10 * S, GONE)]}
    views = {0: knows(1), 12 * S: knows(2)}
    rows = traffic(views, lives, attempt_ns=S, end_ns=20 * S)
    # Sent from 10 s on: attempts at t, t + 1 s, t + 2 s. Those that start at 12 s or later reach pod 2.
    assert rows == [
        (0, 10, "200", False, 100, 100),
        (10, 12, "200", False, 0, 20),
        (10, 12, "UF", True, 20, 0),
        (12, 20, "200", False, 80, 80),
    ]
    slower = traffic({0: knows(1), 14 * S: knows(2)}, lives, attempt_ns=S, end_ns=20 * S)
    assert (10, 12, "UF", True, 20, 20) in slower
    assert (12, 14, "200", False, 0, 20) in slower


def test_a_retry_without_a_host_left_ends_as_uh() -> None:
    rows = traffic({0: knows(1), S: knows()}, {1: [(0, GONE)]}, attempt_ns=S, end_ns=S)
    assert sorted(rows) == [(0, 1, "UF", True, 10, 0), (0, 1, "UH", False, 0, 10)]


def enumerated(attempts: list[dict[int, Life]]) -> dict[tuple[str, bool], float]:
    """The final outcomes, over every sequence of choices."""
    final: dict[tuple[str, bool], float] = {}

    def choose(number: int, tried: frozenset[int], p: float) -> None:
        hosts = attempts[number]
        left = [pod for pod in hosts if pod not in tried] or list(hosts)
        if not left:
            final["UH", False] = final.get(("UH", False), 0.0) + p
        for pod in left:
            q = p / len(left)
            if hosts[pod] is not GONE:
                outcome = ("200", hosts[pod] is TERMINATING)
            elif number + 1 == len(attempts):
                outcome = ("UF", True)
            else:
                choose(number + 1, tried | {pod}, q)
                continue
            final[outcome] = final.get(outcome, 0.0) + q

    choose(0, frozenset(), 1.0)
    return final


HOSTS = st.dictionaries(st.integers(0, 5), st.sampled_from(Life), max_size=6)


@given(st.lists(HOSTS, min_size=1, max_size=4))
def test_counting_hosts_by_kind_gives_what_enumerating_them_gives(attempts: list[dict[int, Life]]) -> None:
    shares = outcome_shares(kinds_of(attempts), len(attempts))
    expected = enumerated(attempts)
    assert {outcome for outcome, (_, p) in shares.items() if p} == set(expected)
    for outcome, p in expected.items():
        assert shares[outcome][1] == pytest.approx(p)
    assert sum(p for p, _ in shares.values()) == pytest.approx(1)


def test_the_order_of_the_hosts_changes_no_bit() -> None:
    letters = {"S": SERVING, "T": TERMINATING, "G": GONE}
    attempts = ["GGSGSTS", "-TSGTSG", "GSTGSTS"]  # by pod; - is a pod not known

    def shares(order: tuple[int, ...]) -> Shares:
        hosts = [{pod: letters[row[pod]] for pod in order if row[pod] != "-"} for row in attempts]
        return outcome_shares(kinds_of(hosts), len(hosts))

    orders = list(permutations(range(7)))[::50]
    assert all(shares(order) == shares(orders[0]) for order in orders)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.lists(st.integers(0, 4), unique=True)), max_size=6),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4), st.sampled_from(Life)), max_size=10),
    st.sampled_from([0, 1, 7]),
    st.integers(0, 3),
)
def test_every_request_has_exactly_one_end(
    known: list[tuple[int, list[int]]], facts: list[tuple[int, int, Life]], attempt_s: int, retries: int
) -> None:
    views = {t * S: knows(*pods) for t, pods in sorted(known)}
    lives: dict[int, list[tuple[int, Life]]] = {}
    for t, pod, life in sorted(facts, key=lambda fact: fact[0]):
        lives.setdefault(pod, []).append((t * S, life))
    settings = EdgeSettings(3.0, 5 * S, 50 * S, retries, attempt_s * S)
    recorded = EndpointLives()
    for pod, notes in lives.items():
        for t_ns, life in notes:
            recorded.note(pod, t_ns, life)
    edge = EdgeTraffic(settings, recorded)
    for t_ns, view in views.items():
        edge.set(t_ns, view)
    rows = edge.rows(45 * S)
    assert sum(row.requests for row in rows) == pytest.approx(3.0 * 40)
    assert sum(row.attempts for row in rows) == pytest.approx(3.0 * 40)
    assert all(row.requests >= 0 and row.t_start_ns < row.t_end_ns for row in rows)
