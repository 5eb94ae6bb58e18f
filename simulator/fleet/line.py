"""The push queue of one istiod with its slots and cores in the course of time.

Places of the arrays are advanced by the kernel. A connection that is played by messages is offered its push
at an event of the clock, and its jobs, like istiod's own, are events that start when a core is theirs. Who
stands where is in `placed_queue`, the rules of the queue are in `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Call, Clock, rank
from simulator.fleet import kernel as k
from simulator.fleet.core_jobs import CoreJobs
from simulator.fleet.machine_code import Bound, MachineCode
from simulator.fleet.placed_queue import C, PlacedQueue
from simulator.fleet.push_requests import Making
from simulator.fleet.pushes_over import PushesOver, Taker

COMPILED_FROM = 20_000
"""Pushes from which on loading the compiled kernel pays: as many as places are expected, and those of the
run are counted."""

READY_FROM = 100
"""The same where an earlier run of the process has loaded it."""


_AT_ONCE, _NEVER = (-1, 0), (k.NEVER, 0)


class PushLine(PlacedQueue[C]):
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
        reg = np.zeros(k.REGISTERS, np.int64)
        reg[k.LIMIT], reg[k.SERVERS], reg[k.ARRIVED_NS] = limit, cores, -1
        reg[k.DISPATCH_RANK] = rank(Band.DISPATCH, number)
        super().__init__(clock, reg, entity, group, most_others, making)
        self._making = making
        self._start_push = start_push
        self._heap_ns, self._heap_entity = np.zeros(cores + 1, np.int64), np.zeros(cores + 1, np.int64)
        self._heap_place = np.zeros(cores + 1, np.int32)
        self._jobs = CoreJobs(
            clock, reg, self._seats.places, most_others=most_others, limit=limit, pump=self._pump
        )
        self._over = PushesOver(reg, len(entity) + most_others, taker)
        self._offers = np.zeros(limit + 1, np.int32)
        self._edition: object = None
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

    def holds(self, place: int) -> bool:
        """Whether something was sent to it that is not handed on yet."""
        return self._over.holds(place)

    def stop(self) -> None:
        """The istiod ends: what waits or is in hand never comes to its end."""
        super().stop()
        self._jobs.stop()
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
