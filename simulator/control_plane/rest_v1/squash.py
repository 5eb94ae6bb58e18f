"""Squash: the caches are cleared by a change at once, but not twice within the squash time.

A change that comes sooner after a clearing starts one timer of the full squash time; those that follow wait
for the same timer, so the last one is not lost. A change 0.3 s after a clearing thus waits 1 s, one 0.5 s
after it 0.8 s.
Source: pilot/pkg/proxy/envoy/v1/discovery.go:clearCache at 0.7.1 (PILOT_CACHE_SQUASH, 1 s).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.control_plane.istiod.push_request import PushRequest, merge_all
from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind


class SquashState(Enum):
    """Where it stands."""

    READY = "ready"
    WAITING = "waiting"


class SquashSignal(Enum):
    """What happens."""

    EVENT_LATE = "event, the last clearing long ago"
    EVENT_SOON = "event soon after a clearing"
    TIMER_FIRED = "timer fired"
    STOPPED = "stopped"


_S, _G = SquashState, SquashSignal
SQUASH: dict[tuple[SquashState, SquashSignal], tuple[SquashState, str | None]] = {
    (_S.READY, _G.EVENT_LATE): (_S.READY, "clear"),
    (_S.READY, _G.EVENT_SOON): (_S.WAITING, "arm"),
    (_S.READY, _G.STOPPED): (_S.READY, None),
    (_S.WAITING, _G.EVENT_LATE): (_S.WAITING, None),
    (_S.WAITING, _G.EVENT_SOON): (_S.WAITING, None),
    (_S.WAITING, _G.TIMER_FIRED): (_S.READY, "clear"),
    (_S.WAITING, _G.STOPPED): (_S.READY, "disarm"),
}


class Squash:
    """The squash of one Pilot (a `debounce.Gathering`).

    Args:
        clock: Whose time passes.
        squash_ns: PILOT_CACHE_SQUASH.
        clear: Told what changed since the last clearing, the instant of its first event and their number.
        entity: The replica; settles ties.
    """

    __slots__ = (
        "_batch",
        "_clear",
        "_cleared_ns",
        "_clock",
        "_entity",
        "_first_ns",
        "_machine",
        "_squash_ns",
        "_timer",
    )

    def __init__(
        self,
        clock: Clock,
        squash_ns: int,
        clear: Callable[[PushRequest, int, int], object],
        entity: int = 0,
    ) -> None:
        self._clock = clock
        self._squash_ns = squash_ns
        self._clear = clear
        self._entity = entity
        self._batch: list[PushRequest] = []
        self._first_ns = 0
        self._cleared_ns: int | None = None
        self._timer: After | None = None
        self._machine = Machine(_S.READY, _ROWS, self, Squash._entered)

    def _entered(self, _before: SquashState, _after: SquashState) -> None:
        """The table of pushes shows the clearings."""

    def on_event(self, request: PushRequest) -> None:
        """Something changed."""
        now_ns = self._clock.now_ns
        if not self._batch:
            self._first_ns = now_ns
        self._batch.append(request)
        is_late = self._cleared_ns is None or now_ns - self._cleared_ns >= self._squash_ns
        self._machine.fire(_G.EVENT_LATE if is_late else _G.EVENT_SOON)

    def on_push_finished(self) -> None:
        """A clearing takes no time."""

    def stop(self) -> None:
        """The process ends."""
        self._batch.clear()
        self._machine.fire(_G.STOPPED)

    def arm(self) -> None:
        """One timer for all that follows."""
        self._timer = self._clock.after(
            self._squash_ns,
            lambda: self._machine.fire(_G.TIMER_FIRED),
            band=Band.TIMER,
            entity=self._entity,
        )

    def disarm(self) -> None:
        """No timer runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def clear(self) -> None:
        """The caches are cleared, all together."""
        self.disarm()
        self._cleared_ns = self._clock.now_ns
        batch, self._batch = self._batch, []
        self._clear(merge_all(batch), self._first_ns, len(batch))


_ROWS = bind(SQUASH, Squash)
TABLES = {"squash": (SQUASH, _S.READY, ())}
