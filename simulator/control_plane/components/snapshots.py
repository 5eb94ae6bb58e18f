"""Galley's own debounce: when the events of its watches become a snapshot.

Unlike Pilot's, the quiet time is counted anew from each event, and the maximum has a timer of its own. Up to
1.3 a timer looked every 500 ms whether 1 s of quiet, or 1 s altogether, had passed: with both at 1 s, and the
timer started by the first event, that is 1 s after the first event, as it is here.
Source: galley/pkg/config/processing/snapshotter/strategy/debounce.go (1.4); galley/pkg/runtime/publish/
strategy.go (1.1 to 1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind


class SnapshotState(Enum):
    """Where it stands."""

    IDLE = "idle"
    GATHERING = "gathering"


class SnapshotSignal(Enum):
    """What happens to it."""

    EVENT = "event"
    QUIET = "quiet"
    OLD = "old"
    STOPPED = "stopped"


_S, _G = SnapshotState, SnapshotSignal
SNAPSHOTS: dict[tuple[SnapshotState, SnapshotSignal], tuple[SnapshotState, str | None]] = {
    (_S.IDLE, _G.EVENT): (_S.GATHERING, "open_batch"),
    (_S.IDLE, _G.STOPPED): (_S.IDLE, None),
    (_S.GATHERING, _G.EVENT): (_S.GATHERING, "put_off"),
    (_S.GATHERING, _G.QUIET): (_S.IDLE, "end_batch"),
    (_S.GATHERING, _G.OLD): (_S.IDLE, "end_batch"),
    (_S.GATHERING, _G.STOPPED): (_S.IDLE, "disarm"),
}


class Snapshots:
    """The debounce of one Galley.

    Args:
        clock: Whose time passes.
        quiesce_ns: Quiet time, counted from the last event.
        max_ns: Counted from the first event.
        publish: Publishes a snapshot.
    """

    __slots__ = ("_clock", "_machine", "_max_ns", "_old", "_publish", "_quiesce_ns", "_quiet")

    def __init__(self, clock: Clock, quiesce_ns: int, max_ns: int, publish: Callable[[], object]) -> None:
        self._clock = clock
        self._quiesce_ns = quiesce_ns
        self._max_ns = max_ns
        self._publish = publish
        self._quiet: After | None = None
        self._old: After | None = None
        self._machine = Machine(_S.IDLE, _ROWS, self, Snapshots._entered)

    def _entered(self, _before: SnapshotState, _after: SnapshotState) -> None:
        """The table of components shows what it publishes."""

    def on_event(self) -> None:
        """Something changed."""
        self._machine.fire(_G.EVENT)

    def stop(self) -> None:
        """The process ends."""
        self._machine.fire(_G.STOPPED)

    def open_batch(self) -> None:
        """The first event starts both timers."""
        self._old = self._clock.after(self._max_ns, lambda: self._machine.fire(_G.OLD), band=Band.TIMER)
        self.put_off()

    def put_off(self) -> None:
        """Each event sets the quiet time back."""
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._clock.after(
            self._quiesce_ns, lambda: self._machine.fire(_G.QUIET), band=Band.TIMER
        )

    def end_batch(self) -> None:
        """A snapshot."""
        self.disarm()
        self._publish()

    def disarm(self) -> None:
        """No timer runs."""
        for timer in (self._quiet, self._old):
            if timer is not None:
                timer.cancel()
        self._quiet = self._old = None


_ROWS = bind(SNAPSHOTS, Snapshots)
TABLES = {"galley_snapshots": (SNAPSHOTS, _S.IDLE, ())}
