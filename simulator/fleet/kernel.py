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

_GOES_ON = -1
"""It has not stopped."""

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
    horizon, horizon_rank, first_request = (
        int(reg[HORIZON_NS]),
        int(reg[HORIZON_RANK]),
        int(reg[FIRST_REQUEST]),
    )
    limit, servers, ahead, dispatch_rank = (
        int(reg[LIMIT]),
        int(reg[SERVERS]),
        int(reg[AHEAD]),
        int(reg[DISPATCH_RANK]),
    )
    # Registers that change are scalars until the kernel stops: compiled code need not write them back after
    # each store to an array, which might be theirs.
    head, tail, held, running = int(reg[HEAD]), int(reg[TAIL]), int(reg[HELD]), int(reg[RUNNING])
    heap, fifo_head, fifo_tail = int(reg[HEAP]), int(reg[FIFO_HEAD]), int(reg[FIFO_TAIL])
    jobs, jobs_ns, dispatch = int(reg[ARRIVED]), int(reg[ARRIVED_NS]), int(reg[DISPATCH])
    starts, starts_ns, freed, freed_ns = (
        int(reg[STARTS]),
        int(reg[STARTS_NS]),
        int(reg[FREED]),
        int(reg[FREED_NS]),
    )
    out, busy_ns, offered, touched = int(reg[OUT]), int(reg[BUSY]), int(reg[OFFERS]), 0
    stopped_ns, stopped_at, why = int(reg[NOW]), int(reg[JOB]), _GOES_ON
    while why == _GOES_ON:
        # --- jobs that are due to start, at cores that are free
        while starts > 0 and freed != RESUMES:
            if reg[AWAITED] > 0:
                why = DONE  # a job of another kind is about to start
                break
            if fifo_head == fifo_tail:
                starts = 0
                break
            job = fifo[fifo_head & (fifo.size - 1)]
            if job < 0:
                stopped_ns, stopped_at, why = starts_ns, -1 - job, JOB_STARTS
            else:
                column = numbers[job, IN_HAND_IS] - first_request
                cost_ns = cost[numbers[job, GROUP], column]
                if cost_ns < 0:
                    stopped_ns, stopped_at, why = starts_ns, job, NEEDS_COST
                    break
                places[job, SERVICE_NS] = cost_ns
                numbers[job, MADE] = make[numbers[job, GROUP], column]
                ends_ns, who = starts_ns + cost_ns, places[job, ENTITY]
                heap = heap_push(heap, heap_ns, heap_entity, heap_place, ends_ns, who, job)
            fifo_head += 1
            starts -= 1
            running += 1
            if why != _GOES_ON:
                break
        if why != _GOES_ON:
            break
        # --- a slot that was freed by a push outside the arrays
        if freed > 0:
            now, freed = freed_ns, 0
        else:
            ends_ns = heap_ns[0] if heap > 0 else NEVER
            dispatch_ns = jobs_ns if dispatch > 0 else NEVER
            now = min(ends_ns, dispatch_ns)
            place_in_instant = COMPLETION_RANK + heap_entity[0] if now == ends_ns else dispatch_rank
            if now > horizon or (now == horizon and place_in_instant >= horizon_rank):
                why = DONE
                break
            if out_place.size - out < ROOM:
                why = FULL
                break
            if dispatch_ns < ends_ns:
                # --- the jobs of this instant are known: they take their places, in order of entity
                fifo_tail = close(jobs, fifo_tail, arrived, job_entity, places, fifo)
                jobs, dispatch = 0, 0
                starts, starts_ns = min(servers - running, fifo_tail - fifo_head), now
                continue
            # --- a push is done
            place = heap_place[0]
            heap = heap_pop(heap, heap_ns, heap_entity, heap_place)
            out_place[out], out_request[out] = place, numbers[place, IN_HAND_IS]
            out_made[out] = numbers[place, MADE]
            out_dequeued[out], out_sent[out] = places[place, DEQUEUED_NS], now
            out += 1
            busy_ns += places[place, SERVICE_NS]
            if numbers[place, KEPT] != NOTHING:
                status[place] = WAITING
                numbers[place, WAITS] = numbers[place, KEPT]
                numbers[place, KEPT] = NOTHING
                places[place, POS] = tail
                line[tail] = place
                tail += 1
            else:
                status[place] = IDLE
            held -= 1
            running -= 1
            # A core is free: the head of those that waited before this instant starts, after the slot is
            # given away.
            if jobs > 0 and jobs_ns < now:
                fifo_tail = close(jobs, fifo_tail, arrived, job_entity, places, fifo)
                jobs = 0
            if fifo_head < fifo_tail:
                starts, starts_ns = 1, now
        # --- slots go to those in line
        while held < limit and head < tail:
            if ahead > 0 and head & (ahead - 1) == 0:
                for seat in range(head, min(head + ahead, tail)):
                    who_next = line[seat]
                    if who_next >= 0:
                        touched += status[who_next] + places[who_next, POS]
            place = line[head]
            if place < 0 or places[place, POS] != head:
                head += 1
                continue  # it left the line
            request = numbers[place, WAITS]
            if request < 0:
                if current[-1 - request] < 0:
                    stopped_at, why = -1 - request, NEEDS_REQUEST
                    freed, freed_ns = RESUMES, now
                    break
                request = current[-1 - request]
            head += 1
            places[place, POS] = -1
            held += 1
            status[place] = IN_HAND
            numbers[place, IN_HAND_IS] = request
            places[place, DEQUEUED_NS] = now
            kind = numbers[place, GROUP]
            if kind < 0:
                offers[offered] = place
                offered += 1
                continue
            if relevant[kind, request - first_request] == 0:
                # Filtered out: no work, the slot is free again.
                out_place[out], out_request[out], out_made[out] = place, request, -1
                out_dequeued[out], out_sent[out] = now, -1
                out += 1
                held -= 1
                status[place] = IDLE
                if out_place.size - out < ROOM:
                    freed, freed_ns = RESUMES, now  # the output is full: go on from here
                    break
                continue
            if jobs_ns < now:
                if jobs > 0:
                    fifo_tail = close(jobs, fifo_tail, arrived, job_entity, places, fifo)
                    jobs = 0
                jobs_ns = now
            arrived[jobs] = place
            jobs += 1
        if why != _GOES_ON:
            break
        if jobs > 0 and running + starts < servers:
            dispatch = 1
        if freed > 0 and offered == 0:
            why = FULL
        elif offered > 0:
            stopped_ns, why = now, OFFERED
    reg[HEAD], reg[TAIL], reg[HELD], reg[RUNNING] = head, tail, held, running
    reg[HEAP], reg[FIFO_HEAD], reg[FIFO_TAIL] = heap, fifo_head, fifo_tail
    reg[ARRIVED], reg[ARRIVED_NS], reg[DISPATCH] = jobs, jobs_ns, dispatch
    reg[STARTS], reg[STARTS_NS], reg[FREED], reg[FREED_NS] = starts, starts_ns, freed, freed_ns
    reg[OUT], reg[BUSY], reg[OFFERS], reg[TOUCHED] = out, busy_ns, offered, touched
    reg[NOW], reg[JOB] = stopped_ns, stopped_at
    return why


def close(count: int, tail: int, arrived: Small, job_entity: Ints, places: Ints, fifo: Small) -> int:
    """No more jobs arrive at the instant of the latest ones, so many: they take their places, by entity.

    The end of `job_entity` holds twice the entities of jobs of other kinds, its beginning is scratch.

    Returns:
        The end of `fifo`.
    """
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
        fifo[(tail + i) & (fifo.size - 1)] = arrived[i]
    return tail + count


def heap_push(
    size: int, heap_ns: Ints, heap_entity: Ints, heap_place: Small, end_ns: int, who: int, job: int
) -> int:
    """Into the heap of completions, which is ordered by (instant, entity); returns its size."""
    at = size
    while at > 0:
        up = (at - 1) // 2
        if heap_ns[up] < end_ns or (heap_ns[up] == end_ns and heap_entity[up] <= who):
            break
        heap_ns[at], heap_entity[at], heap_place[at] = heap_ns[up], heap_entity[up], heap_place[up]
        at = up
    heap_ns[at], heap_entity[at], heap_place[at] = end_ns, who, job
    return size + 1


def heap_pop(size: int, heap_ns: Ints, heap_entity: Ints, heap_place: Small) -> int:
    """The first completion leaves the heap; returns the size of that."""
    size -= 1
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
    return size
