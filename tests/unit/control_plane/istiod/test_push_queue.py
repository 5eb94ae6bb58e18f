"""One request waits and one is in hand for each connection; nothing is dropped, only merged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.control_plane.istiod.push_queue import PushQueue
from simulator.control_plane.istiod.push_request import PushRequest
from tests.unit.control_plane.istiod.pushes import request


def dequeued(queue: PushQueue[str]) -> tuple[str, PushRequest]:
    head = queue.dequeue()
    assert head is not None
    return head


def test_five_requests_while_one_waits_are_one_push_with_the_oldest_start() -> None:
    queue: PushQueue[str] = PushQueue()
    for start_ns in (3, 4, 5, 6, 7):
        queue.enqueue("p0", request(f"A/n/{start_ns}", start_ns=start_ns))
    assert queue.depth == 1
    _, merged = dequeued(queue)
    assert merged.start_ns == 3
    assert len(merged.keys) == 5
    queue.mark_done("p0")
    assert queue.dequeue() is None


def test_five_requests_during_a_push_are_one_more_at_the_end_of_the_line() -> None:
    queue: PushQueue[str] = PushQueue()
    for proxy in ("p0", "p1", "p2"):
        queue.enqueue(proxy, request("A/n/a", start_ns=1))
    assert dequeued(queue)[0] == "p0"
    for start_ns in (3, 4, 5, 6, 7):
        queue.enqueue("p0", request(f"A/n/{start_ns}", start_ns=start_ns))
    assert queue.depth == 2  # it stays out of the line until it is done
    queue.mark_done("p0")
    assert [dequeued(queue)[0], dequeued(queue)[0]] == ["p1", "p2"]
    proxy, merged = dequeued(queue)
    assert (proxy, merged.start_ns, len(merged.keys)) == ("p0", 3, 5)
    queue.mark_done("p0")
    assert queue.dequeue() is None


def test_a_request_merged_into_a_waiting_one_keeps_the_place_in_line() -> None:
    queue: PushQueue[str] = PushQueue()
    for proxy in ("p0", "p1", "p0"):
        queue.enqueue(proxy, request("A/n/a"))
    assert [dequeued(queue)[0], dequeued(queue)[0]] == ["p0", "p1"]


def test_the_same_merge_for_all_connections_is_one_object() -> None:
    queue: PushQueue[str] = PushQueue()
    older, newer = request("A/n/a"), request("A/n/b")
    for told in (older, newer):
        for proxy in ("p0", "p1"):
            queue.enqueue(proxy, told)
    assert dequeued(queue)[1] is dequeued(queue)[1]


def test_readiness_is_told_for_each_connection_that_joins_the_line() -> None:
    depths: list[int] = []
    told: list[str] = []
    queue: PushQueue[str] = PushQueue(lambda: told.append("ready"), depths.append)
    queue.enqueue("p0", request("A/n/a"))
    queue.enqueue("p0", request("A/n/a"))
    assert told == ["ready"]
    queue.dequeue()
    queue.enqueue("p0", request("A/n/a"))
    assert told == ["ready"]
    queue.mark_done("p0")
    assert told == ["ready", "ready"]
    assert depths == [1, 0, 1]


def test_a_closed_stream_leaves_the_line_and_its_push_in_hand_still_ends() -> None:
    queue: PushQueue[str] = PushQueue()
    for proxy in ("p0", "p1"):
        queue.enqueue(proxy, request("A/n/a"))
    queue.dequeue()
    queue.enqueue("p0", request("A/n/b"))
    queue.forget("p1")
    queue.forget("p0")
    assert (queue.depth, queue.is_pending("p1"), queue.is_processing("p0")) == (0, False, True)
    queue.mark_done("p0")
    assert (queue.depth, queue.is_processing("p0")) == (0, False)
    queue.forget("p9")
    queue.mark_done("p9")


@given(st.lists(st.tuples(st.sampled_from("ed"), st.integers(0, 3)), max_size=60))
def test_nothing_is_lost_and_no_connection_is_pushed_to_twice_at_once(steps: list[tuple[str, int]]) -> None:
    queue: PushQueue[int] = PushQueue()
    in_hand: dict[int, PushRequest] = {}
    sent: dict[int, list[str]] = {}
    given_keys: dict[int, list[str]] = {}

    def take() -> None:
        head = queue.dequeue()
        if head is not None:
            assert head[0] not in in_hand
            in_hand[head[0]] = head[1]
            sent.setdefault(head[0], []).extend(head[1].keys)

    def finish(connection: int) -> None:
        if in_hand.pop(connection, None) is not None:
            queue.mark_done(connection)

    for number, (step, connection) in enumerate(steps):
        if step == "e":
            queue.enqueue(connection, request(f"A/n/{number}"))
            given_keys.setdefault(connection, []).append(f"A/n/{number}")
        elif connection in in_hand:
            finish(connection)
        else:
            take()
        assert queue.depth <= 4
    while queue.depth or in_hand:
        for connection in tuple(in_hand):
            finish(connection)
        take()
    assert sent == given_keys
