from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.events import Band, Clock
from simulator.engine.servers import SerialServer, Station, TokenBucket, kiefer_wolfowitz

Jobs = list[tuple[int, int]]
JOBS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=25)  # (gap, cost)


def test_jobs_are_served_one_after_another_in_order_of_submission(clock: Clock) -> None:
    server, log = SerialServer(clock), []
    for name, cost_ns in (("a", 10), ("b", 0), ("c", 5)):
        server.submit(cost_ns, lambda name=name: log.append((clock.now_ns, name)))  # type: ignore[misc]
    assert server.queue_length == 2
    assert server.busy_until_ns == 10
    clock.run(100)
    assert log == [(10, "a"), (10, "b"), (15, "c")]
    assert (server.jobs, server.busy_ns, server.busy_until_ns, server.queue_length) == (3, 15, 15, 0)
    assert server.is_idle


def test_a_cost_is_asked_for_when_service_starts(clock: Clock) -> None:
    server, asked = SerialServer(clock), []

    def cost_ns() -> int:
        asked.append(clock.now_ns)
        return 7

    for _ in range(3):
        server.submit(cost_ns, int)
    clock.run(100)
    assert asked == [0, 7, 14]


def test_the_next_cost_sees_what_the_finished_job_did(clock: Clock) -> None:
    server, world = SerialServer(clock), {"clusters": 0}
    log: list[int] = []
    server.submit(10, lambda: world.update(clusters=1000))
    server.submit(lambda: world["clusters"], lambda: log.append(clock.now_ns))
    clock.run(5000)
    assert log == [1010]


def test_a_job_submitted_on_completion_queues_behind_those_already_waiting(clock: Clock) -> None:
    server, log = SerialServer(clock), []

    def finish_and_submit() -> None:
        log.append("first")
        server.submit(1, lambda: log.append("submitted by first"))

    server.submit(1, finish_and_submit)
    server.submit(1, lambda: log.append("second"))
    clock.run(10)
    assert log == ["first", "second", "submitted by first"]


def test_a_cost_that_submits_a_job_does_not_start_it_beside_its_own(clock: Clock) -> None:
    server, log = SerialServer(clock), []

    def cost_ns() -> int:
        server.submit(5, lambda: log.append(("inner", clock.now_ns)))
        return 10

    server.submit(cost_ns, lambda: log.append(("outer", clock.now_ns)))
    clock.run(100)
    assert log == [("outer", 10), ("inner", 15)]


def test_each_job_is_one_event_even_at_no_cost(clock: Clock) -> None:
    server = SerialServer(clock)
    for _ in range(5):
        server.submit(0, int)
    clock.run(0)
    assert clock.events == server.jobs == 5


def test_nothing_is_done_within_submit(clock: Clock) -> None:
    server, log = SerialServer(clock), []
    server.submit(0, lambda: log.append("done"))
    assert log == []


def test_a_completion_comes_after_the_timers_of_its_instant(clock: Clock) -> None:
    server, log = SerialServer(clock), []
    server.submit(10, lambda: log.append("completed"))
    clock.at(10, lambda: log.append("timer"), band=Band.TIMER, entity=9)
    clock.run(10)
    assert log == ["timer", "completed"]


def test_completions_of_one_instant_go_by_entity(clock: Clock) -> None:
    log: list[int] = []
    for entity in (2, 0, 1):
        SerialServer(clock, entity).submit(10, lambda entity=entity: log.append(entity))  # type: ignore[misc]
    clock.run(10)
    assert log == [0, 1, 2]


def test_a_stall_passes_before_the_job_and_counts_as_busy(clock: Clock) -> None:
    flush = deque([3, 0, 4])
    asked: list[int] = []

    def stall(now_ns: int) -> int:
        asked.append(now_ns)
        return flush.popleft()

    server, log = SerialServer(clock, stall=stall), []
    for _ in range(3):
        server.submit(10, lambda: log.append(clock.now_ns))
    clock.run(100)
    assert asked == [0, 13, 23]
    assert log == [13, 23, 37]
    assert server.busy_ns == 37


def test_an_idle_gap_is_not_busy_time(clock: Clock) -> None:
    server = SerialServer(clock)
    server.submit(10, int)
    clock.run(50)
    server.submit(5, int)
    clock.run(100)
    assert (server.busy_ns, server.busy_until_ns) == (15, 55)


def test_a_job_in_service_is_not_yet_counted(clock: Clock) -> None:
    server = SerialServer(clock)
    server.submit(10, int)
    clock.run(9)
    assert (server.jobs, server.busy_ns, server.is_idle) == (0, 0, False)


def test_a_negative_cost_or_stall_is_refused(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="cannot cost -1 ns"):
        SerialServer(clock).submit(-1, int)
    with pytest.raises(AssertionError, match="cannot take -2 ns"):
        SerialServer(clock, stall=lambda now_ns: -2).submit(1, int)


@given(JOBS)
def test_a_serial_server_agrees_with_the_arithmetic_of_one_server(jobs: Jobs) -> None:
    clock, ends = Clock(), []
    server = SerialServer(clock)
    arrivals = np.cumsum(np.array([gap for gap, _ in jobs], np.int64))
    costs = np.array([cost for _, cost in jobs], np.int64)
    for arrival, cost in zip(arrivals.tolist(), costs.tolist(), strict=True):
        submit = lambda cost=cost: server.submit(cost, lambda: ends.append(clock.now_ns))  # noqa: E731
        clock.at(arrival, submit, band=Band.MESSAGE)
    clock.run(10_000)
    assert ends == kiefer_wolfowitz(arrivals, costs, 1)[1].tolist()
    assert clock.events == 2 * len(jobs)


def plain_multi_server(arrivals: list[int], costs: list[int], servers: int) -> list[tuple[int, int]]:
    """The obvious way: look at every server, take the one that is free first."""
    free = [0] * servers
    spans = []
    for arrival, cost in zip(arrivals, costs, strict=True):
        first = min(range(servers), key=lambda server: free[server])
        start = max(arrival, free[first])
        free[first] = start + cost
        spans.append((start, start + cost))
    return spans


@given(JOBS, st.integers(1, 5))
def test_station_and_arrays_agree_with_the_obvious_multi_server(jobs: Jobs, servers: int) -> None:
    arrivals = np.cumsum(np.array([gap for gap, _ in jobs], np.int64))
    costs = np.array([cost for _, cost in jobs], np.int64)
    expected = plain_multi_server(arrivals.tolist(), costs.tolist(), servers)
    station = Station(servers)
    assert [station.serve(a, c) for a, c in zip(arrivals.tolist(), costs.tolist(), strict=True)] == expected
    starts, ends = kiefer_wolfowitz(arrivals, costs, servers)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected
    assert starts.dtype == ends.dtype == np.int64


def test_arrivals_out_of_order_and_negative_costs_are_refused() -> None:
    station = Station(2)
    station.serve(10, 1)
    with pytest.raises(AssertionError, match="arrival 9 ns after one at 10 ns"):
        station.serve(9, 1)
    with pytest.raises(AssertionError, match="cannot cost -1 ns"):
        station.serve(10, -1)
    with pytest.raises(AssertionError, match="0 servers"):
        Station(0)
    with pytest.raises(AssertionError, match="must not decrease"):
        kiefer_wolfowitz(np.array([2, 1]), np.array([1, 1]), 1)
    with pytest.raises(AssertionError, match="less than nothing"):
        kiefer_wolfowitz(np.array([1, 2]), np.array([1, -1]), 1)


def test_the_arrays_given_are_left_alone() -> None:
    arrivals, costs = np.array([0, 1, 2]), np.array([5, 5, 5])
    for servers in (1, 2, 3):
        starts, _ = kiefer_wolfowitz(arrivals, costs, servers)
        starts[:] = -1
    assert arrivals.tolist() == [0, 1, 2]
    assert costs.tolist() == [5, 5, 5]


def test_a_full_bucket_serves_a_burst_and_then_one_token_an_interval() -> None:
    bucket = TokenBucket(max_tokens=3, fill_interval_ns=100)
    assert [bucket.take(0) for _ in range(5)] == [0, 0, 0, 100, 200]


def test_a_bucket_refills_evenly_and_never_beyond_its_size() -> None:
    bucket = TokenBucket(max_tokens=2, fill_interval_ns=100)
    assert [bucket.take(0), bucket.take(0)] == [0, 0]
    assert bucket.take(150) == 0  # one token came at 100, half of the next by now
    assert bucket.take(150) == 50
    assert [bucket.take(10_000) for _ in range(3)] == [0, 0, 100]


def plain_bucket(max_tokens: int, interval_ns: int, times_ns: list[int]) -> list[int]:
    """The obvious way: let the level, in parts of a token, rise ns by ns and serve who is first."""
    level, waiting, served = max_tokens * interval_ns, deque[tuple[int, int]](), {}
    for now_ns in range(max(times_ns, default=0) + (len(times_ns) + 1) * interval_ns):
        waiting.extend((number, now_ns) for number, t_ns in enumerate(times_ns) if t_ns == now_ns)
        while waiting and level >= interval_ns:
            number, since_ns = waiting.popleft()
            served[number] = now_ns - since_ns
            level -= interval_ns
        level = min(level + 1, max_tokens * interval_ns)
    return [served[number] for number in range(len(times_ns))]


@given(st.integers(1, 4), st.integers(1, 9), st.lists(st.integers(0, 12), max_size=12))
def test_a_bucket_agrees_with_one_filled_nanosecond_by_nanosecond(
    max_tokens: int, interval_ns: int, gaps: list[int]
) -> None:
    times_ns = np.cumsum([0, *gaps]).tolist()[1:]
    bucket = TokenBucket(max_tokens, interval_ns)
    assert [bucket.take(t_ns) for t_ns in times_ns] == plain_bucket(max_tokens, interval_ns, times_ns)


def test_a_taker_from_the_past_is_refused() -> None:
    bucket = TokenBucket(1, 10)
    bucket.take(5)
    with pytest.raises(AssertionError, match="taken at 4 ns after 5 ns"):
        bucket.take(4)
