"""The stats flushes that hold up the main threads of the proxies of the arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.stream_settings import StreamSettings

Ints = NDArray[np.int64]
Small = NDArray[np.int32]


class StatsFlushes:
    """The stats flushes of all main threads (envoy/main_thread.py), worked off when a job starts."""

    purpose = "envoy.costs.stats_flush_per_cluster"

    def __init__(self, settings: StreamSettings, draws: Draws, entity: Ints) -> None:
        self._draws, self._entity, self._law = draws, entity, settings.flush_per_cluster
        self._interval_ns = settings.flush_interval_ns
        self.is_off = self._interval_ns == 0 or self._law.is_zero
        count = 0 if self.is_off else len(entity)
        phase = draws.uniform_array("envoy.stats_flush_phase", entity[:count])
        self.state = np.zeros((count, 3), np.int64)
        """See `flush_kernel.NEXT_NS`."""
        self._next_ns, self._count, self._until_ns = self.state.T
        self._next_ns[:] = 1 + (phase * self._interval_ns).astype(np.int64)

    @property
    def bounds(self) -> tuple[float, float, int]:
        """Between which delays one takes for each cluster, evenly; and the interval, 0 where none is."""
        law = self._law
        if self.is_off:
            return 0, 0, 0
        if isinstance(law, Constant):
            return law.value_ns, law.value_ns, self._interval_ns
        assert isinstance(law, Uniform), "a law without bounds is refused by name"
        return law.low_ns, law.high_ns, self._interval_ns

    def begin(self, place: NDArray[np.int64], constructed_ns: Ints) -> None:
        """The timers of these are armed when their servers are constructed."""
        if not self.is_off:
            self._next_ns[place] = constructed_ns + self._interval_ns

    def standing(self, place: int) -> tuple[int, int, int]:
        """When the next flush of a proxy is due, how many were drawn, and when the latest is over."""
        if self.is_off:
            return 0, 0, 0
        return int(self._next_ns[place]), int(self._count[place]), int(self._until_ns[place])

    def continue_from(self, place: int, standing: tuple[int, int, int]) -> None:
        """The same, as it was worked out elsewhere."""
        if not self.is_off:
            self._next_ns[place], self._count[place], self._until_ns[place] = standing

    def take_too_long(self, clusters: Ints) -> NDArray[np.int8]:
        """By message, whether one of so many clusters (by move and message) may outlast the interval."""
        return np.array([self._longest_ns(c) >= self._interval_ns for c in clusters.T], np.int8)

    def _longest_ns(self, clusters: Ints) -> int:
        law = self._law
        each = (
            law.value_ns if isinstance(law, Constant) else law.high_ns if isinstance(law, Uniform) else None
        )
        if each is None:
            raise CannotTakeFleet("envoy.costs.stats_flush_per_cluster: a law without a longest delay")
        return int(each + 1) * int(clusters.max())

    def stall_ns(self, place: Small, start_ns: Ints, busy_until_ns: Ints, clusters: Ints) -> Ints:
        """How long jobs that start must wait for a flush under way."""
        due = np.flatnonzero(self._next_ns[place] <= start_ns)
        if len(due):
            if self._longest_ns(clusters) >= self._interval_ns:
                raise CannotTakeFleet("a stats flush that takes longer than envoy.stats_flush_interval")
            self._flush(place, due, start_ns, busy_until_ns, clusters)
        stall_ns: Ints = np.maximum(self._until_ns[place] - start_ns, 0)
        return stall_ns

    def _flush(
        self, place: Small, due: NDArray[np.int64], start_ns: Ints, busy_until_ns: Ints, clusters: Ints
    ) -> None:
        while len(due):
            who, start, busy = place[due], start_ns[due], busy_until_ns[due]
            next_ns, until = self._next_ns[who], self._until_ns[who]
            # Of flushes that nothing holds up each is over before the next: only the last one matters.
            free = (busy <= next_ns) & (until <= next_ns)
            skipped = np.where(free, (start - next_ns) // self._interval_ns, 0)
            next_ns += skipped * self._interval_ns
            count = self._count[who]
            if isinstance(self._law, Constant):
                each = np.full(len(who), self._law.value_ns, np.int64)
            else:
                count += skipped
                u = self._draws.uniform_array(self.purpose, self._entity[who], count)
                each = self._law.ns_array(u)
                count += 1
            until = np.where(skipped > 0, 0, until)
            self._until_ns[who] = np.maximum(np.maximum(next_ns, until), busy) + each * clusters[due]
            self._next_ns[who], self._count[who] = next_ns + self._interval_ns, count
            due = due[self._next_ns[who] <= start]
