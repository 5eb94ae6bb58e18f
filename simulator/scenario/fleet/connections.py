"""Istiod's end of a stream that a row has opened, from the dial until the row has all that it asked for.

What istiod does with it is what it does with any other connection (control_plane/istiod): admission, the one
worker, requests before pushes, jobs on its cores. What leaves is written down instead of sent: it goes on its
way in arrays, with that of others (fleet/streams.py). From then on the row is pushed to in arrays again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.control_plane.istiod.connection import (
    CONNECTION,
    Connection,
    ConnectionSignal,
    ConnectionState,
)
from simulator.control_plane.istiod.generator import Generated
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.machine import Rows, bind
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names, Resources

if TYPE_CHECKING:
    from simulator.mesh.visibility import VisibilityClass
    from simulator.scenario.fleet.rows import ReplicaRows
    from simulator.wire.contract import Publisher


@dataclass(frozen=True, slots=True, eq=False)
class RowRequest:
    """A subscription with which the streams of a group's rows begin."""

    type: ResourceType
    names: Names
    size_bytes: int


class RowStream:
    """The stream of a row, as istiod uses it (wire/stream.py).

    Args:
        place: Of the row.
        proxy: Its proxy.
        on_reset: Told when istiod ends it.
        is_delta: Its protocol.
    """

    __slots__ = (
        "_on_reset",
        "is_delta",
        "is_open",
        "label",
        "may_send",
        "place",
        "proxy",
        "replica",
        "server",
    )

    def __init__(
        self, place: int, proxy: int, on_reset: Callable[[RowStream], object], *, is_delta: bool
    ) -> None:
        self.place, self.proxy = place, proxy
        self._on_reset = on_reset
        self.label, self.is_delta, self.is_open, self.replica = "ads", is_delta, True, 0
        self.may_send = True
        """What flow control would hold back is looked for where the messages are under way."""
        self.server: RowConnection | None = None

    def reset_by_server(self) -> None:
        """Istiod ends it."""
        if self.is_open:
            self.is_open = False
            assert self.server is not None, "a stream ends that was not let in"
            self.server.on_stream_closed()
            self._on_reset(self)


class RowSession:
    """What the protocol must know of such a stream: nothing but what was asked (wire/contract.py:
    PushSession)."""

    __slots__ = ("_asked", "_publisher", "_stream", "is_delta", "label", "last_error", "proxy")

    def __init__(self, stream: RowStream, publisher: Publisher) -> None:
        self.proxy, self.label, self.is_delta = stream.proxy, stream.label, stream.is_delta
        self.last_error: str | None = None
        self._stream, self._publisher = stream, publisher
        self._asked: dict[ResourceType, Names] = {}

    @property
    def is_open(self) -> bool:
        """Whether the stream still exists."""
        return self._stream.is_open

    def on_request(self, request: RowRequest) -> None:
        """The only requests are those with which the stream begins."""
        self._asked[request.type] = request.names
        self._publisher.on_subscription(self, request.type, request.names)  # type: ignore[arg-type]

    def on_stream_closed(self) -> None:
        """The stream ended."""
        self._publisher.on_session_closed(self)  # type: ignore[arg-type]

    def is_subscribed(self, type_: ResourceType) -> bool:
        """Whether the type was asked for."""
        return type_ in self._asked

    def names(self, type_: ResourceType) -> Names:
        """Names subscribed; empty for a wildcard type."""
        return self._asked.get(type_, NO_NAMES)

    def held(self, type_: ResourceType) -> Resources:
        """See PushSession."""
        raise AssertionError("nobody asks what a row holds")

    def send(self, *_message: object) -> None:
        """See PushSession."""
        raise AssertionError("what is sent to a row is written down")

    def reset(self) -> None:
        """Ends the stream."""
        self._stream.reset_by_server()


@dataclass(frozen=True, slots=True, eq=False)
class RowPush:
    """A push to a row that is played by messages.

    Attributes:
        began_ns: When the worker took it up.
    """

    request: PushRequest
    dequeued_ns: int
    began_ns: int
    sent_ns: int
    responses: list[Generated]


class RowConnection(Connection):
    """See the module.

    Attributes:
        rows: Those of its istiod.
        place: Of the row.
        group: Its group.
        answers: What left in answer to its requests, and when.
        answered_from: What it was made from.
        worked: From when to when the worker made each of them.
        pushes: Pushes behind them.
        to_come: Requests that are not answered yet.
        busy_since_ns: When the worker took up what it does now; None if it does nothing.
        ages_ns: When it is old enough to end; None if that is not within the run.
        is_odd: Something happened that is not for rows.
        is_settled: It is pushed to in arrays.
    """

    __slots__ = (
        "_left",
        "_on_aged",
        "_on_settled",
        "ages_ns",
        "answered_from",
        "answers",
        "busy_since_ns",
        "group",
        "is_odd",
        "is_settled",
        "place",
        "pushes",
        "rows",
        "to_come",
        "worked",
    )

    def __init__(
        self,
        rows: ReplicaRows,
        stream: RowStream,
        class_: VisibilityClass,
        zone: int,
        group: int,
        to_come: int,
        on_settled: Callable[[RowConnection], object],
        on_aged: Callable[[RowConnection], object],
    ) -> None:
        context = rows.replica.context
        super().__init__(rows.replica, stream, class_, zone, context, is_reconnect=True)  # type: ignore[arg-type]
        self.rows = rows
        self.place, self.group, self.to_come = stream.place, group, to_come
        self._on_settled, self._on_aged = on_settled, on_aged
        self.ages_ns: int | None = None
        self.answered_from = context
        self.answers: list[tuple[int, Generated]] = []
        self.worked: list[tuple[int, int]] = []
        self.pushes: list[RowPush] = []
        self.busy_since_ns: int | None = None
        self.is_odd = self.is_settled = False
        self._left: list[Generated] = []

    @staticmethod
    def _rows() -> Rows[ConnectionState, ConnectionSignal, Connection]:
        return _ROWS

    def note_age(self, ends_ns: int) -> None:
        """It will be old enough then."""
        self.ages_ns = ends_ns

    def reset_if_open(self) -> None:
        """Istiod ends, and whoever waits to be let in is cut off; or it is old enough."""
        if self.is_settled:
            self._on_aged(self)
        elif not self._replica.is_serving:
            super().reset_if_open()
        elif not self.is_closed:
            self.is_odd = True

    def offer(self, request: PushRequest, dequeued_ns: int) -> None:
        """The push engine hands a push over, with its slot."""
        super().offer(request, dequeued_ns)
        self._settle()

    def start_answer(self) -> None:
        """One CPU job for a request."""
        self.busy_since_ns = self._replica.clock.now_ns
        super().start_answer()

    def start_push(self) -> None:
        """One CPU job for a push."""
        self.busy_since_ns = self._replica.clock.now_ns
        super().start_push()

    def _generate_answer(self, type_: ResourceType, added: Names) -> int:
        made, cost_ns = self.rows.making.answer(self, self.group, type_, added)
        self._outbox.extend(made)
        return cost_ns + self._replica.request_cost_ns()

    def _take_push(self, request: PushRequest, dequeued_ns: int) -> None:
        if self.to_come:
            self.is_odd = True  # its requests came one after the other, and a push between them
        super()._take_push(request, dequeued_ns)

    def _send_one(self, generated: Generated) -> None:
        self._left.append(generated)
        self.responses += 1
        self._types_sent.append(generated.type.name)

    def finish(self) -> None:
        """All of an answer or a push has left."""
        now_ns, began_ns = self._replica.clock.now_ns, self.busy_since_ns
        assert began_ns is not None, "what was not begun is done"
        left, self._left, self.busy_since_ns = self._left, [], None
        if self._push is None:
            self.to_come -= 1
            # A request is read before an ACK of its instant.
            self.worked.append((began_ns - 1, now_ns))
            self.answers += [(now_ns, generated) for generated in left]
            self.answered_from = self.context
        else:
            self.pushes.append(RowPush(self._push, self._dequeued_ns, began_ns, now_ns, left))
        super().finish()
        self._settle()

    def _settle(self) -> None:
        if not (self.to_come or self.is_closed or self.is_settled) and self.busy_since_ns is None:
            self._on_settled(self)


_ROWS: Rows[ConnectionState, ConnectionSignal, Connection] = bind(CONNECTION, RowConnection)
