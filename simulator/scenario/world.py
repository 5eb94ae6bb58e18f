"""Everything one run consists of."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.engine.events import Ahead, Clock
from simulator.envoy.startup import Server
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.schema import Scenario
from simulator.xds.resources import Names

OVERLOADED = 0.9
"""Share of its life a server with a waiting queue was busy to be called overloaded (assumption)."""

EVENT_BUDGET = 2_000_000_000
"""More events than any honest run of one scenario has: a livelock fails instead of hanging."""


@contextmanager
def few_collections() -> Iterator[None]:
    """A run makes many objects that live as long as it does and hardly a cycle: looking for cycles as often
    as Python does by itself costs a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(slots=True, eq=False)
class World:
    """Everything one run consists of.

    Attributes:
        servers: The Envoys, in order of their starts.
        recorder: What is written down.
        at_end: Called when the run is over, in order: they close the books.
        first_event: Events of before t = 0, which are not counted.
    """

    scenario: Scenario
    clock: Clock
    recorder: Recorder
    ledger: ChangeLedger[Names]
    servers: list[Server] = field(default_factory=list)
    at_end: list[Callable[[], None]] = field(default_factory=list)
    first_event: int = 0
    ahead: Ahead | None = None
    """Advances what is not on the agenda (the arrays of the fleet) up to the next happening, which is not
    included."""
    engine: str = "events"
    reason: str = ""
    """Why that engine ran."""

    def run(self) -> None:
        """Advances to the end of the scenario and closes the books."""
        with few_collections():
            self._run()

    def _run(self) -> None:
        if self.clock.now_ns < 0:
            self.clock.run(-1)
            self.first_event = self.clock.events
        self.clock.run(self.scenario.duration, self.ahead)
        if self.ahead is not None:
            self._finish(self.ahead)
        self.recorder.events = self.clock.events - self.first_event
        for close in self.at_end:
            close()
        for server in self.servers:
            if not server.process.is_exited:
                server.set_gauges()
            self._warn_if_overloaded(server)
        shares = map(self._main_thread_share, self.servers)
        beside = self.recorder.utilisation.get("main thread", 0.0)
        self.recorder.utilisation["main thread"] = max(beside, max(shares, default=0.0))

    def _finish(self, ahead: Ahead) -> None:
        """What the last instant still holds, beside the agenda and then on it."""
        env, end_ns = self.clock.env, self.scenario.duration
        while ahead(end_ns + 1, 0) or env.peek() <= end_ns:
            if env.peek() <= end_ns:
                self.clock.run(end_ns, ahead)

    def _main_thread_share(self, server: Server) -> float:
        """The share of its life that an Envoy's main thread was busy."""
        alive_ns = self.scenario.duration - max(0, server.process.row.t_started_ns)
        return min(1.0, server.process.main_thread.busy_ns / alive_ns) if alive_ns > 0 else 0.0

    def _warn_if_overloaded(self, server: Server) -> None:
        """Overload is said aloud."""
        process = server.process
        alive_ns = self.scenario.duration - max(0, process.row.t_started_ns)
        if process.main_thread.queue_length and process.main_thread.busy_ns > OVERLOADED * alive_ns:
            self.recorder.warn(
                "the main thread of an Envoy was never idle and updates still wait at the end: "
                "they arrive faster than they are applied"
            )
