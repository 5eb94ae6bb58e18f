"""Pushes to proxies counted by the instant their Start says, where their rows would be too many.

What `pilot_proxy_convergence_time` and `pilot_proxy_queue_time` need of the table of pushes to proxies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.recording.delivery_tally import SpanTally
from simulator.recording.instants import METRICS, Metric

__all__ = ["PUSH_SPANS", "PushTally"]

PUSH_SPANS: Final[tuple[Metric, ...]] = tuple(
    metric for metric in METRICS.values() if metric.table == "proxy_pushes"
)
"""The metrics that are counted: until the last Send of a push that sends anything, and until its turn."""

Whole = npt.NDArray[np.int64]


class PushTally:
    """The pushes of a run; see the module."""

    def __init__(self) -> None:
        self._spans = {metric.name: SpanTally() for metric in PUSH_SPANS}
        self._rows: dict[int, int] = {}
        self._counted: list[dict[str, int]] = []
        self.pushes: dict[int, int] = {}
        """Start -> pushes, those that sent nothing included."""
        self.in_hand_ns: dict[int, int] = {}
        """Replica -> how long pushes that sent anything were in hand, all together."""

    def add(self, start_ns: int, dequeued_ns: Whole, sent_ns: Whole) -> None:
        """Pushes of one Start; sent is -1 where nothing was."""
        if not len(dequeued_ns):
            return
        row = self._rows.setdefault(start_ns, len(self._rows))
        self.pushes[start_ns] = self.pushes.get(start_ns, 0) + len(dequeued_ns)
        ends = {"t_dequeued_ns": dequeued_ns, "t_sent_ns": sent_ns[sent_ns >= 0]}
        for metric in PUSH_SPANS:
            assert metric.later is not None
            later = ends[metric.later]
            if len(later):
                self._spans[metric.name].add(np.array([row]), np.sort(later), np.array([start_ns]))

    def of(self, metric: Metric, starts_ns: Iterable[int]) -> list[tuple[SpanTally, int]]:
        """Where the samples of a metric are, as rows of a tally, of pushes of these Starts."""
        span = self._spans[metric.name]
        return [(span, row) for start in starts_ns if span.count(row := self._rows[start])]
