"""The push queue of one istiod with its slots and cores, for connections in arrays and for others.

Connections have *places*. Those of the arrays come first; each belongs to a group, in which a request costs
all the same. A connection played by messages gets a place of its own: it is offered its push at an event of
the clock, and its jobs, like istiod's own, are events that start when a core is theirs. The rules of the
queue are in `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Call, Clock, rank
from simulator.fleet import kernel as k

Job = tuple[int, Callable[[], int] | int, Call]
C = TypeVar("C")

CHUNK = 1 << 16
"""Room for pushes that are handed on together: when half of it is used, and at the end. What becomes of a
push after it changes nothing in the line, and handing on a few at a time costs far more than the pushes."""

COMPILED_FROM = 20_000
"""Pushes from which on loading the compiled kernel pays: as many as places are expected, and those of the
run are counted."""

READY_FROM = 100
"""The same where an earlier run of the process has loaded it."""


_AT_ONCE, _NEVER = (-1, 0), (k.NEVER, 0)

ABSENT = k.IN_HAND + 1
"""Where a place stands that has no stream."""


class Request(Protocol):
    """A push request; equal ones are one object."""

    def merged(self, newer: Any) -> Any:
        """The two as one."""

    def merged_with(self, newer: Sequence[Any]) -> Any:
        """It and these, the oldest first, as one: as merging them one after another."""


class Making(Protocol):
    """What makes responses for the connections of a group."""

    def concerns(self, group: int, request: Any) -> bool:
        """Whether the push is anything to them."""

    def make(self, group: int, request: Any) -> tuple[int, int]:
        """What the push sends, as a number, and its cost in ns, if it is made now."""

    def edition(self) -> object:
        """Changes whenever `make` might answer otherwise, but for what `make` itself did."""

    def learned(self) -> int:
        """Counts what `make` did, and pushes to others, that makes later answers others."""


class Taker(Protocol):
    """Who takes what the line did, in order."""

    def take(
        self,
        place: NDArray[np.int32],
        request: NDArray[np.int32],
        made: NDArray[np.int32],
        dequeued_ns: NDArray[np.int64],
        sent_ns: NDArray[np.int64],
    ) -> None:
        """Pushes in order of their ends; made and sent are -1 where the push was nothing to the proxy."""


class PushLine(Generic[C]):
    """See the module.

    Args:
        clock: Time.
        entity: The proxies of the arrays, by place.
        group: The groups of these.
        most_others: So many connections and jobs of other kinds there may be at once.
        number: Of the istiod.
        limit: Slots.
        cores: CPU cores.
        making: Makes responses.
        taker: Takes the pushes.
        start_push: Offers a connection that is played by messages its push, with the instant of dequeuing.
    """

    def __init__(
        self,
        clock: Clock,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        *,
        most_others: int,
        number: int,
        limit: int,
        cores: int,
        making: Making,
        taker: Taker,
        start_push: Callable[[C, Any, int], object],
    ) -> None:
        self._clock = clock
        self._making = making
        self._taker = taker
        self._start_push = start_push
        size = self._size = len(entity) + most_others
        jobs = limit + most_others + 64
        self.fleet_size = len(entity)
        self._reg = np.zeros(k.REGISTERS, np.int64)
        self._reg[k.LIMIT], self._reg[k.SERVERS], self._reg[k.ARRIVED_NS] = limit, cores, -1
        self._reg[k.DISPATCH_RANK] = rank(Band.DISPATCH, number)
        self._line = np.zeros(2 * size + 64, np.int32)
        self._pos = np.full(size, -1, np.int64)
        self._status = np.zeros(size, np.int8)
        self._waiting, self._in_hand, self._made = (np.zeros(size, np.int32) for _ in range(3))
        self._kept = np.full(size, k.NOTHING, np.int32)
        self._rounds: list[Any] = []
        """What was asked for all connections, in order, and of each the number in `current`."""
        self._current = np.full(64, -1, np.int32)
        self._resolved: list[int] = []
        self._group = np.full(size, -1, np.int32)
        self._group[: len(group)] = group
        self._entity = np.zeros(size, np.int64)
        self._entity[: len(entity)] = entity
        self._dequeued, self._service = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self._groups = int(group.max()) + 1 if len(group) else 1
        self._columns(64)
        self._heap_ns, self._heap_entity = np.zeros(cores + 1, np.int64), np.zeros(cores + 1, np.int64)
        self._heap_place = np.zeros(cores + 1, np.int32)
        self._fifo, self._arrived = np.zeros(jobs, np.int32), np.zeros(jobs, np.int32)
        self._job_entity = np.zeros(2 * jobs, np.int64)
        rows = min(CHUNK, 2 * size) + 2 * k.ROOM
        self._out = (
            np.zeros(rows, np.int32),
            np.zeros(rows, np.int32),
            np.zeros(rows, np.int32),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
        )
        self._offers = np.zeros(limit + 1, np.int32)
        self.requests: list[Any] = []
        self._numbers: dict[Any, int] = {}
        self._first = 0
        self._edition: object = None
        self._connections: dict[C, int] = {}
        self._at: dict[int, C] = {}
        self._free_places = list(range(size - 1, len(entity) - 1, -1))
        self._pending: dict[int, None] = {}
        self._is_offering = False
        self._jobs: dict[int, Job] = {}
        self._free_jobs = list(range(most_others + 63, -1, -1))
        self._own_group = group
        self._is_stopped = False
        self._handed_on = 0
        self._take_kernel(len(entity))

    def _take_kernel(self, pushes: int) -> None:
        self._advance = _kernel(pushes)
        self._reg[k.AHEAD] = 0 if self._advance is k.advance else k.FETCHED

    def _columns(self, count: int) -> None:
        self._relevant = np.zeros((self._groups, count), np.int8)
        self._cost = np.full((self._groups, count), -1, np.int64)
        self._make = np.full((self._groups, count), -1, np.int32)

    # --- what others see of it

    @property
    def busy_ns(self) -> int:
        """Time the cores spent on completed jobs."""
        return int(self._reg[k.BUSY])

    @property
    def queue_length(self) -> int:
        """Jobs that wait for a core."""
        return int(self._reg[k.FIFO_TAIL] - self._reg[k.FIFO_HEAD] + self._reg[k.ARRIVED])

    @property
    def depth(self) -> int:
        """Connections that wait for a slot."""
        return int((self._status == k.WAITING).sum())

    def in_hand(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the arrays whose push is in progress, and since when."""
        places = np.flatnonzero(self._status[: self.fleet_size] == k.IN_HAND)
        return places, self._dequeued[places]

    # --- requests

    def _number(self, request: Any) -> int:
        number = self._numbers.get(request)
        if number is None or number < self._first:  # its column was given away, and it comes again
            number = self._numbers[request] = len(self.requests)
            self.requests.append(request)
            column = number - self._first
            if column >= self._cost.shape[1]:
                self._make_room()
                column = number - self._first
            for group in range(self._groups):
                self._relevant[group, column] = self._making.concerns(group, request)
        return number

    def _make_room(self) -> None:
        """Columns of requests that nobody waits for are given to new ones."""
        live = [
            numbers[mask].min()
            for numbers, mask in (
                (self._waiting, (self._status == k.WAITING) & (self._waiting >= 0)),
                (self._in_hand, self._status == k.IN_HAND),
                (self._kept, self._kept >= 0),
            )
            if mask.any()
        ] + [self._current[round_] for round_ in self._resolved]
        first = min([int(n) for n in live], default=len(self.requests) - 1)
        first = min(first, len(self.requests) - 1)
        old, kept, before = self._first, (self._relevant, self._cost, self._make), self._cost.shape[1]
        count = before
        while len(self.requests) - first > count // 2:
            count *= 2
        self._columns(count)
        shift = first - old
        width = before - shift
        self._relevant[:, :width] = kept[0][:, shift:]
        self._cost[:, :width] = kept[1][:, shift:]
        self._make[:, :width] = kept[2][:, shift:]
        self._first = first

    # --- the queue

    def place_of(self, connection: C) -> int:
        """The place of a connection that is played by messages."""
        place = self._connections.get(connection)
        if place is None:
            place = self._connections[connection] = self._free_places.pop()
            self._at[place] = connection
        return place

    def idle(self, others: Sequence[C]) -> tuple[NDArray[np.int64], list[C]]:
        """Who is not in line and has no push in hand: places of the arrays, and of these others."""
        places = np.flatnonzero(self._status[: self.fleet_size] == k.IDLE)
        return places, [c for c in others if self._status[self.place_of(c)] == k.IDLE]

    def enqueue_all(self, in_order: NDArray[np.int64], others: Sequence[C], request: Any) -> None:
        """Puts a request in line for everybody: idle places get there in this order, all others keep theirs.

        What waits is not merged one by one: it is what its round and all later ones ask for, and worked out
        where somebody gets a slot for it.
        """
        round_, fleet = len(self._rounds), self.fleet_size
        self._rounds.append(request)
        if round_ >= len(self._current):
            self._current = np.concatenate([self._current, np.full_like(self._current, -1)])
        self._current[self._resolved] = -1
        self._resolved.clear()
        asked = -1 - round_
        in_hand = np.flatnonzero(self._status[:fleet] == k.IN_HAND)
        self._kept[in_hand[self._kept[in_hand] == k.NOTHING]] = asked
        for connection in others:
            self._ask(self.place_of(connection), request)
        # Numbered first: what a place waits for says which columns are still needed.
        number = self._number(request) if len(others) else k.NOTHING
        self._append(in_order)
        self._waiting[in_order[in_order < fleet]] = asked
        self._waiting[in_order[in_order >= fleet]] = number
        self._pump()

    def _ask(self, place: int, request: Any) -> None:
        """One more request for a place that waits or has its push in hand."""
        status = self._status[place]
        if status == k.WAITING:
            before = self.requests[int(self._waiting[place])]
            self._waiting[place] = self._number(before.merged(request))
        elif status == k.IN_HAND:
            kept = int(self._kept[place])
            merged = request if kept == k.NOTHING else self.requests[kept].merged(request)
            self._kept[place] = self._number(merged)

    def enqueue(self, connection: C, request: Any) -> None:
        """Puts a request in line for one connection."""
        place = self.place_of(connection)
        self._ask(place, request)
        if self._status[place] == k.IDLE:
            number = self._number(request)
            self._append(np.array([place], np.int64))
            self._waiting[place] = number
        self._pump()

    def _resolve(self, round_: int) -> None:
        """What a round and all later ones ask for gets a number."""
        first, *newer = self._rounds[round_:]
        self._current[round_] = self._number(first.merged_with(newer) if newer else first)
        self._resolved.append(round_)

    def _append(self, places: NDArray[np.int64]) -> None:
        reg, count = self._reg, len(places)
        if reg[k.TAIL] + count + self._size // 2 + 32 > len(self._line):
            in_line = self._line[reg[k.HEAD] : reg[k.TAIL]]
            seats = np.arange(reg[k.HEAD], reg[k.TAIL])
            in_line = in_line[self._pos[in_line] == seats]
            needed = len(in_line) + count + self._size + 64
            if needed > len(self._line):
                self._line = np.zeros(2 * needed, np.int32)
            self._line[: len(in_line)] = in_line
            self._pos[in_line] = np.arange(len(in_line))
            reg[k.HEAD], reg[k.TAIL] = 0, len(in_line)
        tail = int(reg[k.TAIL])
        self._line[tail : tail + count] = places
        self._pos[places] = np.arange(tail, tail + count)
        self._status[places] = k.WAITING
        reg[k.TAIL] += count

    def done(self, connection: C) -> None:
        """The push of a connection played by messages is over."""
        if not self._is_stopped:
            self._release(self._connections[connection])

    def _release(self, place: int) -> None:
        assert self._status[place] == k.IN_HAND, "no push of the connection is in progress"
        kept = int(self._kept[place])
        self._status[place], self._kept[place] = k.IDLE, k.NOTHING
        if kept != k.NOTHING:
            self._append(np.array([place], np.int64))
            self._waiting[place] = kept
        self._reg[k.HELD] -= 1
        self._pump()
        if place not in self._at:
            self._free_places.append(place)

    def forget(self, connection: C) -> None:
        """Its stream closed: nothing waits for it any more. A push in hand still has to be marked done."""
        if self._is_stopped:
            return
        place = self._connections.pop(connection, None)
        if place is None:
            return
        if self._status[place] == k.IN_HAND and place not in self._pending:
            # It is marked done right after.
            self._connections[connection] = place
            self._kept[place] = k.NOTHING
            return
        del self._at[place]
        if self._status[place] == k.IN_HAND:
            del self._pending[place]
            self._kept[place] = k.NOTHING
            self._release(place)
            return
        self._status[place], self._pos[place] = k.IDLE, -1
        self._free_places.append(place)

    def _pump(self) -> None:
        reg = self._reg
        assert reg[k.FREED] == 0 or reg[k.FREED_NS] == self._clock.now_ns, "a slot was left lying"
        reg[k.FREED], reg[k.FREED_NS] = 1, self._clock.now_ns

    # --- rows that connect

    def begin_with(self, places: NDArray[np.bool_]) -> None:
        """Of the places of the arrays these are connected at first."""
        self._status[: self.fleet_size] = np.where(places, k.IDLE, ABSENT)

    def join(self, place: int, connection: C) -> None:
        """A proxy of the arrays is connected, and played by messages until it has all that it asked for."""
        assert self._status[place] == ABSENT, "a proxy connects that is connected"
        self._status[place], self._group[place] = k.IDLE, -1
        self._connections[connection], self._at[place] = place, connection

    def is_connected(self, place: int) -> bool:
        """Whether there is a stream of the proxy."""
        return bool(self._status[place] != ABSENT)

    def is_in_hand(self, place: int) -> bool:
        """Whether its push is in progress."""
        return bool(self._status[place] == k.IN_HAND)

    def settle(self, place: int) -> None:
        """It has all that it asked for: its pushes are those of its group from here on."""
        assert not self.is_in_hand(place), "a push that is played by messages is in progress"
        del self._connections[self._at.pop(place)]
        self._group[place] = self._own_group[place]

    def leave(self, place: int) -> None:
        """The stream of a proxy ends that has no push in progress."""
        assert not self.is_in_hand(place), "a push is in progress"
        self._status[place], self._pos[place] = ABSENT, -1

    def holds(self, place: int) -> bool:
        """Whether something was sent to it that is not handed on yet."""
        return bool((self._out[0][: self._reg[k.OUT]] == place).any())

    def connected(self) -> NDArray[np.int64]:
        """Places of the arrays whose streams there are."""
        return np.flatnonzero(self._status[: self.fleet_size] != ABSENT)

    def stop(self) -> None:
        """The istiod ends: what waits or is in hand never comes to its end."""
        self._is_stopped = True
        self._connections.clear()
        self._at.clear()
        self._jobs.clear()
        self._pending.clear()
        for name in ("_line", "_pos", "_waiting", "_in_hand", "_made", "_kept", "_dequeued", "_service"):
            delattr(self, name)

    # --- jobs of other kinds

    def submit(self, entity: int, cost_ns: Callable[[], int] | int, done: Call) -> None:
        """Queues a job for the cores."""
        if self._is_stopped:
            return
        reg, now_ns = self._reg, self._clock.now_ns
        if not self._free_jobs:
            self._make_room_for_jobs()
        number = self._free_jobs.pop()
        self._jobs[number] = (entity, cost_ns, done)
        if reg[k.ARRIVED_NS] < now_ns:
            if reg[k.ARRIVED] > 0:
                k._close(reg, self._arrived, self._job_entity, self._entity, self._fifo)
            reg[k.ARRIVED_NS] = now_ns
        # Slots given away by this event go to pushes whose jobs are submitted before this one; a push that is
        # being offered has such a slot.
        is_late = reg[k.FREED] > 0 and reg[k.FREED_NS] == now_ns and not self._is_offering
        self._job_entity[len(self._job_entity) - 1 - number] = 2 * entity + is_late
        self._arrived[reg[k.ARRIVED]] = -1 - number
        reg[k.ARRIVED] += 1
        if reg[k.RUNNING] + reg[k.STARTS] < reg[k.SERVERS]:
            reg[k.DISPATCH] = 1

    def _make_room_for_jobs(self) -> None:
        """So many jobs of other kinds were never there at once."""
        reg, before, scratch = self._reg, len(self._fifo), self._job_entity
        seats = np.arange(reg[k.FIFO_HEAD], reg[k.FIFO_TAIL])
        fifo = np.zeros(2 * before, np.int32)
        fifo[seats % len(fifo)] = self._fifo[seats % before]
        self._fifo = fifo
        self._arrived = np.concatenate([self._arrived, np.zeros(before, np.int32)])
        self._job_entity = np.zeros(2 * len(scratch), np.int64)
        self._job_entity[len(scratch) :] = scratch
        most = len(self._jobs)
        self._free_jobs = list(range(most + before - 1, most - 1, -1))

    def _start_job(self, number: int) -> None:
        if self._is_stopped:
            return
        self._reg[k.AWAITED] = 0
        entity, cost_ns, done = self._jobs.pop(number)
        self._free_jobs.append(number)
        service_ns = cost_ns() if callable(cost_ns) else cost_ns
        self._clock.after(
            service_ns, lambda: self._complete_job(service_ns, done), band=Band.COMPLETION, entity=entity
        )

    def _complete_job(self, service_ns: int, done: Call) -> None:
        if self._is_stopped:
            return
        self._reg[k.BUSY] += service_ns
        done()
        reg, now_ns = self._reg, self._clock.now_ns
        reg[k.RUNNING] -= 1
        if reg[k.ARRIVED] > 0 and reg[k.ARRIVED_NS] < now_ns:
            k._close(reg, self._arrived, self._job_entity, self._entity, self._fifo)
        if reg[k.FIFO_HEAD] < reg[k.FIFO_TAIL]:
            reg[k.STARTS] += 1
            reg[k.STARTS_NS] = now_ns
        self._pump()

    # --- time

    def advance(self, horizon_ns: int, horizon_rank: int) -> bool:
        """Everything before the horizon happens, or everything up to an event that it puts on the clock.

        Args:
            horizon_ns: Instant of the next event of the clock.
            horizon_rank: Its place among the events of that instant.

        Returns:
            Whether it came to something that events of the clock go on with, now or soon.
        """
        if self.next_key() >= (horizon_ns, horizon_rank):
            return False
        reg = self._reg
        # Pushes to connections that are played by messages learn as well.
        edition = self._making.edition(), self._making.learned()
        if edition != self._edition:
            self._edition = edition
            self._cost[:] = -1
        if self._advance is k.advance:
            self._take_kernel(max(self.fleet_size, self._handed_on + int(reg[k.OUT])))
        while True:
            why = self._advance(
                horizon_ns,
                horizon_rank,
                reg,
                self._line,
                self._pos,
                self._status,
                self._waiting,
                self._in_hand,
                self._kept,
                self._current,
                self._group,
                self._entity,
                self._dequeued,
                self._service,
                self._made,
                self._relevant,
                self._cost,
                self._make,
                self._first,
                self._heap_ns,
                self._heap_entity,
                self._heap_place,
                self._fifo,
                self._arrived,
                self._job_entity,
                *self._out,
                self._offers,
            )
            if why == k.NEEDS_COST:
                self._find_cost()
                continue
            if why == k.NEEDS_REQUEST:
                self._resolve(int(reg[k.JOB]))
                continue
            if why == k.FULL or 2 * reg[k.OUT] > len(self._out[0]):
                self.hand_on()
            if why == k.FULL:
                continue
            if why == k.JOB_STARTS:
                self._await_start(int(reg[k.JOB]), int(reg[k.NOW]))
            elif why == k.OFFERED:
                self._offer()
            return bool(why != k.DONE)

    def next_key(self) -> tuple[int, int]:
        """When the kernel finds something to do, and its place then; asking costs less than calling
        it for nothing."""
        reg = self._reg
        if self._is_stopped:
            return _NEVER
        if reg[k.STARTS] > 0:
            return _NEVER if reg[k.AWAITED] else _AT_ONCE
        if reg[k.FREED] > 0:
            return _AT_ONCE
        key = _NEVER
        if reg[k.HEAP] > 0:
            key = int(self._heap_ns[0]), k.COMPLETION_RANK + int(self._heap_entity[0])
        if reg[k.DISPATCH] > 0:
            key = min(key, (int(reg[k.ARRIVED_NS]), int(reg[k.DISPATCH_RANK])))
        return key

    def _await_start(self, number: int, t_ns: int) -> None:
        self._reg[k.AWAITED] = 1
        self._call_at(t_ns, lambda: self._start_job(number))

    def _call_at(self, t_ns: int, call: Call) -> None:
        """Now, if it is part of what just happened; else nothing on the agenda comes before it."""
        if t_ns == self._clock.now_ns:
            call()
        else:
            self._clock.at(t_ns, call, band=Band.COMPLETION)

    def _find_cost(self) -> None:
        place = int(self._reg[k.JOB])
        group, number = int(self._group[place]), int(self._in_hand[place])
        before = self._making.learned()
        made, cost_ns = self._making.make(group, self.requests[number])
        if self._making.learned() != before:
            # It is for this push alone: what was learned makes others cheaper, the next of its kind first.
            self._cost[:] = -1
            self._edition = self._making.edition(), self._making.learned()
            self._start_push_at(place, made, cost_ns)
            return
        self._cost[group, number - self._first] = cost_ns
        self._make[group, number - self._first] = made

    def _start_push_at(self, place: int, made: int, cost_ns: int) -> None:
        """As the kernel does it, for the head of those that wait for a core."""
        reg = self._reg
        reg[k.FIFO_HEAD] += 1
        reg[k.STARTS] -= 1
        reg[k.RUNNING] += 1
        self._service[place], self._made[place] = cost_ns, made
        end_ns = int(reg[k.NOW]) + cost_ns
        k.heap_push(
            reg, self._heap_ns, self._heap_entity, self._heap_place, end_ns, int(self._entity[place]), place
        )

    def hand_on(self) -> None:
        """The taker gets what is over; called once more at the end of the run."""
        count = int(self._reg[k.OUT])
        if count:
            self._handed_on += count
            self._reg[k.OUT] = 0
            place, request, made, dequeued_ns, sent_ns = self._out
            self._taker.take(
                place[:count].copy(),
                request[:count].copy(),
                made[:count].copy(),
                dequeued_ns[:count].copy(),
                sent_ns[:count].copy(),
            )

    def _offer(self) -> None:
        reg = self._reg
        now_ns, places = int(reg[k.NOW]), self._offers[: reg[k.OFFERS]].tolist()
        reg[k.OFFERS] = 0
        self._pending.update(dict.fromkeys(places))

        def offer() -> None:
            if self._is_stopped:
                return
            self._is_offering = True
            for place in places:
                if place in self._pending:
                    del self._pending[place]
                    self._start_push(self._at[place], self.requests[int(self._in_hand[place])], now_ns)
            self._is_offering = False

        self._call_at(now_ns, offer)


def _kernel(pushes: int) -> Callable[..., int]:
    """The compiled kernel where numba is there and it pays; the same function as it is otherwise."""
    from simulator.fleet.compiled import compiled

    is_loaded = compiled.cache_info().currsize > 0
    if pushes >= (READY_FROM if is_loaded else COMPILED_FROM):
        found = compiled()
        if found is not None:
            return found
    return k.advance
