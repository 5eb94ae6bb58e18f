"""A multi-server starts jobs by arrival and entity, and agrees with the Kiefer-Wolfowitz recursion."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.events import Band, Clock
from simulator.engine.servers import MultiServer, SerialServer, kiefer_wolfowitz

Log = list[tuple[int, str]]


def note(clock: Clock, log: Log, name: str) -> partial[None]:
    return partial(lambda: log.append((clock.now_ns, name)))


def test_as_many_jobs_are_in_service_as_there_are_servers(clock: Clock) -> None:
    server, log = MultiServer(clock, 2), Log()
    for name in ("a", "b", "c"):
        server.submit(0, 10, note(clock, log, name))
    assert (server.in_service, server.queue_length) == (0, 3)
    clock.run(0)
    assert (server.in_service, server.queue_length, server.busy_until_ns) == (2, 1, 10)
    clock.run(100)
    assert log == [(10, "a"), (10, "b"), (20, "c")]
    assert (server.jobs, server.busy_ns, server.busy_until_ns) == (3, 30, 20)
    assert server.is_idle


def test_jobs_of_one_instant_start_by_entity_whatever_the_order_of_submission(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()
    for entity in (2, 0, 1, 0):
        server.submit(entity, 10, note(clock, log, f"{entity}"))
    clock.run(100)
    assert log == [(10, "0"), (20, "0"), (30, "1"), (40, "2")]


def test_an_earlier_arrival_goes_before_a_smaller_entity(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()
    server.submit(9, 10, note(clock, log, "in service"))
    clock.at(1, lambda: server.submit(5, 10, note(clock, log, "waits since 1")))
    clock.at(2, lambda: server.submit(1, 10, note(clock, log, "waits since 2")))
    clock.run(100)
    assert log == [(10, "in service"), (20, "waits since 1"), (30, "waits since 2")]


@pytest.mark.parametrize("band", [Band.WORKLOAD, Band.MESSAGE, Band.TIMER, Band.COMPLETION])
def test_a_job_of_a_later_band_still_finds_its_place_in_its_instant(clock: Clock, band: Band) -> None:
    server, log = MultiServer(clock, 1), Log()
    clock.at(5, lambda: server.submit(3, 10, note(clock, log, "3")), band=Band.WORKLOAD)
    clock.at(5, lambda: server.submit(1, 10, note(clock, log, "1")), band=band, entity=7)
    clock.run(100)
    assert log == [(15, "1"), (25, "3")]


def test_a_server_freed_at_the_instant_of_arrivals_takes_the_smallest_entity(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()
    server.submit(0, 5, note(clock, log, "first"))
    clock.at(5, lambda: server.submit(3, 10, note(clock, log, "3")), band=Band.WORKLOAD)
    clock.at(5, lambda: server.submit(1, 10, note(clock, log, "1")), band=Band.COMPLETION, entity=9)
    clock.run(100)
    assert log == [(5, "first"), (15, "1"), (25, "3")]


def test_a_cost_is_asked_for_when_service_starts(clock: Clock) -> None:
    server, asked = MultiServer(clock, 1), []

    def cost_ns() -> int:
        asked.append(clock.now_ns)
        return 7

    for _ in range(3):
        server.submit(0, cost_ns, int)
    assert asked == []
    clock.run(100)
    assert asked == [0, 7, 14]


def test_a_job_of_no_cost_completes_by_an_event(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()
    server.submit(0, 0, note(clock, log, "done"))
    assert log == []
    clock.run(0)
    assert log == [(0, "done")]


def test_a_job_submitted_on_completion_queues_behind_those_waiting(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()

    def finish_and_submit() -> None:
        log.append((clock.now_ns, "first"))
        server.submit(0, 1, note(clock, log, "submitted by first"))

    server.submit(1, 1, finish_and_submit)
    server.submit(2, 1, note(clock, log, "second"))
    clock.run(10)
    assert log == [(1, "first"), (2, "second"), (3, "submitted by first")]


def test_a_cost_that_submits_does_not_start_the_job_beside_its_own(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()

    def cost_ns() -> int:
        server.submit(0, 5, note(clock, log, "inner"))
        return 10

    server.submit(0, cost_ns, note(clock, log, "outer"))
    clock.run(100)
    assert log == [(10, "outer"), (15, "inner")]


def test_dispatches_of_one_instant_go_by_the_servers_own_entity(clock: Clock) -> None:
    log: list[int] = []

    def cost_ns(replica: int) -> int:
        log.append(replica)
        return 1

    for replica in (2, 0, 1):
        MultiServer(clock, 1, replica).submit(0, partial(cost_ns, replica), int)
    clock.run(0)
    assert log == [0, 1, 2]


def test_a_backlog_costs_one_event_a_job_and_one_dispatch(clock: Clock) -> None:
    server = MultiServer(clock, 4)
    for entity in range(100):
        server.submit(entity, 10, int)
    clock.run(1000)
    assert server.jobs == 100
    assert clock.events == 101


def test_the_queue_is_told_when_it_changes(clock: Clock) -> None:
    told: list[int] = []
    server = MultiServer(clock, 1, on_queue=told.append)
    for _ in range(3):
        server.submit(0, 10, int)
    clock.run(5)
    server.submit(0, 10, int)
    clock.run(100)
    assert told == [2, 3, 2, 1, 0]


def test_a_stopped_server_completes_nothing_and_takes_nothing(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()
    for name in ("in service", "waiting"):
        server.submit(0, 10, note(clock, log, name))
    clock.run(5)
    server.stop()
    server.submit(0, 10, note(clock, log, "late"))
    clock.run(100)
    assert log == []
    assert (server.jobs, server.busy_ns, server.queue_length) == (0, 0, 0)


def test_a_server_stopped_by_its_own_job_or_before_its_dispatch_starts_no_other(clock: Clock) -> None:
    server, log = MultiServer(clock, 1), Log()
    server.submit(0, 10, server.stop)
    server.submit(1, 10, note(clock, log, "waiting"))
    other = MultiServer(clock, 1)
    other.submit(0, 10, note(clock, log, "other"))
    other.stop()
    clock.run(100)
    assert log == []
    assert server.in_service == 0


def test_a_negative_cost_and_no_server_at_all_are_refused(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="0 servers"):
        MultiServer(clock, 0)
    server = MultiServer(clock, 1)
    server.submit(0, -1, int)
    with pytest.raises(AssertionError, match="cannot cost -1 ns"):
        clock.run(0)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9), st.integers(0, 3)), max_size=25),
    st.integers(1, 5),
)
def test_a_multi_server_agrees_with_the_recursion_over_jobs_in_order(
    jobs: list[tuple[int, int, int]], servers: int
) -> None:
    clock = Clock()
    server = MultiServer(clock, servers)
    arrivals = np.cumsum([gap for gap, _, _ in jobs], dtype=np.int64).tolist()
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}

    def cost_ns(number: int, cost: int) -> int:
        starts[number] = clock.now_ns
        return cost

    def finish(number: int) -> None:
        ends[number] = clock.now_ns

    for number, (_, cost, entity) in enumerate(jobs):
        submit = partial(server.submit, entity, partial(cost_ns, number, cost), partial(finish, number))
        clock.at(arrivals[number], submit, band=Band.MESSAGE, entity=number)
    clock.run(10_000)
    order = sorted(range(len(jobs)), key=lambda number: (arrivals[number], jobs[number][2], number))
    expected_starts, expected_ends = kiefer_wolfowitz(
        np.array([arrivals[number] for number in order], np.int64),
        np.array([jobs[number][1] for number in order], np.int64),
        servers,
    )
    assert [starts[number] for number in order] == expected_starts.tolist()
    assert [ends[number] for number in order] == expected_ends.tolist()
    assert server.busy_ns == sum(cost for _, cost, _ in jobs)


def test_a_serial_server_may_complete_before_the_timers_of_its_instant(clock: Clock) -> None:
    server, log = SerialServer(clock, band=Band.WORKLOAD), Log()
    server.submit(10, note(clock, log, "completed"))
    clock.at(10, note(clock, log, "timer"), band=Band.TIMER)
    clock.run(10)
    assert log == [(10, "completed"), (10, "timer")]
