"""The links between istiod and the proxies of the arrays: delays, and the order kept (a running maximum)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay
from simulator.engine.draws import Draws, KeyedDraws
from simulator.fleet.stream_settings import StreamSettings

Ints = NDArray[np.int64]
Small = NDArray[np.int32]


class Direction:
    """One direction of the links of all proxies (wire/link.py)."""

    def __init__(
        self, settings: StreamSettings, draws: Draws, purpose: str, entity: Ints, state: Ints
    ) -> None:
        self._settings, self._draws, self._entity = settings, draws, entity
        self.sent, self.last_ns = state
        delays = [settings.latency] + ([] if settings.hop is None else [settings.hop])
        purposes = (purpose, purpose + ".agent")
        self._constant_ns = sum(d.value_ns for d in delays if isinstance(d, Constant))
        self.laws = [
            (delay, purpose)
            for delay, purpose in zip(delays, purposes, strict=False)
            if not isinstance(delay, Constant)
        ]
        """Of what is drawn for each message, and what for."""

    @cached_property
    def _drawn(self) -> list[tuple[Delay, KeyedDraws]]:
        return [(delay, self._draws.keyed(purpose, self._entity)) for delay, purpose in self.laws]

    def least_ns(self, size_bytes: int) -> int:
        """How long a message takes without what is drawn."""
        rate = self._settings.bytes_per_second
        return self._constant_ns + (0 if rate is None else size_bytes * S // rate)

    def arrival_ns(self, place: Small, now_ns: Ints, size_bytes: Ints | int) -> Ints:
        """When messages sent now arrive; none overtakes."""
        arrival_ns = now_ns + self._constant_ns
        index = self.sent[place]
        self.sent[place] = index + 1
        if self._drawn:
            for delay, keyed in self._drawn:
                arrival_ns += delay.ns_array(keyed.uniform(place, index))
        if self._settings.bytes_per_second is not None:
            arrival_ns += size_bytes * S // self._settings.bytes_per_second
        np.maximum(arrival_ns, self.last_ns[place], out=arrival_ns)
        self.last_ns[place] = arrival_ns
        return arrival_ns
