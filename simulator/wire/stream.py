"""A gRPC stream: two ordered directions that live and die together.

Messages are noted where the control plane sees them: a response when it leaves, a request when it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.events import Band, Clock

if TYPE_CHECKING:
    from simulator.recording.recorder import Recorder
    from simulator.wire.contract import StreamAcceptor, StreamClient, StreamServer
    from simulator.wire.link import Link
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
        # Opening delays what this stream sends, not what others send over the same link.
        self._opens_ns = path.to_server.arrival_ns(path.clock.now_ns) + open_after_ns
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
        path = self._path
        arrival_ns = max(path.to_server.arrival_ns(path.clock.now_ns), self._opens_ns)
        path.clock.at(
            arrival_ns, lambda: self._deliver_request(request), band=Band.MESSAGE, entity=path.proxy
        )

    def _deliver_request(self, request: Request) -> None:
        if self._server is None or not self.is_open:
            return
        self._note(request)
        self._server.on_request(request)

    def send_response(self, response: Response) -> None:
        """Server to client."""
        assert self.is_open, "a response on a closed stream"
        path = self._path
        self._note(response)
        arrival_ns = path.to_client.arrival_ns(path.clock.now_ns)
        path.clock.at(
            arrival_ns, lambda: self._deliver_response(response), band=Band.MESSAGE, entity=path.proxy
        )

    def _deliver_response(self, response: Response) -> None:
        if not self._is_closed_by_client:
            self._client.on_response(self, response)

    def reset_by_server(self) -> None:
        """The server, or the network, ends the stream; the client learns of it behind the responses under
        way."""
        if not self.is_open:
            return
        self._end_at_server()
        path = self._path
        arrival_ns = path.to_client.arrival_ns(path.clock.now_ns)
        path.clock.at(arrival_ns, self._deliver_end, band=Band.MESSAGE, entity=path.proxy)

    def _deliver_end(self) -> None:
        if not self._is_closed_by_client:
            self._client.on_stream_closed(self)

    def close(self) -> None:
        """The client ends the stream: nothing more reaches it; the server learns of it behind what was
        sent."""
        was_closed, self._is_closed_by_client = self._is_closed_by_client, True
        if was_closed or not self.is_open:
            return
        if self._server is None:
            self.is_open = False  # Its opening never arrives.
            return
        path = self._path
        arrival_ns = max(path.to_server.arrival_ns(path.clock.now_ns), self._opens_ns)
        path.clock.at(arrival_ns, self._end_at_server, band=Band.MESSAGE, entity=path.proxy)

    def _end_at_server(self) -> None:
        if self.is_open:
            self.is_open = False
            if self._server is not None:
                self._server.on_stream_closed()

    def _note(self, message: Request | Response) -> None:
        path = self._path
        note_message(path.recorder, path.clock.now_ns, path.proxy, self.id, message)


def note_message(recorder: Recorder, t_ns: int, proxy: int, stream: int, message: Request | Response) -> None:
    """Notes a message at the instant the control plane sees it."""
    version, nonce, error, names = message.noted
    recorder.message(
        t_ns,
        proxy,
        0,
        stream,
        message.direction,
        message.type.name,
        version,
        nonce,
        error,
        names,
        message.size_bytes,
    )
