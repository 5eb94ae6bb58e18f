"""A gRPC stream: two ordered directions that live and die together.

Messages are noted where the control plane sees them: a response when it leaves, a request when it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.events import Band, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.recording.recorder import Recorder
    from simulator.wire.contract import Relay, StreamAcceptor, StreamClient, StreamServer
    from simulator.wire.link import Link
    from simulator.wire.trouble import Trouble
    from simulator.xds.messages import Request, Response


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """The way between one proxy and its control plane, shared by all its streams."""

    clock: Clock
    proxy: int
    to_server: Link
    to_client: Link
    acceptor: StreamAcceptor
    recorder: Recorder
    relay: Relay | None = None
    trouble: Trouble | None = None


class Stream:
    """One attempt at a stream, and the stream if the attempt succeeds.

    It counts as open for its client from the first moment (Envoy sends at once, the requests are buffered);
    requests of a stream that is refused are lost with it.
    """

    __slots__ = (
        "_client",
        "_is_closed_by_client",
        "_opens_ns",
        "_path",
        "_server",
        "id",
        "is_delta",
        "is_open",
        "label",
        "replica",
        "under_way",
    )

    def __init__(
        self,
        path: Path,
        stream_id: int,
        client: StreamClient,
        *,
        is_delta: bool,
        label: str,
        open_after_ns: int,
    ) -> None:
        self._path = path
        self._client = client
        self._server: StreamServer | None = None
        self.id = stream_id
        self.is_delta = is_delta
        self.label = label
        """`ads`, or the type and name of the one subscription the stream is for."""
        self.is_open = True
        self._is_closed_by_client = False
        self.replica = 0
        """Which replica of the control plane took it."""
        self.under_way = 0
        """Messages that have left and not arrived."""
        # Opening delays what this stream sends, not what others send over the same link.
        self._opens_ns = path.to_server.arrival_ns(path.clock.now_ns) + open_after_ns
        if path.trouble is not None and path.trouble.delays_opening(self):
            return
        path.clock.at(self._opens_ns, self._arrive, band=Band.MESSAGE, entity=path.proxy)

    @property
    def proxy(self) -> int:
        """Index of the proxy at the client's end."""
        return self._path.proxy

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return self._path.clock.now_ns

    @property
    def is_half_open(self) -> bool:
        """Whether only the server still believes in it."""
        return self.is_open and self._is_closed_by_client

    @property
    def is_accepted(self) -> bool:
        """Whether a server's end exists."""
        return self._server is not None

    def _arrive(self) -> None:
        if self.is_open:
            self._server = self._path.acceptor.on_connect(self)
            if self._server is None:
                self.reset_by_server()
            else:
                self._client.on_stream_accepted(self)

    def send_request(self, request: Request) -> None:
        """Client to server."""
        assert self.is_open, "a request on a closed stream"
        if self._path.relay is not None:
            self._path.relay.on_request(self, request)
        else:
            self.forward_request(request)

    def forward_request(self, request: Request, delay_ns: int = 0) -> None:
        """Puts a request on its way to the server; nothing happens on a closed stream."""
        if not self.is_open or self._is_closed_by_client:
            return
        path = self._path
        departure_ns = path.clock.now_ns + delay_ns
        arrival_ns = max(path.to_server.arrival_ns(departure_ns, request.size_bytes), self._opens_ns)
        self.under_way += 1
        self._travel(arrival_ns, lambda: self._deliver_request(request))

    def _travel(self, arrival_ns: int, deliver: Callable[[], None]) -> None:
        path = self._path
        if path.trouble is None or not path.trouble.intercepts(self, deliver):
            path.clock.at(arrival_ns, deliver, band=Band.MESSAGE, entity=path.proxy)

    def _deliver_request(self, request: Request) -> None:
        self.under_way -= 1
        if self._server is None or not self.is_open:
            return
        self._note(request)
        self._server.on_request(request)

    @property
    def may_send(self) -> bool:
        """Whether a Send would not block on HTTP/2 flow control."""
        relay = self._path.relay
        return relay is None or relay.may_send(self)

    def when_writable(self, call: Callable[[], None]) -> None:
        """Calls once a Send would not block; never if the stream ends first."""
        relay = self._path.relay
        if relay is None:
            call()
        else:
            relay.when_writable(self, call)

    def send_response(self, response: Response) -> None:
        """Server to client."""
        assert self.is_open, "a response on a closed stream"
        path = self._path
        self._note(response)
        if path.relay is not None:
            path.relay.on_sent(self, response.size_bytes)
        arrival_ns = path.to_client.arrival_ns(path.clock.now_ns, response.size_bytes)
        self.under_way += 1
        self._travel(arrival_ns, lambda: self._deliver_response(response))

    def _deliver_response(self, response: Response) -> None:
        self.under_way -= 1
        if self._is_closed_by_client:
            return
        if self._path.relay is None:
            self._client.on_response(self, response)
        else:
            self._path.relay.on_response(self, response, lambda: self._client.on_response(self, response))

    def reset_by_server(self) -> None:
        """The server, or the network, ends the stream; the client learns of it behind the responses under
        way."""
        if not self.is_open:
            return
        self.end_at_server()
        path = self._path
        self._travel(path.to_client.arrival_ns(path.clock.now_ns), self.end_at_client)

    def end_at_client(self) -> None:
        """The client learns that the stream is gone."""
        if not self._is_closed_by_client:
            self._is_closed_by_client = True
            if self._path.relay is not None:
                self._path.relay.stream_closed(self)
            self._client.on_stream_closed(self)

    def fail_to_open(self) -> None:
        """Connecting was given up."""
        if self._server is None and self.is_open:
            self.is_open = False
            self.end_at_client()

    def close(self) -> None:
        """The client ends the stream: nothing more reaches it; the server learns of it behind what was
        sent."""
        was_closed, self._is_closed_by_client = self._is_closed_by_client, True
        path = self._path
        if path.relay is not None:
            path.relay.stream_closed(self)
        if was_closed or not self.is_open:
            return
        if self._server is None:
            self.is_open = False  # Its opening never arrives.
            return
        arrival_ns = max(path.to_server.arrival_ns(path.clock.now_ns), self._opens_ns)
        self._travel(arrival_ns, self.end_at_server)

    def end_at_server(self) -> None:
        """The server learns that the stream is gone."""
        if self.is_open:
            self.is_open = False
            if self._server is not None:
                self._server.on_stream_closed()

    def _note(self, message: Request | Response) -> None:
        path = self._path
        note_message(path.recorder, path.clock.now_ns, path.proxy, self.id, message, self.replica)


def note_message(
    recorder: Recorder, t_ns: int, proxy: int, stream: int, message: Request | Response, replica: int = 0
) -> None:
    """Notes a message at the instant the control plane sees it, and counts it in any case."""
    recorder.count_message(t_ns, message.size_bytes)
    if not recorder.keeps_messages:
        return
    version, nonce, error, names = message.noted
    recorder.message(
        t_ns,
        proxy,
        replica,
        stream,
        message.direction,
        message.type.name,
        version,
        nonce,
        error,
        names,
        message.size_bytes,
    )
