"""The agent's xDS proxy: every stream of Envoy's is spliced, one to one, to a stream of its own to istiod.

Requests queue without bound; responses do not: one is in hand, one is buffered, and what comes behind them
stays unread in the stream's HTTP/2 window, until istiod's Send blocks. The agent keeps no configuration.
What a message usually takes to pass is a delay of the link (`AgentSettings.hop`); what is here is what makes
it wait.
Source: pkg/istio-agent/xds_proxy.go, xds_proxy_delta.go; grpc-go internal/transport/flowcontrol.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from simulator.agent.settings import AgentSettings
from simulator.agent.wasm import WasmModules
from simulator.engine.events import Band, Clock
from simulator.xds.messages import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    DiscoveryResponse,
    Request,
    Response,
)
from simulator.xds.resource_types import ECDS, LDS, ResourceType

Handlers = Mapping[ResourceType, Callable[[Response], None]]
"""What the agent consumes itself: the name table and, where it is told so, the proxy configuration."""


class UpstreamStream(Protocol):
    """What the agent uses of a stream."""

    is_delta: bool
    is_open: bool

    def forward_request(self, request: Request) -> None:
        """Puts a request on its way to istiod."""


class XdsProxy:
    """The agent of one Envoy, as its streams meet it.

    A message is either given on at the instant it arrives or waits because Envoy does not read
    (`stop_reading`) or because its Wasm modules are not there yet. Pings are answered by the transport, so
    a proxy that does not read is not taken for dead.

    Args:
        clock: The clock of the run.
        proxy: Id of the proxy.
        settings: Of the agent.
        handlers: Types it subscribes to, in this order, behind the first LDS request of each stream.
        wasm: Its Wasm modules; None where ECDS responses pass as they are.
    """

    __slots__ = ("_clock", "_handlers", "_proxy", "_settings", "_splices", "_wasm", "is_reading")

    def __init__(
        self,
        clock: Clock,
        proxy: int,
        settings: AgentSettings,
        *,
        handlers: Handlers | None = None,
        wasm: WasmModules | None = None,
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._settings = settings
        self._handlers: Handlers = handlers or {}
        self._wasm = wasm
        self._splices: dict[UpstreamStream, _Splice] = {}
        self.is_reading = True
        """Whether Envoy takes what the agent sends it."""

    # --- as the wire sees it

    def on_request(self, stream: UpstreamStream, request: Request) -> None:
        """Passes Envoy's request on; its first for listeners is followed by the agent's own
        subscriptions."""
        stream.forward_request(request)
        if request.type is LDS and self._handlers:
            splice = self._splice(stream)
            if not splice.has_subscribed:
                splice.has_subscribed = True
                for type_ in self._handlers:
                    stream.forward_request(_subscription(stream, type_))

    def on_sent(self, stream: UpstreamStream, size_bytes: int) -> None:
        """A response left istiod: it takes room in the window until the agent reads it."""
        self._splice(stream).unread_bytes += size_bytes

    def on_response(self, stream: UpstreamStream, response: Response, forward: Callable[[], None]) -> None:
        """A response arrived; it is forwarded, consumed or held."""
        self._splice(stream).arrive(response, forward)

    def may_send(self, stream: UpstreamStream) -> bool:
        """Whether some of the window is left: grpc-go then accepts a message of any size."""
        splice = self._splices.get(stream)
        return splice is None or splice.is_writable

    def when_writable(self, stream: UpstreamStream, call: Callable[[], None]) -> None:
        """Calls once as soon as `may_send` is true, at once if it is; never if the stream ends first."""
        splice = self._splice(stream)
        splice.writers.append(call)
        splice.wake_writers()

    def unread_bytes(self, stream: UpstreamStream) -> int:
        """Bytes in the window: under way, or arrived and not read."""
        splice = self._splices.get(stream)
        return 0 if splice is None else splice.unread_bytes

    def stream_closed(self, stream: UpstreamStream) -> None:
        """Envoy or the agent learned that the stream ended: what is held for it is lost."""
        if stream.is_open:
            # istiod does not know yet: what it still sends fills a window that nobody empties.
            self._splice(stream).close()
        elif stream in self._splices:
            self._splices.pop(stream).close()

    # --- as the workload sees it

    def stop_reading(self) -> None:
        """Envoy takes nothing any more (it hangs, or has no CPU); streams opened meanwhile suffer the
        same."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """Envoy reads again: what was held goes on at once, in order."""
        self.is_reading = True
        for splice in list(self._splices.values()):
            splice.work()

    def _splice(self, stream: UpstreamStream) -> _Splice:
        splice = self._splices.get(stream)
        if splice is None:
            # Ends that istiod noticed after the agent did.
            over = [s for s, spliced in self._splices.items() if spliced.is_closed and not s.is_open]
            for ended in over:
                del self._splices[ended]
            splice = self._splices[stream] = _Splice(self, stream)
        return splice

    # --- for its splices

    def handler(self, type_: ResourceType) -> Callable[[Response], None] | None:
        """Who consumes responses of the type; None where Envoy does."""
        return self._handlers.get(type_)

    def fetch_ns(self, response: Response) -> int:
        """How long the Wasm modules of the response take to be fetched; 0 if they are all there."""
        if response.type is not ECDS or self._wasm is None:
            return 0
        return self._wasm.fetch_ns(response.resources)

    def after(self, delay_ns: int, call: Callable[[], None]) -> None:
        """Calls later."""
        self._clock.after(delay_ns, call, band=Band.COMPLETION, entity=self._proxy)

    @property
    def buffered_responses(self) -> int:
        """Responses read ahead of the one in hand."""
        return self._settings.buffered_responses

    @property
    def window_bytes(self) -> int:
        """HTTP/2 window of a stream."""
        return self._settings.window_bytes


class _Fetch:
    """An ECDS response taken aside until its modules are there."""

    __slots__ = ("forward", "is_done")

    def __init__(self, forward: Callable[[], None]) -> None:
        self.forward = forward
        self.is_done = False


class _Splice:
    """One stream through the agent."""

    __slots__ = (
        "_agent",
        "_arrived",
        "_fetches",
        "_in_hand",
        "_is_working",
        "_read",
        "_stream",
        "has_subscribed",
        "is_closed",
        "unread_bytes",
        "writers",
    )

    def __init__(self, agent: XdsProxy, stream: UpstreamStream) -> None:
        self._agent = agent
        self._stream = stream
        self._in_hand: Callable[[], None] | None = None
        self._arrived: deque[tuple[Response, Callable[[], None]]] = deque()
        self._read = 0
        self._fetches: deque[_Fetch] = deque()
        self._is_working = False
        self.has_subscribed = False
        self.is_closed = False
        self.unread_bytes = 0
        self.writers: deque[Callable[[], None]] = deque()

    @property
    def is_writable(self) -> bool:
        return self.unread_bytes < self._agent.window_bytes

    def arrive(self, response: Response, forward: Callable[[], None]) -> None:
        self._arrived.append((response, forward))
        self.work()

    def close(self) -> None:
        self.is_closed = True
        self._in_hand = None
        self._arrived.clear()
        self._fetches.clear()

    def work(self) -> None:
        """Gives on whatever can be given on, reads ahead what there is a buffer for, and lets istiod write
        into the room that leaves."""
        if self._is_working:
            return
        self._is_working = True
        while self._take_in_hand() and self._agent.is_reading:
            forward, self._in_hand = self._in_hand, None
            assert forward is not None
            forward()
        self._is_working = False
        self._read_ahead()
        self.wake_writers()

    def _take_in_hand(self) -> bool:
        """Whether a response for Envoy is in hand, taking the next if there is one."""
        while self._in_hand is None:
            if self._fetches and self._fetches[0].is_done:
                self._in_hand = self._fetches.popleft().forward
            elif self._arrived:
                self._in_hand = self._sort(*self._next())
            else:
                return False
        return True

    def _next(self) -> tuple[Response, Callable[[], None]]:
        response, forward = self._arrived.popleft()
        if self._read:
            self._read -= 1
        else:
            self.unread_bytes -= response.size_bytes
        return response, forward

    def _sort(self, response: Response, forward: Callable[[], None]) -> Callable[[], None] | None:
        """What is to be forwarded now; nothing for what the agent consumes, or what waits for modules."""
        handler = self._agent.handler(response.type)
        if handler is not None:
            self._consume(response, handler)
            return None
        fetch_ns = self._agent.fetch_ns(response)
        if fetch_ns == 0 and not (self._fetches and response.type is ECDS):
            return forward
        # Aside, so that other types overtake it; a later ECDS response does not (in Istio it might).
        fetch = _Fetch(forward)
        self._fetches.append(fetch)
        self._agent.after(fetch_ns, lambda: self._fetched(fetch))
        return None

    def _consume(self, response: Response, handler: Callable[[Response], None]) -> None:
        # An empty response is ignored: neither applied nor acknowledged.
        if response.resources:
            handler(response)
            self._stream.forward_request(_acknowledgement(response))

    def _fetched(self, fetch: _Fetch) -> None:
        fetch.is_done = True
        self.work()

    def _read_ahead(self) -> None:
        while self._read < min(len(self._arrived), self._agent.buffered_responses):
            self.unread_bytes -= self._arrived[self._read][0].size_bytes
            self._read += 1

    def wake_writers(self) -> None:
        while self.writers and self.is_writable:
            self.writers.popleft()()


def _subscription(stream: UpstreamStream, type_: ResourceType) -> Request:
    return DeltaDiscoveryRequest(type_) if stream.is_delta else DiscoveryRequest(type_)


def _acknowledgement(response: Response) -> Request:
    if isinstance(response, DiscoveryResponse):
        return DiscoveryRequest(
            response.type, version_info=response.version_info, response_nonce=response.nonce
        )
    return DeltaDiscoveryRequest(response.type, response_nonce=response.nonce)
