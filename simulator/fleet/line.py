"""The push queue of one istiod with its slots and cores, for connections in arrays and for others.

Connections have *places*. Those of the arrays come first; each belongs to a group, in which a request costs
all the same. A connection played by messages gets a place of its own: it is offered its push at an event of
the clock, and its jobs, like istiod's own, are events that start when a core is theirs. The rules of the
queue are in `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Call, Clock, rank
from simulator.fleet import kernel as k
from simulator.fleet.core_jobs import CoreJobs
from simulator.fleet.machine_code import Bound, MachineCode
from simulator.fleet.push_requests import Making, PushRequests
from simulator.fleet.pushes_over import PushesOver, Taker
from simulator.fleet.seats import ABSENT, Seats

C = TypeVar("C")

COMPILED_FROM = 20_000
"""Pushes from which on loading the compiled kernel pays: as many as places are expected, and those of the
run are counted."""

READY_FROM = 100
"""The same where an earlier run of the process has loaded it."""


_AT_ONCE, _NEVER = (-1, 0), (k.NEVER, 0)


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
        self._start_push = start_push
        size = len(entity) + most_others
        self.fleet_size = len(entity)
        self._reg = np.zeros(k.REGISTERS, np.int64)
        self._reg[k.LIMIT], self._reg[k.SERVERS], self._reg[k.ARRIVED_NS] = limit, cores, -1
        self._reg[k.DISPATCH_RANK] = rank(Band.DISPATCH, number)
        self._seats = Seats(self._reg, size)
        self._entity, self._dequeued, self._service = self._seats.places.T[k.ENTITY : k.SERVICE_NS + 1]
        self._group, self._made = self._seats.numbers.T[k.GROUP : k.MADE + 1]
        self._entity[: len(entity)] = entity
        self._group[: len(group)], self._group[len(group) :] = group, -1
        groups = int(group.max()) + 1 if len(group) else 1
        self._requests = PushRequests(groups, making, self._seats.requests_in_use)
        self._heap_ns, self._heap_entity = np.zeros(cores + 1, np.int64), np.zeros(cores + 1, np.int64)
        self._heap_place = np.zeros(cores + 1, np.int32)
        self._jobs = CoreJobs(
            clock, self._reg, self._seats.places, most_others=most_others, limit=limit, pump=self._pump
        )
        self._over = PushesOver(self._reg, size, taker)
        self._offers = np.zeros(limit + 1, np.int32)
        self.requests = self._requests.all
        """By number."""
        self._edition: object = None
        self._connections: dict[C, int] = {}
        self._at: dict[int, C] = {}
        self._free_places = list(range(size - 1, len(entity) - 1, -1))
        self._pending: dict[int, None] = {}
        self._own_group = group
        self._is_stopped = False
        self._take_kernel(len(entity))

    def _take_kernel(self, pushes: int) -> None:
        self._advance = _kernel(pushes)
        self._bound: Bound | partial[int] | None = None
        self._reg[k.AHEAD] = 0 if self._advance is k.advance else k.FETCHED

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
        return int((self._seats.status == k.WAITING).sum())

    def in_hand(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the arrays whose push is in progress, and since when."""
        places = np.flatnonzero(self._seats.status[: self.fleet_size] == k.IN_HAND)
        return places, self._dequeued[places]

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
        places = np.flatnonzero(self._seats.status[: self.fleet_size] == k.IDLE)
        return places, [c for c in others if self._seats.status[self.place_of(c)] == k.IDLE]

    def enqueue_all(self, in_order: NDArray[np.int64], others: Sequence[C], request: Any) -> None:
        """Puts a request in line for everybody: idle places get there in this order, all others keep theirs.

        What waits is not merged one by one: it is what its round and all later ones ask for, and worked out
        where somebody gets a slot for it.
        """
        fleet, asked = self.fleet_size, -1 - self._requests.note_round(request)
        in_hand = np.flatnonzero(self._seats.status[:fleet] == k.IN_HAND)
        is_idle = self._seats.status[:fleet] == k.IDLE
        self._seats.kept[in_hand[self._seats.kept[in_hand] == k.NOTHING]] = asked
        for connection in others:
            self._ask(self.place_of(connection), request)
        # Numbered first: what a place waits for says which columns are still needed.
        number = self._requests.number(request) if len(others) else k.NOTHING
        self._seats.append(in_order)
        # In the order of places, which is that of memory.
        self._seats.waiting[:fleet][is_idle] = asked
        self._seats.waiting[in_order[in_order >= fleet]] = number
        self._pump()

    def _ask(self, place: int, request: Any) -> None:
        """One more request for a place that waits or has its push in hand."""
        status = self._seats.status[place]
        if status == k.WAITING:
            before = self.requests[int(self._seats.waiting[place])]
            self._seats.waiting[place] = self._requests.number(before.merged(request))
        elif status == k.IN_HAND:
            kept = int(self._seats.kept[place])
            merged = request if kept == k.NOTHING else self.requests[kept].merged(request)
            self._seats.kept[place] = self._requests.number(merged)

    def enqueue(self, connection: C, request: Any) -> None:
        """Puts a request in line for one connection."""
        place = self.place_of(connection)
        self._ask(place, request)
        if self._seats.status[place] == k.IDLE:
            number = self._requests.number(request)
            self._seats.append(np.array([place], np.int64))
            self._seats.waiting[place] = number
        self._pump()

    def done(self, connection: C) -> None:
        """The push of a connection played by messages is over."""
        if self._is_stopped:
            return
        place = self._connections[connection]
        if place not in self._at:
            del self._connections[connection]  # its stream has closed
        self._release(place)

    def _release(self, place: int) -> None:
        assert self._seats.status[place] == k.IN_HAND, "no push of the connection is in progress"
        kept = int(self._seats.kept[place])
        self._seats.status[place], self._seats.kept[place] = k.IDLE, k.NOTHING
        if kept != k.NOTHING:
            self._seats.append(np.array([place], np.int64))
            self._seats.waiting[place] = kept
        self._reg[k.HELD] -= 1
        self._pump()
        if place not in self._at:
            self._vacate(place)

    def _vacate(self, place: int) -> None:
        """Nobody stands there who is played by messages."""
        if place < self.fleet_size:
            self._seats.status[place] = ABSENT
        else:
            self._free_places.append(place)

    def forget(self, connection: C) -> None:
        """Its stream closed: nothing waits for it any more. A push in hand still has to be marked done."""
        if self._is_stopped:
            return
        place = self._connections.get(connection)
        if place is None:
            return
        del self._at[place]
        if self._seats.status[place] == k.IN_HAND and place not in self._pending:
            # It is marked done right after.
            self._seats.kept[place] = k.NOTHING
            return
        del self._connections[connection]
        if self._seats.status[place] == k.IN_HAND:
            del self._pending[place]
            self._seats.kept[place] = k.NOTHING
            self._release(place)
            return
        self._seats.status[place], self._seats.pos[place] = k.IDLE, -1
        self._vacate(place)

    def _pump(self) -> None:
        reg = self._reg
        assert reg[k.FREED] == 0 or reg[k.FREED_NS] == self._clock.now_ns, "a slot was left lying"
        reg[k.FREED], reg[k.FREED_NS] = 1, self._clock.now_ns

    # --- rows that connect

    def begin_with(self, places: NDArray[np.bool_]) -> None:
        """Of the places of the arrays these are connected at first."""
        self._seats.status[: self.fleet_size] = np.where(places, k.IDLE, ABSENT)

    def join(self, place: int, connection: C) -> None:
        """A proxy of the arrays is connected, and played by messages until it has all that it asked for."""
        assert self._seats.status[place] == ABSENT, "a proxy connects that is connected"
        self._seats.status[place], self._group[place] = k.IDLE, -1
        self._connections[connection], self._at[place] = place, connection

    def is_connected(self, place: int) -> bool:
        """Whether there is a stream of the proxy."""
        return bool(self._seats.status[place] != ABSENT)

    def is_idle(self, place: int) -> bool:
        """Whether a connected proxy waits for no push, and has none in hand."""
        return bool(self._seats.status[place] == k.IDLE)

    def is_in_hand(self, place: int) -> bool:
        """Whether its push is in progress."""
        return bool(self._seats.status[place] == k.IN_HAND)

    def settle(self, place: int) -> None:
        """It has all that it asked for: its pushes are those of its group from here on."""
        assert not self.is_in_hand(place), "a push that is played by messages is in progress"
        del self._connections[self._at.pop(place)]
        self._group[place] = self._own_group[place]

    def move_in(self, connection: C, place: int) -> None:
        """The same of one that has stood in a place of its own, and waits for no push."""
        own = self._connections.pop(connection)
        del self._at[own]
        self._vacate(own)
        self._seats.status[place], self._group[place] = k.IDLE, self._own_group[place]

    def leave(self, place: int) -> None:
        """The stream of a proxy ends that has no push in progress."""
        assert not self.is_in_hand(place), "a push is in progress"
        self._seats.status[place], self._seats.pos[place] = ABSENT, -1

    def holds(self, place: int) -> bool:
        """Whether something was sent to it that is not handed on yet."""
        return self._over.holds(place)

    def connected(self) -> NDArray[np.int64]:
        """Places of the arrays whose streams there are."""
        return np.flatnonzero(self._seats.status[: self.fleet_size] != ABSENT)

    def stop(self) -> None:
        """The istiod ends: what waits or is in hand never comes to its end."""
        self._is_stopped = True
        self._jobs.stop()
        self._connections.clear()
        self._at.clear()
        self._pending.clear()
        self._seats.stop()
        del self._entity, self._group, self._made, self._dequeued, self._service
        self._bound = None

    def submit(self, entity: int, cost_ns: Callable[[], int] | int, done: Call) -> None:
        """Queues a job of another kind for the cores."""
        self._jobs.submit(entity, cost_ns, done)

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
            self._requests.cost_ns[:] = -1
        if self._advance is k.advance:
            self._take_kernel(max(self.fleet_size, self._over.handed_on + int(reg[k.OUT])))
        while True:
            why = self._call(horizon_ns, horizon_rank)
            if why == k.NEEDS_COST:
                self._find_cost()
                continue
            if why == k.NEEDS_REQUEST:
                self._requests.resolve(int(reg[k.JOB]))
                continue
            if why == k.FULL or self._over.is_half_full:
                self.hand_on()
            if why == k.FULL:
                continue
            if why == k.JOB_STARTS:
                self._await_start(int(reg[k.JOB]), int(reg[k.NOW]))
            elif why == k.OFFERED:
                self._offer()
            return bool(why != k.DONE)

    def _call(self, horizon_ns: int, horizon_rank: int) -> int:
        """The kernel; why it stopped."""
        reg, seats, requests, jobs = self._reg, self._seats, self._requests, self._jobs
        reg[k.HORIZON_NS], reg[k.HORIZON_RANK] = horizon_ns, horizon_rank
        reg[k.FIRST_REQUEST] = requests.first
        arrays = (
            reg,
            seats.line,
            seats.status,
            seats.places,
            seats.numbers,
            requests.current,
            requests.relevant,
            requests.cost_ns,
            requests.made,
            self._heap_ns,
            self._heap_entity,
            self._heap_place,
            jobs.fifo,
            jobs.arrived,
            jobs.job_entity,
            *self._over.columns,
            self._offers,
        )
        if self._bound is None or not all(map(is_, arrays, self._bound.args)):
            self._bound = _bound(self._advance, arrays)
        return self._bound()

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
        self._call_at(t_ns, lambda: self._jobs.start(number))

    def _call_at(self, t_ns: int, call: Call) -> None:
        """Now, if it is part of what just happened; else nothing on the agenda comes before it."""
        if t_ns == self._clock.now_ns:
            call()
        else:
            self._clock.at(t_ns, call, band=Band.COMPLETION)

    def _find_cost(self) -> None:
        place = int(self._reg[k.JOB])
        group, number = int(self._group[place]), int(self._seats.in_hand[place])
        before = self._making.learned()
        made, cost_ns = self._making.make(group, self.requests[number])
        if self._making.learned() != before:
            # It is for this push alone: what was learned makes others cheaper, the next of its kind first.
            self._requests.cost_ns[:] = -1
            self._edition = self._making.edition(), self._making.learned()
            self._start_push_at(place, made, cost_ns)
            return
        self._requests.cost_ns[group, number - self._requests.first] = cost_ns
        self._requests.made[group, number - self._requests.first] = made

    def _start_push_at(self, place: int, made: int, cost_ns: int) -> None:
        """As the kernel does it, for the head of those that wait for a core."""
        reg = self._reg
        reg[k.FIFO_HEAD] += 1
        reg[k.STARTS] -= 1
        reg[k.RUNNING] += 1
        self._service[place], self._made[place] = cost_ns, made
        end_ns = int(reg[k.NOW]) + cost_ns
        heap = self._heap_ns, self._heap_entity, self._heap_place
        reg[k.HEAP] = k.heap_push(int(reg[k.HEAP]), *heap, end_ns, int(self._entity[place]), place)

    def hand_on(self) -> None:
        """The taker gets what is over; called once more at the end of the run."""
        self._over.hand_on()

    def _offer(self) -> None:
        reg = self._reg
        now_ns, places = int(reg[k.NOW]), self._offers[: reg[k.OFFERS]].tolist()
        reg[k.OFFERS] = 0
        self._pending.update(dict.fromkeys(places))

        def offer() -> None:
            if self._is_stopped:
                return
            self._jobs.is_offering = True
            for place in places:
                if place in self._pending:
                    del self._pending[place]
                    self._start_push(self._at[place], self.requests[int(self._seats.in_hand[place])], now_ns)
            self._jobs.is_offering = False

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


def _bound(kernel: Callable[..., int], arrays: Sequence[NDArray[Any]]) -> Bound | partial[int]:
    """With its arrays, which are seldom others from call to call."""
    return kernel.bound(arrays) if isinstance(kernel, MachineCode) else partial(kernel, *arrays)
