"""The gRPC muxes: one stream for many types (ADS), state-of-the-world or delta.

What is asked, and when: a request leaves when a watch is added or dropped, when a response was processed (ACK
or NACK), when the stream opens (every type, in the order of first subscription, rule D5), and when a paused
type is resumed. A paused type's triggers become one request in SotW; in delta its ACKs wait one by one (rule
W2).
Sources: source/extensions/config_subscription/grpc/{grpc_mux_impl,new_grpc_mux_impl,grpc_stream,
pausable_ack_queue}.*; rules S2, D1 to D5, N2, W2, W4.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from simulator.calibration.ways import SHARED_STREAM
from simulator.engine.events import Band
from simulator.engine.machine import Machine, bind
from simulator.engine.servers import TokenBucket
from simulator.envoy.process import Process
from simulator.wire.backoff import JitteredBackoff
from simulator.wire.contract import ConfigConsumer, Update
from simulator.wire.delivery import cost_ns, deliver
from simulator.wire.stream import Path, Stream
from simulator.xds.delta import DeltaClientState
from simulator.xds.messages import Request, Response
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names
from simulator.xds.sotw import SotwClientState


class StreamState(Enum):
    """Where the mux stands with its stream."""

    DOWN = "DOWN"
    OPEN = "OPEN"


class StreamSignal(Enum):
    """What happens to the stream."""

    ESTABLISH = "establish"
    CLOSED = "closed"


_S, _G = StreamState, StreamSignal
GRPC_STREAM = {
    (_S.DOWN, _G.ESTABLISH): (_S.OPEN, "request_everything"),
    (_S.OPEN, _G.CLOSED): (_S.DOWN, "schedule_retry"),
}

_C = TypeVar("_C", bound=SotwClientState | DeltaClientState)


class TypeOnMux(Generic[_C]):
    """One subscribed type: who applies it, what is wanted, what was said."""

    __slots__ = ("consumer", "interest", "is_pending", "said", "type")

    def __init__(self, type_: ResourceType, consumer: ConfigConsumer, said: _C) -> None:
        self.type = type_
        self.consumer = consumer
        self.interest = NO_NAMES
        self.said = said
        self.is_pending = False


@dataclass(frozen=True, slots=True)
class MuxIdentity:
    """Which stream this mux opens: its label in tables, and how streams of the Envoy are numbered."""

    label: str
    next_stream_id: Callable[[], int]


class GrpcMux(Generic[_C]):
    """What both muxes share: the stream's life, pausing, and applying responses on the main thread."""

    is_ads = True
    has_fetch_timeout = True
    is_path = False
    way_costs = SHARED_STREAM
    is_delta = False

    def __init__(self, process: Process, path: Path, identity: MuxIdentity) -> None:
        settings = process.settings
        self._process = process
        self._path = path
        self._identity = identity
        self._stream: Stream | None = None
        self._machine: Machine[StreamState, StreamSignal, GrpcMux[_C]] = Machine(
            _S.DOWN, _ROWS, self, GrpcMux._entered
        )
        self.backoff = JitteredBackoff(
            settings.backoff, process.draws, f"envoy.reconnect_backoff.{identity.label}", process.proxy
        )
        limit = settings.rate_limit
        self._bucket = TokenBucket(limit.max_tokens, limit.fill_interval_ns) if limit is not None else None
        self._has_token = False
        self._waits_for_token = False
        self._types: dict[ResourceType, TypeOnMux[_C]] = {}
        self.is_superseded = False
        """A newer stream of the same subscription exists (not on ADS)."""
        self._paused: dict[ResourceType, int] = {}

    def _entered(self, _before: StreamState, after: StreamState) -> None:
        self._process.enter("stream", self._identity.label, after.value)
        self._process.gauge("control_plane.connected_state", int(after is _S.OPEN))

    # --- the stream's life (grpc_stream.h)

    def start(self) -> None:
        """Opens the stream."""
        if not self._process.is_exited and self._machine.state is _S.DOWN:
            self._machine.fire(_G.ESTABLISH)

    def stop(self) -> None:
        """The subscription, or the process, ends."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._types.clear()

    def request_everything(self) -> None:
        """The stream counts as open at once; every subscribed type is asked for, paused ones when resumed."""
        open_after_ns = self._process.costs.ns("stream_open")
        self._stream = Stream(
            self._path,
            self._identity.next_stream_id(),
            self,
            is_delta=self.is_delta,
            label=self._identity.label,
            open_after_ns=open_after_ns,
        )
        self._forget_stream()
        for state in self._types.values():
            self._queue(state)

    def on_stream_accepted(self, stream: Stream) -> None:
        """The control plane took the stream."""
        if self._process.row.t_connected_ns is None:
            self._process.row.t_connected_ns = stream.now_ns

    def on_stream_closed(self, stream: Stream) -> None:
        """The attempt failed or the stream ended: handled behind whatever the main thread has to do."""
        self._process.main_thread.submit(0, lambda: self._close(stream))

    def _close(self, stream: Stream) -> None:
        if self._stream is not stream or self._process.is_exited:
            return
        self._stream = None
        for state in list(self._types.values()):
            state.consumer.on_connection_failure(state.interest)
        self._machine.fire(_G.CLOSED)

    def schedule_retry(self) -> None:
        """Full-jitter back-off (rule D2)."""
        process = self._process
        process.clock.after(self.backoff.next_ns(), self._retry, band=Band.TIMER, entity=process.proxy)

    def _retry(self) -> None:
        if self._types or self._identity.label == "ads":
            self.start()

    # --- what the Envoy's parts ask of it (wire/contract.py: ConfigSource)

    def missing(self, _type: ResourceType, _names: Names) -> Names:
        """A gRPC subscription can always be created."""
        return NO_NAMES

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Adds watches."""
        state = self._types.get(type_)
        if state is None:
            state = self._types[type_] = TypeOnMux(type_, consumer, self._fresh(type_))
        state.interest = state.interest.union(names)
        self._watch_added(state, names)

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Drops the last watches of these names."""
        state = self._types.get(type_)
        if state is not None and names:
            state.interest = state.interest.minus(names)
            self._watch_dropped(state, names)

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """Of two watches of a name one ends; the interest stays."""
        state = self._types.get(type_)
        if state is not None:
            self._watch_superseded(state, names)

    def pause(self, type_: ResourceType) -> None:
        """Holds the type's requests back."""
        self._paused[type_] = self._paused.get(type_, 0) + 1

    def resume(self, type_: ResourceType) -> None:
        """Lets them go once nobody pauses the type."""
        self._paused[type_] -= 1
        assert self._paused[type_] >= 0, f"{type_} resumed more often than paused"
        if self._paused[type_] == 0:
            self._resumed(type_)

    def _is_paused(self, type_: ResourceType) -> bool:
        return self._paused.get(type_, 0) > 0

    # --- responses

    def on_response(self, stream: Stream, response: Response) -> None:
        """Queues the response on the main thread."""
        process = self._process
        process.changes.on_received(response.changes, process.proxy, process.now_ns)
        update = self._as_update(response)
        process.main_thread.submit(
            lambda: self._cost_ns(update), lambda: self._process_response(stream, response, update)
        )

    def _cost_ns(self, update: Update) -> int:
        state = self._types.get(update.type)
        if state is None or self._process.is_exited:
            return 0
        return cost_ns(update, state.consumer, self._process.costs)

    def _process_response(self, stream: Stream, response: Response, update: Update) -> None:
        state = self._types.get(update.type)
        if state is None or self._process.is_exited:
            return  # A type nobody subscribed is ignored, without an ACK.
        if stream is self._stream:
            self.backoff.reset()
        self._take(state, response, update)

    def _take(self, state: TypeOnMux[_C], response: Response, update: Update) -> None:
        self._answer(state, response, self._apply(state, update))

    def _apply(self, state: TypeOnMux[_C], update: Update) -> str | None:
        heard = update.heard_by(state.interest, is_superseded=self.is_superseded)
        return deliver(heard, state.consumer)

    # --- requests, under the rate limit

    def _may_send(self) -> bool:
        """Takes a token, or arranges to be called when there is one."""
        if self._stream is None or not self._stream.is_open:
            return False
        if self._bucket is None or self._has_token:
            self._has_token = False
            return True
        if self._waits_for_token:
            return False
        now_ns = self._process.now_ns
        wait_ns = 0 if now_ns < 0 else self._bucket.take(now_ns)  # its start was long ago: the bucket is full
        if wait_ns == 0:
            return True
        self._waits_for_token = True
        self._process.count("control_plane.rate_limit_enforced")
        self._process.clock.after(wait_ns, self._token_came, band=Band.TIMER, entity=self._process.proxy)
        return False

    def _token_came(self) -> None:
        self._waits_for_token, self._has_token = False, True
        self._send_queued()

    def _send(self, request: Request) -> None:
        assert self._stream is not None
        self._stream.send_request(request)

    # --- what SotW and delta do each in their way

    @abstractmethod
    def _fresh(self, type_: ResourceType) -> _C: ...

    @abstractmethod
    def _as_update(self, response: Response) -> Update: ...

    @abstractmethod
    def _watch_added(self, state: TypeOnMux[_C], names: Names) -> None: ...

    @abstractmethod
    def _watch_dropped(self, state: TypeOnMux[_C], names: Names) -> None: ...

    def _watch_superseded(self, state: TypeOnMux[_C], names: Names) -> None:
        """The interest is the same, so delta has nothing to say."""

    @abstractmethod
    def _answer(self, state: TypeOnMux[_C], response: Response, error: str | None) -> None: ...

    @abstractmethod
    def _queue(self, state: TypeOnMux[_C]) -> None: ...

    @abstractmethod
    def _resumed(self, type_: ResourceType) -> None: ...

    @abstractmethod
    def _send_queued(self) -> None: ...

    @abstractmethod
    def _forget_stream(self) -> None: ...


_ROWS = bind(GRPC_STREAM, GrpcMux)  # type: ignore[type-abstract]  # only its actions are taken, no instance made
TABLES = {"stream": (GRPC_STREAM, _S.DOWN, ())}
