"""What can go wrong between one proxy and its control plane: a partition, and packet loss.

In a partition nothing arrives and nobody is told. What was sent is retransmitted and arrives when it is over,
unless an end has found its peer dead before: gRPC pings after `interval` without a sign of life and gives up
`timeout` later, at either end. The phase of the pings is uniform. A connection attempt into a partition fails
when gRPC gives the connect up.
Packet loss is met by TCP; what is left of it here is the rare stream that breaks.
Sources: pkg/keepalive/options.go (30 s and 10 s); grpc-go dialoptions.go (minConnectTimeout 20 s).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.clock import S
from simulator.engine.events import Band, Clock

if TYPE_CHECKING:
    from simulator.engine.draws import Draws
    from simulator.wire.stream import Stream


@dataclass(frozen=True, slots=True)
class TroubleSettings:
    """gRPC keepalive (GRPC_KEEPALIVE_INTERVAL, GRPC_KEEPALIVE_TIMEOUT), connect time-out, and the share of
    messages whose loss breaks the stream."""

    keepalive_interval_ns: int = 30 * S
    keepalive_timeout_ns: int = 10 * S
    connect_timeout_ns: int = 20 * S
    loss: float = 0.0


class Trouble:
    """The troubles of one proxy's link."""

    __slots__ = (
        "_clock",
        "_cuts",
        "_draws",
        "_held",
        "_is_cut",
        "_messages",
        "_passed",
        "_proxy",
        "_settings",
        "_streams",
    )

    def __init__(self, clock: Clock, draws: Draws, proxy: int, settings: TroubleSettings) -> None:
        self._clock = clock
        self._draws = draws
        self._proxy = proxy
        self._settings = settings
        self._is_cut = False
        self._cuts = 0
        self._messages = self._passed = 0
        self._held: list[Callable[[], None]] = []
        self._streams: dict[Stream, None] = {}

    @property
    def messages(self) -> int:
        """How many messages were sent so far; those held in a partition do not count."""
        return self._messages

    def continue_from(self, messages: int) -> None:
        """So many messages were sent elsewhere; the last of them is sent once more, and is not lost now."""
        self._messages, self._passed = messages - 1, messages

    def cut(self) -> None:
        """The partition begins."""
        self._is_cut = True
        self._cuts += 1
        for end in ("server", "client"):
            self._clock.after(
                self._until_noticed_ns(end),
                self._noticing(end, self._cuts),
                band=Band.TIMER,
                entity=self._proxy,
            )

    def heal(self) -> None:
        """The partition ends: what was held arrives."""
        self._is_cut = False
        held, self._held = self._held, []
        for deliver in held:
            self._clock.after(0, deliver, band=Band.MESSAGE, entity=self._proxy)
        for stream in self._streams:
            if stream.is_half_open:
                self._clock.after(0, stream.end_at_server, band=Band.MESSAGE, entity=self._proxy)

    def delays_opening(self, stream: Stream) -> bool:
        """Whether a new stream runs into the partition; it fails when connecting is given up."""
        self._streams = {s: None for s in self._streams if s.is_open}
        self._streams[stream] = None
        if not self._is_cut:
            return False
        self._clock.after(
            self._settings.connect_timeout_ns, stream.fail_to_open, band=Band.TIMER, entity=self._proxy
        )
        return True

    def intercepts(self, stream: Stream, deliver: Callable[[], None]) -> bool:
        """Whether a message does not travel now: held in a partition, or lost with its stream."""
        if self._is_cut:
            self._held.append(deliver)
            return True
        if self._clock.now_ns >= 0:
            self._messages += 1
            if self._settings.loss > 0 and self._messages > self._passed and self._is_lost():
                self._clock.after(0, lambda: self._break(stream), band=Band.MESSAGE, entity=self._proxy)
                return True
        return False

    def _is_lost(self) -> bool:
        u = self._draws.uniform("network.loss", self._proxy, self._messages)
        return u < self._settings.loss

    def _break(self, stream: Stream) -> None:
        stream.end_at_server()
        stream.end_at_client()

    def _until_noticed_ns(self, end: str) -> int:
        u = self._draws.uniform(f"network.keepalive.{end}", self._proxy, self._cuts)
        return self._settings.keepalive_timeout_ns + int((1 - u) * self._settings.keepalive_interval_ns)

    def _noticing(self, end: str, cut: int) -> Callable[[], None]:
        streams = list(self._streams)

        def noticed() -> None:
            if not self._is_cut or cut != self._cuts:
                return
            for stream in streams:
                if end == "server":
                    # What it says as it closes is retransmitted too: the client hears of it afterwards.
                    stream.reset_by_server()
                else:
                    stream.end_at_client()

        return noticed
