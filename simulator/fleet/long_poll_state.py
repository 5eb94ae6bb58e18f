"""Where the state of long polls stands: the places of scalars and columns that `long_poll_kernel` works on,
and the small steps it is made of.

Written so that numba compiles it. (What is compiled is kept by the text of this file and of that one: no
constant of theirs stands elsewhere.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, rank

Ints = NDArray[np.int64]

MESSAGE_RANK, TIMER_RANK, COMPLETION_RANK = (
    rank(band, 0) for band in (Band.MESSAGE, Band.TIMER, Band.COMPLETION)
)
"""Places among the happenings of one instant, of entity 0."""

NEVER = 2**62
NOTHING = -1
"""No content: what a new loop has, and what an answer without content brings."""
NO_OPEN = -2
"""Version of no answer that is still to be acknowledged."""
NO_LOOP = NO_SERIAL = -1
NO_BUCKET = -1
"""What the loop waits for is in the heap, or is nothing within the run."""
ROOM = 8
"""Rows of the log that one step fills at most."""

DONE, FULL, NEEDS_STEP, NEEDS_DRAWS, NEEDS_FRESH, NEEDS_ROOM, OTHER, TAKES_TOO_LONG = range(8)
"""Why the kernel stopped: the horizon; the log is full; what an answer does is not worked out; numbers were
not drawn, of loops or of new loops; there is no room for new loops or for the heap; a request of a proxy
that is played by messages is next in the queue; a stats flush takes longer than its interval."""

FREE, AWAY, SENDS, QUEUED, HELD, BACK = range(6)
"""Where a loop stands: none is here; its request is on its way, or arrives when it is sent; it waits for
service; it is held; its answer is on its way."""

(
    HORIZON_NS,
    HORIZON_RANK,
    NOW,
    NEEDS,
    SUBMITTED,
    SUBMITS,
    GOES_ON,
    ARMED_NS,
    HEAD,
    TAIL,
    HEAP,
    STALE,
    MOST_STALE,
    LAST_BUCKET,
    BUCKET_NS,
    SEQUENCE,
    HOLDS,
    SPARE,
    MOST_AWAITED,
    LOG,
    PUBLICATIONS,
    BUSY,
    JOBS,
    MESSAGES,
    BYTES,
    END_NS,
    GIVES_UP_NS,
    LATENCY_UP_NS,
    LATENCY_DOWN_NS,
    BANDWIDTH,
    ENVELOPE,
    UNCHANGED_NS,
    FLUSH_INTERVAL_NS,
    FLUSH_EACH_NS,
    IS_FRESH,
    REGISTERS,
) = range(36)
"""Scalars. The horizon is the first place that is not played; NOW and NEEDS are told when the kernel stops;
SUBMITTED of SUBMITS released requests are in the queue; GOES_ON while the servers take what waited, at
ARMED_NS; LAST_BUCKET is the last bucket that was opened; LATENCY_UP_NS and LATENCY_DOWN_NS are those of a
constant law; BANDWIDTH 0 is no limit; FLUSH_EACH_NS is the longest a flush takes for a cluster."""

(
    STATE,
    PLACE,
    SUB,
    KEY,
    VERSION,
    ERROR,
    SENT,
    DEPARTS_NS,
    AT_NS,
    SERIAL,
    BUCKET,
    NEXT,
    PREVIOUS,
    EXPIRES_NS,
    HOLD,
    ENQUEUED_NS,
    STARTED_NS,
    LEFT,
    CONTENT,
    OF_VERSION,
    FROM,
    TO,
    SUPERSEDED_NS,
    STOPPED_NS,
    DRAWN,
    LOOP,
) = range(26)
"""Of a loop, a row each: where it stands; its proxy; its subscription; the number of the two together; the
version that its next request states, and whether it was refused; requests so far; when the latest one
left; when what it waits for happens, and its number; where that stands; when its wait at the server ends;
its place among those that are held; when it began to wait for service, was served, and left again; the
content it gets, its version, and the publications between which its changes are; since when a newer loop
exists, since when nobody waits for it; how many messages have drawn their delays. LOOP is the width of a
row."""

(
    HELD_CONTENT,
    WARMS,
    NEWEST,
    OLDER,
    SEEN,
    SEEN_BEFORE,
    APPLIED_NS,
    OPEN,
    SERVED,
    SERVICE_DRAWN,
    KEY_WIDTH,
) = range(11)
"""Of a key: the content that the proxy holds; whether its cluster warms; its newest loop, and the one before
it; the publication that the last answer applied was made at, that of the one before, and when it was applied;
the version of an answer that a request may acknowledge; services so far, and how many are drawn."""

BUSY_UNTIL_NS, WARMING, CLUSTERS, FIRST_KEY, PLACE_WIDTH = range(5)
"""Of a proxy: when its main thread is done; clusters that warm; cluster objects; its first key."""

CURRENT, CURRENT_VERSION, SERVICE_NS, SIZE, REQUEST_BYTES, SEAT, SUB_WIDTH = range(7)
"""Of a subscription: the content that is published now, its version, what an answer with it costs, its size;
the size of a request; its place among those of the proxy."""

COST, HELD_AFTER, REFUSED, KIND, AWAITED_FROM, AWAITED_COUNT, STEP = range(7)
"""Of what an answer does: main-thread time; the content held after it; whether it is refused; its kind; the
subscriptions that begin with it."""
PLAIN, STARTS, SERVES = range(3)
"""Kinds: others; clusters warm; one goes into service."""

STARTED, APPLIED, ACK, TIMED_OUT = range(4)
"""Entries of the log: an answer with content leaves; it is at its proxy; a request that may acknowledge one
arrives; a request times out."""
(
    WHAT,
    AT_PLACE,
    OF_SUB,
    OF_KEY,
    OF_CONTENT,
    ITS_VERSION,
    SINCE,
    UNTIL,
    ENQUEUED,
    SERVED_NS,
    LEFT_NS,
    RECEIVED_NS,
    DONE_NS,
    IS_OLD,
    STOPPED,
    ENTRY,
) = range(16)
"""Of an entry: see `fleet.arrived.Arrived`. An ACK is of the version that its request
states; IS_OLD says that it states an error. (A version is the number of the first content that has it.)"""

# --- what is to come: in the heap, or in a bucket


def sooner(heap: Ints, one: int, other: int) -> bool:
    """Whether an entry of the heap comes before another: by instant, place in it, and order of entry."""
    if heap[one, 0] != heap[other, 0]:
        return heap[one, 0] < heap[other, 0]  # type: ignore[no-any-return]  # numba has no numpy bools
    if heap[one, 1] != heap[other, 1]:
        return heap[one, 1] < heap[other, 1]  # type: ignore[no-any-return]
    return heap[one, 2] < heap[other, 2]  # type: ignore[no-any-return]


def swap(heap: Ints, one: int, other: int) -> None:
    """Two entries of the heap change places."""
    for column in range(4):
        heap[one, column], heap[other, column] = heap[other, column], heap[one, column]


def heap_push(reg: Ints, heap: Ints, ns: int, place_in_instant: int, serial: int, loop: int) -> None:
    """Into the heap."""
    at = reg[HEAP]
    reg[HEAP] += 1
    heap[at, 0], heap[at, 1], heap[at, 2], heap[at, 3] = ns, place_in_instant, serial, loop
    while at > 0:
        up = (at - 1) // 2
        if not sooner(heap, at, up):
            break
        swap(heap, at, up)
        at = up


def heap_pop(reg: Ints, heap: Ints) -> None:
    """The first leaves the heap."""
    reg[HEAP] -= 1
    size = reg[HEAP]
    for column in range(4):
        heap[0, column] = heap[size, column]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and sooner(heap, down + 1, down):
            down += 1
        if not sooner(heap, down, at):
            break
        swap(heap, down, at)
        at = down


def place_of(state: int, entity: int) -> int:
    """Of what a loop in that state waits for, in its instant (engine/events.py: rank)."""
    if state == HELD:
        return TIMER_RANK + entity
    return (COMPLETION_RANK if state == SENDS else MESSAGE_RANK) + entity


def schedule(
    reg: Ints, loops: Ints, heap: Ints, buckets: Ints, entity: Ints, loop: int, state: int, ns: int
) -> None:
    """The loop is in that state until then; what comes after the run never happens."""
    loops[loop, STATE], loops[loop, AT_NS] = state, ns
    loops[loop, BUCKET] = NO_BUCKET
    loops[loop, SERIAL] = reg[SEQUENCE]
    reg[SEQUENCE] += 1
    if ns > reg[END_NS]:
        return
    number = ns // reg[BUCKET_NS]
    if number <= reg[LAST_BUCKET]:
        of = entity[loops[loop, PLACE]]
        heap_push(reg, heap, ns, place_of(state, of), loops[loop, SERIAL], loop)
        return
    bucket = number % buckets.size
    first = buckets[bucket]
    loops[loop, BUCKET], loops[loop, PREVIOUS], loops[loop, NEXT] = bucket, NO_LOOP, first
    if first >= 0:
        loops[first, PREVIOUS] = loop
    buckets[bucket] = loop


def unlink(loops: Ints, buckets: Ints, loop: int) -> None:
    """The loop leaves its bucket."""
    before, after = loops[loop, PREVIOUS], loops[loop, NEXT]
    if before >= 0:
        loops[before, NEXT] = after
    else:
        buckets[loops[loop, BUCKET]] = after
    if after >= 0:
        loops[after, PREVIOUS] = before
    loops[loop, BUCKET] = NO_BUCKET


def open_bucket(reg: Ints, loops: Ints, heap: Ints, buckets: Ints, entity: Ints) -> None:
    """What comes within the next bucket's length goes to the heap."""
    reg[LAST_BUCKET] += 1
    number = reg[LAST_BUCKET]
    loop, later = buckets[number % buckets.size], NO_LOOP
    while loop >= 0:
        after = loops[loop, NEXT]
        ns = loops[loop, AT_NS]
        if ns // reg[BUCKET_NS] == number:
            loops[loop, BUCKET] = NO_BUCKET
            of = entity[loops[loop, PLACE]]
            heap_push(reg, heap, ns, place_of(loops[loop, STATE], of), loops[loop, SERIAL], loop)
        else:
            # Of a later turn of the ring.
            loops[loop, NEXT], loops[loop, PREVIOUS] = later, NO_LOOP
            if later >= 0:
                loops[later, PREVIOUS] = loop
            later = loop
        loop = after
    buckets[number % buckets.size] = later


def forestall(reg: Ints, loops: Ints, buckets: Ints, loop: int) -> None:
    """What the loop waits for never happens."""
    if loops[loop, BUCKET] != NO_BUCKET:
        unlink(loops, buckets, loop)
    elif loops[loop, AT_NS] <= reg[END_NS]:
        reg[STALE] += 1
    loops[loop, SERIAL] = NO_SERIAL


# --- small things


def slot_of(code: int) -> int:
    """Where the search for a code begins, modulo the size of the table."""
    return (code ^ code >> 7 ^ code >> 19 ^ code >> 41) & (2**31 - 1)


def find(codes: Ints, values: Ints, code: int) -> int:
    """What stands for a code in a hash table of a power of two, open addressing; -1 for none."""
    at = slot_of(code) & (codes.size - 1)
    while codes[at] != code:
        if codes[at] < 0:
            return -1
        at = (at + 1) & (codes.size - 1)
    return values[at]  # type: ignore[no-any-return]


MOST_NUMBERS = 2**20
"""Of subscriptions, and of the contents of one, so that a code fits."""


def code_of(sub: int, held: int, content: int, warms: int) -> int:
    """Of an answer: its subscription, what the proxy holds, what it gets, whether the cluster warms."""
    return (((sub << 20) | held) << 20 | content) << 1 | warms
