"""One xDS stream at istiod: admission, and the one worker that serves its requests and pushes in turn.

The worker prefers requests to pushes and does one thing at a time; it never waits for an ACK. What it
generates costs one CPU job for each push, whatever its types, and one for each request that is answered; the
responses leave when the job ends, as fast as HTTP/2 flow control takes them.
Sources: pkg/xds/server.go (Stream, Receive, ShouldRespond, Send); pilot/pkg/xds/ads.go (initConnection,
pushConnection, processRequest); xds/delta.go (StreamDeltas, processDeltaRequest, forceEDSPush).
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from simulator.control_plane.istiod.generator import Generated
from simulator.control_plane.istiod.push_context import CarriedByAnswer, CarriedByPush, PushContext
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.machine import Machine, Rows, bind
from simulator.mesh.visibility import VisibilityClass
from simulator.wire.contract import PushSession
from simulator.xds.messages import Request
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names
from simulator.xds.sotw import RequestKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.control_plane.istiod.replica import Replica
    from simulator.mesh.content import ConfigChange
    from simulator.wire.stream import Stream


class ConnectionState(Enum):
    """Where a stream stands."""

    ADMITTING = "ADMITTING"
    IDLE = "IDLE"
    ANSWERING = "ANSWERING"
    PUSHING = "PUSHING"
    BLOCKED = "BLOCKED"
    CLOSED = "CLOSED"


class ConnectionSignal(Enum):
    """What happens to it."""

    INITIALIZED = "initialized"
    ASKED = "asked"
    PUSHED = "pushed"
    WINDOW_FULL = "window full"
    WINDOW_OPEN = "window open"
    SENT = "sent"
    ENDED = "ended"


_S, _G = ConnectionState, ConnectionSignal
CONNECTION: dict[tuple[ConnectionState, ConnectionSignal], tuple[ConnectionState, str | None]] = {
    (_S.ADMITTING, _G.INITIALIZED): (_S.IDLE, "work"),
    (_S.IDLE, _G.ASKED): (_S.ANSWERING, "start_answer"),
    (_S.IDLE, _G.PUSHED): (_S.PUSHING, "start_push"),
    (_S.ANSWERING, _G.WINDOW_FULL): (_S.BLOCKED, "await_window"),
    (_S.PUSHING, _G.WINDOW_FULL): (_S.BLOCKED, "await_window"),
    (_S.BLOCKED, _G.WINDOW_OPEN): (_S.BLOCKED, "send_on"),
    (_S.BLOCKED, _G.WINDOW_FULL): (_S.BLOCKED, "await_window"),
    (_S.BLOCKED, _G.SENT): (_S.IDLE, "finish"),
    (_S.ANSWERING, _G.SENT): (_S.IDLE, "finish"),
    (_S.PUSHING, _G.SENT): (_S.IDLE, "finish"),
    **{(state, _G.ENDED): (_S.CLOSED, "end") for state in _S if state is not _S.CLOSED},
}


class Connection:
    """A stream from its acceptance to its end.

    Attributes:
        session: What the protocol must know of the stream.
        class_: What its proxy sees.
        zone: Locality of its proxy.
        context: The PushContext it was last pushed (LastPushContext).
        behind: Changes that were not in it when the stream began: the proxy may have them and lose them.
        sent_names: Names held by the last response of each wildcard type.
        responses: How many were sent.
    """

    __slots__ = (
        "_asked",
        "_dequeued_ns",
        "_held_back",
        "_inbox",
        "_is_reconnect",
        "_machine",
        "_offered",
        "_outbox",
        "_push",
        "_ready_to_send_ns",
        "_released",
        "_replica",
        "_stream",
        "_types_sent",
        "_unanswered",
        "behind",
        "class_",
        "context",
        "proxy",
        "responses",
        "sent_names",
        "session",
        "token_ns",
        "zone",
    )

    session: PushSession

    def __init__(
        self,
        replica: Replica,
        stream: Stream,
        class_: VisibilityClass,
        zone: int,
        context: PushContext,
        *,
        is_reconnect: bool,
    ) -> None:
        self._replica = replica
        self._stream = stream
        self._machine: Machine[ConnectionState, ConnectionSignal, Connection] = Machine(
            _S.ADMITTING, self._rows(), self, Connection._entered
        )
        self.proxy = stream.proxy
        self.class_ = class_
        self.zone = zone
        self.context = context
        self.behind: list[ConfigChange] = []
        self.token_ns = 0
        self.sent_names: dict[ResourceType, Names] = {}
        self.responses = 0
        self._is_reconnect = is_reconnect
        self._inbox: deque[Request] = deque()
        self._asked: deque[tuple[ResourceType, Names | PushRequest]] = deque()
        self._offered: tuple[PushRequest, int] | None = None
        self._push: PushRequest | None = None
        self._released: PushRequest | None = None
        self._dequeued_ns = 0
        self._ready_to_send_ns = 0
        self._outbox: deque[Generated] = deque()
        self._types_sent: list[str] = []
        self._unanswered: dict[ResourceType, int] = {}
        self._held_back: dict[ResourceType, PushRequest] = {}

    @staticmethod
    def _rows() -> Rows[ConnectionState, ConnectionSignal, Connection]:
        """The table with the methods of its own class."""
        return _ROWS

    def _entered(self, _before: ConnectionState, _after: ConnectionState) -> None:
        """The queues and the tables of messages show what it does."""

    @property
    def is_closed(self) -> bool:
        """Whether the stream ended."""
        return self._machine.state is _S.CLOSED

    @property
    def is_delta(self) -> bool:
        """Protocol of the stream."""
        return self._stream.is_delta

    def watches(self, type_: ResourceType) -> bool:
        """Whether the type was ever requested on the stream."""
        return self.session.is_subscribed(type_)

    def names(self, type_: ResourceType) -> Names:
        """Names it subscribed; empty for a wildcard type."""
        return self.session.names(type_)

    # --- the stream's side (wire/contract.py: StreamServer)

    def on_request(self, request: Request) -> None:
        """Read into the channel of the worker."""
        self._replica.metrics.on_request_size(request.size_bytes)
        self._inbox.append(request)
        if self._machine.state is _S.IDLE:
            self.work()

    def on_stream_closed(self) -> None:
        """By whomever."""
        self.session.on_stream_closed()

    def initialized(self) -> None:
        """Admitted, authenticated and in the table of connections: requests are served, pushes may queue."""
        self._machine.fire(_G.INITIALIZED)

    def reset(self) -> None:
        """Istiod ends the stream."""
        self.session.reset()

    def note_age(self, ends_ns: int) -> None:
        """It will be old enough then, and be reset."""

    def reset_if_open(self) -> None:
        """Istiod ends the stream unless it has ended."""
        if not self.is_closed:
            self.session.reset()

    # --- the session's side (wire/contract.py: Publisher)

    def on_subscription(self, session: PushSession, type_: ResourceType, added: Names) -> None:
        """To be answered."""
        self._asked.append((type_, added))

    def on_answer(self, session: PushSession, type_: ResourceType, kind: RequestKind) -> None:
        """Counts; with ACK flow control, lets go what was held back."""
        self._replica.metrics.on_answer(type_, kind, session.last_error, self._replica.name_of(self.proxy))
        if kind is RequestKind.STALE:
            return
        self._unanswered.pop(type_, None)
        held = self._held_back.pop(type_, None)
        if held is not None:
            self._asked.append((type_, held))

    def on_session_closed(self, session: PushSession) -> None:
        """The stream ended."""
        if not self.is_closed:
            self._machine.fire(_G.ENDED)

    # --- the worker

    def offer(self, request: PushRequest, dequeued_ns: int) -> None:
        """The push engine hands a push over, with its slot."""
        self._offered = request, dequeued_ns
        if self._machine.state is _S.IDLE:
            self.work()

    def work(self) -> None:
        """The next thing to do: requests before pushes."""
        while self._machine.state is _S.IDLE:
            if self._asked:
                self._machine.fire(_G.ASKED)
            elif self._inbox:
                self.session.on_request(self._inbox.popleft())
            elif self._offered is not None:
                self._take_push(*self._offered)
            else:
                return

    def start_answer(self) -> None:
        """One CPU job for a request that is answered, with what it asks for or what was held back for it."""
        type_, wanted = self._asked.popleft()
        self._push = None
        if isinstance(wanted, PushRequest):
            released = self._released = wanted
            self._submit(lambda: self._generate_released(type_, released))
        else:
            added, self._released = wanted, None
            self._submit(lambda: self._generate_answer(type_, added))

    def _submit(self, generate: Callable[[], int]) -> None:
        """A CPU job, which is none if the stream has ended by the time a core is free."""
        self._replica.submit(self, lambda: 0 if self.is_closed else generate(), self._send)

    def _generate_answer(self, type_: ResourceType, added: Names) -> int:
        replica = self._replica
        made, cost_ns = replica.generator.answer(self, type_, added, self.token_ns)
        self._outbox.extend(made)
        return cost_ns + replica.request_cost_ns()

    def _generate_released(self, type_: ResourceType, request: PushRequest) -> int:
        """The one type that was held back, past the throttle."""
        replica = self._replica
        made, cost_ns = replica.generator.push(self, request, lambda other: other is not type_)
        self._outbox.extend(made)
        return cost_ns + replica.request_cost_ns()

    def _take_push(self, request: PushRequest, dequeued_ns: int) -> None:
        self._offered = None
        self._push, self._dequeued_ns = request, dequeued_ns
        if not request.only_endpoints and isinstance(request.context, PushContext):
            self.context = request.context
            self.token_ns = request.start_ns
        if self._replica.generator.concerns(request, self.class_, is_delta=self.is_delta):
            self._machine.fire(_G.PUSHED)
        else:
            # Filtered out: no work and no metric but the time in the queue.
            self._end_push(None)

    def start_push(self) -> None:
        """One CPU job for all types of a push."""
        self._submit(self._generate_push)

    def _generate_push(self) -> int:
        assert self._push is not None
        holds_back = self._holds_back if self._replica.flow_control_timeout_ns else None
        made, cost_ns = self._replica.generator.push(self, self._push, holds_back)
        self._outbox.extend(made)
        return cost_ns

    def _holds_back(self, type_: ResourceType) -> bool:
        """With PILOT_ENABLE_FLOW_CONTROL a type waits for the answer to its last response, or for the
        time-out; what is held back is merged."""
        sent_ns = self._unanswered.get(type_)
        now_ns = self._replica.clock.now_ns
        assert self._push is not None
        if sent_ns is None or now_ns - sent_ns >= self._replica.flow_control_timeout_ns:
            return False
        held = self._held_back.get(type_)
        self._held_back[type_] = self._push if held is None else held.merged(self._push)
        return True

    def _send(self) -> None:
        if self.is_closed:
            self._outbox.clear()
            return
        self._ready_to_send_ns = self._replica.clock.now_ns
        self._send_on()

    def _send_on(self) -> None:
        while self._outbox:
            if not self._stream.may_send:
                self._machine.fire(_G.WINDOW_FULL)
                return
            self._send_one(self._outbox.popleft())
        self._machine.fire(_G.SENT)

    def _send_one(self, generated: Generated) -> None:
        replica, now_ns = self._replica, self._replica.clock.now_ns
        type_ = generated.type
        carrier: CarriedByPush | CarriedByAnswer
        push = self._push or self._released
        if push is None:
            carried_by = "reconnect" if self._is_reconnect else "request"
            carrier = CarriedByAnswer(replica.known, carried_by, self.context, now_ns, generated.live)
        else:
            carrier = CarriedByPush(
                replica.known, push.rounds, self.context, self._dequeued_ns, now_ns, generated.live
            )
        if self.behind:
            names = generated.resources.names.union(generated.removed)
            self.behind = replica.shared.note_regressions(
                self.behind, carrier, replica.number, self.proxy, type_.name, names
            )
        self.session.send(type_, self.context.version, generated.resources, generated.removed, carrier)
        self.responses += 1
        self._types_sent.append(type_.name)
        if replica.flow_control_timeout_ns:
            self._unanswered[type_] = now_ns
        blocked_ns = now_ns - self._ready_to_send_ns
        self._ready_to_send_ns = now_ns
        replica.metrics.on_sent(type_, generated.resources.size_bytes, generated.cost_ns, blocked_ns)

    def await_window(self) -> None:
        """A slow reader: the Send blocks, and with it whatever slot it holds."""
        self._replica.watch_send(self)
        self._stream.when_writable(self._window_open)

    def _window_open(self) -> None:
        if not self.is_closed:
            self._machine.fire(_G.WINDOW_OPEN)

    def send_on(self) -> None:
        """The window has room again."""
        self._send_on()

    @property
    def is_blocked(self) -> bool:
        """Whether a Send is blocked."""
        return self._machine.state is _S.BLOCKED

    def finish(self) -> None:
        """All was sent."""
        self._released = None
        if self._push is not None:
            self._replica.metrics.on_converged(self._push.start_ns)
            self._end_push(self._replica.clock.now_ns if self._types_sent else None)
        self._types_sent = []
        self.work()

    def _end_push(self, sent_ns: int | None) -> None:
        push, self._push = self._push, None
        assert push is not None
        # Its slot may go to this connection again before this returns: what was sent is no longer of account.
        types, self._types_sent = tuple(self._types_sent), []
        self._replica.push_ended(self, push, self._dequeued_ns, sent_ns, types)

    def end(self) -> None:
        """The stream is gone: its slot is free, its place in the queue too."""
        in_progress = self._push is not None or self._offered is not None
        push = self._push if self._push is not None else (self._offered or (None, 0))[0]
        self._push = self._released = self._offered = None
        self._inbox.clear()
        self._asked.clear()
        self._outbox.clear()
        self._replica.connection_ended(self, push if in_progress else None)


_ROWS = bind(CONNECTION, Connection)
TABLES = {"connection": (CONNECTION, _S.ADMITTING, (_S.CLOSED,))}
