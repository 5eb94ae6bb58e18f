"""The push queue: connections in line, each with one request waiting and one in hand at most.

A request for a connection that waits is merged into the one that waits there: the connection keeps its place
and the older Start. A request for a connection that is being pushed to is kept apart and puts the connection
at the end of the line when that push is done. Nothing is ever dropped, only merged.
Source: pilot/pkg/xds/pushqueue.go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.events import Call

Connection = TypeVar("Connection")


class PushQueue(Generic[Connection]):
    """The line of connections; they are told apart by identity or by their own ``__eq__``.

    Args:
        on_ready: Called when one more connection can be dequeued.
        on_depth: Told the number of waiting connections when it changed.
    """

    __slots__ = ("_on_depth", "_processing", "_waiting", "on_ready")

    def __init__(self, on_ready: Call | None = None, on_depth: Callable[[int], object] | None = None) -> None:
        # The line itself: a request merged into one that waits keeps the place of its key.
        self._waiting: OrderedDict[Connection, PushRequest] = OrderedDict()
        self._processing: dict[Connection, PushRequest | None] = {}
        self.on_ready = on_ready
        self._on_depth = on_depth

    @property
    def depth(self) -> int:
        """Connections that wait."""
        return len(self._waiting)

    def is_pending(self, connection: Connection) -> bool:
        """Whether a request waits in line for it."""
        return connection in self._waiting

    def is_processing(self, connection: Connection) -> bool:
        """Whether it was dequeued and is not done."""
        return connection in self._processing

    def enqueue(self, connection: Connection, request: PushRequest) -> None:
        """Puts a request in line, or merges it into what is there for the connection."""
        if connection in self._processing:
            kept = self._processing[connection]
            self._processing[connection] = request if kept is None else kept.merged(request)
        elif connection in self._waiting:
            self._waiting[connection] = self._waiting[connection].merged(request)
        else:
            self._append(connection, request)

    def dequeue(self) -> tuple[Connection, PushRequest] | None:
        """The head of the line with its request, now in hand; None if nobody waits."""
        if not self._waiting:
            return None
        head = self._waiting.popitem(last=False)
        self._processing[head[0]] = None
        self._tell_depth()
        return head

    def mark_done(self, connection: Connection) -> None:
        """The push in hand is over: what came for the connection meanwhile goes to the end of the line."""
        kept = self._processing.pop(connection, None)
        if kept is not None:
            self._append(connection, kept)

    def forget(self, connection: Connection) -> None:
        """The stream closed: nothing waits for it any more. A push in hand still has to be marked done."""
        if self._waiting.pop(connection, None) is not None:
            self._tell_depth()
        if connection in self._processing:
            self._processing[connection] = None

    def _append(self, connection: Connection, request: PushRequest) -> None:
        self._waiting[connection] = request
        self._tell_depth()
        if self.on_ready is not None:
            self.on_ready()

    def _tell_depth(self) -> None:
        if self._on_depth is not None:
            self._on_depth(len(self._waiting))
