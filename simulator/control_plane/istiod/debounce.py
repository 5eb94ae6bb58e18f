"""Debounce: events are gathered until they pause, but for no longer than a maximum, into one push.

The timer is not set back by each event: it fires, and is armed again for the rest of the quiet time. Whether
the maximum is reached is looked at only then and when a push ends. While a push is under way (its
PushContext is built and enqueued for all) no other begins, and a timer that fires meanwhile is lost; the end
of the push takes its place. The goroutine always reads its channel, so the channel's buffer never fills.
Source: pilot/pkg/xds/discovery.go:debounce; PILOT_DEBOUNCE_AFTER, PILOT_DEBOUNCE_MAX,
PILOT_ENABLE_EDS_DEBOUNCE in pilot/pkg/features/tuning.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from simulator.control_plane.istiod.push_request import PushRequest, merge_all
from simulator.engine.clock import MS, S
from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind


@dataclass(frozen=True, slots=True)
class DebounceSettings:
    """How long to gather.

    Attributes:
        after_ns: PILOT_DEBOUNCE_AFTER: the quiet time that ends a batch.
        max_ns: PILOT_DEBOUNCE_MAX: a batch this old is pushed at the next look at it.
        endpoints: PILOT_ENABLE_EDS_DEBOUNCE: changes of endpoints are gathered like others.
    """

    after_ns: int = 100 * MS
    max_ns: int = 10 * S
    endpoints: bool = True


class Gathering(Protocol):
    """What stands between events and pushes."""

    def on_event(self, request: PushRequest) -> None:
        """Takes an event."""

    def on_push_finished(self) -> None:
        """The push under way is done."""

    def stop(self) -> None:
        """The process ends."""


class DebounceState(Enum):
    """Where the debounce stands."""

    IDLE = "idle"
    GATHERING = "gathering"
    PUSHING = "pushing"
    PUSHING_AND_GATHERING = "pushing and gathering"


class DebounceSignal(Enum):
    """What happens to it."""

    EVENT = "event"
    TIMER_FIRED = "timer fired"
    PUSH_FINISHED = "push finished"
    DUE = "due"
    NOT_YET = "not yet"


_S, _G = DebounceState, DebounceSignal
DEBOUNCE = {
    (_S.IDLE, _G.EVENT): (_S.GATHERING, "open_batch"),
    (_S.GATHERING, _G.EVENT): (_S.GATHERING, None),
    (_S.GATHERING, _G.TIMER_FIRED): (_S.GATHERING, "evaluate"),
    (_S.GATHERING, _G.NOT_YET): (_S.GATHERING, "arm_for_the_rest"),
    (_S.GATHERING, _G.DUE): (_S.PUSHING, "start_push"),
    (_S.PUSHING, _G.EVENT): (_S.PUSHING_AND_GATHERING, "open_batch"),
    (_S.PUSHING, _G.PUSH_FINISHED): (_S.IDLE, None),
    (_S.PUSHING_AND_GATHERING, _G.EVENT): (_S.PUSHING_AND_GATHERING, None),
    (_S.PUSHING_AND_GATHERING, _G.TIMER_FIRED): (_S.PUSHING_AND_GATHERING, None),
    (_S.PUSHING_AND_GATHERING, _G.PUSH_FINISHED): (_S.GATHERING, "evaluate"),
}


class Debounce:
    """The debounce of one istiod.

    Events are to be told in ``Band.WORKLOAD`` or ``Band.MESSAGE`` and the end of a push in
    ``Band.COMPLETION``, so that at one instant events go before the timer and the timer before the end of a
    push.

    Args:
        clock: Whose time passes.
        settings: How long to gather.
        push: Told the merged request, the instant of its first event and their number; whoever it tells calls
            ``on_push_finished`` when the PushContext is built and enqueued, perhaps at once.
        push_endpoints: Told a request about endpoints alone where these are not gathered; it may overlap a
            push, and its end is not told.
        entity: The replica; settles ties among timers of one instant.
        on_events: Told the number of gathered events when it changed.
    """

    __slots__ = (
        "_batch",
        "_clock",
        "_entity",
        "_first_ns",
        "_last_ns",
        "_machine",
        "_on_events",
        "_push",
        "_push_endpoints",
        "_pushed_events",
        "_settings",
        "_timer",
        "committed",
    )

    def __init__(
        self,
        clock: Clock,
        settings: DebounceSettings,
        push: Callable[[PushRequest, int, int], object],
        push_endpoints: Callable[[PushRequest], object],
        *,
        entity: int = 0,
        on_events: Callable[[int], object] | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._push = push
        self._push_endpoints = push_endpoints
        self._entity = entity
        self._on_events = on_events
        self._batch: list[PushRequest] = []
        self._pushed_events = 0
        self._first_ns = self._last_ns = 0
        self._timer: After | None = None
        self._machine = Machine(_S.IDLE, _ROWS, self, Debounce._entered)
        self.committed = 0
        """Events whose push finished; those of endpoints that are not gathered count at once."""

    def _entered(self, _before: DebounceState, _after: DebounceState) -> None:
        """States are seen in the tables of pushes and queues."""

    @property
    def state(self) -> DebounceState:
        """Where it stands."""
        return self._machine.state

    @property
    def events(self) -> int:
        """Events gathered and not pushed."""
        return len(self._batch)

    def on_event(self, request: PushRequest) -> None:
        """Takes an event of the ConfigUpdate channel."""
        if request.only_endpoints and not self._settings.endpoints:
            self.committed += 1
            self._push_endpoints(request)
            return
        self._last_ns = self._clock.now_ns
        self._batch.append(request)
        self._machine.fire(_G.EVENT)
        self._tell_events()

    def on_push_finished(self) -> None:
        """The push under way has been enqueued for all: the next may begin."""
        self.committed += self._pushed_events
        self._pushed_events = 0
        self._machine.fire(_G.PUSH_FINISHED)

    def stop(self) -> None:
        """The process ends: what was gathered is lost. Nothing may be told afterwards."""
        self._disarm()
        self._batch.clear()

    def open_batch(self) -> None:
        """The first event of a batch arms the timer."""
        self._first_ns = self._last_ns
        self._arm(self._settings.after_ns)

    def evaluate(self) -> None:
        """Old enough, or quiet for long enough: it is due."""
        now_ns, settings = self._clock.now_ns, self._settings
        is_old = now_ns - self._first_ns >= settings.max_ns
        is_quiet = now_ns - self._last_ns >= settings.after_ns
        self._machine.fire(_G.DUE if is_old or is_quiet else _G.NOT_YET)

    def arm_for_the_rest(self) -> None:
        """Looks again when it would have been quiet for long enough."""
        self._arm(self._settings.after_ns - (self._clock.now_ns - self._last_ns))

    def start_push(self) -> None:
        """Hands the batch over; the count starts afresh with the start of a push, not with its end."""
        # A timer armed for this batch has nothing left to look at; a new batch arms its own.
        self._disarm()
        batch, self._batch = self._batch, []
        self._pushed_events = len(batch)
        self._tell_events()
        self._push(merge_all(batch), self._first_ns, len(batch))

    def _arm(self, delay_ns: int) -> None:
        self._disarm()
        self._timer = self._clock.after(delay_ns, self._fire, band=Band.TIMER, entity=self._entity)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._machine.fire(_G.TIMER_FIRED)

    def _tell_events(self) -> None:
        if self._on_events is not None:
            self._on_events(len(self._batch))


_ROWS = bind(DEBOUNCE, Debounce)
TABLES = {"debounce": (DEBOUNCE, _S.IDLE, ())}
