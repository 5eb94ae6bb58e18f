"""Queues with service times.

`SerialServer`, `MultiServer` and `SharingServer` serve jobs whose cost is known only when they start.
`Station` and `kiefer_wolfowitz` are FIFO multi-servers as arithmetic: no event at all, the waiting follows
from the arrivals. `TokenBucket` says how long a taker waits for its token.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapreplace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Call, Clock

Nanoseconds = NDArray[np.int64]

Cost = Callable[[], int] | int
"""What a job costs, in ns: a number, or asked for at the moment its service starts."""


_Job = tuple[int, Cost, Call]  # whose, what it costs, what happens when it is done
_entity_of = itemgetter(0)


class SerialServer:
    """A FIFO single server: one event for each job, even for one that costs nothing.

    At a completion, `done` of the finished job runs first and the next job starts after it, at the same
    instant: the next job's cost sees what the finished one did, and a job submitted by `done` queues behind
    those already waiting.

    `busy_until_ns` is when the job in service completes (when idle: when the last one did); waiting jobs are
    not in it, their costs being unknown yet. `busy_ns` and `jobs` are the time spent on completed jobs,
    stalls included, and their number.

    Args:
        clock: whose time passes.
        entity: settles ties among completions of one instant.
        stall: asked at each start of service, with that time in ns, for extra ns that pass before the job's
            own service begins. The job's cost is asked for at the same instant, just before.
        band: where completions stand among the happenings of an instant.
    """

    __slots__ = (
        "_band",
        "_clock",
        "_complete",
        "_done",
        "_entity",
        "_serving",
        "_stall",
        "_started_ns",
        "_waiting",
        "busy_ns",
        "busy_until_ns",
        "jobs",
    )

    def __init__(
        self,
        clock: Clock,
        entity: int = 0,
        *,
        stall: Callable[[int], int] | None = None,
        band: Band = Band.COMPLETION,
    ) -> None:
        self._clock = clock
        self._entity = entity
        self._stall = stall
        self._band = band
        self._waiting: deque[tuple[Cost, Call]] = deque()
        self._serving = False
        self._done: Call | None = None
        self._started_ns = 0
        self._complete = self._on_completion
        self.busy_until_ns = clock.now_ns
        self.busy_ns = 0
        self.jobs = 0

    @property
    def queue_length(self) -> int:
        """Jobs waiting, not counting the one in service."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether no job is in service or waiting."""
        return not self._serving

    def submit(self, cost_ns: Cost, done: Call) -> None:
        """Queue a job; `done` is called when it completes. Service starts at once if the server is idle."""
        if self._serving:
            self._waiting.append((cost_ns, done))
        else:
            self._start(cost_ns, done)

    def _start(self, cost_ns: Cost, done: Call) -> None:
        clock = self._clock
        now_ns = clock.now_ns
        # Set before the cost is asked for: whatever that submits has to queue behind this job.
        self._serving = True
        self._done = done
        self._started_ns = now_ns
        service_ns = cost_ns() if callable(cost_ns) else cost_ns
        assert service_ns >= 0, f"a job cannot cost {service_ns} ns"
        if self._stall is not None:
            stall_ns = self._stall(now_ns)
            assert stall_ns >= 0, f"a stall cannot take {stall_ns} ns"
            service_ns += stall_ns
        self.busy_until_ns = now_ns + service_ns
        clock.after(service_ns, self._complete, band=self._band, entity=self._entity)

    def _on_completion(self) -> None:
        self.busy_ns += self.busy_until_ns - self._started_ns
        self.jobs += 1
        done, self._done = self._done, None
        assert done is not None, "a completion belongs to a job"
        done()
        if self._waiting:
            self._start(*self._waiting.popleft())
        else:
            self._serving = False


class MultiServer:
    """A FIFO queue before `servers` equal servers, event by event.

    Jobs are served in the order (instant of arrival, entity, submission), whatever the order of events within
    an instant: a job waits for the dispatch of its instant (`Band.DISPATCH`), which takes place after
    everything else and starts as many jobs as servers are free. Only a job that a job of no cost submits at
    one and the same instant comes behind those dispatched before it. A job that had to wait starts right
    after the completion that frees its server: one event for each job, and one dispatch for each instant at
    which jobs arrive while a server is free. The cost of a job is asked for when it starts.

    `busy_until_ns` is when the last job in service completes (when idle: when the last one did). `busy_ns`
    and `jobs` are the time spent on completed jobs, over all servers, and their number.

    Args:
        clock: whose time passes.
        servers: how many jobs are in service at most.
        entity: settles ties among dispatches of one instant.
        on_queue: told the number of jobs that wait whenever it may have changed.
    """

    __slots__ = (
        "_arrived",
        "_arrived_ns",
        "_clock",
        "_dispatch_is_due",
        "_entity",
        "_on_queue",
        "_stopped",
        "_waiting",
        "busy_ns",
        "busy_until_ns",
        "in_service",
        "jobs",
        "servers",
    )

    def __init__(
        self, clock: Clock, servers: int, entity: int = 0, *, on_queue: Callable[[int], object] | None = None
    ) -> None:
        assert servers >= 1, f"{servers} servers"
        self._clock = clock
        self._entity = entity
        self._on_queue = on_queue
        self._waiting: deque[_Job] = deque()
        self._arrived: list[_Job] = []
        self._arrived_ns = clock.now_ns
        self._dispatch_is_due = False
        self._stopped = False
        self.servers = servers
        self.in_service = 0
        self.busy_until_ns = clock.now_ns
        self.busy_ns = 0
        self.jobs = 0

    @property
    def queue_length(self) -> int:
        """Jobs waiting, not counting those in service."""
        return len(self._waiting) + len(self._arrived)

    @property
    def is_idle(self) -> bool:
        """Whether no job is in service or waiting."""
        return self.in_service == 0 and self.queue_length == 0

    def submit(self, entity: int, cost_ns: Cost, done: Call) -> None:
        """Queue a job of `entity` (0 to 2**40 - 1); `done` is called when it completes."""
        if self._stopped:
            return
        now_ns = self._clock.now_ns
        if self._arrived_ns < now_ns:
            self._close_instant()
            self._arrived_ns = now_ns
        self._arrived.append((entity, cost_ns, done))
        if self.in_service < self.servers:
            self._await_dispatch()
        elif self._on_queue is not None:
            self._on_queue(self.queue_length)

    def stop(self) -> None:
        """Drop every job, those in service included: none of them completes, and no more are taken."""
        self._stopped = True
        self._waiting.clear()
        self._arrived.clear()

    def _close_instant(self) -> None:
        """No more jobs arrive at the instant of the latest ones: they take their places."""
        self._arrived.sort(key=_entity_of)
        self._waiting.extend(self._arrived)
        self._arrived.clear()

    def _await_dispatch(self) -> None:
        if not self._dispatch_is_due:
            self._dispatch_is_due = True
            self._clock.after(0, self._dispatch, band=Band.DISPATCH, entity=self._entity)

    def _dispatch(self) -> None:
        self._dispatch_is_due = False
        if self._stopped:
            return
        self._close_instant()
        while self._waiting and self.in_service < self.servers:
            self._start(self._waiting.popleft())
        if self._on_queue is not None:
            self._on_queue(self.queue_length)

    def _start(self, job: _Job) -> None:
        entity, cost_ns, done = job
        clock = self._clock
        # Counted before the cost is asked for, which may submit.
        self.in_service += 1
        service_ns = cost_ns() if callable(cost_ns) else cost_ns
        assert service_ns >= 0, f"a job cannot cost {service_ns} ns"
        self.busy_until_ns = max(self.busy_until_ns, clock.now_ns + service_ns)
        clock.after(service_ns, lambda: self._complete(service_ns, done), band=Band.COMPLETION, entity=entity)

    def _complete(self, service_ns: int, done: Call) -> None:
        if not self._stopped:
            self.busy_ns += service_ns
            self.jobs += 1
            done()
        self.in_service -= 1
        if self._arrived and self._arrived_ns < self._clock.now_ns:
            self._close_instant()
        if self._waiting:
            self._start(self._waiting.popleft())
            if self._on_queue is not None:
                self._on_queue(self.queue_length)
        elif self._arrived:
            self._await_dispatch()


class SharingServer(SerialServer):
    """A FIFO single server whose jobs need one of the servers it shares with others: a thread and its cores.

    Its first job waits for a free one among `shared` (FIFO, over all who share them); the cost and the stall
    are asked for when service begins. Whoever is served is not interrupted.
    """

    __slots__ = ("_shared",)

    def __init__(
        self,
        clock: Clock,
        shared: MultiServer,
        entity: int = 0,
        *,
        stall: Callable[[int], int] | None = None,
    ) -> None:
        super().__init__(clock, entity, stall=stall)
        self._shared = shared

    def _start(self, cost_ns: Cost, done: Call) -> None:
        self._serving = True
        self._done = done
        self._shared.submit(self._entity, lambda: self._begin(cost_ns), self._complete)

    def _begin(self, cost_ns: Cost) -> int:
        self._started_ns = self._clock.now_ns
        service_ns = cost_ns() if callable(cost_ns) else cost_ns
        if self._stall is not None:
            service_ns += self._stall(self._started_ns)
        self.busy_until_ns = self._started_ns + service_ns
        return service_ns


class Station:
    """A FIFO queue before `servers` equal servers, as arithmetic (the Kiefer-Wolfowitz recursion).

    A job starts when it has arrived and the earliest free server is free. Ask in order of arrival.
    """

    __slots__ = ("_free_ns", "_latest_ns")

    def __init__(self, servers: int) -> None:
        assert servers >= 1, f"{servers} servers"
        self._free_ns = [0] * servers
        self._latest_ns = 0

    def serve(self, arrival_ns: int, cost_ns: int) -> tuple[int, int]:
        """When the job arriving at `arrival_ns` starts and ends, in ns. Arrivals must not decrease."""
        assert arrival_ns >= self._latest_ns, f"arrival {arrival_ns} ns after one at {self._latest_ns} ns"
        assert cost_ns >= 0, f"a job cannot cost {cost_ns} ns"
        self._latest_ns = arrival_ns
        start_ns = max(arrival_ns, self._free_ns[0])
        end_ns = start_ns + cost_ns
        heapreplace(self._free_ns, end_ns)
        return start_ns, end_ns


def kiefer_wolfowitz(
    arrivals: Nanoseconds, costs: Nanoseconds, servers: int
) -> tuple[Nanoseconds, Nanoseconds]:
    """Starts and ends of a sequence of jobs at a `Station`: the same integers as from `Station.serve`."""
    assert servers >= 1, f"{servers} servers"
    assert len(arrivals) == len(costs), f"{len(arrivals)} arrivals with {len(costs)} costs"
    assert not len(arrivals) or arrivals[0] >= 0, f"arrival at {arrivals[0]} ns"
    assert bool(np.all(arrivals[1:] >= arrivals[:-1])), "arrivals must not decrease"
    assert bool(np.all(costs >= 0)), "a job cannot cost less than nothing"
    arrivals, costs = np.asarray(arrivals, np.int64), np.asarray(costs, np.int64)
    if servers >= len(arrivals):
        return arrivals.copy(), arrivals + costs
    if servers == 1:
        # end[i] is the largest of arrival[j] + cost[j] + ... + cost[i] over j <= i: j began the busy period.
        work = np.cumsum(costs)
        ends = np.maximum.accumulate(arrivals - (work - costs)) + work
        return ends - costs, ends
    station = Station(servers)
    starts = [
        station.serve(arrival, cost)[0]
        for arrival, cost in zip(arrivals.tolist(), costs.tolist(), strict=True)
    ]
    start_ns = np.array(starts, np.int64)
    return start_ns, start_ns + costs


class TokenBucket:
    """A bucket of `max_tokens`, full at first, that gains tokens evenly: one every `fill_interval_ns`.

    Takers are served in order: one that has to wait reserves the next token to come.
    """

    __slots__ = ("_capacity_ns", "_fill_interval_ns", "_full_at_ns", "_latest_ns")

    def __init__(self, max_tokens: int, fill_interval_ns: int) -> None:
        assert max_tokens >= 1, f"a bucket of {max_tokens} tokens"
        assert fill_interval_ns >= 0, f"a token every {fill_interval_ns} ns"
        # The level is kept as the instant at which the bucket would be full again: one integer, no rounding.
        self._fill_interval_ns = fill_interval_ns
        self._capacity_ns = max_tokens * fill_interval_ns
        self._full_at_ns = 0
        self._latest_ns = 0

    def take(self, now_ns: int) -> int:
        """Take a token: the ns until it is there, 0 if it is there now. Times must not decrease."""
        assert now_ns >= self._latest_ns, f"taken at {now_ns} ns after {self._latest_ns} ns"
        self._latest_ns = now_ns
        self._full_at_ns = max(self._full_at_ns, now_ns) + self._fill_interval_ns
        return max(0, self._full_at_ns - self._capacity_ns - now_ns)
