"""Metrics of a run: which rows each looks at, what it takes from them, and the summary of them all.

The metrics themselves are data (`simulator.recording.instants`); this module evaluates their shapes on the
tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.engine.clock import DurationError, parse_duration
from simulator.recording.columns import TABLES
from simulator.recording.instants import (
    GOOD_OUTCOMES,
    METRICS,
    NEVER_ENDED,
    Metric,
    Shape,
    filter_columns,
)
from simulator.results.errors import MetricError
from simulator.results.histograms import RELATIVE_ERROR
from simulator.results.samples import Samples
from simulator.results.statistics import Values, quantile, supports

if TYPE_CHECKING:
    from simulator.results.folded import FoldedDeliveries

NEVER: Final = NEVER_ENDED
"""Outcomes of a delivery that did not come to an end: each of its delays counts as +infinity."""

SUMMARY_COLUMNS: Final = (
    "mean", "p50", "p90", "p99", "max", "n", "ci_low", "ci_high", "unit", "pending", "note",
)  # fmt: skip
TOTALS: Final = (Shape.FAILED, Shape.STALE, Shape.OCCURRENCE)
"""Shapes whose sum over a run is one number about the run; single rows of them say nothing."""

_COUNTED_FROM: Final[Mapping[str, str]] = {
    "changes": "t_changed_ns",
    "deliveries": "t_changed_ns",
    "proxy_pushes": "t_start_ns",
}
"""Table -> the instant that decides whether a row falls into the warm-up."""

_NEVER_ENDED: Final = "(never ended)"
"""Column that says it of each delivery, where many metrics ask."""
NO_INTERVAL_OF_ONE_RUN: Final = "no interval: one run is one independent unit"
_SECOND: Final = 1e9  # nanoseconds

Filters = Sequence[tuple[str, object]]
Nanoseconds = npt.NDArray[np.int64]


class Observed(Protocol):
    """The tables of a run, and the instant before which changes are not counted."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Table name -> rows."""

    @property
    def warm_up_ns(self) -> int:
        """Changes before this instant happened but are not counted."""

    @property
    def end_ns(self) -> int:
        """When the run ended."""

    @property
    def folded(self) -> FoldedDeliveries | None:
        """The deliveries as histograms, where these stand for their rows."""

    @property
    def utilisation(self) -> Mapping[str, float]:
        """Station -> share of the run that its servers were busy."""


def metric_rows(observed: Observed, metric: Metric, filters: Filters = ()) -> pd.DataFrame:
    """The rows `metric` looks at: those after the warm-up that pass every filter; raises MetricError.

    Deliveries carry the kind and name of their change as further columns.
    """
    rows = observed.tables[metric.table]
    if metric.table == "deliveries":
        changes = observed.tables["changes"].set_index("change_id")
        rows = rows.assign(**{column: rows["change_id"].map(changes[column]) for column in ("kind", "name")})
    rows = _reached(metric, _after_warm_up(observed, metric.table, rows))
    for column, value in filters:
        if not is_fetch_type(metric, column):
            rows = rows[passes(rows, metric, column, value)]
    return rows


def _counted_rows(observed: Observed, table: str) -> pd.DataFrame:
    """The rows of a table after the warm-up."""
    return _after_warm_up(observed, table, observed.tables[table])


def _after_warm_up(observed: Observed, table: str, rows: pd.DataFrame) -> pd.DataFrame:
    if table in _COUNTED_FROM and observed.warm_up_ns:
        return rows[rows[_COUNTED_FROM[table]] >= observed.warm_up_ns]
    return rows


def _reached(metric: Metric, rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows[metric.later].notna()] if metric.shape is Shape.REACHED_SPAN else rows


def is_fetch_type(metric: Metric, column: str) -> bool:
    """Whether the filter picks fetches by resource type rather than rows."""
    return column == "type" and metric.shape in (Shape.TIMED_OUT, Shape.FETCH_TIMEOUTS)


def passes(rows: pd.DataFrame, metric: Metric, column: str, value: object) -> pd.Series[bool]:
    """Which rows hold `value` in `column`; of a list of names, which name it. Raises MetricError."""
    if column not in rows.columns:
        known = ", ".join(filter_columns(metric))
        raise MetricError(f"{metric.table} has no column {column!r} to narrow by; it has {known}")
    cells = rows[column]
    if value is None or value == "null":
        return cells.isna()
    kind = TABLES[metric.table].get(column, "string")
    if kind == "list[string]":
        return pd.Series([value in names for names in cells], index=rows.index, dtype=bool)
    wanted = _as_text(value) if kind == "string" else _as_number(value, column)
    return (cells == wanted).fillna(False).astype(bool)


def metric_values(metric: Metric, rows: pd.DataFrame, filters: Filters = ()) -> Values:
    """One number for each thing the metric measures: seconds, +inf where it never happened; counts otherwise.

    Raises MetricError for a column of text, which has no numbers.
    """
    return _SHAPES[metric.shape](metric, rows, filters)


def all_values(observed: Observed) -> dict[str, Values | Samples]:
    """The values of every metric that has any, by its name; a total is one value. Where histograms stand for
    deliveries they are samples, but for `staleness`, which is that of the sampled proxies.
    """
    found: dict[str, Values | Samples] = {}
    folded = None if observed.folded is None else observed.folded.after(observed.warm_up_ns)
    counted: dict[str, pd.DataFrame] = {}
    for metric in METRICS.values():
        if metric.shape in (Shape.COLUMN, Shape.BOTTLENECK):
            continue
        if folded is not None and is_of_histograms(metric):
            if folded.rows:
                found[metric.name] = folded.samples(metric)
            continue
        if folded is not None and folded.pushes is not None and metric.table == "proxy_pushes":
            samples = folded.samples_of_pushes(metric)
            if samples.n:
                found[metric.name] = samples
            continue
        if metric.table not in counted:
            rows = _counted_rows(observed, metric.table)
            if metric.table == "deliveries":
                rows = rows.assign(**{_NEVER_ENDED: rows["outcome"].isin(NEVER)})
            counted[metric.table] = rows
        rows = counted[metric.table]
        if not len(rows):
            continue
        values = metric_values(metric, _reached(metric, rows))
        if len(values):
            found[metric.name] = values.sum(keepdims=True) if metric.shape in TOTALS else values
    return found


def summary(observed: Observed) -> pd.DataFrame:
    """Metric x (mean, p50, p90, p99, max, n, ci_low, ci_high, unit, pending, note), for every metric with
    rows.

    `n` counts every sample, `pending` those that never came to an end and so stand as +infinity. One run is
    one independent unit at most, so it has no interval, and the note says so. Failed and stale requests and
    regressions are totals: one number for the run.
    """
    lines = {name: summary_line(METRICS[name], values) for name, values in all_values(observed).items()}
    table = pd.DataFrame.from_dict(lines, orient="index", columns=list(SUMMARY_COLUMNS))
    return summary_types(table)


def summary_types(table: pd.DataFrame) -> pd.DataFrame:
    """The summary with the column types it always has, also when it is empty."""
    whole, text = ("n", "pending"), ("unit", "note")
    kinds = {
        name: "int64" if name in whole else "string" if name in text else "float64"
        for name in SUMMARY_COLUMNS
    }
    table = table.astype(kinds)
    table.index = pd.Index(table.index.astype("string"), name="metric")
    return table


def is_of_histograms(metric: Metric) -> bool:
    """Whether histograms by change hold it."""
    return metric.table == "deliveries" and metric.shape in (Shape.SPAN, Shape.LAST_OF_CHANGE)


def summary_line(metric: Metric, values: Values | Samples) -> dict[str, object]:
    """What the summary says of one metric."""
    percentages = {f"p{percentage}": Fraction(percentage, 100) for percentage in (50, 90, 99)}
    is_total = metric.shape in TOTALS
    notes = [NO_INTERVAL_OF_ONE_RUN] + ["a total: one number a run"] * is_total
    if isinstance(values, Samples):
        quantiles = {name: values.quantile(q) for name, q in percentages.items()}
        mean, largest, count, never = values.mean, values.max, values.n, values.never
        if not values.is_exact:
            notes.append(f"quantiles from histograms, within {RELATIVE_ERROR:.1%}")
    else:
        quantiles = {name: quantile(values, q) for name, q in percentages.items()}
        mean, largest = float(np.mean(values)), float(np.max(values))
        count, never = len(values), int(np.isinf(values).sum())
    unsupported = [name for name, q in percentages.items() if not (is_total or supports(count, q))]
    if unsupported:
        notes.append(f"{count} samples are too few for {', '.join(unsupported)}")
    return {
        "mean": mean,
        **quantiles,
        "max": largest,
        "n": count,
        "ci_low": math.nan,
        "ci_high": math.nan,
        "unit": metric.unit or "count",
        "pending": never,
        "note": "; ".join(notes),
    }


def _span(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    assert metric.later is not None
    assert metric.earlier is not None
    (later, is_later), (earlier, is_earlier) = _instant(rows[metric.later]), _instant(rows[metric.earlier])
    ended = is_later & is_earlier
    if metric.table == "deliveries":
        told = _NEVER_ENDED in rows.columns
        never = rows[_NEVER_ENDED] if told else rows["outcome"].isin(NEVER)
        ended &= ~never.to_numpy(dtype=bool)
    values: Values = np.where(ended, (later - earlier) / _SECOND, math.inf)
    return values


def _last_of_change(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    spans = pd.Series(_span(metric, rows, filters), index=rows.index)
    return np.asarray(spans.groupby(rows["change_id"]).max(), dtype=np.float64)


def _union_of_proxy(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    begins = _whole(rows["t_changed_ns"])
    spans = _span(metric, rows, filters)
    outstanding: dict[str, list[tuple[int, float]]] = {}
    for proxy, begin, span in zip(rows["proxy_id"], begins.tolist(), spans.tolist(), strict=True):
        outstanding.setdefault(proxy, []).append((begin, begin + span * _SECOND))
    return np.array(
        [_covered_ns(sorted(spans)) / _SECOND for spans in outstanding.values()], dtype=np.float64
    )


def _covered_ns(spans: Sequence[tuple[int, float]]) -> float:
    """How much time the spans, in order of their begin, cover together."""
    covered, until = 0.0, -math.inf
    for begin, end in spans:
        if end > until:
            covered += end - max(begin, until)
            until = end
    return covered


def _timed_out(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    return (_fetch_timeouts(metric, rows, filters) > 0).astype(np.float64)


def _fetch_timeouts(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    wanted = [value for column, value in filters if column == "type"]
    counts = [
        sum(count for of_type, count in json.loads(text).items() if all(of_type == value for value in wanted))
        for text in rows["fetch_timeouts"]
    ]
    return np.array(counts, dtype=np.float64)


def _failed(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    failed = ~rows["outcome"].isin(GOOD_OUTCOMES["traffic"])
    return rows[metric.column].where(failed, 0.0).to_numpy(dtype=np.float64)


def _stale(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    return rows[metric.column].where(rows["stale"], 0.0).to_numpy(dtype=np.float64)


def _occurrence(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    return np.ones(len(rows), dtype=np.float64)


def _column(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    assert metric.column is not None
    kind = TABLES[metric.table][metric.column]
    cells = rows[metric.column]
    if kind == "string":
        raise MetricError(f"{metric.name} is text, not a number: count it, or take a share of it")
    if kind == "list[string]":
        return np.array([len(names) for names in cells], dtype=np.float64)
    if metric.unit == "s":
        values: Values = _whole(cells) / _SECOND
        values[cells.isna().to_numpy(dtype=bool)] = math.inf
        return values
    return cells.dropna().to_numpy(dtype=np.float64)


def _bottleneck(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    raise MetricError('a bottleneck is a name, not a number: write bottleneck == "registry queue"')


def _rows(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    raise MetricError(f"{metric.name} is a table: count it, take a share of it, or name one of its columns")


def _instant(cells: pd.Series[Any]) -> tuple[Nanoseconds, npt.NDArray[np.bool_]]:
    """The instants, 0 where there is none, and where there is one."""
    return _whole(cells), ~cells.isna().to_numpy(dtype=bool)


def _whole(cells: pd.Series[Any]) -> Nanoseconds:
    if cells.dtype == "int64":
        return cells.to_numpy()
    whole: Nanoseconds = cells.to_numpy(dtype=np.int64, na_value=0)
    return whole


def _as_text(value: object) -> str:
    """The value of a filter as a column of text holds it: outcome=200 means "200"."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _as_number(value: object, column: str) -> float:
    """The value of a filter as a column of numbers holds it: a duration means its nanoseconds."""
    if isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    try:
        if column.endswith("_ns"):
            return parse_duration(text)
        return {"true": True, "false": False}[text] if text in ("true", "false") else float(text)
    except (DurationError, ValueError) as error:
        raise MetricError(f"{column}={text}: {error}") from error


_SHAPES: Final[Mapping[Shape, Callable[[Metric, pd.DataFrame, Filters], Values]]] = {
    Shape.SPAN: _span,
    Shape.REACHED_SPAN: _span,
    Shape.LAST_OF_CHANGE: _last_of_change,
    Shape.UNION_OF_PROXY: _union_of_proxy,
    Shape.TIMED_OUT: _timed_out,
    Shape.FETCH_TIMEOUTS: _fetch_timeouts,
    Shape.FAILED: _failed,
    Shape.STALE: _stale,
    Shape.OCCURRENCE: _occurrence,
    Shape.BOTTLENECK: _bottleneck,
    Shape.COLUMN: _column,
    Shape.ROWS: _rows,
}
