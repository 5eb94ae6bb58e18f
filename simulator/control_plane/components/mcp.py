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
from typing import TYPE_CHECKING

from simulator.control_plane.components.settings import COLLECTIONS
from simulator.engine.delays import draw_ns
from simulator.engine.events import Band
from simulator.engine.machine import Machine, bind
from simulator.mesh.content import ConfigChange

if TYPE_CHECKING:
    from simulator.control_plane.components.galley import Galley


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


class McpStream:
    """The sink's end: one for each replica of Pilot.

    Args:
        galley: The source.
        number: The replica.

    Attributes:
        given: Changes that arrived, by number.
        receive: Told each collection that arrives; None while Pilot has not synced.
        on_synced: Called once when every collection has arrived.
        attempts: Streams opened so far.
        broken: How many of them a message ended that was too large.
        last_too_large: The kind in the last such message.
    """

    def __init__(self, galley: Galley, number: int) -> None:
        self.number = number
        self.given: dict[int, None] = {}
        self.receive: Receive | None = None
        self.on_synced: Callable[[], None] | None = None
        self.attempts = 0
        self.broken = 0
        self.last_too_large = ""
        self._galley = galley
        self._arrived: dict[str, None] = {}
        self._free_ns = galley.clock.now_ns
        self._messages = 0
        self._machine = Machine(_S.CLOSED, _ROWS, self, McpStream._entered)

    def _entered(self, _before: McpState, after: McpState) -> None:
        galley = self._galley
        galley.shared.recorder.component(galley.clock.now_ns, "mcp", self.number, after.value)

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
        self._after(self._galley.settings.mcp.retry_ns, lambda: self._retry(attempt))

    def _retry(self, attempt: int) -> None:
        if attempt == self.attempts and self._machine.state is _S.WAITING:
            self._machine.fire(_G.RETRIED)

    def leave(self) -> None:
        """Nothing comes over it any more."""
        self._galley.detach(self)

    def connect(self) -> None:
        """The request travels to Galley."""
        self.attempts += 1
        attempt = self.attempts

        def arrived() -> None:
            if attempt == self.attempts and self._machine.state is _S.CONNECTING:
                self._machine.fire(_G.ACCEPTED if self._galley.is_serving else _G.REFUSED)

        self._after(self._latency_ns(), arrived)

    def ask_for_all(self) -> None:
        """All collections are asked for: the order is that of a Go map."""
        self._galley.attach(self)

    def order(self) -> list[str]:
        """The collections in the order of this attempt."""
        draws, purpose = self._galley.shared.draws, f"mcp.order/{self.number}"
        keys = {name: draws.uniform(f"{purpose}/{name}", self.attempts) for name in COLLECTIONS}
        return sorted(COLLECTIONS, key=lambda name: (keys[name], name))

    # --- messages

    def send(self, collections: Sequence[str]) -> None:
        """Galley sends these, one message each, in order; only so much of its time as encoding takes."""
        now_ns, attempt = self._galley.clock.now_ns, self.attempts
        for name in collections:
            size, changes = self._galley.encoded(name)
            leaves_ns = max(now_ns, self._free_ns) + self._galley.encoding_ns(size)
            self._free_ns = leaves_ns + self._latency_ns()
            self._arrive_at(self._free_ns, name, changes, size, attempt)

    def _arrive_at(self, t_ns: int, name: str, changes: list[ConfigChange], size: int, attempt: int) -> None:
        def arrive() -> None:
            if attempt == self.attempts and self.is_open:
                self._arrive(name, changes, size)

        if t_ns <= self._galley.clock.now_ns:
            arrive()
        else:
            self._galley.clock.at(t_ns, arrive, band=Band.WORKLOAD, entity=self.number)

    def _arrive(self, name: str, changes: list[ConfigChange], size: int) -> None:
        galley = self._galley
        if size > galley.settings.mcp.max_message_bytes:
            self.broken, self.last_too_large = self.broken + 1, name
            said = f"{name}: {size} bytes, {galley.settings.mcp.max_message_bytes} accepted"
            galley.shared.recorder.component(galley.clock.now_ns, "mcp", self.number, "too large", said)
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
        galley = self._galley
        if galley.clock.now_ns < 0:
            return 0
        self._messages += 1
        return draw_ns(
            galley.settings.mcp.latency, galley.shared.draws, "mcp.latency", self.number, self._messages
        )

    def _after(self, delay_ns: int, call: Callable[[], None]) -> None:
        if delay_ns == 0 and self._galley.clock.now_ns < 0:
            call()
        else:
            self._galley.clock.after(delay_ns, call, band=Band.TIMER, entity=self.number)


_ROWS = bind(MCP_STREAM, McpStream)
TABLES = {"mcp_stream": (MCP_STREAM, _S.CLOSED, ())}
