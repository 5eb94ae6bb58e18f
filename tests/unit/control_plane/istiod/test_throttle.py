"""A push holds its slot until it is done, whatever it waits for."""

from __future__ import annotations

from functools import partial

import pytest

from simulator.control_plane.istiod.push_queue import PushQueue
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.throttle import PushSender
from simulator.engine.events import Clock
from simulator.engine.servers import MultiServer
from tests.unit.control_plane.istiod.pushes import request

Started = list[tuple[str, int]]


def sender_of(clock: Clock, limit: int) -> tuple[PushQueue[str], PushSender[str], Started]:
    queue: PushQueue[str] = PushQueue()
    started = Started()
    sender = PushSender(clock, queue, limit, lambda proxy, _request, t_ns: started.append((proxy, t_ns)))
    return queue, sender, started


def test_blocked_readers_on_every_slot_stop_all_other_pushes(clock: Clock) -> None:
    queue, sender, started = sender_of(clock, 3)
    for number in range(10):
        queue.enqueue(f"p{number}", request("A/n/a"))
    clock.run(10**12)
    assert started == [("p0", 0), ("p1", 0), ("p2", 0)]
    assert (sender.held, queue.depth) == (3, 7)


def test_a_slot_goes_to_the_next_in_line_when_its_push_is_done(clock: Clock) -> None:
    queue, sender, started = sender_of(clock, 1)
    for proxy in ("p0", "p1"):
        queue.enqueue(proxy, request("A/n/a"))
    clock.run(50)
    queue.enqueue("p0", request("A/n/b"))
    sender.done("p0")
    clock.run(70)
    sender.done("p1")
    assert started == [("p0", 0), ("p1", 50), ("p0", 70)]


def test_a_connection_enqueued_while_a_slot_is_free_starts_at_once(clock: Clock) -> None:
    queue, sender, started = sender_of(clock, 2)
    queue.enqueue("p0", request("A/n/a"))
    assert (started, sender.held) == ([("p0", 0)], 1)


def test_pushes_that_end_at_once_do_not_pile_up(clock: Clock) -> None:
    queue: PushQueue[int] = PushQueue()
    started: list[int] = []

    def start(connection: int, _request: PushRequest, _t_ns: int) -> None:
        started.append(connection)
        sender.done(connection)

    sender = PushSender(clock, queue, 2, lambda *told: waiting.append(told[0]))
    waiting: list[int] = []
    for connection in range(3_000):
        queue.enqueue(connection, request("A/n/a"))
    blocked, sender = sender, PushSender(clock, queue, 2, start)
    sender.pump()
    assert started == list(range(2, 3_000))
    assert (waiting, blocked.held, sender.held) == ([0, 1], 2, 0)


def test_one_slot_makes_a_round_as_long_as_the_sum_of_its_pushes(clock: Clock) -> None:
    queue: PushQueue[int] = PushQueue()
    cpu = MultiServer(clock, 4)
    ended: list[int] = []

    def finish(connection: int) -> None:
        ended.append(clock.now_ns)
        sender.done(connection)

    def start(connection: int, _request: PushRequest, _t_ns: int) -> None:
        cpu.submit(connection, 10 * (connection + 1), partial(finish, connection))

    sender = PushSender(clock, queue, 1, start)
    for connection in range(100):
        queue.enqueue(connection, request("A/n/a"))
    clock.run(10**9)
    assert ended[-1] == sum(10 * (connection + 1) for connection in range(100))


def test_a_stopped_sender_starts_no_push(clock: Clock) -> None:
    queue, sender, started = sender_of(clock, 1)
    for proxy in ("p0", "p1"):
        queue.enqueue(proxy, request("A/n/a"))
    sender.stop()
    sender.done("p0")
    assert started == [("p0", 0)]


def test_a_push_cannot_end_that_is_not_in_progress(clock: Clock) -> None:
    queue, sender, _ = sender_of(clock, 1)
    with pytest.raises(AssertionError, match="no push of p0"):
        sender.done("p0")
    with pytest.raises(AssertionError, match="a throttle of 0"):
        PushSender(clock, queue, 0, lambda *_: None)
