"""Subscriptions and their ``initial_fetch_timeout``.

The timer is armed when the subscription starts (rule T2), disarmed by an update or a rejection, never by the
state of the connection (rules D1, T5), and fires at most once; a late answer is applied like any other (T6).
One object stands for all subscriptions of a type that start together: their timers are equal (T1), and those
not yet answered are its *waiting* names (T3).
Source: source/extensions/config_subscription/grpc/grpc_subscription_impl.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.engine.events import Deadline
from simulator.engine.machine import Machine, bind
from simulator.envoy.process import Process
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


class SubscriptionState(Enum):
    """Where a subscription stands."""

    IDLE = "IDLE"
    WAITING = "WAITING"
    SETTLED = "SETTLED"


class SubscriptionSignal(Enum):
    """What happens to a subscription."""

    STARTED = "started"
    ANSWERED = "answered"
    TIMED_OUT = "timed_out"
    ENDED = "ended"


_S, _G = SubscriptionState, SubscriptionSignal
SUBSCRIPTION = {
    (_S.IDLE, _G.STARTED): (_S.WAITING, "arm_timer"),
    (_S.WAITING, _G.ANSWERED): (_S.SETTLED, "disarm_timer"),
    (_S.WAITING, _G.TIMED_OUT): (_S.SETTLED, "tell_timeout"),
    (_S.WAITING, _G.ENDED): (_S.SETTLED, "disarm_timer"),
}


class Subscription:
    """Subscriptions of one type that started at one instant.

    Args:
        process: The Envoy.
        type_: Resource type.
        names: What is subscribed; the type's own name for a wildcard.
        has_timer: Files have no fetch timeout.
        on_timeout: Told the names that were not answered in time.
    """

    __slots__ = ("_deadline", "_has_timer", "_machine", "_on_timeout", "_process", "names", "type", "waiting")

    def __init__(
        self,
        process: Process,
        type_: ResourceType,
        names: Names,
        has_timer: bool,
        on_timeout: Callable[[Names], None],
    ) -> None:
        self._process = process
        self.type = type_
        self.names = names
        self.waiting = names
        self._has_timer = has_timer
        self._on_timeout = on_timeout
        self._deadline: Deadline | None = None
        self._machine = Machine(_S.IDLE, _ROWS, self, Subscription._entered)

    def _entered(self, _before: SubscriptionState, after: SubscriptionState) -> None:
        if after is _S.WAITING:
            self._process.enter("subscription", self.names, after.value, self.type.name)

    @property
    def is_waiting(self) -> bool:
        """Whether some name still waits for its first answer."""
        return self._machine.state is _S.WAITING

    def start(self) -> None:
        """Arms the timer. The caller subscribes right after."""
        self._process.note_subscription()
        self._machine.fire(_G.STARTED)

    def arm_timer(self) -> None:
        """15 s unless told otherwise; 0 waits for ever (T4, T5)."""
        timeout_ns = self._process.settings.initial_fetch_timeout_ns[self.type.name]
        if timeout_ns > 0 and self._has_timer:
            self._deadline = self._process.deadlines.arm(
                timeout_ns, self._expired, entity=self._process.proxy
            )

    def answered(self, names: Names, detail: str = "answered") -> Names:
        """These names got an update or a rejection; those of them that were waiting."""
        settled = self.waiting.intersect(names)
        if settled:
            self._settle(settled, detail)
            if not self.waiting:
                self._machine.fire(_G.ANSWERED)
        return settled

    def never_release(self, names: Names) -> None:
        """Their timer is off, yet nothing is released: the delta trap (T7)."""
        self.answered(names, "removed_resources")

    def drop(self, names: Names) -> None:
        """These subscriptions end (their owner was removed or replaced)."""
        self.names = self.names.minus(names)
        self.waiting = self.waiting.minus(names)
        if self.is_waiting and not self.waiting:
            self._machine.fire(_G.ENDED)

    def disarm_timer(self) -> None:
        """Nothing waits any more."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _settle(self, names: Names, how: str) -> None:
        self.waiting = self.waiting.minus(names)
        self._process.enter("subscription", names, _S.SETTLED.value, f"{self.type.name} {how}")

    def _expired(self) -> None:
        # The timer's callback is a job like any other: it waits for the main thread.
        self._process.main_thread.submit(0, self._time_out)

    def _time_out(self) -> None:
        if self.is_waiting and not self._process.is_exited:
            self._machine.fire(_G.TIMED_OUT)

    def tell_timeout(self) -> None:
        """Counts it and releases whoever waits; a later answer is applied all the same."""
        self._deadline = None
        late, type_name = self.waiting, self.type.name
        self._settle(late, "timed out")
        self.waiting = NO_NAMES
        if not self._process.workers.are_running:
            # The row of a start says what that start waited for; later ones are in the counters.
            timeouts = self._process.row.fetch_timeouts
            timeouts[type_name] = timeouts.get(type_name, 0) + len(late)
        self._on_timeout(late)


_ROWS = bind(SUBSCRIPTION, Subscription)
TABLES = {"subscription": (SUBSCRIPTION, _S.IDLE, (_S.SETTLED,))}
