"""The registry's queue: informer events of one cluster, one after another.

Every event of a Service, EndpointSlice, Pod or Node is a task on one unbounded FIFO with one worker, so that
a slow task delays all behind it. A task that fails is put at the end of the queue after a fixed delay. The
worker starts when the informers have synced; the queue counts as synced when what was there by then is done.
Source: pilot/pkg/serviceregistry/kube/controller/controller.go:registerHandlers, Run; pkg/queue/instance.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from simulator.engine.clock import S
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Call, Clock
from simulator.engine.servers import SerialServer


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Failing tasks.

    Attributes:
        retry_ns: Until a failed task is queued again; fixed at 1 s (pkg/queue/instance.go).
        failure_rate: Probability that a run of a task fails. None is known; 0 is an assumption.
    """

    retry_ns: int = S
    failure_rate: float = 0.0


class RegistryQueue:
    """The queue and its worker.

    A task takes effect at the end of its service, in ``Band.WORKLOAD``, so that the debounce sees what it
    causes before a timer of the same instant.

    Args:
        clock: Whose time passes.
        replica: Which istiod: part of the purpose of draws, and settles ties.
        settings: Failing tasks.
        cost: Service time of a run in ns, asked at its start, for (entity, how many runs that entity had
            before): with these a cost can be drawn that no other entity's task changes.
        draws: For failures.
        on_depth: Told the number of waiting tasks when it changed.
    """

    __slots__ = (
        "_clock",
        "_cost",
        "_draws",
        "_is_running",
        "_on_depth",
        "_purpose",
        "_replica",
        "_runs",
        "_server",
        "_settings",
        "_waiting",
        "is_synced",
    )

    def __init__(
        self,
        clock: Clock,
        replica: int,
        settings: RegistrySettings,
        cost: Callable[[int, int], int],
        draws: Draws,
        on_depth: Callable[[int], object] | None = None,
    ) -> None:
        self._clock = clock
        self._replica = replica
        self._settings = settings
        self._cost = cost
        self._draws = draws
        self._on_depth = on_depth
        self._purpose = f"istiod.registry.failure/{replica}"
        self._runs: dict[int, int] = {}
        self._waiting: deque[tuple[Call, int | None]] = deque()
        self._server = SerialServer(clock, replica, band=Band.WORKLOAD)
        self._is_running = False
        self.is_synced = False
        """Whether what had been queued when the worker started is done."""

    @property
    def queue_length(self) -> int:
        """Tasks that wait."""
        return len(self._waiting)

    @property
    def busy_ns(self) -> int:
        """Time spent on finished runs."""
        return self._server.busy_ns

    def push(self, task: Call, entity: int = 0) -> None:
        """Queues a task; ``entity`` is the draw key of the object it is about."""
        self._append(task, entity)

    def start(self) -> None:
        """The informers have synced: the worker starts."""
        self._is_running = True
        self._append(self._mark_synced, None)

    def stop(self) -> None:
        """The process ends: no task takes effect any more."""
        self._is_running = False
        self._waiting.clear()

    def _append(self, task: Call, entity: int | None) -> None:
        self._waiting.append((task, entity))
        if self._is_running and self._server.is_idle:
            self._serve_next()
        else:
            self._tell_depth()

    def _serve_next(self) -> None:
        task, entity = self._waiting.popleft()
        self._tell_depth()
        if entity is None:
            self._server.submit(0, lambda: self._finish(task, None, 0))
            return
        run = self._runs.get(entity, 0)
        self._runs[entity] = run + 1
        self._server.submit(lambda: self._cost(entity, run), lambda: self._finish(task, entity, run))

    def _finish(self, task: Call, entity: int | None, run: int) -> None:
        if not self._is_running:
            return
        if entity is not None and self._fails(entity, run):
            again = lambda: self._queue_again(task, entity)  # noqa: E731
            self._clock.after(self._settings.retry_ns, again, band=Band.TIMER, entity=self._replica)
        else:
            task()
        # The server starts it when this returns, at the same instant.
        if self._waiting:
            self._serve_next()

    def _queue_again(self, task: Call, entity: int) -> None:
        if self._is_running:
            self._append(task, entity)

    def _fails(self, entity: int, run: int) -> bool:
        rate = self._settings.failure_rate
        return rate > 0 and self._draws.uniform(self._purpose, entity, run) < rate

    def _mark_synced(self) -> None:
        self.is_synced = True

    def _tell_depth(self) -> None:
        if self._on_depth is not None:
            self._on_depth(len(self._waiting))
