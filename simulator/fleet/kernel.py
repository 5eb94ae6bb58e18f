"""The push queue, its slots and the CPU cores of one istiod, as one recursion over pushes.

What `PushQueue`, `PushSender` and `MultiServer` do event by event, over arrays: connections in line, each
with one request waiting and one in hand; as many in hand as there are slots; one CPU job for each push, FIFO
by (instant, entity) on the cores. A push that ends frees its slot and its core; the next in line takes the
slot at that instant.
Written so that numba compiles it; without numba the same function runs as it is, with the same results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, rank

Ints = NDArray[np.int64]
Small = NDArray[np.int32]
Bytes = NDArray[np.int8]

DONE, NEEDS_COST, NEEDS_REQUEST, JOB_STARTS, OFFERED, FULL = range(6)
"""Why `advance` stopped: the horizon; a push whose cost is not known; a request that is not worked out; a job
that is not a push of the arrays starts; a connection played by messages got a slot; the output is full."""

IDLE, WAITING, IN_HAND = range(3)
"""Where a connection stands."""

(
    HEAD,
    TAIL,
    HELD,
    LIMIT,
    RUNNING,
    SERVERS,
    HEAP,
    FIFO_HEAD,
    FIFO_TAIL,
    ARRIVED,
    ARRIVED_NS,
    DISPATCH,
    STARTS,
    STARTS_NS,
    OUT,
    OFFERS,
    NOW,
    JOB,
    BUSY,
    FREED,
    FREED_NS,
    AWAITED,
    DISPATCH_RANK,
    AHEAD,
    TOUCHED,
    HORIZON_NS,
    HORIZON_RANK,
    FIRST_REQUEST,
    REGISTERS,
) = range(29)
"""Scalars of the state, by their place in the array of registers."""

COMPLETION_RANK = rank(Band.COMPLETION, 0)
"""Place among the happenings of one instant of what ends for entity 0; those of others follow."""

POS, ENTITY, DEQUEUED_NS, SERVICE_NS, WIDTH = 0, 1, 2, 3, 8
"""What is known of a place, a row each, which is one line of a processor's cache: those in line are in random
order. Its seat; its proxy; since when its push is in hand, and what that costs. WIDTH is that of the row."""

WAITS, IN_HAND_IS, KEPT, GROUP, MADE = range(8, 13)
"""In the other half of the row, as int32: what it waits for, what is pushed to it and what it gets next, as
requests or rounds; its group; what is sent to it."""

NEVER = 2**62
NOTHING = -(2**31)
"""No request. Others are numbers, or -(1 + round): what that round and all after it ask for, merged."""
RESUMES = 2
"""Of the register FREED: slots were being given away when the kernel stopped."""
ROOM = 8
"""Rows of output that are kept free."""
FETCHED = 128
"""Of the register AHEAD where the kernel is compiled: so many of those in line have what is known of them
fetched from memory together, for they are in random order. Otherwise 0. TOUCHED means nothing."""


def advance(  # noqa: C901 -- one recursion: numba compiles it as a whole
    reg: Ints,
    line: Small,
    status: Bytes,
    places: Ints,
    numbers: Small,
    current: Small,
    relevant: Bytes,
    cost: Ints,
    make: Small,
    heap_ns: Ints,
    heap_entity: Ints,
    heap_place: Small,
    fifo: Small,
    arrived: Small,
    job_entity: Ints,
    out_place: Small,
    out_request: Small,
    out_made: Small,
    out_dequeued: Ints,
    out_sent: Ints,
    offers: Small,
) -> int:
    """Handles everything before the place HORIZON_RANK in the instant HORIZON_NS; returns why it stopped.

    A job is a place (a push to that place), or -(1 + number) for a job of another kind. `current` holds the
    number of what each round and those after it ask for, -1 where nobody needed it yet. The columns of
    `relevant`, `cost` and `make` are requests, from FIRST_REQUEST on.
    """
    horizon, horizon_rank, first_request = reg[HORIZON_NS], reg[HORIZON_RANK], reg[FIRST_REQUEST]
    while True:
        # --- jobs that are due to start, at cores that are free
        while reg[STARTS] > 0 and reg[FREED] != RESUMES:
            if reg[AWAITED] > 0:
                return DONE  # a job of another kind is about to start
            if reg[FIFO_HEAD] == reg[FIFO_TAIL]:
                reg[STARTS] = 0
                break
            job = fifo[reg[FIFO_HEAD] % fifo.size]
            now = reg[STARTS_NS]
            if job < 0:
                reg[FIFO_HEAD] += 1
                reg[STARTS] -= 1
                reg[RUNNING] += 1
                reg[NOW] = now
                reg[JOB] = -1 - job
                return JOB_STARTS
            column = numbers[job, IN_HAND_IS] - first_request
            cost_ns = cost[numbers[job, GROUP], column]
            if cost_ns < 0:
                reg[NOW] = now
                reg[JOB] = job
                return NEEDS_COST
            reg[FIFO_HEAD] += 1
            reg[STARTS] -= 1
            reg[RUNNING] += 1
            places[job, SERVICE_NS] = cost_ns
            numbers[job, MADE] = make[numbers[job, GROUP], column]
            heap_push(reg, heap_ns, heap_entity, heap_place, now + cost_ns, places[job, ENTITY], job)
        # --- a slot that was freed by a push outside the arrays
        if reg[FREED] > 0:
            now = reg[FREED_NS]
            reg[FREED] = 0
        else:
            ends_ns = heap_ns[0] if reg[HEAP] > 0 else NEVER
            dispatch_ns = reg[ARRIVED_NS] if reg[DISPATCH] > 0 else NEVER
            now = min(ends_ns, dispatch_ns)
            place_in_instant = COMPLETION_RANK + heap_entity[0] if now == ends_ns else reg[DISPATCH_RANK]
            if now > horizon or (now == horizon and place_in_instant >= horizon_rank):
                return DONE
            if out_place.size - reg[OUT] < ROOM:
                return FULL
            if dispatch_ns < ends_ns:
                # --- the jobs of this instant are known: they take their places, in order of entity
                _close(reg, arrived, job_entity, places, fifo)
                reg[DISPATCH] = 0
                reg[STARTS] = min(reg[SERVERS] - reg[RUNNING], reg[FIFO_TAIL] - reg[FIFO_HEAD])
                reg[STARTS_NS] = now
                continue
            # --- a push is done
            place = heap_place[0]
            heap_pop(reg, heap_ns, heap_entity, heap_place)
            out = reg[OUT]
            out_place[out], out_request[out] = place, numbers[place, IN_HAND_IS]
            out_made[out] = numbers[place, MADE]
            out_dequeued[out], out_sent[out] = places[place, DEQUEUED_NS], now
            reg[OUT] += 1
            reg[BUSY] += places[place, SERVICE_NS]
            if numbers[place, KEPT] != NOTHING:
                status[place] = WAITING
                numbers[place, WAITS] = numbers[place, KEPT]
                numbers[place, KEPT] = NOTHING
                places[place, POS] = reg[TAIL]
                line[reg[TAIL]] = place
                reg[TAIL] += 1
            else:
                status[place] = IDLE
            reg[HELD] -= 1
            reg[RUNNING] -= 1
            # A core is free: the head of those that waited before this instant starts, after the slot is
            # given away.
            if reg[ARRIVED] > 0 and reg[ARRIVED_NS] < now:
                _close(reg, arrived, job_entity, places, fifo)
            if reg[FIFO_HEAD] < reg[FIFO_TAIL]:
                reg[STARTS] = 1
                reg[STARTS_NS] = now
        # --- slots go to those in line
        while reg[HELD] < reg[LIMIT] and reg[HEAD] < reg[TAIL]:
            taken = reg[HEAD]
            if reg[AHEAD] > 0 and taken % reg[AHEAD] == 0:
                touched = 0
                for seat in range(taken, min(taken + reg[AHEAD], reg[TAIL])):
                    who = line[seat]
                    if who >= 0:
                        touched += status[who] + places[who, POS]
                reg[TOUCHED] = touched
            place = line[taken]
            if place < 0 or places[place, POS] != taken:
                reg[HEAD] += 1
                continue  # it left the line
            request = numbers[place, WAITS]
            if request < 0:
                if current[-1 - request] < 0:
                    reg[JOB] = -1 - request
                    reg[FREED] = RESUMES
                    reg[FREED_NS] = now
                    return NEEDS_REQUEST
                request = current[-1 - request]
            reg[HEAD] += 1
            places[place, POS] = -1
            reg[HELD] += 1
            status[place] = IN_HAND
            numbers[place, IN_HAND_IS] = request
            places[place, DEQUEUED_NS] = now
            kind = numbers[place, GROUP]
            if kind < 0:
                offers[reg[OFFERS]] = place
                reg[OFFERS] += 1
                continue
            if relevant[kind, request - first_request] == 0:
                # Filtered out: no work, the slot is free again.
                out = reg[OUT]
                out_place[out], out_request[out], out_made[out] = place, request, -1
                out_dequeued[out], out_sent[out] = now, -1
                reg[OUT] += 1
                reg[HELD] -= 1
                status[place] = IDLE
                if out_place.size - reg[OUT] < ROOM:
                    reg[FREED] = RESUMES  # the output is full: go on from here
                    reg[FREED_NS] = now
                    break
                continue
            if reg[ARRIVED_NS] < now:
                if reg[ARRIVED] > 0:
                    _close(reg, arrived, job_entity, places, fifo)
                reg[ARRIVED_NS] = now
            arrived[reg[ARRIVED]] = place
            reg[ARRIVED] += 1
        if reg[ARRIVED] > 0 and reg[RUNNING] + reg[STARTS] < reg[SERVERS]:
            reg[DISPATCH] = 1
        if reg[FREED] > 0 and reg[OFFERS] == 0:
            return FULL
        if reg[OFFERS] > 0:
            reg[NOW] = now
            return OFFERED


def _close(reg: Ints, arrived: Small, job_entity: Ints, places: Ints, fifo: Small) -> None:
    """No more jobs arrive at the instant of the latest ones: they take their places, by entity.

    The end of `job_entity` holds twice the entities of jobs of other kinds, its beginning is scratch.
    """
    count = reg[ARRIVED]
    for i in range(count):
        job = arrived[i]
        job_entity[i] = 2 * places[job, ENTITY] if job >= 0 else job_entity[job_entity.size + job]
    for i in range(1, count):  # few: an insertion sort, which keeps the order of equals
        job, who = arrived[i], job_entity[i]
        at = i
        while at > 0 and job_entity[at - 1] > who:
            arrived[at], job_entity[at] = arrived[at - 1], job_entity[at - 1]
            at -= 1
        arrived[at], job_entity[at] = job, who
    for i in range(count):
        fifo[reg[FIFO_TAIL] % fifo.size] = arrived[i]
        reg[FIFO_TAIL] += 1
    reg[ARRIVED] = 0


def heap_push(
    reg: Ints, heap_ns: Ints, heap_entity: Ints, heap_place: Small, end_ns: int, who: int, job: int
) -> None:
    """Into the heap of completions, which is ordered by (instant, entity)."""
    at = reg[HEAP]
    reg[HEAP] += 1
    while at > 0:
        up = (at - 1) // 2
        if heap_ns[up] < end_ns or (heap_ns[up] == end_ns and heap_entity[up] <= who):
            break
        heap_ns[at], heap_entity[at], heap_place[at] = heap_ns[up], heap_entity[up], heap_place[up]
        at = up
    heap_ns[at], heap_entity[at], heap_place[at] = end_ns, who, job


def heap_pop(reg: Ints, heap_ns: Ints, heap_entity: Ints, heap_place: Small) -> None:
    """The first completion leaves the heap."""
    reg[HEAP] -= 1
    size = reg[HEAP]
    last_ns, last_entity, last_place = heap_ns[size], heap_entity[size], heap_place[size]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        right = down + 1
        if right < size and (
            heap_ns[right] < heap_ns[down]
            or (heap_ns[right] == heap_ns[down] and heap_entity[right] < heap_entity[down])
        ):
            down = right
        if last_ns < heap_ns[down] or (last_ns == heap_ns[down] and last_entity <= heap_entity[down]):
            break
        heap_ns[at], heap_entity[at], heap_place[at] = heap_ns[down], heap_entity[down], heap_place[down]
        at = down
    heap_ns[at], heap_entity[at], heap_place[at] = last_ns, last_entity, last_place
