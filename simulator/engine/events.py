"""The agenda of a run: callbacks at integer nanoseconds, in a stated order.

Happenings at one instant are handled in the order (band, entity, insertion): see `Band`. Messages and timers
are `After` callbacks; long-lived loops may be SimPy processes (`Clock.process`), whose own events come before
every band of the same instant. Time-outs that seldom fire belong in `Deadlines`, which keeps them off the
agenda.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from simpy.core import Environment
from simpy.events import Event, Process

Call = Callable[[], object]
"""What happens: called without arguments; its result is ignored."""

_ENTITIES = 2**40
_LAST = 2**62

Ahead = Callable[[int, int], bool]
"""Told the instant of what comes next and its rank among the happenings of that instant (`rank`); whether it
is to be asked again before that."""


class Band(IntEnum):
    """What goes first among happenings of one instant: the smaller band.

    So whatever changes the world is seen by a message of the same instant, a message that arrives with its
    time-out is in time, and a time-out is handled before work that finishes just then.
    """

    WORKLOAD = 10
    """Exogenous and control-plane happenings: what is given, not caused."""
    MESSAGE = 20
    """Arrivals of messages."""
    TIMER = 30
    """Time-outs and periodic work."""
    COMPLETION = 40
    """A server finished a job."""
    DISPATCH = 50
    """A multi-server starts the jobs of this instant, when all of them are known."""


def rank(band: Band, entity: int) -> int:
    """The place of a happening among those of one instant: the smaller, the sooner."""
    return band * _ENTITIES + entity


class EventBudgetExceeded(RuntimeError):
    """More events happened than the budget allows: most likely something re-arms itself without end."""


class After:
    """A callback on the agenda: one heap entry, no generator. Made by `Clock.at` and `Clock.after`.

    `time_ns` is when it happens. It is shaped as the part of a SimPy event that `Environment.step` uses.
    """

    __slots__ = ("_clock", "call", "callbacks", "time_ns")

    _ok = True

    callbacks: tuple[Callable[[After], object], ...] | None

    def __init__(self, clock: Clock, time_ns: int, call: Call) -> None:
        self._clock = clock
        self.time_ns = time_ns
        self.call = call
        self.callbacks = _CALL_IT

    @property
    def is_pending(self) -> bool:
        """Whether it is still to happen."""
        return self.callbacks is not None and self.call != self._clock.discount

    def cancel(self) -> None:
        """Make it not happen, in O(1): the heap entry stays and is passed over. No effect if it happened."""
        self.call = self._clock.discount


def _call_it(after: After) -> None:
    after.call()


# One tuple for all: a list and a closure for each event would double what an event costs.
_CALL_IT = (_call_it,)


class Clock:
    """Simulated time and the agenda of what happens when, over a SimPy environment with integer time.

    `events` is the number of happenings so far: callbacks that ran and SimPy's own events; cancelled ones do
    not count. An exception raised by a callback leaves through `run`.

    Args:
        env: the environment to use; a fresh one starting at `start_ns` if not given. Its time must be an
            `int`.
        start_ns: the present at first, if `env` is not given; may be before 0.
        event_budget: `run` raises `EventBudgetExceeded` rather than handle more events than this.
    """

    __slots__ = ("env", "event_budget", "events")

    def __init__(
        self, env: Environment | None = None, *, event_budget: int | None = None, start_ns: int = 0
    ) -> None:
        self.env = Environment(start_ns) if env is None else env
        assert type(self.env.now) is int, "the clock counts whole nanoseconds"
        self.event_budget = event_budget
        self.events = 0

    @property
    def now_ns(self) -> int:
        """The present instant of simulated time."""
        return self.env.now  # type: ignore[return-value]  # an int: only ints are ever added to the int it began with

    def at(self, t_ns: int, call: Call, *, band: Band = Band.TIMER, entity: int = 0) -> After:
        """Call at `t_ns`, which must not be in the past; `band` and `entity` (0 to 2**40 - 1) settle ties."""
        return self.after(t_ns - self.env.now, call, band=band, entity=entity)  # type: ignore[arg-type]

    def after(self, delay_ns: int, call: Call, *, band: Band = Band.TIMER, entity: int = 0) -> After:
        """Call `delay_ns` (not negative) from now; `band` and `entity` (0 to 2**40 - 1) settle ties."""
        assert type(delay_ns) is int, f"time is counted in whole ns, not in {type(delay_ns).__name__}"
        assert delay_ns >= 0, f"{-delay_ns} ns in the past"
        assert 0 <= entity < _ENTITIES, f"entity {entity} would leave its band"
        env = self.env
        after = After(self, env.now + delay_ns, call)  # type: ignore[arg-type]
        env.schedule(after, rank(band, entity), delay_ns)  # type: ignore[arg-type]
        return after

    @contextmanager
    def as_of(self, t_ns: int) -> Iterator[None]:
        """What is put in place within has stood since `t_ns`, an instant of the past; what it leads to must
        not be over."""
        env, now_ns = self.env, self.now_ns
        assert t_ns <= now_ns, f"{t_ns} ns is still to come at {now_ns} ns"
        env._now = t_ns
        try:
            yield
        finally:
            env._now = now_ns
        assert not env._queue or env._queue[0][0] >= now_ns, "it would have happened before now"

    def process(self, generator: Generator[Event, Any, Any]) -> Process:
        """Start a SimPy process: for a few long-lived loops, not for messages."""
        return Process(self.env, generator)

    def run(self, until_ns: int, ahead: Ahead | None = None) -> None:
        """Handle everything up to and including `until_ns`; the present is then `until_ns`.

        Args:
            until_ns: The last instant.
            ahead: Told of the next happening before it is handled; it may put others on the agenda that
                come before that one.

        Raises:
            EventBudgetExceeded: more events happened than the budget allows.
        """
        assert until_ns >= self.now_ns, f"until {until_ns} ns lies before now, {self.now_ns} ns"
        env, step = self.env, self.env.step
        budget = _LAST if self.event_budget is None else self.event_budget
        end = After(self, until_ns, self.discount)
        env.schedule(end, _LAST, until_ns - self.now_ns)  # type: ignore[arg-type]
        # SimPy tells the time of what is next, and not its rank.
        agenda = env._queue
        while end.callbacks is not None:
            if ahead is not None:
                first = agenda[0]
                again = ahead(*first[:2])  # type: ignore[arg-type]  # integers, as all times are
                if again or agenda[0] is not first:
                    continue
            self.events += 1
            step()
            if self.events > budget:
                raise EventBudgetExceeded(f"more than {budget} events by {env.now} ns of simulated time")

    def discount(self) -> None:
        """Take the present agenda entry out of the count: it was cancelled, or is only bookkeeping."""
        self.events -= 1


class Deadline:
    """One armed time-out. `due_ns` is when it expires unless cancelled."""

    __slots__ = ("_clock", "_entity", "call", "due_ns")

    def __init__(self, clock: Clock, due_ns: int, call: Call, entity: int) -> None:
        self._clock = clock
        self.due_ns = due_ns
        self.call: Call | None = call
        self._entity = entity

    @property
    def is_pending(self) -> bool:
        """Whether it may still expire."""
        return self.call is not None

    def cancel(self) -> None:
        """Disarm it, in O(1). No effect once it expired."""
        self.call = None

    def come_due(self) -> None:
        """Put the call on the agenda of this instant, in its entity's place."""
        self._clock.after(0, self._expire, band=Band.TIMER, entity=self._entity)

    def _expire(self) -> None:
        call, self.call = self.call, None
        if call is None:
            self._clock.discount()
        else:
            call()


class _EqualDeadlines:
    """Deadlines of one duration: they come due as they were armed, so only the first is on the agenda."""

    __slots__ = ("armed", "clock", "duration_ns", "waiting")

    def __init__(self, clock: Clock, duration_ns: int) -> None:
        self.clock = clock
        self.duration_ns = duration_ns
        self.waiting: deque[Deadline] = deque()
        self.armed = False

    def arm(self, call: Call, entity: int) -> Deadline:
        clock = self.clock
        deadline = Deadline(clock, clock.now_ns + self.duration_ns, call, entity)
        self.waiting.append(deadline)
        if not self.armed:
            self.armed = True
            clock.after(self.duration_ns, self._wake)
        return deadline

    def _wake(self) -> None:
        # A wake-up is bookkeeping: each deadline that expires is an event of its own, a cancelled one none.
        # It belongs to entity 0, the first of its band, so what comes due here still finds its place among
        # other timers of the instant.
        clock, waiting = self.clock, self.waiting
        clock.discount()
        while waiting:
            first = waiting[0]
            if first.call is not None:
                if first.due_ns > clock.now_ns:
                    clock.at(first.due_ns, self._wake)
                    return
                first.come_due()
            waiting.popleft()
        self.armed = False


class Deadlines:
    """Time-outs that seldom happen, such as fetch timeouts: one agenda entry for each distinct duration.

    Equal durations come due in the order they were armed, those of one instant by entity. An expiry is one
    event in `Band.TIMER`; a cancelled deadline costs none.
    """

    __slots__ = ("_by_duration", "_clock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_duration: dict[int, _EqualDeadlines] = {}

    def arm(self, duration_ns: int, call: Call, *, entity: int = 0) -> Deadline:
        """Call `duration_ns` (not negative) from now unless the returned deadline is cancelled before."""
        assert duration_ns >= 0, f"a deadline {-duration_ns} ns in the past"
        equals = self._by_duration.get(duration_ns)
        if equals is None:
            equals = self._by_duration[duration_ns] = _EqualDeadlines(self._clock, duration_ns)
        return equals.arm(call, entity)
