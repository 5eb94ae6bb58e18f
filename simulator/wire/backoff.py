"""Full-jitter exponential back-off, as Envoy's xDS streams use it.

Source: source/common/common/backoff_strategy.cc (JitteredExponentialBackOffStrategy); rules D2 and D4.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.engine.clock import MS
from simulator.engine.draws import Draws


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """``base_ns`` and ``max_ns`` of the interval (500 ms and 30 s in Envoy)."""

    base_ns: int
    max_ns: int


class JitteredBackoff:
    """The k-th wait is a whole number of ms, uniform in [0, min(base x 2^k, max)); k starts again after
    `reset`."""

    __slots__ = ("_drawn", "_draws", "_entity", "_interval_ns", "_purpose", "_settings")

    def __init__(self, settings: BackoffSettings, draws: Draws, purpose: str, entity: int) -> None:
        self._settings = settings
        self._draws = draws
        self._purpose = purpose
        self._entity = entity
        self._drawn = 0
        self._interval_ns = settings.base_ns

    def next_ns(self) -> int:
        """The next wait; doubles the interval."""
        u = self._draws.uniform(self._purpose, self._entity, self._drawn)
        self._drawn += 1
        interval_ns = self._interval_ns
        self._interval_ns = min(2 * interval_ns, self._settings.max_ns)
        return int(u * (interval_ns // MS)) * MS

    @property
    def drawn(self) -> int:
        """How many waits there were."""
        return self._drawn

    def continue_from(self, drawn: int, interval_ns: int) -> None:
        """So many waits were drawn elsewhere; the next one is of this interval."""
        self._drawn, self._interval_ns = drawn, interval_ns

    def reset(self) -> None:
        """A response arrived: the interval is the base again (being connected alone does not do that)."""
        self._interval_ns = self._settings.base_ns
