"""Deliveries as histograms: what is kept of them where their rows would be too many.

For each change and each span of a delivery one log-linear histogram (`histograms`: within 0.4 % of each
sample, the largest and the number that never ended exact), the sum, and how many deliveries came to which
end; beside them the rows of some proxies, the same for every change, chosen by a draw. Memory: some ten
kilobytes a change, whatever the number of proxies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.engine.draws import Draws
from simulator.recording.instants import GOOD_OUTCOMES, METRICS, Metric, Shape
from simulator.recording.recorder import Recorder
from simulator.results.histograms import Histogram
from simulator.results.metrics import NEVER, MetricError
from simulator.results.samples import Samples

__all__ = ["SAMPLED_ROWS", "FoldedDeliveries", "fold", "is_folded"]

SAMPLED_ROWS: Final = 20_000
"""About so many rows are kept beside the histograms (assumption: enough for a p99 by the rows alone)."""
_PURPOSE: Final = "recording.deliveries.sample"
_SECOND: Final = 1e9

SPANS: Final = tuple(
    metric for metric in METRICS.values() if metric.table == "deliveries" and metric.shape is Shape.SPAN
)
"""The metrics that have a histogram for each change."""
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
    """The deliveries of a run, change by change."""

    changes: Sequence[FoldedChange]

    @property
    def rows(self) -> int:
        """Deliveries."""
        return sum(change.rows for change in self.changes)

    def after(self, warm_up_ns: int) -> FoldedDeliveries:
        """Those of changes that are counted."""
        return FoldedDeliveries([c for c in self.changes if c.t_changed_ns >= warm_up_ns])

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
        return FoldedDeliveries(chosen)

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
        rows: list[tuple[Any, ...]] = []
        for c in self.changes:
            head = (c.change_id, c.kind, c.name, c.t_changed_ns)
            rows += [(*head, "", outcome, 0, count, 0.0, 0.0, 0.0) for outcome, count in c.outcomes.items()]
            rows.append((*head, "", "", 0, c.active, 0.0, 0.0, 0.0))
            for metric, samples in c.spans.items():
                histogram = samples.as_histogram()
                ends = (histogram.low, histogram.high, samples.total)
                told = histogram.to_lists()
                pairs = zip(told["buckets"], told["counts"], strict=True)
                rows += [(*head, metric, "", bucket, count, *ends) for bucket, count in pairs]
        return pd.DataFrame(rows, columns=list(_FILE_COLUMNS)).astype(_FILE_COLUMNS)

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


def is_folded(recorder: Recorder) -> bool:
    """Whether the deliveries of this run become histograms."""
    if recorder.folds_deliveries is not None:
        return recorder.folds_deliveries
    return sum(row[-1] for row in recorder.change_rows) > recorder.most_delivery_rows


def fold(recorder: Recorder, parts: Iterable[Columns]) -> tuple[FoldedDeliveries, list[dict[str, Any]]]:
    """The histograms, and the rows that are kept beside them.

    Args:
        recorder: Of the run.
        parts: The rows as columns, change after change; -1 stands for an instant that was not reached.
    """
    total = sum(row[-1] for row in recorder.change_rows)
    share = min(1.0, SAMPLED_ROWS / max(total, 1))
    changes: list[FoldedChange] = []
    sampled: list[dict[str, Any]] = []
    for part in parts:
        changes.append(_folded(recorder, part))
        chosen = np.flatnonzero(Draws(0, 0).uniform_array(_PURPOSE, part["proxy"]) < share)
        sampled.append({name: values[chosen] for name, values in part.items()})
    return FoldedDeliveries(changes), sampled


def _folded(recorder: Recorder, part: Columns) -> FoldedChange:
    change_id, kind, name, t_changed_ns, _ = recorder.change_rows[int(part["change_id"][0])]
    outcomes = part["outcome"]
    counts = {str(o): int((outcomes == o).sum()) for o in dict.fromkeys(outcomes.tolist())}
    never = np.isin(outcomes, NEVER)
    good = np.isin(outcomes, GOOD_OUTCOMES["deliveries"])
    good |= (outcomes == "superseded") & (part["t_active_ns"] >= 0)
    spans = {metric.name: _span(metric, part, ~never) for metric in SPANS}
    return FoldedChange(change_id, kind, name, t_changed_ns, counts, int(good.sum()), spans)


def _span(metric: Metric, part: Columns, may_end: npt.NDArray[np.bool_]) -> Samples:
    assert metric.later is not None
    assert metric.earlier is not None
    later, earlier = part[metric.later], part[metric.earlier]
    ended = may_end & (later >= 0) & (earlier >= 0)
    took_ns: Whole = later - earlier
    if ended.all():
        values, total = took_ns / _SECOND, float(took_ns.sum()) / _SECOND
    else:
        values, total = np.where(ended, took_ns / _SECOND, math.inf), math.inf
    return Samples.of_histogram(Histogram.of(values), total)
