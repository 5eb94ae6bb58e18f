"""Long polls of all proxies of the arrays, and the server that they share with others.

What happens to loops is played event by event by one recursion (`long_poll_kernel`), up to the next event of
the clock that concerns it: a publication, a request of a proxy that is played by messages, the end. What it
asks for on its way (numbers that are drawn, what an answer does, room) it is given here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.fleet import long_poll_state as s
from simulator.fleet.compiled import compiled_long_polls
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.long_poll_kernel import advance
from simulator.fleet.long_poll_ledger import LongPollLedger
from simulator.fleet.long_poll_loops import BEFORE, LongPollingSettings, LongPollLoops
from simulator.fleet.long_poll_steps import StepTable
from simulator.fleet.stats_flushes import StatsFlushes
from simulator.fleet.subscriptions import Subscriptions
from simulator.fleet.updates import Updates
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Place = tuple[int, int]
"""An instant, and a place among its happenings."""

COMPILED_FROM = 50_000
"""Requests of a run from which on the compiled kernel is used, where numba is installed: the first time on a
machine that costs as much as playing these without."""

_OTHERS = -1
"""Of the queue: the first request of others that is in it."""
_ENTRIES = 2**16
_LAST_RANK = 2**62


class Released(Protocol):
    """A request of others that was held, and gets something new (propagation/long_poll.py)."""

    @property
    def position(self) -> int:
        """Of its name among those that were published."""

    @property
    def place(self) -> int:
        """Among those that are held."""

    @property
    def proxy(self) -> int:
        """Whose it is."""

    @property
    def serve(self) -> Callable[[], int]:
        """Its service, which says what it takes, in ns."""


class LongPolls:
    """See the module.

    Args:
        clock: Time.
        draws: Random numbers of the run.
        subscriptions: What there is to ask for, and what is published of it.
        updates: What answers do to the proxies.
        flushes: What holds their main threads up.
        clusters: Cluster objects of each.
        servers: Requests served at the same time.
        entity: The proxies, by place.
    """

    def __init__(
        self,
        settings: LongPollingSettings,
        clock: Clock,
        draws: Draws,
        subscriptions: Subscriptions[Resources, Names],
        updates: Updates,
        flushes: StatsFlushes,
        clusters: Ints,
        servers: int,
        entity: Ints,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._subscriptions, self._updates = subscriptions, updates
        self._flushes, self._entity = flushes, entity
        self._loops = LongPollLoops(settings, draws, subscriptions, flushes, clusters, entity)
        self._reg = self._loops.reg
        self._ledger = LongPollLedger(updates, len(self._loops.keys))
        self._servers = np.full(servers, -1, np.int64)
        self._ring = np.zeros(1, np.int64)
        self._submits = np.zeros(0, np.int64)
        self._log = np.zeros((_ENTRIES, s.ENTRY), np.int64)
        self._steps = StepTable(subscriptions, updates)
        self._bound: Callable[[], int] | None = None
        self._others: deque[Callable[[], int]] = deque()
        self._is_offered = False
        self._present: Place = -1, _LAST_RANK

    # --- what others see of it

    @property
    def busy_ns(self) -> int:
        """Time that the server was busy."""
        return int(self._reg[s.BUSY])

    @property
    def jobs(self) -> int:
        """Requests served."""
        return int(self._reg[s.JOBS])

    @property
    def queue_length(self) -> int:
        """Requests that wait at the end of the run."""
        return int(self._reg[s.TAIL] - self._reg[s.HEAD])

    @property
    def messages(self) -> int:
        """Requests and answers with content."""
        return int(self._reg[s.MESSAGES])

    @property
    def bytes(self) -> int:
        """Their sizes."""
        return int(self._reg[s.BYTES])

    # --- the others in the queue (propagation/long_poll.py: Beside)

    def place_before(self, proxy: int) -> int:
        """Among those that are held, of a proxy that has been since before the run."""
        return BEFORE + proxy

    def next_place(self) -> int:
        """Of the next one that is held."""
        number = int(self._reg[s.HOLDS])
        self._reg[s.HOLDS] += 1
        return number

    def submit(self, serve: Callable[[], int], entity: int) -> None:
        """A request of a proxy that is played by messages wants service."""
        reg, now_ns = self._reg, self._clock.now_ns
        self._advance(self._present)
        if reg[s.HEAD] == reg[s.TAIL] and self._servers[0] <= now_ns:
            self._serve(serve)
            return
        self._others.append(serve)
        self._make_ring()
        self._ring[reg[s.TAIL] % len(self._ring)] = _OTHERS
        reg[s.TAIL] += 1
        if reg[s.ARMED_NS] == s.NEVER:
            reg[s.ARMED_NS] = max(int(self._servers[0]), now_ns)

    def _serve(self, serve: Callable[[], int]) -> None:
        service_ns = serve()
        heap = np.sort(self._servers)
        heap[0] = self._clock.now_ns + service_ns
        # Sorted it is a heap as well.
        self._servers[:] = np.sort(heap)
        self._reg[s.BUSY] += service_ns
        self._reg[s.JOBS] += 1

    def _serve_first(self) -> None:
        """The first of the others is served: it waited, and is the next in the queue."""
        self._is_offered = False
        self._reg[s.HEAD] += 1
        self._serve(self._others.popleft())

    def released(self, type_name: str, names: Sequence[str], others: Sequence[Released]) -> None:
        """Something of the type was published: these names of it, in order. Those of others that are held for
        them and get something new now stand with those of the arrays in one order: by name, and since when
        they are held."""
        self._advance(self._present)
        loops = self._loops.loops
        ids = self._to_release(type_name, names)
        position = self._position[loops[ids, s.SUB]]
        order = np.lexsort((loops[ids, s.HOLD], position))
        ids, position = ids[order], position[order]
        since = loops[ids, s.HOLD]
        begin = 0
        for one in sorted(others, key=lambda one: (one.position, one.place)):
            end = int(np.searchsorted(position, one.position))
            until = int(np.searchsorted(position, one.position, "right"))
            end += int(np.searchsorted(since[end:until], one.place))
            self._submit(ids[begin:end])
            begin = end
            self.submit(one.serve, one.proxy)
        self._submit(ids[begin:])

    def _to_release(self, type_name: str, names: Sequence[str]) -> Ints:
        loops, subs = self._loops.loops, self._loops.subs
        where = {name: number for number, name in enumerate(names)}
        self._position = np.array(
            [
                where.get(one.name, -1) if one.type_name == type_name else -1
                for one in self._subscriptions.all
            ],
            np.int64,
        )
        held = np.flatnonzero(loops[:, s.STATE] == s.HELD)
        sub = loops[held, s.SUB]
        is_new = (self._position[sub] >= 0) & (subs[sub, s.CURRENT_VERSION] != loops[held, s.VERSION])
        found: Ints = held[is_new]
        return found

    def _submit(self, ids: Ints) -> None:
        if not len(ids):
            return
        reg = self._reg
        self._submits, self._bound = np.ascontiguousarray(ids), None
        reg[s.SUBMITTED], reg[s.SUBMITS], reg[s.NOW] = 0, len(ids), self._clock.now_ns
        self._advance(self._present)
        assert reg[s.SUBMITTED] == reg[s.SUBMITS], "who is released waits before the queue"

    # --- time

    @property
    def next_ns(self) -> int:
        """The first of the others is served then or later, unless the clock was told when."""
        return s.NEVER if not self._others or self._is_offered else int(self._reg[s.ARMED_NS])

    def pass_to(self, place: Place) -> None:
        """What the clock does from here on is at that place or later. What takes no time leads back to an
        earlier place of the same instant, and comes behind what was there all the same."""
        self._present = max(self._present, place)

    def ahead(self, horizon_ns: int, rank: int = 0) -> bool:
        """See Coming."""
        if self._others and not self._is_offered:
            self._advance((horizon_ns, rank))
        return self._is_offered

    def before_publication(self) -> None:
        """Who was served before has what was published before."""
        self._advance(self._present)
        self._work_off()

    def after_publication(self) -> None:
        """Who is served from here on has what is published now."""
        self._loops.learn()

    def work_off(self) -> None:
        """See Coming."""
        self.before_publication()

    @property
    def clients(self) -> NDArray[np.bool_] | None:
        """See Coming: the istiod of rows does not end."""
        return None

    def before_end(self) -> None:
        """See Coming: those of others that wait have come to it before."""
        self._advance(self._present)

    def finish(self) -> None:
        """The run is over."""
        self._advance((self._settings.end_ns + 1, 0))
        self._work_off()
        loops = self._loops.loops
        waiting = loops[loops[:, s.STATE] == s.QUEUED]
        due_ns = waiting[:, s.DEPARTS_NS] + self._settings.gives_up_ns
        late = waiting[(due_ns <= self._settings.end_ns) & (due_ns <= waiting[:, s.STOPPED_NS])]
        self._updates.note_touched(late[:, s.PLACE].astype(np.int32))

    def _work_off(self) -> None:
        reg = self._reg
        self._ledger.work_off(self._log[: reg[s.LOG]])
        reg[s.LOG] = 0

    # --- the kernel

    def _advance(self, horizon: Place) -> None:
        """Everything before the horizon, or before others are served."""
        reg = self._reg
        # A publication may have come to nothing.
        reg[s.PUBLICATIONS] = self._subscriptions.publications
        reg[s.HORIZON_NS], reg[s.HORIZON_RANK] = horizon
        while (why := self._call()) != s.DONE:
            if why == s.OTHER:
                self._offer()
                return
            self._give(why)

    def _call(self) -> int:
        if self._bound is None:
            self._make_ring()
            self._bound = self._made_bound()
        return self._bound()

    def _made_bound(self) -> Callable[[], int]:
        of = self._loops
        arguments = (
            of.reg,
            of.bits,
            of.law,
            of.subs,
            of.loops,
            of.keys,
            of.places,
            self._flushes.state,
            self._entity,
            self._updates.main_thread_busy_ns,
            of.heap,
            of.buckets,
            self._ring,
            self._servers,
            of.spare,
            self._submits,
            of.up,
            of.down,
            of.service,
            of.fresh_up,
            of.fresh_down,
            self._steps.codes,
            self._steps.values,
            self._steps.steps,
            self._steps.awaited,
            self._log,
        )
        kernel = compiled_long_polls() if self._requests >= COMPILED_FROM else None
        return kernel.bound(arguments) if kernel is not None else partial(_uncompiled, arguments)

    @property
    def _requests(self) -> int:
        """How many there are in the run where nothing changes."""
        of = self._settings
        return len(self._loops.keys) * int(1 + of.end_ns // of.wait.high_ns)

    def _offer(self) -> None:
        """The first of the others is next: the clock is told."""
        if not self._is_offered:
            self._is_offered = True
            self._clock.at(int(self._reg[s.ARMED_NS]), self._serve_first, band=Band.COMPLETION)

    def _give(self, why: int) -> None:
        """What the kernel stopped for."""
        if why == s.FULL:
            self._work_off()
            return
        if why == s.NEEDS_DRAWS:
            self._loops.draw()
            return
        self._bound = None
        if why == s.NEEDS_STEP:
            self._add_step()
        elif why == s.NEEDS_FRESH:
            self._loops.draw_fresh()
        elif why == s.NEEDS_ROOM:
            self._loops.make_room()
        else:
            raise CannotTakeFleet("a stats flush that takes longer than envoy.stats_flush_interval")

    def _make_ring(self) -> None:
        """Room for every loop and all others."""
        needed = len(self._loops.loops) + len(self._others) + 1
        if len(self._ring) >= needed:
            return
        reg, old = self._reg, self._ring
        ring = np.zeros(2 * needed, np.int64)
        numbers = np.arange(reg[s.HEAD], reg[s.TAIL])
        ring[numbers % len(ring)] = old[numbers % len(old)]
        self._ring, self._bound = ring, None

    def _add_step(self) -> None:
        loops, keys, loop = self._loops.loops, self._loops.keys, int(self._reg[s.NEEDS])
        sub, content, key = (int(loops[loop, column]) for column in (s.SUB, s.CONTENT, s.KEY))
        held, warms = (int(keys[key, column]) for column in (s.HELD_CONTENT, s.WARMS))
        self._steps.add(sub, held, content, warms)
        self._reg[s.MOST_AWAITED] = self._steps.most_awaited


def _uncompiled(arguments: Sequence[NDArray[np.generic]]) -> int:
    with np.errstate(over="ignore"):  # unsigned arithmetic wraps
        return advance(*arguments)  # type: ignore[arg-type]
