"""The stats flush that holds up one main thread (`StatsFlushes._flush`), for kernels that go row by row.

Written so that numba compiles it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.delays import LONGEST_NS, between
from simulator.engine.draws import mixed_scalar, stepped, uniform_scalar

Ints = NDArray[np.int64]

NEXT_NS, COUNT, UNTIL_NS = range(3)
"""Of the stats flushes of a proxy: when the next one is due, how many drew their cost, the end of the last
one."""


def drawn_ns(low: float, high: float, key: int, entity: int, index: int) -> int:
    """A delay drawn evenly between bounds."""
    bits = mixed_scalar(stepped(key, np.uint64(entity)))
    u = uniform_scalar(mixed_scalar(stepped(bits, np.uint64(index))))
    return np.int64(np.rint(min(between(low, high, u), LONGEST_NS)))  # type: ignore[return-value]  # compiled


def stalled_ns(
    interval_ns: int,
    low: float,
    high: float,
    key: int,
    flushes: Ints,
    place: int,
    entity: int,
    clusters: int,
    start: int,
    busy: int,
) -> int:
    """How long a job that starts must wait for a stats flush.

    Args:
        interval_ns: Between flushes.
        low: Bounds of what one takes for each cluster: the lower one,
        high: the upper one.
        key: Of its draws.
        flushes: See `NEXT_NS`; by place.
        place: Of the proxy.
        entity: The proxy.
        clusters: Its cluster objects.
        start: When the job would start.
        busy: When the job before it ended.
    """
    next_ns = flushes[place, NEXT_NS]
    if next_ns <= start:
        until_ns, drawn = flushes[place, UNTIL_NS], flushes[place, COUNT]
        while next_ns <= start:
            if busy <= next_ns and until_ns <= next_ns:
                skipped = (start - next_ns) // interval_ns
                next_ns += skipped * interval_ns
                drawn += skipped
                if skipped > 0:
                    until_ns = 0
            until_ns = max(next_ns, until_ns, busy) + drawn_ns(low, high, key, entity, drawn) * clusters
            next_ns += interval_ns
            drawn += 1
        flushes[place, NEXT_NS], flushes[place, COUNT], flushes[place, UNTIL_NS] = next_ns, drawn, until_ns
    return max(flushes[place, UNTIL_NS] - start, 0)  # type: ignore[no-any-return]
