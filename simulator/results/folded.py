"""Deliveries as histograms: what is kept of them where their rows would be too many.

For each change and each span of a delivery one log-linear histogram (`histograms`: within 0.4 % of each
sample, the largest and the number that never ended exact), the sum, and how many deliveries came to which
end; beside them the rows of some proxies, the same for every change, chosen by a draw. Memory: some ten
kilobytes a change, whatever the number of proxies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.recording.delivery_tally import DeliveryTally, SpanTally
from simulator.recording.instants import Metric, Shape
from simulator.recording.push_tally import PushTally
from simulator.recording.recorder import Recorder
from simulator.recording.rows import ChangeRecord
from simulator.recording.sampling import is_sampled, sampled_share
from simulator.results.errors import MetricError
from simulator.results.histograms import Histogram
from simulator.results.samples import Samples

__all__ = ["FoldedDeliveries", "fold"]

_SECOND: Final = 1e9
NARROWED_BY: Final = ("change_id", "kind", "name")

Whole = npt.NDArray[np.int64]
Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FoldedChange:
    """The deliveries of one change.

    Attributes:
        change_id: Which one.
        kind: Its kind.
        name: Its name.
        t_changed_ns: When it happened.
        outcomes: Outcome -> deliveries.
        active: Deliveries whose change came to decide traffic, superseded ones included.
        spans: Metric -> its samples.
    """

    change_id: int
    kind: str
    name: str
    t_changed_ns: int
    outcomes: Mapping[str, int]
    active: int
    spans: Mapping[str, Samples]

    @property
    def rows(self) -> int:
        """Deliveries."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, eq=False)
class FoldedDeliveries:
    """The deliveries of a run, change by change, and its pushes to proxies where these are counted too."""

    changes: Sequence[FoldedChange]
    pushes: PushTally | None = None
    counted_from_ns: int = 0

    @property
    def rows(self) -> int:
        """Deliveries."""
        return sum(change.rows for change in self.changes)

    def after(self, warm_up_ns: int) -> FoldedDeliveries:
        """Those of changes that are counted."""
        chosen = [c for c in self.changes if c.t_changed_ns >= warm_up_ns]
        return FoldedDeliveries(chosen, self.pushes, warm_up_ns)

    def narrowed(self, filters: Sequence[tuple[str, object]]) -> FoldedDeliveries:
        """Those that pass every filter; raises MetricError for one that only rows could pass."""
        chosen = list(self.changes)
        for column, value in filters:
            if column not in NARROWED_BY:
                raise MetricError(
                    f"{column}={value}: the deliveries of this run are histograms by change, and can be "
                    f"narrowed by {', '.join(NARROWED_BY)}; recording.deliveries: table keeps every row"
                )
            chosen = [c for c in chosen if str(getattr(c, column)) == str(value)]
        return FoldedDeliveries(chosen, self.pushes, self.counted_from_ns)

    def _starts_ns(self) -> list[int]:
        assert self.pushes is not None
        return [start_ns for start_ns in self.pushes.pushes if start_ns >= self.counted_from_ns]

    @property
    def proxy_pushes(self) -> int:
        """Pushes to proxies that are counted."""
        assert self.pushes is not None
        return sum(self.pushes.pushes[start_ns] for start_ns in self._starts_ns())

    def samples_of_pushes(self, metric: Metric) -> Samples:
        """All samples of a metric of pushes to proxies."""
        assert self.pushes is not None
        return Samples.merged([_samples(*of) for of in self.pushes.of(metric, self._starts_ns())])

    def samples(self, metric: Metric) -> Samples:
        """All samples of a metric: of each delivery, or of each change."""
        if metric.shape is Shape.LAST_OF_CHANGE:
            return Samples.of(np.array([c.spans["active_delay"].max for c in self.changes if c.rows]))
        return Samples.merged([c.spans[metric.name] for c in self.changes if c.rows])

    def outcomes(self) -> dict[str, int]:
        """Outcome -> deliveries."""
        counts: dict[str, int] = {}
        for change in self.changes:
            for outcome, count in change.outcomes.items():
                counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def good(self) -> int:
        """Deliveries whose change came to decide traffic, superseded ones carried by newer ones included."""
        return sum(change.active for change in self.changes)

    # --- as a file

    def to_frame(self) -> pd.DataFrame:
        """A row for each bucket of each histogram; those without metric count outcomes."""
        pieces = [piece for change in self.changes for piece in _pieces(change)]
        lengths = [len(piece.counts) for piece in pieces]
        columns: dict[str, Any] = {
            name: np.repeat(np.array([getattr(piece, name) for piece in pieces], kind), lengths)
            for name, kind in _PIECE_COLUMNS.items()
        }
        for name in ("bucket", "count"):
            values = [getattr(piece, name + "s") for piece in pieces]
            columns[name] = np.concatenate(values) if values else np.empty(0, np.int64)
        return pd.DataFrame({name: columns[name] for name in _FILE_COLUMNS}).astype(_FILE_COLUMNS)

    def to_bytes(self) -> Iterator[bytes]:
        """All of it, in a form that is equal exactly when it is, on every platform."""
        for change in self.changes:
            for piece in _pieces(change):
                told = {name: getattr(piece, name) for name in _PIECE_COLUMNS if name not in _ENDS}
                yield json.dumps({**told, "buckets": len(piece.counts)}, separators=(",", ":")).encode()
                yield np.array([getattr(piece, name) for name in _ENDS], "<f8").tobytes()
                yield piece.buckets.astype("<i8").tobytes() + piece.counts.astype("<i8").tobytes()

    @classmethod
    def from_frame(cls, rows: pd.DataFrame) -> FoldedDeliveries:
        """What `to_frame` gave."""
        changes = []
        for _, of_change in rows.groupby("change_id", sort=True):
            first = of_change.iloc[0]
            counted = of_change[of_change["metric"] == ""]
            ends = dict(zip(counted["outcome"], counted["count"], strict=True))
            active = int(ends.pop(""))
            spans = {}
            for metric, cells in of_change[of_change["metric"] != ""].groupby("metric", sort=False):
                told = cells.iloc[0]
                buckets, counts = (cells[name].to_numpy(np.int64) for name in ("bucket", "count"))
                histogram = Histogram(buckets, counts, float(told["low"]), float(told["high"]))
                spans[str(metric)] = Samples.of_histogram(histogram, float(told["total"]))
            changes.append(
                FoldedChange(
                    int(first["change_id"]),
                    str(first["kind"]),
                    str(first["name"]),
                    int(first["t_changed_ns"]),
                    {str(outcome): int(count) for outcome, count in ends.items()},
                    active,
                    spans,
                )
            )
        return cls(changes)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """One histogram of a change, one of its outcomes, or, with neither, how often it decided traffic."""

    change_id: int
    kind: str
    name: str
    t_changed_ns: int
    metric: str
    outcome: str
    low: float
    high: float
    total: float
    buckets: Whole
    counts: Whole


def _pieces(change: FoldedChange) -> Iterator[_Piece]:
    head = change.change_id, change.kind, change.name, change.t_changed_ns
    none = np.zeros(1, np.int64)
    for outcome, count in (*change.outcomes.items(), ("", change.active)):
        yield _Piece(*head, "", outcome, 0.0, 0.0, 0.0, none, np.array([count], np.int64))
    for metric, samples in change.spans.items():
        held = samples.as_histogram()
        yield _Piece(*head, metric, "", held.low, held.high, samples.total, held.buckets, held.counts)


_ENDS: Final = ("low", "high", "total")
_PIECE_COLUMNS: Final = {
    "change_id": "int64",
    "kind": "object",
    "name": "object",
    "t_changed_ns": "int64",
    "metric": "object",
    "outcome": "object",
    "low": "float64",
    "high": "float64",
    "total": "float64",
}
_FILE_COLUMNS: Final = {
    "change_id": "int64",
    "kind": "string",
    "name": "string",
    "t_changed_ns": "int64",
    "metric": "string",
    "outcome": "string",
    "bucket": "int64",
    "count": "int64",
    "low": "float64",
    "high": "float64",
    "total": "float64",
}


def fold(
    recorder: Recorder, own: Iterable[Columns], further: Iterable[Columns]
) -> tuple[FoldedDeliveries, list[Columns]]:
    """The histograms, and the rows that are kept beside them.

    Args:
        recorder: Of the run. Where it has counted deliveries already, `further` holds none but sampled ones.
        own: Rows as columns, those of one change after those of another, that nobody has counted.
        further: Rows of proxies that are advanced in arrays.
    """
    is_counted = recorder.delivery_tally is not None
    tally = recorder.delivery_tally or DeliveryTally()
    share = sampled_share(recorder.deliveries_begun)
    sampled: list[Columns] = []
    for parts, counts in ((own, True), (further, not is_counted)):
        for part in parts:
            if counts:
                tally.add_rows(int(part["change_id"][0]), part)
            chosen = np.flatnonzero(is_sampled(part["proxy"], share))
            sampled.append({name: values[chosen] for name, values in part.items()})
    changes = [_folded(tally, row) for row in recorder.change_rows]
    return FoldedDeliveries([c for c in changes if c.rows], _pushes(recorder)), sampled


def _pushes(recorder: Recorder) -> PushTally | None:
    """The pushes to proxies, of all of them, unless each has its row."""
    if recorder.keeps_proxy_pushes:
        return None
    tally = recorder.push_tally or PushTally()
    by_start: dict[int, list[tuple[int, int]]] = {}
    for _, _, _, start_ns, _, dequeued_ns, sent_ns, _ in recorder.proxy_push_rows:
        by_start.setdefault(start_ns, []).append((dequeued_ns, -1 if sent_ns is None else sent_ns))
    for start_ns, rows in by_start.items():
        dequeued, sent = np.array(rows, np.int64).T
        tally.add(start_ns, dequeued, sent)
    if recorder.push_tally is None and recorder.proxy_push_columns:
        starts, dequeued, sent = (
            recorder.proxy_push_columns[name] for name in ("t_start_ns", "t_dequeued_ns", "t_sent_ns")
        )
        order = np.argsort(starts, kind="stable")
        begins = np.flatnonzero(np.diff(starts[order], prepend=-1))
        for of_one in np.split(order, begins[1:]):
            tally.add(int(starts[of_one[0]]), dequeued[of_one], sent[of_one])
    return tally


def _folded(tally: DeliveryTally, row: ChangeRecord) -> FoldedChange:
    change_id, kind, name, t_changed_ns, _ = row
    outcomes = tally.outcomes(change_id)
    spans = {metric: _samples(span, change_id) for metric, span in tally.spans.items()} if outcomes else {}
    return FoldedChange(change_id, kind, name, t_changed_ns, outcomes, tally.active(change_id), spans)


def _samples(span: SpanTally, change: int) -> Samples:
    low, high = (math.inf if end is None else end / _SECOND for end in span.ends_ns(change))
    sum_ns = span.sum_ns(change)
    total = math.inf if sum_ns is None else float(sum_ns) / _SECOND
    return Samples.of_histogram(Histogram(*span.buckets(change), low, high), total)
