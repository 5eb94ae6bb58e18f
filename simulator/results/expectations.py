"""Verdicts: an expectation of a scenario, held against what a run showed.

What an expectation says:

- ``p99(active_delay) < 2s``: a statistic over all values; what never happened counts as +infinity.
- ``time_to_ready < 5s``: without a statistic every value must satisfy it; `METRICS` marks the few that are
  totals (``startups.timed_out == 0``).
- ``count(messages, type=cds, direction=request) == 2``: how many rows; of flags, how many hold.
- ``share(outcome, kind=cds) == 1``: of the rows with kind cds, the share with the good outcome. A filter on
  the outcome, or on the column that the metric itself is, says which share is meant:
  ``share(traffic, outcome=503) < 1%``.

Traffic is weighed by requests, or by attempts where the metric counts those, wherever rows are counted or
shared: ``share(failed_requests) < 1%``. An expectation over no rows at all is not
met, unless it counts them: it would have tested nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from simulator.recording.bottlenecks import QUANTILES
from simulator.recording.columns import TABLES
from simulator.recording.instants import GOOD_OUTCOMES, Metric, Shape, UnknownMetric, find_metric
from simulator.results.bottleneck import owner_of
from simulator.results.errors import MetricError
from simulator.results.expected_values import compare, duration_text, literal_text, plain_text
from simulator.results.folded_expectations import FOLDED_SHAPES, judge_histograms, judge_pushes
from simulator.results.metrics import (
    NEVER,
    TOTALS,
    Filters,
    Observed,
    metric_rows,
    metric_values,
    passes,
)
from simulator.results.statistics import Values, percent, quantile, supports

_PLAIN_STATISTICS: Final[Mapping[str, Callable[[Values], float]]] = {
    "mean": lambda values: float(values.mean()),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
}


class Expectation(Protocol):
    """One parsed `expect:` line: ``[stat(]metric[, column=value ...][)] op literal``."""

    @property
    def text(self) -> str:
        """The line as written."""

    @property
    def stat(self) -> str | None:
        """count, sum, mean, min, max, p50 ... p99.9 or share; None when there is none."""

    @property
    def metric(self) -> str:
        """The name of a metric, a column or a table."""

    @property
    def filters(self) -> Sequence[tuple[str, object]]:
        """The columns and values that narrow the metric."""

    @property
    def op(self) -> str:
        """One of ``< <= == != >= >``."""

    @property
    def literal(self) -> object:
        """What it is compared with; durations in seconds, percentages as fractions of 1."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one expectation: whether it is met, what was found, and in how many rows."""

    text: str
    met: bool
    actual: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """An expectation with its metric looked up and the rows it is about."""

    metric: Metric
    rows: pd.DataFrame
    filters: Filters
    holds: Callable[[object], bool]

    @property
    def values(self) -> Values:
        return metric_values(self.metric, self.rows, self.filters)

    def text(self, value: float) -> str:
        """A value of the metric, in its unit."""
        return duration_text(value) if self.metric.unit == "s" else plain_text(value)


def evaluate(expectation: Expectation, observed: Observed) -> Outcome:
    """The verdict on `expectation`. One that cannot be evaluated is not met, and `actual` says why."""
    try:
        metric = find_metric(expectation.metric)
        met, actual, count = _judge(expectation, metric, observed)
    except (MetricError, UnknownMetric) as error:
        return Outcome(expectation.text, False, str(error), 0)
    return Outcome(expectation.text, met, actual, count)


def _judge(expectation: Expectation, metric: Metric, observed: Observed) -> tuple[bool, str, int]:
    def holds(value: object) -> bool:
        return compare(expectation.op, value, expectation.literal)

    stat = expectation.stat
    if stat is None:
        stat = "sum" if metric.totalled else "count" if metric.shape is Shape.ROWS else None
    if observed.folded is not None and metric.table == "deliveries" and metric.shape in FOLDED_SHAPES:
        return judge_histograms(
            metric, expectation.filters, observed.folded.after(observed.warm_up_ns), stat, holds
        )
    if metric.table == "proxy_pushes" and observed.folded is not None and observed.folded.pushes is not None:
        return judge_pushes(
            metric, expectation.filters, observed.folded.after(observed.warm_up_ns), stat, holds
        )
    if stat == "share":
        return _judge_share(expectation, metric, observed, holds)
    if metric.shape is Shape.BOTTLENECK and stat is None:
        return _judge_bottleneck(expectation, metric, observed, holds)
    rows = metric_rows(observed, metric, expectation.filters)
    asked = _Asked(metric, rows, expectation.filters, holds)
    if stat is None:
        return _judge_every(asked, expectation.literal)
    if stat == "count":
        return _judge_count(asked)
    return _judge_statistic(asked, stat)


def _judge_bottleneck(
    expectation: Expectation, metric: Metric, observed: Observed, holds: Callable[[object], bool]
) -> tuple[bool, str, int]:
    asked = [str(value) for column, value in expectation.filters if column == "at"]
    at = asked[-1] if asked else QUANTILES[-1]
    filters = [item for item in expectation.filters if item[0] != "at"]
    owner = owner_of(observed, at, filters)
    count = len(metric_rows(observed, metric, filters))
    if owner is None:
        return False, "no delivery took any time" if count else "no rows", count
    return holds(owner.stage), f"{owner.stage} ({owner.share:.0%} of {at})", count


def _judge_share(
    expectation: Expectation, metric: Metric, observed: Observed, holds: Callable[[object], bool]
) -> tuple[bool, str, int]:
    conditions = [item for item in expectation.filters if _is_condition(metric, item[0])]
    rows = metric_rows(observed, metric, [item for item in expectation.filters if item not in conditions])
    if not len(rows):
        return False, "no rows", 0
    chosen = np.ones(len(rows), dtype=bool)
    for column, value in conditions:
        chosen &= passes(rows, metric, column, value).to_numpy()
    if not conditions:
        chosen = _good(metric, rows, expectation.filters)
    weights = _weights(metric, rows)
    if weights is None:
        part, whole, what = float(chosen.sum()), float(len(rows)), "rows"
    else:
        part, whole, what = float(weights[chosen].sum()), float(weights.sum()), _weighed_by(metric)
    if whole == 0:
        return False, f"no {what}", len(rows)
    return (
        holds(part / whole),
        f"{part / whole:.6g} ({plain_text(part)} of {plain_text(whole)} {what})",
        len(rows),
    )


def _is_condition(metric: Metric, column: str) -> bool:
    """Whether a filter says which share is meant, rather than what it is a share of."""
    if metric.shape is Shape.ROWS and "outcome" not in TABLES[metric.table]:
        return True
    return column == metric.column or (metric.shape is Shape.ROWS and column in ("outcome", "stale"))


def _good(metric: Metric, rows: pd.DataFrame, filters: Filters) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The rows whose share is meant when no filter says: good outcomes, flags that hold, what came to an
    end.
    """
    if metric.shape is Shape.ROWS or metric.column == "outcome":
        if metric.table not in GOOD_OUTCOMES:
            raise MetricError(f"a share of {metric.name} needs a column=value that says which")
        good = rows["outcome"].isin(GOOD_OUTCOMES[metric.table])
        if metric.table == "deliveries":
            # A superseded change was carried by a newer one, and counts when that one came to decide traffic.
            good |= (rows["outcome"] == "superseded") & rows["t_active_ns"].notna()
        return good.to_numpy(dtype=bool)
    if metric.shape in (Shape.TIMED_OUT, Shape.FETCH_TIMEOUTS, Shape.FAILED, Shape.STALE):
        return metric_values(metric, rows, filters) > 0
    if metric.shape in (Shape.SPAN, Shape.REACHED_SPAN) or metric.unit == "s":
        return np.isfinite(_row_values(metric, rows, filters))
    if metric.column is not None and TABLES[metric.table][metric.column] == "bool":
        return rows[metric.column].to_numpy(dtype=bool)
    raise MetricError(f"a share of {metric.name} needs {metric.column or 'a column'}=value that says which")


def _row_values(metric: Metric, rows: pd.DataFrame, filters: Filters) -> Values:
    if metric.shape in (Shape.LAST_OF_CHANGE, Shape.UNION_OF_PROXY):
        raise MetricError(f"{metric.name} has no share: it has no value of its own in each row")
    return metric_values(metric, rows, filters)


def _judge_count(asked: _Asked) -> tuple[bool, str, int]:
    weights = _weights(asked.metric, asked.rows)
    if weights is not None:
        total = float((asked.values if asked.metric.shape in TOTALS else weights).sum())
        return asked.holds(total), f"{plain_text(total)} {_weighed_by(asked.metric)}", len(asked.rows)
    count = len(asked.rows)
    if asked.metric.shape is Shape.TIMED_OUT:
        count = int(asked.values.sum())
    elif asked.metric.shape in (Shape.LAST_OF_CHANGE, Shape.UNION_OF_PROXY):
        count = len(asked.values)
    return asked.holds(count), str(count), len(asked.rows)


def _judge_statistic(asked: _Asked, stat: str) -> tuple[bool, str, int]:
    values = asked.values
    if stat == "sum":
        total = float(values.sum())
        return asked.holds(total), f"{asked.text(total)} ({_rows_text(asked, values)})", len(values)
    if not len(values):
        return False, "no rows", 0
    doubt = ""
    if stat in _PLAIN_STATISTICS:
        value = _PLAIN_STATISTICS[stat](values)
    else:
        value = quantile(values, percent(stat))
        if not supports(len(values), percent(stat)):
            doubt = f", too few for {stat}"
    actual = f"{asked.text(value)} ({_rows_text(asked, values)}{doubt})"
    return asked.holds(value), actual, len(values)


def _judge_every(asked: _Asked, literal: object) -> tuple[bool, str, int]:
    cells = _cells(asked, literal)
    if not cells:
        return False, "no rows", 0
    failing = [cell for cell in cells if not asked.holds(cell)]
    if len(cells) == 1:
        return not failing, _cell_text(asked, cells[0]), 1
    if not failing:
        return True, f"{_range_text(asked, cells)} in all of {len(cells)} rows", len(cells)
    return False, f"{_range_text(asked, failing)} in {len(failing)} of {len(cells)} rows", len(cells)


def _cells(asked: _Asked, literal: object) -> list[object]:
    """The values to compare one by one: numbers, or texts and missing values where that is what is asked
    about.
    """
    column = asked.metric.column
    if column is not None and (literal is None or TABLES[asked.metric.table][column] in ("string", "bool")):
        return [None if value is pd.NA else value for value in asked.rows[column].tolist()]
    values = asked.values.tolist()
    return [None if literal is None and math.isinf(value) else value for value in values]


def _weights(metric: Metric, rows: pd.DataFrame) -> Values | None:
    """What each row weighs in counts and shares: its requests or attempts in traffic, nothing special
    elsewhere.
    """
    return rows[_weighed_by(metric)].to_numpy(dtype=np.float64) if metric.table == "traffic" else None


def _weighed_by(metric: Metric) -> str:
    return "attempts" if metric.column == "attempts" else "requests"


def _rows_text(asked: _Asked, values: Values) -> str:
    never = int(np.isinf(values).sum())
    counted = f"{len(values)} row" + ("" if len(values) == 1 else "s")
    if not never:
        return counted
    reason = (
        ", ".join(NEVER[:-1]) + f" or {NEVER[-1]}" if asked.metric.table == "deliveries" else "not reached"
    )
    return f"{counted}, {never} {reason}"


def _range_text(asked: _Asked, cells: Sequence[object]) -> str:
    numbers = [cell for cell in cells if isinstance(cell, (int, float)) and not isinstance(cell, bool)]
    if len(numbers) < len(cells):
        return ", ".join(dict.fromkeys(_cell_text(asked, cell) for cell in cells))
    low, high = asked.text(min(numbers)), asked.text(max(numbers))
    return low if low == high else f"{low} to {high}"


def _cell_text(asked: _Asked, cell: object) -> str:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return asked.text(cell)
    return literal_text(cell)
