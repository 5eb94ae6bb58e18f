"""PILOT_PUSH_THROTTLE: how many proxies are being pushed to at once.

A slot is taken before a connection is dequeued and held until its push is done: while the connection's worker
serves requests first, while it generates, and while a slow reader blocks the sending. As many blocked readers
as there are slots stop every push; requests need no slot.
Source: pilot/pkg/xds/discovery.go:doSendPushes; pilot/pkg/xds/ads.go:Connection.Push.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from simulator.control_plane.istiod.push_queue import Connection, PushQueue
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.events import Clock

Client = TypeVar("Client", contravariant=True)


class Sender(Protocol[Client]):
    """How connections come to be pushed to; its kinds differ in who waits for whom."""

    @property
    def depth(self) -> int:
        """Connections that wait."""

    def begin(self, connections: Sequence[Client], request: PushRequest) -> None:
        """A push is for all of these, in this order."""

    def enqueue(self, connection: Client, request: PushRequest) -> None:
        """A push is for this connection alone."""

    def done(self, connection: Client) -> None:
        """The push of a connection is over."""

    def forget(self, connection: Client) -> None:
        """Its stream ended; a push in hand still has to be marked done."""

    def stop(self) -> None:
        """No more pushes start."""


class PushSender(Generic[Connection]):
    """Takes connections off the push queue as long as it has slots.

    It listens to the queue by itself (``queue.on_ready``).

    Args:
        clock: Whose time passes.
        queue: Where connections wait.
        limit: Number of slots.
        start_push: Told the connection, its request and the instant of dequeuing; whoever it tells calls
            ``done`` when the push is over, or at once if the stream closed meanwhile.
    """

    __slots__ = ("_clock", "_is_pumping", "_is_stopped", "_queue", "_start_push", "held", "limit")

    def __init__(
        self,
        clock: Clock,
        queue: PushQueue[Connection],
        limit: int,
        start_push: Callable[[Connection, PushRequest, int], object],
    ) -> None:
        assert limit >= 1, f"a throttle of {limit}"
        self._clock = clock
        self._queue = queue
        self._start_push = start_push
        self._is_pumping = False
        self._is_stopped = False
        self.limit = limit
        self.held = 0
        """Slots that pushes hold."""
        queue.on_ready = self.pump

    @property
    def depth(self) -> int:
        """Connections that wait in the queue."""
        return self._queue.depth

    def begin(self, connections: Sequence[Connection], request: PushRequest) -> None:
        """One object is enqueued for all."""
        for connection in connections:
            self._queue.enqueue(connection, request)

    def enqueue(self, connection: Connection, request: PushRequest) -> None:
        """Puts it in line."""
        self._queue.enqueue(connection, request)

    def forget(self, connection: Connection) -> None:
        """Out of the line."""
        self._queue.forget(connection)

    def pump(self) -> None:
        """Starts pushes while there are slots and connections in line."""
        if self._is_pumping:  # a push that is done at once comes back here: the loop below goes on
            return
        self._is_pumping = True
        while self.held < self.limit and not self._is_stopped:
            head = self._queue.dequeue()
            if head is None:
                break
            self.held += 1
            self._start_push(*head, self._clock.now_ns)
        self._is_pumping = False

    def done(self, connection: Connection) -> None:
        """The push of a connection is over: its slot is free, for the next in line."""
        assert self._queue.is_processing(connection), f"no push of {connection} is in progress"
        self._queue.mark_done(connection)
        self.held -= 1
        self.pump()

    def stop(self) -> None:
        """No more pushes start."""
        self._is_stopped = True
