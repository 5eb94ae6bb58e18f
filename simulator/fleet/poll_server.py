"""The server of polls, for requests in arrays: a FIFO queue before equal servers, as a recursion.

A request starts when it has arrived and the earliest free server is free (Kiefer-Wolfowitz), as in
`propagation/http_server.py`: Slots. Where nobody waits, and that is checked, starts are arrivals.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from heapq import heapreplace

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.machine_code import MachineCode, can_compile

Ints = NDArray[np.int64]

COMPILED_FROM = 2_000
"""Requests of one call from which on the compiled recursion is used, where numba is installed."""


def occupy(servers: Ints, end_ns: int) -> None:
    """The server that is free first is busy until then: `servers` is a heap."""
    at, size = 0, servers.size
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and servers[down + 1] < servers[down]:
            down += 1
        if servers[down] >= end_ns:
            break
        servers[at] = servers[down]
        at = down
    servers[at] = end_ns


def recursion(
    arrivals: Ints, services: Ints, free_ns: Ints, last_ns: int, is_strict: bool, starts: Ints
) -> int:
    """Fills in the starts of as many requests as start in time; how many they are.

    Written so that numba compiles it; `free_ns` is a heap.

    Args:
        arrivals: In order.
        services: What each takes.
        free_ns: When each server is free.
        last_ns: The latest start.
        is_strict: Who had to wait does not start at that very instant.
        starts: Filled in.
    """
    for i in range(arrivals.size):
        start = max(arrivals[i], free_ns[0])
        if start > last_ns or (is_strict and start == last_ns and start > arrivals[i]):
            return i
        starts[i] = start
        occupy(free_ns, start + services[i])
    return arrivals.size


def _by_heapq(
    arrivals: Ints, services: Ints, free_ns: Ints, last_ns: int, is_strict: bool, starts: Ints
) -> int:
    """`recursion`, five times as fast without numba."""
    heap, made = free_ns.tolist(), []
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        start = max(arrival, heap[0])
        if start > last_ns or (is_strict and start == last_ns and start > arrival):
            break
        made.append(start)
        heapreplace(heap, start + service)
    free_ns[:] = heap
    starts[: len(made)] = made
    return len(made)


@cache
def _compiled() -> Callable[..., int] | None:
    return MachineCode(recursion, (occupy,)) if can_compile() else None


class Capacity:
    """Servers, and when each is free.

    Attributes:
        busy_ns: Time spent serving, all together.
        jobs: Requests served.
    """

    def __init__(self, servers: int) -> None:
        self._free_ns = np.full(servers, -1, np.int64)
        self.busy_ns = 0
        self.jobs = 0

    @property
    def free_ns(self) -> int:
        """When the first server is free."""
        return int(self._free_ns[0])

    def hand_over(self) -> list[int]:
        """When each server is free: others serve from here on."""
        return self._free_ns.tolist()

    def take_over(self, free_ns: list[int], busy_ns: int, jobs: int) -> None:
        """These are other servers, free then (a heap), who served so much and so many before."""
        self._free_ns = np.array(free_ns, np.int64)
        self.busy_ns, self.jobs = busy_ns, jobs

    def take(self, start_ns: int, service_ns: int) -> None:
        """One request starts."""
        heap = self._free_ns.tolist()
        heapreplace(heap, start_ns + service_ns)
        self._free_ns[:] = heap
        self._count(1, service_ns)

    def serve(self, arrivals: Ints, services: Ints, last_ns: int, *, is_strict: bool) -> Ints:
        """Starts of requests in order of arrival, as far as they start in time (see `recursion`)."""
        if self._has_room(arrivals, services):
            self._keep_busy(arrivals, services)
            self._count(len(arrivals), int(services.sum()))
            return arrivals
        starts = np.empty(len(arrivals), np.int64)
        compiled = _compiled() if len(arrivals) >= COMPILED_FROM else None
        count = (compiled or _by_heapq)(arrivals, services, self._free_ns, last_ns, is_strict, starts)
        self._count(count, int(services[:count].sum()))
        return starts[:count]

    def _count(self, jobs: int, busy_ns: int) -> None:
        self.jobs += jobs
        self.busy_ns += busy_ns

    def _has_room(self, arrivals: Ints, services: Ints) -> bool:
        """Whether surely nobody waits: whenever a request arrives, those before the last so many as there
        are servers are over. (If not, some may wait.)"""
        servers, longest_ns = len(self._free_ns), int(services.max(initial=0))
        first = min(len(arrivals), servers)
        if (arrivals[:first] < np.sort(self._free_ns)[:first]).any():
            return False
        return not len(arrivals) > servers or bool(
            (arrivals[servers:] - arrivals[:-servers] >= longest_ns).all()
        )

    def _keep_busy(self, arrivals: Ints, services: Ints) -> None:
        """When servers are free again that are not when the last one arrives; the others are free."""
        if not len(arrivals):
            return
        last_ns = int(arrivals[-1])
        recent = slice(int(np.searchsorted(arrivals, last_ns - int(services.max()))), None)
        ends = arrivals[recent] + services[recent]
        busy = np.concatenate([ends[ends > last_ns], self._free_ns[self._free_ns > last_ns]])
        self._free_ns[:] = -1
        self._free_ns[len(self._free_ns) - len(busy) :] = np.sort(busy)
