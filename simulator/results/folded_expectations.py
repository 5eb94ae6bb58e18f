"""Verdicts on expectations where histograms stand for rows: counts and shares are exact, quantiles within the
error of a histogram, and what only rows could tell is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from simulator.recording.instants import Metric, Shape
from simulator.results.errors import MetricError
from simulator.results.expected_values import duration_text, plain_text
from simulator.results.histograms import RELATIVE_ERROR
from simulator.results.metrics import Filters
from simulator.results.statistics import percent

if TYPE_CHECKING:
    from simulator.results.folded import FoldedDeliveries
    from simulator.results.samples import Samples

FOLDED_SHAPES: Final = (Shape.SPAN, Shape.LAST_OF_CHANGE, Shape.ROWS, Shape.COLUMN)
"""Shapes of metrics of deliveries that histograms by change hold."""
_ONLY_ROWS: Final = "the deliveries of this run are histograms; recording.deliveries: table keeps every row"


def judge_histograms(
    metric: Metric,
    filters: Filters,
    folded: FoldedDeliveries,
    stat: str | None,
    holds: Callable[[object], bool],
) -> tuple[bool, str, int]:
    """The verdict on deliveries that are histograms; `holds` says whether a value is as expected."""
    conditions = [value for column, value in filters if column == "outcome"]
    folded = folded.narrowed([item for item in filters if item[0] != "outcome"])
    counts = folded.outcomes()
    chosen = {str(value) for value in conditions}
    if metric.shape in (Shape.ROWS, Shape.COLUMN) or stat in ("share", "count"):
        if metric.shape is Shape.COLUMN and metric.column != "outcome":
            raise MetricError(f"{metric.name}: {_ONLY_ROWS}")
        if conditions and metric.shape not in (Shape.ROWS, Shape.COLUMN):
            raise MetricError(f"{metric.name} of an outcome: {_ONLY_ROWS}")
        part = sum(n for outcome, n in counts.items() if outcome in chosen) if chosen else folded.rows
        if stat == "count":
            count = len(folded.changes) if metric.shape is Shape.LAST_OF_CHANGE else part
            return holds(count), str(count), folded.rows
        if stat != "share":
            raise MetricError(f"{metric.name}: {_ONLY_ROWS}")
        if not folded.rows:
            return False, "no rows", 0
        if not chosen:
            samples = None if metric.shape in (Shape.ROWS, Shape.COLUMN) else folded.samples(metric)
            part = folded.good() if samples is None else samples.n - samples.never
        told = f"{part / folded.rows:.6g} ({plain_text(part)} of {plain_text(folded.rows)} rows)"
        return holds(part / folded.rows), told, folded.rows
    if conditions:
        raise MetricError(f"{metric.name} of an outcome: {_ONLY_ROWS}")
    if not folded.rows:
        return False, "no rows", 0
    return _judge_samples(folded.samples(metric), stat, holds)


def judge_pushes(
    metric: Metric,
    filters: Filters,
    folded: FoldedDeliveries,
    stat: str | None,
    holds: Callable[[object], bool],
) -> tuple[bool, str, int]:
    """The verdict on pushes to proxies that are counted."""
    if metric.shape is Shape.ROWS and stat == "count" and not filters:
        return holds(folded.proxy_pushes), str(folded.proxy_pushes), folded.proxy_pushes
    if metric.shape not in (Shape.SPAN, Shape.REACHED_SPAN) or filters or stat == "share":
        raise MetricError(
            f"{metric.name}: the pushes to proxies of this run are histograms; "
            "recording.proxy_pushes: true keeps every row"
        )
    samples = folded.samples_of_pushes(metric)
    if not samples.n:
        return False, "no rows", 0
    if stat == "count":
        return holds(samples.n), str(samples.n), samples.n
    return _judge_samples(samples, stat, holds)


def _judge_samples(
    samples: Samples, stat: str | None, holds: Callable[[object], bool]
) -> tuple[bool, str, int]:
    counted = f"{samples.n} rows" + (f", {samples.never} never" if samples.never else "")
    if stat is None:
        met = holds(samples.min) and holds(samples.max)
        return met, f"{duration_text(samples.min)} to {duration_text(samples.max)} ({counted})", samples.n
    plain = {"mean": samples.mean, "sum": samples.total, "min": samples.min, "max": samples.max}
    value = plain[stat] if stat in plain else samples.quantile(percent(stat))
    error = "" if stat in plain or samples.is_exact else f", from histograms, within {RELATIVE_ERROR:.1%}"
    return holds(value), f"{duration_text(value)} ({counted}{error})", samples.n
