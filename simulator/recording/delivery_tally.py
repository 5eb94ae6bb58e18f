"""Deliveries counted as they end, where their rows would be too many.

For each change and each span of a delivery how many fell into each bucket (`buckets`), exact sum, smallest
and largest, and how many never ended; and how many deliveries came to which end. Everything is a count, a sum
of whole numbers, or an extreme: the order in which deliveries are counted changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simulator.recording.buckets import NEVER, SUB_BUCKETS, ZERO, begins_ns, buckets_of_ns, first_bucket
from simulator.recording.instants import GOOD_OUTCOMES, METRICS, NEVER_ENDED, Shape

__all__ = ["SPANS", "DeliveryTally", "SpanTally"]

SPANS: Final = tuple(
    metric for metric in METRICS.values() if metric.table == "deliveries" and metric.shape is Shape.SPAN
)
"""The metrics that are counted for each change."""

Whole = npt.NDArray[np.int64]
_LONGEST: Final = 2**62


class SpanTally:
    """Samples of one span, by row: whole ns, not negative."""

    def __init__(self) -> None:
        self._counts = np.zeros((0, 0), np.int32)
        self._first = 0
        """The bucket of the first column of counts."""
        self._zeros, self._never = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._low_ns, self._high_ns = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._sums: list[int] = []

    def _make_room(self, rows: int, low: int, high: int) -> None:
        """So many rows, and columns for these buckets."""
        have, width = self._counts.shape
        first = self._first if width else low // SUB_BUCKETS * SUB_BUCKETS
        begin = min(first, low // SUB_BUCKETS * SUB_BUCKETS)
        end = max(first + width, (high // SUB_BUCKETS + 1) * SUB_BUCKETS)
        if begin == first and end == first + width and rows <= have:
            return
        grown = max(rows, have if rows <= have else 2 * have)
        counts = np.zeros((grown, end - begin), np.int32)
        counts[:have, first - begin : first - begin + width] = self._counts
        self._counts, self._first = counts, begin
        more = grown - have
        self._zeros, self._never = (
            np.concatenate([n, np.zeros(more, np.int64)]) for n in (self._zeros, self._never)
        )
        self._low_ns = np.concatenate([self._low_ns, np.full(more, _LONGEST)])
        self._high_ns = np.concatenate([self._high_ns, np.full(more, -1)])
        self._sums += [0] * more

    def add(self, rows: Whole, ascending_ns: Whole, less_ns: Whole) -> None:
        """To each of these rows (each once) all these samples, sorted, less a number of the row."""
        count = len(ascending_ns)
        low_ns, high_ns = ascending_ns[0] - less_ns, ascending_ns[-1] - less_ns
        assert low_ns.min() >= 0, f"a negative span: {low_ns.min()} ns"
        first, last = (buckets_of_ns(ends) for ends in (low_ns, high_ns))
        self._make_room(int(rows.max()) + 1, int(first.min()), int(last.max()))
        zeros = np.searchsorted(ascending_ns, less_ns, "right")
        # Of each row: where its second bucket begins among the samples, the third, and so on; all behind
        # one another.
        between = last - first
        ends = np.cumsum(between + 1)
        seat = np.arange(ends[-1]) - np.repeat(ends - between - 1, between + 1)
        of = np.repeat(np.arange(len(rows)), between + 1)
        buckets = first[of] + seat
        until = np.full(len(seat), count)
        inner = np.flatnonzero(seat < between[of])
        begins = begins_ns()[buckets[inner] + 1 - first_bucket()]
        until[inner] = np.searchsorted(ascending_ns, begins + less_ns[of[inner]])
        since = np.concatenate([[0], until[:-1]])
        since[seat == 0] = zeros
        self._counts[rows[of], buckets - self._first] += (until - since).astype(np.int32)
        self._zeros[rows] += zeros
        self._extremes(rows, low_ns, high_ns)
        total = int(ascending_ns.sum())
        for row, less in zip(rows.tolist(), less_ns.tolist(), strict=True):
            self._sums[row] += total - count * less

    def add_same(self, rows: Whole, ascending_ns: Whole) -> None:
        """To each of these rows (each once) all these samples, sorted."""
        one = SpanTally()
        one.add(np.zeros(1, np.int64), ascending_ns, np.zeros(1, np.int64))
        width = one._counts.shape[1]
        self._make_room(int(rows.max()) + 1, one._first, one._first + width - 1)
        begin = one._first - self._first
        self._counts[rows, begin : begin + width] += one._counts[0]
        self._zeros[rows] += one._zeros[0]
        ends = np.broadcast_to(one._low_ns, rows.shape), np.broadcast_to(one._high_ns, rows.shape)
        self._extremes(rows, *ends)
        for row in rows.tolist():
            self._sums[row] += one._sums[0]

    def add_constant(self, rows: Whole, spans_ns: Whole, times: int) -> None:
        """To each of these rows (each once) a sample of its own, so many times."""
        assert spans_ns.min() >= 0, f"a negative span: {spans_ns.min()} ns"
        buckets = buckets_of_ns(spans_ns)
        self._make_room(int(rows.max()) + 1, int(buckets.min()), int(buckets.max()))
        is_zero = spans_ns == 0
        self._zeros[rows] += np.where(is_zero, times, 0)
        self._counts[rows, buckets - self._first] += np.where(is_zero, 0, times).astype(np.int32)
        self._extremes(rows, spans_ns, spans_ns)
        for row, span in zip(rows.tolist(), spans_ns.tolist(), strict=True):
            self._sums[row] += times * span

    def add_never(self, row: int, times: int) -> None:
        """So many samples of a row that never ended."""
        bucket = self._first if self._counts.size else 0
        self._make_room(row + 1, bucket, bucket)
        self._never[row] += times

    def _extremes(self, rows: Whole, low_ns: Whole, high_ns: Whole) -> None:
        self._low_ns[rows] = np.minimum(self._low_ns[rows], low_ns)
        self._high_ns[rows] = np.maximum(self._high_ns[rows], high_ns)

    def count(self, row: int) -> int:
        """How many samples a row has."""
        if row >= len(self._counts):
            return 0
        return int(self._counts[row].sum() + self._zeros[row] + self._never[row])

    def buckets(self, row: int) -> tuple[Whole, Whole]:
        """The buckets of a row that hold anything, ascending, and how many."""
        counts = self._counts[row]
        found = np.flatnonzero(counts)
        zeros, never = int(self._zeros[row]), int(self._never[row])
        below, above = ([end for end in (n,) if end] for n in (zeros, never))
        return (
            np.concatenate([[ZERO] * len(below), found + self._first, [NEVER] * len(above)]).astype(np.int64),
            np.concatenate([below, counts[found], above]).astype(np.int64),
        )

    def ends_ns(self, row: int) -> tuple[int | None, int | None]:
        """Smallest and largest sample of a row; None for what never ended."""
        low, high = int(self._low_ns[row]), int(self._high_ns[row])
        return None if high < 0 else low, None if self._never[row] or high < 0 else high

    def sum_ns(self, row: int) -> int | None:
        """Sum of the samples of a row; None if one never ended."""
        return None if self._never[row] else self._sums[row]


class DeliveryTally:
    """The deliveries of a run by change; see the module."""

    def __init__(self) -> None:
        self.spans = {metric.name: SpanTally() for metric in SPANS}
        self._outcomes: dict[str, Whole] = {}
        self._active = np.zeros(0, np.int64)

    def outcomes(self, change: int) -> dict[str, int]:
        """Outcome -> deliveries of a change, by name."""
        counts = {name: int(n[change]) for name, n in sorted(self._outcomes.items()) if change < len(n)}
        return {name: count for name, count in counts.items() if count}

    def active(self, change: int) -> int:
        """Deliveries whose change came to decide traffic, superseded ones included."""
        return int(self._active[change]) if change < len(self._active) else 0

    def add_outcome(self, outcome: str, changes: Whole, times: int, *, active: bool) -> None:
        """To each of these changes (each once) so many deliveries of this end."""
        rows = int(changes.max()) + 1
        self._outcomes[outcome] = _grown(self._outcomes.get(outcome, np.zeros(0, np.int64)), rows)
        self._outcomes[outcome][changes] += times
        if active:
            self._active = _grown(self._active, rows)
            self._active[changes] += times

    def add_pending(self, change: int, times: int) -> None:
        """Deliveries of a change of which nothing was seen."""
        self.add_outcome("pending", np.array([change]), times, active=False)
        for span in self.spans.values():
            span.add_never(change, times)

    def add_rows(self, change: int, rows: Mapping[str, Any]) -> None:
        """Deliveries of one change as columns; -1 stands for an instant that was not reached."""
        who, outcomes = np.array([change]), rows["outcome"]
        good, ended = np.zeros(len(outcomes), bool), np.ones(len(outcomes), bool)
        for outcome in dict.fromkeys(outcomes.tolist()):
            of_it = outcomes == outcome
            self.add_outcome(outcome, who, int(of_it.sum()), active=False)
            ended &= ~of_it if outcome in NEVER_ENDED else True
            if outcome == "superseded":
                good |= of_it & (rows["t_active_ns"] >= 0)
            elif outcome in GOOD_OUTCOMES["deliveries"]:
                good |= of_it
        self._active = _grown(self._active, change + 1)
        self._active[change] += int(good.sum())
        for metric in SPANS:
            assert metric.later is not None
            assert metric.earlier is not None
            later, earlier = rows[metric.later], rows[metric.earlier]
            both = ended & (later >= 0) & (earlier >= 0)
            spans_ns = np.sort((later - earlier)[both])
            if len(spans_ns):
                self.spans[metric.name].add_same(who, spans_ns)
            if len(spans_ns) < len(outcomes):
                self.spans[metric.name].add_never(change, len(outcomes) - len(spans_ns))


def _grown(counts: Whole, rows: int) -> Whole:
    if rows <= len(counts):
        return counts
    return np.concatenate([counts, np.zeros(max(rows, 2 * len(counts)) - len(counts), np.int64)])
