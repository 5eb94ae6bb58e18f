"""Threads that share cores: each does one thing at a time, and all of them no more than there are cores."""

from __future__ import annotations

from simulator.engine.events import Clock
from simulator.engine.servers import MultiServer, SharingServer


def done_at(cores: int, jobs: list[tuple[int, int]], threads: int = 3) -> list[int]:
    """When each job (thread, cost) that arrives at t = 0 is done."""
    clock = Clock()
    shared = MultiServer(clock, cores)
    servers = [SharingServer(clock, shared, number) for number in range(threads)]
    done = [0] * len(jobs)

    def note(at: int) -> None:
        done[at] = clock.now_ns

    for at, (thread, cost_ns) in enumerate(jobs):
        servers[thread].submit(cost_ns, lambda at=at: note(at))
    clock.run(until_ns=10**9)
    return done


def test_three_threads_on_two_cores_take_turns() -> None:
    assert done_at(2, [(0, 10), (1, 10), (2, 10)]) == [10, 10, 20]


def test_one_thread_does_not_use_two_cores() -> None:
    assert done_at(2, [(0, 10), (0, 10)]) == [10, 20]


def test_a_thread_s_second_job_queues_behind_the_first_of_others() -> None:
    assert done_at(1, [(0, 10), (0, 10), (1, 5)]) == [10, 25, 15]


def test_with_a_core_each_nobody_waits() -> None:
    assert done_at(3, [(0, 10), (1, 20), (2, 30)]) == [10, 20, 30]


def test_a_stall_is_asked_for_when_a_core_is_free() -> None:
    clock = Clock()
    shared, asked = MultiServer(clock, 1), []

    def stall(now_ns: int) -> int:
        asked.append(now_ns)
        return 7

    first, second = SharingServer(clock, shared, 0), SharingServer(clock, shared, 1, stall=stall)
    first.submit(100, lambda: None)
    second.submit(1, lambda: asked.append(clock.now_ns))
    clock.run(until_ns=1000)

    assert asked == [100, 108]
    assert second.busy_ns == 8
