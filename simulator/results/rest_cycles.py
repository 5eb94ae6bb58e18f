"""Intervals from a single run: the cycles between moments of rest, when no change is outstanding anywhere.

A change that finds every earlier one delivered begins a cycle; what follows owes nothing to what was before,
as far as the model has no memory beyond what is outstanding (debounce, queues, streams; the phases of pollers
are one, which the test for correlation is there to notice). Successive cycles are joined into units of about
equal number, and the units give the interval. A run with one push has one cycle, and so no interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from simulator.recording.instants import METRICS, Metric, Shape
from simulator.results import metrics
from simulator.results.intervals import NO_INTERVAL, Interval, are_uncorrelated, mean_interval
from simulator.results.metrics import NEVER, NO_INTERVAL_OF_ONE_RUN, Nanoseconds, Observed
from simulator.results.statistics import Values

if TYPE_CHECKING:
    from simulator.results.folded import FoldedDeliveries

__all__ = ["FEWEST", "summary"]

FEWEST: Final = 20
"""Cycles of rest that a run needs for an interval (assumption: enough for Student's t on skewed units)."""
MOST_UNITS: Final = 30
"""Cycles are joined into at most so many units: more would gain little and keep more of their correlation."""
_INSTANTS: Final = {"deliveries": "t_changed_ns", "proxy_pushes": "t_start_ns"}
"""Table -> the instant that tells the cycle of a row."""


def summary(observed: Observed) -> pd.DataFrame:
    """The summary of a run, its means with intervals where the run came to rest often enough."""
    table = metrics.summary(observed)
    starts = _cycle_starts(observed)
    columns = {column: table[column].tolist() for column in ("ci_low", "ci_high", "note")}
    for place, name in enumerate(table.index):
        metric = METRICS[name]
        if metric.table not in _INSTANTS or metric.shape not in (
            Shape.SPAN,
            Shape.REACHED_SPAN,
            Shape.LAST_OF_CHANGE,
        ):
            continue
        interval, why = _interval(observed, metric, starts)
        notes = str(columns["note"][place]).removeprefix(NO_INTERVAL_OF_ONE_RUN).removeprefix("; ")
        columns["ci_low"][place], columns["ci_high"][place] = interval.low, interval.high
        columns["note"][place] = "; ".join(note for note in (why, notes) if note)
    return metrics.summary_types(table.assign(**columns))


def _cycle_starts(observed: Observed) -> Nanoseconds:
    """The changes, after the warm-up, that found every earlier one delivered."""
    if observed.folded is not None:
        return _starts_of_folded(observed, observed.folded)
    rows = observed.tables["deliveries"]
    if not len(rows):
        return np.empty(0, dtype=np.int64)
    changed = rows["t_changed_ns"].to_numpy(dtype=np.int64)
    ends = rows["t_active_ns"].to_numpy(dtype=np.float64, na_value=np.inf)
    ends[rows["outcome"].isin(NEVER).to_numpy(dtype=bool)] = np.inf
    return _starts(changed, ends, observed.warm_up_ns)


def _starts_of_folded(observed: Observed, folded: FoldedDeliveries) -> Nanoseconds:
    changes = [change for change in folded.changes if change.rows]
    changed = np.array([change.t_changed_ns for change in changes], np.int64)
    delays_ns = np.rint(np.array([change.spans["active_delay"].max for change in changes]) * 1e9)
    return _starts(changed, changed.astype(np.float64) + delays_ns, observed.warm_up_ns)


def _starts(changed: Nanoseconds, ends: Values, warm_up_ns: int) -> Nanoseconds:
    begins, places = np.unique(changed, return_inverse=True)
    last = np.full(len(begins), -np.inf)
    np.maximum.at(last, places, ends)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(last)[:-1]])
    return begins[(begins >= before) & (begins >= warm_up_ns)]


def _interval(observed: Observed, metric: Metric, starts: Nanoseconds) -> tuple[Interval, str]:
    if len(starts) < FEWEST:
        times = "once" if len(starts) == 1 else f"{len(starts)} times"
        found = f"{NO_INTERVAL_OF_ONE_RUN}, and this one came to rest before a change {times} only"
        return NO_INTERVAL, found if len(starts) else NO_INTERVAL_OF_ONE_RUN
    if observed.folded is not None and metrics.is_of_histograms(metric):
        return NO_INTERVAL, f"{NO_INTERVAL_OF_ONE_RUN}: histograms are not divided into cycles"
    rows = metrics.metric_rows(observed, metric)
    values = metrics.metric_values(metric, rows)
    at = rows[_INSTANTS[metric.table]]
    if metric.shape is Shape.LAST_OF_CHANGE:
        at = at.groupby(rows["change_id"]).first()
    if not np.isfinite(values).all():
        return NO_INTERVAL, "no interval: some never came to an end"
    totals, counts = _units(values, at.to_numpy(dtype=np.int64), starts)
    if not are_uncorrelated(totals / counts):
        return NO_INTERVAL, "no interval: what happens depends on what happened long before"
    interval = mean_interval(totals, counts)
    told = f"interval from {len(starts):,} cycles between moments of rest"
    return Interval(max(interval.low, 0.0), interval.high), told


def _units(values: Values, at: Nanoseconds, starts: Nanoseconds) -> tuple[Values, Values]:
    """The sum and the number of the values in each unit; units without any are left out."""
    cycle = np.searchsorted(starts, at, side="right") - 1
    count = min(len(starts), MOST_UNITS)
    unit = cycle * count // len(starts)
    inside = cycle >= 0
    totals: Values = np.bincount(unit[inside], weights=values[inside], minlength=count).astype(np.float64)
    counts = np.bincount(unit[inside], minlength=count).astype(np.float64)
    return totals[counts > 0], counts[counts > 0]
