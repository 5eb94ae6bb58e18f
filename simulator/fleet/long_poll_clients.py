"""What becomes of an answer at its proxy, for the kernel of long polls: the main thread, and loops that begin
and end. Written so that numba compiles it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.fleet import long_poll_state as s
from simulator.fleet.long_poll_state import schedule

Ints = NDArray[np.int64]

WAIT_LOW, WAIT_HIGH, FLUSH_LOW, FLUSH_HIGH = range(4)
"""Bounds of laws: how long a request is held; what a stats flush takes for each cluster."""


def ask(
    reg: Ints, loops: Ints, heap: Ints, buckets: Ints, entity: Ints, loop: int, now: int, up_ns: int
) -> None:
    """The request of a loop leaves. One that arrives at once does so behind what ended at that instant."""
    loops[loop, s.DEPARTS_NS], loops[loop, s.EXPIRES_NS] = now, -1
    state = s.AWAY if up_ns > 0 else s.SENDS
    schedule(reg, loops, heap, buckets, entity, loop, state, now + up_ns)


def end_loop(reg: Ints, loops: Ints, spare: Ints, loop: int) -> None:
    """Nobody waits for it, and nothing of it is under way any more."""
    loops[loop, s.STATE] = s.FREE
    spare[reg[s.SPARE]] = loop
    reg[s.SPARE] += 1


def begin_loops(
    reg: Ints,
    subs: Ints,
    loops: Ints,
    keys: Ints,
    places: Ints,
    entity: Ints,
    heap: Ints,
    buckets: Ints,
    spare: Ints,
    up: Ints,
    down: Ints,
    fresh_up: Ints,
    fresh_down: Ints,
    awaited: Ints,
    first: int,
    count: int,
    place: int,
    now: int,
) -> None:
    """Clusters warm: a second loop for the endpoints of each, which asks at once."""
    places[place, s.WARMING] = count
    places[place, s.CLUSTERS] += count
    for number in range(first, first + count):
        sub = awaited[number]
        key = places[place, s.FIRST_KEY] + subs[sub, s.SEAT]
        reg[s.SPARE] -= 1
        loop = spare[reg[s.SPARE]]
        before = keys[key, s.NEWEST]
        loops[before, s.SUPERSEDED_NS] = now
        keys[key, s.WARMS], keys[key, s.OLDER], keys[key, s.NEWEST] = 1, before, loop
        loops[loop, s.PLACE], loops[loop, s.SUB], loops[loop, s.KEY] = place, sub, key
        loops[loop, s.VERSION], loops[loop, s.ERROR], loops[loop, s.SENT] = s.NOTHING, 0, 1
        loops[loop, s.SUPERSEDED_NS] = loops[loop, s.STOPPED_NS] = s.NEVER
        up_ns = reg[s.LATENCY_UP_NS]
        if up.size:
            for message in range(up.shape[1]):
                up[loop, message], down[loop, message] = fresh_up[key, message], fresh_down[key, message]
            loops[loop, s.DRAWN] = up.shape[1]
            up_ns = up[loop, 1]
        ask(reg, loops, heap, buckets, entity, loop, now, up_ns)


def take_effect(
    reg: Ints, loops: Ints, keys: Ints, places: Ints, steps: Ints, step: int, loop: int, now: int, done: int
) -> bool:
    """The main thread applies an answer by then; whether clusters start to warm."""
    key, place = loops[loop, s.KEY], loops[loop, s.PLACE]
    keys[key, s.SEEN_BEFORE] = keys[key, s.SEEN]
    keys[key, s.SEEN] = max(keys[key, s.SEEN], loops[loop, s.TO])
    keys[key, s.APPLIED_NS] = done
    keys[key, s.HELD_CONTENT] = steps[step, s.HELD_AFTER]
    loops[loop, s.VERSION], loops[loop, s.ERROR] = loops[loop, s.OF_VERSION], steps[step, s.REFUSED]
    if steps[step, s.KIND] == s.SERVES and now <= loops[loop, s.SUPERSEDED_NS]:
        keys[key, s.WARMS] = 0
        places[place, s.WARMING] -= 1
        places[place, s.CLUSTERS] -= 1
        older = keys[key, s.OLDER]
        keys[key, s.OLDER] = s.NO_LOOP
        if older >= 0:
            loops[older, s.STOPPED_NS] = done
    # Where some warm already the row is played again by messages.
    return steps[step, s.KIND] == s.STARTS and places[place, s.WARMING] == 0  # type: ignore[no-any-return]
