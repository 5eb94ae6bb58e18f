"""What waits for a core of one istiod: pushes, which the kernel puts there, and jobs of other kinds.

Jobs of other kinds are numbered from -1 downwards; they are events that start when a core is theirs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Call, Clock
from simulator.fleet import kernel as k

Job = tuple[int, Callable[[], int] | int, Call]


class CoreJobs:
    """See the module.

    Args:
        clock: Time.
        reg: Registers of the kernel.
        places: What is known of each (kernel.POS).
        most_others: So many jobs of other kinds are expected at once.
        limit: Slots.
        pump: Called when a job is complete, for slots that it gave back.

    Attributes:
        fifo: What waits for a core: places, and numbers of jobs of other kinds.
        arrived: What came at the latest instant.
        job_entity: See `kernel.close`.
        is_offering: A push is being offered to a connection that is played by messages.
    """

    def __init__(
        self,
        clock: Clock,
        reg: NDArray[np.int64],
        places: NDArray[np.int64],
        *,
        most_others: int,
        limit: int,
        pump: Call,
    ) -> None:
        jobs = 1 << (limit + most_others + 63).bit_length()  # a power of two: the kernel goes round in it
        self._clock, self._reg, self._places, self._pump = clock, reg, places, pump
        self.fifo, self.arrived = np.zeros(jobs, np.int32), np.zeros(jobs, np.int32)
        self.job_entity = np.zeros(2 * jobs, np.int64)
        self._jobs: dict[int, Job] = {}
        self._free_jobs = list(range(most_others + 63, -1, -1))
        self.is_offering = False
        self._is_stopped = False

    def stop(self) -> None:
        """The istiod ends."""
        self._is_stopped = True
        self._jobs.clear()
        del self._places

    def submit(self, entity: int, cost_ns: Callable[[], int] | int, done: Call) -> None:
        """Queues a job for the cores."""
        if self._is_stopped:
            return
        reg, now_ns = self._reg, self._clock.now_ns
        if not self._free_jobs:
            self._make_room_for_jobs()
        number = self._free_jobs.pop()
        self._jobs[number] = (entity, cost_ns, done)
        if reg[k.ARRIVED_NS] < now_ns:
            self._close()
            reg[k.ARRIVED_NS] = now_ns
        # Slots given away by this event go to pushes whose jobs are submitted before this one; a push that is
        # being offered has such a slot.
        is_late = reg[k.FREED] > 0 and reg[k.FREED_NS] == now_ns and not self.is_offering
        self.job_entity[len(self.job_entity) - 1 - number] = 2 * entity + is_late
        self.arrived[reg[k.ARRIVED]] = -1 - number
        reg[k.ARRIVED] += 1
        if reg[k.RUNNING] + reg[k.STARTS] < reg[k.SERVERS]:
            reg[k.DISPATCH] = 1

    def _close(self) -> None:
        """No more jobs arrive at the instant of the latest ones."""
        reg = self._reg
        count, tail = int(reg[k.ARRIVED]), int(reg[k.FIFO_TAIL])
        if count > 0:
            reg[k.FIFO_TAIL] = k.close(count, tail, self.arrived, self.job_entity, self._places, self.fifo)
            reg[k.ARRIVED] = 0

    def _make_room_for_jobs(self) -> None:
        """So many jobs of other kinds were never there at once."""
        reg, before, scratch = self._reg, len(self.fifo), self.job_entity
        seats = np.arange(reg[k.FIFO_HEAD], reg[k.FIFO_TAIL])
        fifo = np.zeros(2 * before, np.int32)
        fifo[seats % len(fifo)] = self.fifo[seats % before]
        self.fifo = fifo
        self.arrived = np.concatenate([self.arrived, np.zeros(before, np.int32)])
        self.job_entity = np.zeros(2 * len(scratch), np.int64)
        self.job_entity[len(scratch) :] = scratch
        most = len(self._jobs)
        self._free_jobs = list(range(most + before - 1, most - 1, -1))

    def start(self, number: int) -> None:
        """A job of another kind gets its core."""
        if self._is_stopped:
            return
        self._reg[k.AWAITED] = 0
        entity, cost_ns, done = self._jobs.pop(number)
        self._free_jobs.append(number)
        service_ns = cost_ns() if callable(cost_ns) else cost_ns
        self._clock.after(
            service_ns, lambda: self._complete(service_ns, done), band=Band.COMPLETION, entity=entity
        )

    def _complete(self, service_ns: int, done: Call) -> None:
        if self._is_stopped:
            return
        self._reg[k.BUSY] += service_ns
        done()
        reg, now_ns = self._reg, self._clock.now_ns
        reg[k.RUNNING] -= 1
        if reg[k.ARRIVED_NS] < now_ns:
            self._close()
        if reg[k.FIFO_HEAD] < reg[k.FIFO_TAIL]:
            reg[k.STARTS] += 1
            reg[k.STARTS_NS] = now_ns
        self._pump()
