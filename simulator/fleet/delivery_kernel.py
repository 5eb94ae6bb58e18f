"""From istiod's Send to the workers and back with the ACK, proxy by proxy: `Streams._deliver` as one loop.

Written so that numba compiles it; without numba nobody calls it, for `Streams` goes through the same steps
column by column in numpy. Both give the same integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.delays import between
from simulator.engine.draws import mixed_scalar, stepped, uniform_scalar
from simulator.fleet.flush_kernel import NEXT_NS, drawn_ns, stalled_ns

Ints = NDArray[np.int64]
Small = NDArray[np.int32]
Bits = NDArray[np.uint64]
Floats = NDArray[np.float64]

TRAVEL, COST, CLUSTERS, DELAY = range(4)
"""Of a message of a move: ns on the way without what is drawn; main-thread ns; cluster objects; ns to the
workers, -1 where it is nothing to them."""

AFTER, BACK, SIZE, ANSWERS = range(4)
"""Of a request: the message after whose application it leaves; ns on the way without what is drawn; bytes;
the message that it answers, or -1."""

MESSAGES, REQUESTS, BYTES_BEFORE, BYTES, WARMS_FROM, WARMS_TO = range(6)
"""Of a move: how many of each; bytes of all messages but the last, and of all; the messages after which
clusters warm and that ends it, or -1."""

END_NS, WINDOW_BYTES, EDS_TIMEOUT_NS, FLUSH_INTERVAL_NS = range(4)
"""Settings. Without stats flushes the interval is 0."""

SENT_DOWN, LAST_DOWN_NS, SENT_UP, LAST_UP_NS, BUSY_UNTIL_NS, WORKERS_NS, UNREAD, BUSY_NS = range(8)
"""State of a proxy, a row each, which is one line of a processor's cache: messages sent to it and the latest
arrival; the same of its requests; the end of its main thread's last job; since when its workers have what
they have; bytes under way; what its main thread worked within the run."""

AT_FIRST = (0, -1, 0, -1, -1, -1, 0, 0)
"""Of each, before anything is sent: no instants yet."""

RECEIVED, APPLIED, WORKERS_BEFORE, ACKED = range(4)
"""Columns of a batch."""

SENT_BACK, BYTES_BACK, IS_BEYOND, TOUCHED = range(4)
"""What is told: requests that arrive within the run, their bytes, which limit was met; and a number without a
meaning, so that what is read for it is read."""

_AHEAD = 64
"""Rows whose memory is fetched together."""

WINDOW, FLUSHES, WARMING = 4, 2, 1
"""Limits: responses larger than the window; flushes that take longer than their interval; endpoints that come
too late. Several may be met."""

_NULL, _NEVER = -1, 2**62

HELPERS = (between, mixed_scalar, stepped, uniform_scalar, drawn_ns, stalled_ns)
"""What is compiled with the functions below: part of what every digest means, so they never change."""


def draw(keys: Bits, entity: Ints, first: Ints, bits: Bits, out: Floats) -> None:
    """The numbers that the next messages of some proxies draw: by law, message and row.

    Whoever sends fewer has numbers too many: nothing is consumed. One message at a time, so that a processor
    works on several rows at once.

    Args:
        keys: Of the purpose of each law.
        entity: The proxies, by row.
        first: How many messages each was sent before.
        bits: Scratch, by row.
        out: Filled.
    """
    for law in range(keys.size):
        for row in range(entity.size):
            bits[row] = mixed_scalar(stepped(keys[law], np.uint64(entity[row])))
        for message in range(out.shape[1]):
            for row in range(entity.size):
                own_bits = mixed_scalar(stepped(bits[row], np.uint64(first[row] + message)))
                out[law, message, row] = uniform_scalar(own_bits)


def deliver(  # noqa: C901 -- one loop: numba compiles it as a whole
    settings: Ints,
    place: Small,
    of: Ints,
    sent_ns: Ints,
    of_move: Ints,
    messages: Ints,
    requests: Ints,
    down_ns: Ints,
    up_ns: Ints,
    state: Ints,
    flushes: Ints,
    ends_ns: Ints,
    entity: Ints,
    flush_key: Bits,
    flush_law: Floats,
    flushes_too_long: NDArray[np.int8],
    columns: Ints,
    told: Ints,
) -> None:
    """Delivers a push to each of these places.

    Args:
        settings: See `END_NS`.
        place: To whom, each once.
        of: The moves they make.
        sent_ns: When the push is sent.
        of_move: See `MESSAGES`; by move.
        messages: See `TRAVEL`; by move and message.
        requests: See `AFTER`; by move and request.
        down_ns: What is drawn for the way of each message, by message and row; empty for nothing.
        up_ns: The same for requests.
        state: See `SENT_DOWN`; by place.
        flushes: See `NEXT_NS`; by place.
        ends_ns: When the stream of each ends, by place; empty where none does.
        entity: Proxies by place.
        flush_key: Of the cost of a flush,
        flush_law: its bounds for each cluster,
        flushes_too_long: by message, whether it may take longer than the interval.
        columns: See `RECEIVED`; filled, by message and row.
        told: See `SENT_BACK`; filled.
    """
    end_ns, interval_ns = settings[END_NS], settings[FLUSH_INTERVAL_NS]
    low, high = flush_law[0], flush_law[1]
    most = columns.shape[1]
    sent_back, bytes_back, is_beyond = 0, 0, 0
    touched = 0
    for row in range(place.size):
        if row % _AHEAD == 0:
            # Places are in random order: their memory is fetched for many at once, and waited for once.
            for next_row in range(row, min(row + _AHEAD, place.size)):
                touched += state[place[next_row], UNREAD]
                if interval_ns > 0:
                    touched += flushes[place[next_row], NEXT_NS] + entity[place[next_row]]
                if ends_ns.size:
                    touched += ends_ns[place[next_row]]
        at, move, now_ns = place[row], of[row], sent_ns[row]
        count = of_move[MESSAGES, move]
        # What is under way already counts against the window of HTTP/2.
        under_way = state[at, UNREAD] if state[at, LAST_DOWN_NS] > now_ns else 0
        state[at, UNREAD] = under_way + of_move[BYTES, move]
        if under_way + of_move[BYTES_BEFORE, move] >= settings[WINDOW_BYTES]:
            is_beyond |= WINDOW
        last_ns, busy = state[at, LAST_DOWN_NS], state[at, BUSY_UNTIL_NS]
        workers = state[at, WORKERS_NS]
        worked_ns = 0
        for message in range(count):
            arrival_ns = now_ns + messages[TRAVEL, move, message]
            if down_ns.size:
                arrival_ns += down_ns[message, row]
            last_ns = max(last_ns, arrival_ns)
            start_ns = max(last_ns, busy)
            applied_ns = start_ns + messages[COST, move, message]
            if interval_ns > 0:
                if flushes_too_long[message] and flushes[at, NEXT_NS] <= start_ns:
                    is_beyond |= FLUSHES
                clusters = messages[CLUSTERS, move, message]
                applied_ns += stalled_ns(
                    interval_ns, low, high, flush_key[0], flushes, at, entity[at], clusters, start_ns, busy
                )
            busy = applied_ns
            if applied_ns <= end_ns:
                worked_ns += applied_ns - start_ns
            columns[RECEIVED, message, row] = last_ns
            columns[APPLIED, message, row] = applied_ns
            columns[WORKERS_BEFORE, message, row] = workers
            columns[ACKED, message, row] = _NULL
            if messages[DELAY, move, message] >= 0:
                workers = max(workers, applied_ns + messages[DELAY, move, message])
        for message in range(count, most):
            for column in range(columns.shape[0]):
                columns[column, message, row] = _NULL
        state[at, LAST_DOWN_NS], state[at, BUSY_UNTIL_NS], state[at, WORKERS_NS] = last_ns, busy, workers
        state[at, BUSY_NS] += worked_ns
        state[at, SENT_DOWN] += count
        begin, end = of_move[WARMS_FROM, move], of_move[WARMS_TO, move]
        if begin >= 0 and settings[EDS_TIMEOUT_NS] > 0:
            warms_ns = columns[RECEIVED, end, row] - columns[APPLIED, begin, row]
            if warms_ns > settings[EDS_TIMEOUT_NS]:
                is_beyond |= WARMING
        last_ns, asked = state[at, LAST_UP_NS], 0
        closed_ns = ends_ns[at] if ends_ns.size else _NEVER
        for number in range(of_move[REQUESTS, move]):
            left_ns, told_ns = columns[APPLIED, requests[AFTER, move, number], row], _NEVER
            if left_ns < closed_ns:  # nothing leaves on a stream that has ended
                arrival_ns = left_ns + requests[BACK, move, number]
                if up_ns.size:
                    arrival_ns += up_ns[asked, row]
                asked += 1
                last_ns = max(last_ns, arrival_ns)
                if last_ns < closed_ns:  # what is under way by then is lost
                    told_ns = last_ns
            if told_ns <= end_ns:
                sent_back += 1
                bytes_back += requests[SIZE, move, number]
            if requests[ANSWERS, move, number] >= 0:
                columns[ACKED, requests[ANSWERS, move, number], row] = told_ns
        state[at, LAST_UP_NS] = last_ns
        state[at, SENT_UP] += asked
    told[SENT_BACK], told[BYTES_BACK], told[IS_BEYOND] = sent_back, bytes_back, is_beyond
    told[TOUCHED] = touched
