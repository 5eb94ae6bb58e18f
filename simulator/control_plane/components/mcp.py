"""MCP: the stream over which Pilot gets its configuration from Galley, whole collections at a time.

Pilot asks for all collections when a stream opens, in the random order of a Go map, and gets each of them
whole, again and again as they change. A message larger than its gRPC client accepts ends the stream
(ResourceExhausted); a new one is opened a second later, and ends at the same message. What was sent before
that message arrived; what comes after it does not, until another stream has another order. Every collection
that arrives, changed or not, makes Pilot push in full.
Source: pkg/mcp/sink/client_sink.go, sink.go (createInitialRequests, ProcessStream); pilot/pkg/config/
coredatamodel/controller.go:Apply; pilot/pkg/bootstrap/server.go (the limit of 4 MiB).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from simulator.control_plane.components.settings import COLLECTIONS, McpSettings
from simulator.engine.delays import draw_ns
from simulator.engine.events import Band
from simulator.engine.machine import Machine, bind
from simulator.mesh.content import ConfigChange

if TYPE_CHECKING:
    from simulator.engine.draws import Draws
    from simulator.engine.events import Clock
    from simulator.recording.recorder import Recorder


class McpState(Enum):
    """Where a stream stands."""

    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class McpSignal(Enum):
    """What happens to it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    BROKEN = "broken"
    RETRIED = "retried"
    STOPPED = "stopped"
    STARTED = "started"


_S, _G = McpState, McpSignal
MCP_STREAM: dict[tuple[McpState, McpSignal], tuple[McpState, str | None]] = {
    (_S.CONNECTING, _G.ACCEPTED): (_S.OPEN, "ask_for_all"),
    (_S.CONNECTING, _G.REFUSED): (_S.WAITING, "await_retry"),
    (_S.CONNECTING, _G.STOPPED): (_S.CLOSED, None),
    (_S.OPEN, _G.BROKEN): (_S.WAITING, "await_retry"),
    (_S.OPEN, _G.STOPPED): (_S.CLOSED, "leave"),
    (_S.WAITING, _G.RETRIED): (_S.CONNECTING, "connect"),
    (_S.WAITING, _G.STOPPED): (_S.CLOSED, None),
    (_S.CLOSED, _G.STARTED): (_S.CONNECTING, "connect"),
    (_S.CLOSED, _G.STOPPED): (_S.CLOSED, None),
}

Receive = Callable[[str, list[ConfigChange], int], None]
"""Told a collection, what of it is new, and its size in bytes."""


class McpSource(Protocol):
    """Galley, as a stream knows it."""

    is_serving: bool

    def attach(self, stream: McpStream) -> None:
        """A stream opened; it gets all there is, once there is a snapshot."""

    def detach(self, stream: McpStream) -> None:
        """A stream ended."""

    def encoded(self, collection: str) -> tuple[int, list[ConfigChange]]:
        """Size in bytes of a collection in the snapshot, and the changes that are in it."""

    def encoding_ns(self, size: int) -> int:
        """CPU time that encoding a message of so many bytes takes."""


class McpStream:
    """The sink's end: one for each replica of Pilot.

    Args:
        source: Where the collections come from.
        number: The replica.
        settings: Of the protocol.
        clock: Time.
        draws: Random numbers.
        recorder: Told where it stands.

    Attributes:
        given: Changes that arrived, by number.
        receive: Told each collection that arrives; None while Pilot has not synced.
        on_synced: Called once when every collection has arrived.
        attempts: Streams opened so far.
        broken: How many of them a message ended that was too large.
        last_too_large: The kind in the last such message.
    """

    def __init__(
        self,
        source: McpSource,
        number: int,
        settings: McpSettings,
        clock: Clock,
        draws: Draws,
        recorder: Recorder,
    ) -> None:
        self.number = number
        self.given: dict[int, None] = {}
        self.receive: Receive | None = None
        self.on_synced: Callable[[], None] | None = None
        self.attempts = 0
        self.broken = 0
        self.last_too_large = ""
        self._source = source
        self._settings = settings
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._arrived: dict[str, None] = {}
        self._free_ns = clock.now_ns
        self._messages = 0
        self._machine = Machine(_S.CLOSED, _ROWS, self, McpStream._entered)

    def _entered(self, _before: McpState, after: McpState) -> None:
        self._recorder.component(self._clock.now_ns, "mcp", self.number, after.value)

    @property
    def is_open(self) -> bool:
        """Whether the stream is established."""
        return self._machine.state is _S.OPEN

    @property
    def is_synced(self) -> bool:
        """Whether every collection has arrived at least once."""
        return len(self._arrived) == len(COLLECTIONS)

    # --- the life of a stream

    def start(self) -> None:
        """Pilot starts: the first attempt is immediate."""
        self.given, self._arrived = {}, {}
        self.receive = None
        self._machine.fire(_G.STARTED)

    def begin_running(self) -> None:
        """Pilot runs since long ago, and has had all there is."""
        self._arrived = dict.fromkeys(COLLECTIONS)
        self._machine.fire(_G.STARTED)

    def stop(self) -> None:
        """Pilot ends."""
        self.on_synced = self.receive = None
        self._machine.fire(_G.STOPPED)

    def break_off(self) -> None:
        """Galley ended."""
        if self.is_open:
            self._machine.fire(_G.BROKEN)

    def await_retry(self) -> None:
        """The next attempt follows after a fixed delay."""
        self.leave()
        attempt = self.attempts
        self._after(self._settings.retry_ns, lambda: self._retry(attempt))

    def _retry(self, attempt: int) -> None:
        if attempt == self.attempts and self._machine.state is _S.WAITING:
            self._machine.fire(_G.RETRIED)

    def leave(self) -> None:
        """Nothing comes over it any more."""
        self._source.detach(self)

    def connect(self) -> None:
        """The request travels to Galley."""
        self.attempts += 1
        attempt = self.attempts

        def arrived() -> None:
            if attempt == self.attempts and self._machine.state is _S.CONNECTING:
                self._machine.fire(_G.ACCEPTED if self._source.is_serving else _G.REFUSED)

        self._after(self._latency_ns(), arrived)

    def ask_for_all(self) -> None:
        """All collections are asked for: the order is that of a Go map."""
        self._source.attach(self)

    def order(self) -> list[str]:
        """The collections in the order of this attempt."""
        purpose = f"mcp.order/{self.number}"
        keys = {name: self._draws.uniform(f"{purpose}/{name}", self.attempts) for name in COLLECTIONS}
        return sorted(COLLECTIONS, key=lambda name: (keys[name], name))

    # --- messages

    def send(self, collections: Sequence[str]) -> None:
        """Galley sends these, one message each, in order; only so much of its time as encoding takes."""
        now_ns, attempt = self._clock.now_ns, self.attempts
        for name in collections:
            size, changes = self._source.encoded(name)
            leaves_ns = max(now_ns, self._free_ns) + self._source.encoding_ns(size)
            self._free_ns = leaves_ns + self._latency_ns()
            self._arrive_at(self._free_ns, name, changes, size, attempt)

    def _arrive_at(self, t_ns: int, name: str, changes: list[ConfigChange], size: int, attempt: int) -> None:
        def arrive() -> None:
            if attempt == self.attempts and self.is_open:
                self._arrive(name, changes, size)

        if t_ns <= self._clock.now_ns:
            arrive()
        else:
            self._clock.at(t_ns, arrive, band=Band.WORKLOAD, entity=self.number)

    def _arrive(self, name: str, changes: list[ConfigChange], size: int) -> None:
        if size > self._settings.max_message_bytes:
            self.broken, self.last_too_large = self.broken + 1, name
            said = f"{name}: {size} bytes, {self._settings.max_message_bytes} accepted"
            self._recorder.component(self._clock.now_ns, "mcp", self.number, "too large", said)
            self._machine.fire(_G.BROKEN)
            return
        news = [change for change in changes if change.number not in self.given]
        self.given.update((change.number, None) for change in news)
        self._arrived[name] = None
        if self.receive is not None:
            self.receive(name, news, size)
        if self.is_synced and self.on_synced is not None:
            synced, self.on_synced = self.on_synced, None
            synced()

    def _latency_ns(self) -> int:
        if self._clock.now_ns < 0:
            return 0
        self._messages += 1
        return draw_ns(self._settings.latency, self._draws, "mcp.latency", self.number, self._messages)

    def _after(self, delay_ns: int, call: Callable[[], None]) -> None:
        if delay_ns == 0 and self._clock.now_ns < 0:
            call()
        else:
            self._clock.after(delay_ns, call, band=Band.TIMER, entity=self.number)


_ROWS = bind(MCP_STREAM, McpStream)
TABLES = {"mcp_stream": (MCP_STREAM, _S.CLOSED, ())}
