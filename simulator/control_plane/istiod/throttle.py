"""PILOT_PUSH_THROTTLE: how many proxies are being pushed to at once.

A slot is taken before a connection is dequeued and held until its push is done: while the connection's worker
serves requests first, while it generates, and while a slow reader blocks the sending. As many blocked readers
as there are slots stop every push; requests need no slot.
Source: pilot/pkg/xds/discovery.go:doSendPushes; pilot/pkg/xds/ads.go:Connection.Push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from simulator.control_plane.istiod.push_queue import Connection, PushQueue
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.events import Clock


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
