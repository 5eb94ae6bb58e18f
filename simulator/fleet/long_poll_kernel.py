"""Long polls of the proxies of the arrays, event by event, as one recursion over what happens to each loop.

What `propagation/long_poll.py`, `http_server.Slots` and the main threads do, over arrays: a request arrives,
is served or waits for it, is held, is served again when the wait ends or there is news; the answer travels,
is a job of the main thread, and the next request leaves at once. A loop has one thing to wait for at a time,
so what is to come is one entry for each: soon, in a heap, or later, in a ring of *buckets* of equal length.
What happens to recorded changes is written to a log, which `long_poll_ledger` works off many at a time.
Written so that numba compiles it; without numba the same functions run as they are, with the same results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import S
from simulator.engine.delays import between
from simulator.engine.draws import mixed_scalar, stepped, uniform_scalar
from simulator.fleet import long_poll_state as s
from simulator.fleet.flush_kernel import NEXT_NS, drawn_ns, stalled_ns
from simulator.fleet.long_poll_clients import (
    FLUSH_HIGH,
    FLUSH_LOW,
    WAIT_HIGH,
    WAIT_LOW,
    ask,
    begin_loops,
    end_loop,
    take_effect,
)
from simulator.fleet.long_poll_state import (
    code_of,
    find,
    forestall,
    heap_pop,
    heap_push,
    open_bucket,
    place_of,
    schedule,
    slot_of,
    sooner,
    swap,
    unlink,
)
from simulator.fleet.poll_server import occupy

Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]
Floats = NDArray[np.float64]


def lacks(loops: Ints, keys: Ints, down: Ints, service: Ints, loop: int) -> bool:
    """Whether numbers that serving the loop takes are not drawn yet."""
    if down.size and loops[loop, s.SENT] >= loops[loop, s.DRAWN]:
        return True
    key = loops[loop, s.KEY]
    return bool(service.size) and keys[key, s.SERVED] >= keys[key, s.SERVICE_DRAWN]


def note(reg: Ints, log: Ints, loops: Ints, loop: int, what: int) -> int:
    """An entry of the log, of a loop; its row."""
    at = reg[s.LOG]
    reg[s.LOG] += 1
    log[at, s.WHAT], log[at, s.AT_PLACE] = what, loops[loop, s.PLACE]
    log[at, s.OF_SUB], log[at, s.OF_KEY] = loops[loop, s.SUB], loops[loop, s.KEY]
    log[at, s.ITS_VERSION] = loops[loop, s.OF_VERSION]
    log[at, s.OF_CONTENT], log[at, s.SINCE] = loops[loop, s.CONTENT], loops[loop, s.FROM]
    log[at, s.UNTIL], log[at, s.ENQUEUED] = loops[loop, s.TO], loops[loop, s.ENQUEUED_NS]
    log[at, s.SERVED_NS], log[at, s.LEFT_NS] = loops[loop, s.STARTED_NS], loops[loop, s.LEFT]
    return at  # type: ignore[no-any-return]


def serve(
    reg: Ints,
    bits: Bits,
    law: Floats,
    subs: Ints,
    loops: Ints,
    keys: Ints,
    entity: Ints,
    heap: Ints,
    buckets: Ints,
    servers: Ints,
    down: Ints,
    service: Ints,
    log: Ints,
    loop: int,
    now: int,
) -> None:
    """Its service starts: it is held, or the answer is on its way."""
    sub, key = loops[loop, s.SUB], loops[loop, s.KEY]
    content, version = subs[sub, s.CURRENT], subs[sub, s.CURRENT_VERSION]
    is_new = version != loops[loop, s.VERSION]
    if service.size:
        service_ns = service[key, keys[key, s.SERVED] % service.shape[1]]
        keys[key, s.SERVED] += 1
    else:
        service_ns = subs[sub, s.SERVICE_NS] if is_new else reg[s.UNCHANGED_NS]
    occupy(servers, now + service_ns)
    reg[s.BUSY] += service_ns
    reg[s.JOBS] += 1
    expires_ns = loops[loop, s.EXPIRES_NS]
    if not is_new and not 0 <= expires_ns <= now:
        loops[loop, s.HOLD] = reg[s.HOLDS]
        reg[s.HOLDS] += 1
        if expires_ns < 0:
            of = entity[loops[loop, s.PLACE]]
            expires_ns = now + drawn_ns(law[WAIT_LOW], law[WAIT_HIGH], bits[sub], of, now)
            loops[loop, s.EXPIRES_NS] = expires_ns
        state, until_ns = s.HELD, expires_ns
    else:
        left_ns = now + service_ns
        loops[loop, s.STARTED_NS], loops[loop, s.LEFT], loops[loop, s.CONTENT] = now, left_ns, s.NOTHING
        sent = loops[loop, s.SENT]
        back_ns = left_ns + (down[loop, sent % down.shape[1]] if down.size else reg[s.LATENCY_DOWN_NS])
        if is_new:
            size = subs[sub, s.SIZE] + reg[s.ENVELOPE]
            reg[s.MESSAGES] += 1
            reg[s.BYTES] += size
            if reg[s.BANDWIDTH] > 0:
                back_ns += size * S // reg[s.BANDWIDTH]
            loops[loop, s.CONTENT], loops[loop, s.OF_VERSION] = content, version
            loops[loop, s.FROM] = keys[key, s.SEEN if keys[key, s.APPLIED_NS] < now else s.SEEN_BEFORE]
            loops[loop, s.TO] = reg[s.PUBLICATIONS]
            note(reg, log, loops, loop, s.STARTED)
            keys[key, s.OPEN] = version
        due_ns = loops[loop, s.DEPARTS_NS] + reg[s.GIVES_UP_NS]
        if due_ns < back_ns and due_ns <= reg[s.END_NS] and due_ns <= loops[loop, s.STOPPED_NS]:
            note(reg, log, loops, loop, s.TIMED_OUT)
        state, until_ns = s.BACK, back_ns
    schedule(reg, loops, heap, buckets, entity, loop, state, until_ns)


def enqueue(reg: Ints, loops: Ints, ring: Ints, servers: Ints, loop: int, now: int) -> bool:
    """A request wants service; False if it is to be served at once."""
    loops[loop, s.ENQUEUED_NS] = now
    if reg[s.HEAD] == reg[s.TAIL] and servers[0] <= now:
        return False
    loops[loop, s.STATE] = s.QUEUED
    ring[reg[s.TAIL] % ring.size] = loop
    reg[s.TAIL] += 1
    if reg[s.ARMED_NS] == s.NEVER:
        reg[s.ARMED_NS] = max(servers[0], now)
    return True


def advance(  # noqa: C901 -- one recursion: numba compiles it as a whole
    reg: Ints,
    bits: Bits,
    law: Floats,
    subs: Ints,
    loops: Ints,
    keys: Ints,
    places: Ints,
    flushes: Ints,
    entity: Ints,
    busy_ns: Ints,
    heap: Ints,
    buckets: Ints,
    ring: Ints,
    servers: Ints,
    spare: Ints,
    submits: Ints,
    up: Ints,
    down: Ints,
    service: Ints,
    fresh_up: Ints,
    fresh_down: Ints,
    codes: Ints,
    values: Ints,
    steps: Ints,
    awaited: Ints,
    log: Ints,
) -> int:
    """Handles everything before the place HORIZON_RANK in the instant HORIZON_NS; returns why it stopped.

    `bits` are keys of draws: by subscription of its holds, then of the stats flushes. `ring` is the queue of
    the server, where a negative number is a request of somebody else. The other arrays are told in
    `long_poll_state`; those of what is drawn are empty where nothing is.
    """
    horizon, horizon_rank = reg[s.HORIZON_NS], reg[s.HORIZON_RANK]
    while True:
        if log.shape[0] - reg[s.LOG] < s.ROOM:
            return s.FULL
        if reg[s.STALE] > reg[s.MOST_STALE] or reg[s.SPARE] < reg[s.MOST_AWAITED]:
            return s.NEEDS_ROOM
        # What is served in this turn, at an instant; -1 for nobody.
        served, now = -1, 0
        if reg[s.SUBMITTED] < reg[s.SUBMITS]:
            # --- those that a publication released, in their order
            loop, now = submits[reg[s.SUBMITTED]], reg[s.NOW]
            if lacks(loops, keys, down, service, loop):
                reg[s.NEEDS] = loop
                return s.NEEDS_DRAWS
            reg[s.SUBMITTED] += 1
            forestall(reg, loops, buckets, loop)
            if not enqueue(reg, loops, ring, servers, loop, now):
                served = loop
        elif reg[s.GOES_ON] > 0:
            # --- those that waited, as many as servers are free
            now = reg[s.ARMED_NS]
            if reg[s.HEAD] == reg[s.TAIL] or servers[0] > now:
                reg[s.GOES_ON] = 0
                reg[s.ARMED_NS] = s.NEVER if reg[s.HEAD] == reg[s.TAIL] else servers[0]
                continue
            loop = ring[reg[s.HEAD] % ring.size]
            if loop < 0:
                return s.OTHER
            if lacks(loops, keys, down, service, loop):
                reg[s.NEEDS] = loop
                return s.NEEDS_DRAWS
            reg[s.HEAD] += 1
            served = loop
        else:
            while reg[s.HEAP] > 0 and loops[heap[0, 3], s.SERIAL] != heap[0, 2]:
                heap_pop(reg, heap)
                reg[s.STALE] -= 1
            armed = reg[s.ARMED_NS]
            if reg[s.HEAP] == 0 and (reg[s.LAST_BUCKET] + 1) * reg[s.BUCKET_NS] <= min(horizon, armed):
                open_bucket(reg, loops, heap, buckets, entity)
                continue
            now, place_in_instant = (heap[0, 0], heap[0, 1]) if reg[s.HEAP] > 0 else (s.NEVER, 0)
            goes_on = armed < now or (armed == now and place_in_instant >= s.COMPLETION_RANK)
            if goes_on:
                now, place_in_instant = armed, s.COMPLETION_RANK
            if now > horizon or (now == horizon and place_in_instant >= horizon_rank):
                return s.DONE
            if goes_on:
                reg[s.GOES_ON] = 1
                continue
            loop = heap[0, 3]
            state = loops[loop, s.STATE]
            if state == s.BACK:
                # --- an answer is at its proxy
                place, content = loops[loop, s.PLACE], loops[loop, s.CONTENT]
                if now > loops[loop, s.STOPPED_NS]:
                    heap_pop(reg, heap)
                    end_loop(reg, loops, spare, loop)
                    continue
                if up.size and loops[loop, s.SENT] + 1 >= loops[loop, s.DRAWN]:
                    reg[s.NEEDS] = loop
                    return s.NEEDS_DRAWS
                step, cost_ns = -1, 0
                if content >= 0:
                    key = loops[loop, s.KEY]
                    code = code_of(loops[loop, s.SUB], keys[key, s.HELD_CONTENT], content, keys[key, s.WARMS])
                    step = find(codes, values, code)
                    if step < 0:
                        reg[s.NEEDS] = loop
                        return s.NEEDS_STEP
                    if up.size and steps[step, s.KIND] == s.STARTS and reg[s.IS_FRESH] == 0:
                        return s.NEEDS_FRESH
                    cost_ns = steps[step, s.COST]
                busy = places[place, s.BUSY_UNTIL_NS]
                start = max(now, busy)
                done = start + cost_ns
                if reg[s.FLUSH_INTERVAL_NS] > 0:
                    clusters = places[place, s.CLUSTERS]
                    is_long = reg[s.FLUSH_EACH_NS] * clusters >= reg[s.FLUSH_INTERVAL_NS]
                    if is_long and flushes[place, NEXT_NS] <= start:
                        return s.TAKES_TOO_LONG
                    interval_ns, low, high = reg[s.FLUSH_INTERVAL_NS], law[FLUSH_LOW], law[FLUSH_HIGH]
                    flush_key, of = bits[bits.size - 1], entity[place]
                    done += stalled_ns(
                        interval_ns, low, high, flush_key, flushes, place, of, clusters, start, busy
                    )
                heap_pop(reg, heap)
                places[place, s.BUSY_UNTIL_NS] = done
                if done <= reg[s.END_NS]:
                    busy_ns[place] += done - start
                if content >= 0:
                    at = note(reg, log, loops, loop, s.APPLIED)
                    log[at, s.RECEIVED_NS], log[at, s.DONE_NS] = now, done
                    log[at, s.IS_OLD] = 1 if now > loops[loop, s.SUPERSEDED_NS] else 0
                    log[at, s.STOPPED] = loops[loop, s.STOPPED_NS]
                if loops[loop, s.STOPPED_NS] <= done:
                    end_loop(reg, loops, spare, loop)
                    continue
                if content >= 0 and take_effect(reg, loops, keys, places, steps, step, loop, now, done):
                    first, count = steps[step, s.AWAITED_FROM], steps[step, s.AWAITED_COUNT]
                    begin_loops(
                        reg, subs, loops, keys, places, entity, heap, buckets, spare, up, down, fresh_up,
                        fresh_down, awaited, first, count, place, done,
                    )  # fmt: skip
                if loops[loop, s.STOPPED_NS] <= done:
                    # It brought what the cluster waited for that takes its place.
                    end_loop(reg, loops, spare, loop)
                    continue
                loops[loop, s.SENT] += 1
                up_ns = reg[s.LATENCY_UP_NS]
                if up.size:
                    up_ns = up[loop, loops[loop, s.SENT] % up.shape[1]]
                ask(reg, loops, heap, buckets, entity, loop, done, up_ns)
                continue
            # --- a request arrives, or its wait at the server ends
            if lacks(loops, keys, down, service, loop):
                reg[s.NEEDS] = loop
                return s.NEEDS_DRAWS
            heap_pop(reg, heap)
            if state != s.HELD:
                key = loops[loop, s.KEY]
                reg[s.MESSAGES] += 1
                reg[s.BYTES] += subs[loops[loop, s.SUB], s.REQUEST_BYTES]
                if keys[key, s.OPEN] != s.NO_OPEN:
                    at = note(reg, log, loops, loop, s.ACK)
                    log[at, s.ITS_VERSION], log[at, s.IS_OLD] = loops[loop, s.VERSION], loops[loop, s.ERROR]
                    log[at, s.RECEIVED_NS] = now
                    if loops[loop, s.VERSION] == keys[key, s.OPEN] and keys[key, s.OLDER] < 0:
                        keys[key, s.OPEN] = s.NO_OPEN
            if not enqueue(reg, loops, ring, servers, loop, now):
                served = loop
        if served >= 0:
            serve(
                reg, bits, law, subs, loops, keys, entity, heap, buckets, servers, down, service, log, served,
                now,
            )  # fmt: skip


HELPERS = (
    between,
    mixed_scalar,
    stepped,
    uniform_scalar,
    sooner,
    swap,
    heap_push,
    heap_pop,
    place_of,
    schedule,
    unlink,
    open_bucket,
    forestall,
    occupy,
    slot_of,
    find,
    code_of,
    drawn_ns,
    stalled_ns,
    lacks,
    note,
    serve,
    enqueue,
    ask,
    end_loop,
    begin_loops,
    take_effect,
)
"""What is compiled with `advance`, each behind those that it calls."""
