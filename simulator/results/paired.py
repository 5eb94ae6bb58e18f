"""Paired differences between two cells of an experiment: replication r of both met the same draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from simulator.results.disruption import DISRUPTIONS
from simulator.results.estimates import totals_and_counts
from simulator.results.experiment import Experiment
from simulator.results.intervals import (
    NO_INTERVAL,
    bootstrap_difference,
    difference_interval,
    paired_mean_interval,
)
from simulator.results.samples import Samples
from simulator.results.statistics import Values, percent

__all__ = ["COSTS", "HEADLINES", "NOT_FINITE", "PAIRED_COLUMNS", "paired_differences"]

HEADLINES: Final = (
    "active_delay",
    "convergence",
    "staleness",
    "time_to_ready",
    "failed_requests",
    "stale_requests",
    "xds_messages",
    "xds_bytes",
    "control_plane_cpu",
    *DISRUPTIONS,
)
"""The metrics that are compared unless others are named."""
COSTS: Final = ("xds_messages", "xds_bytes", "control_plane_cpu")
NOT_FINITE: Final = "not finite in {not_finite:,} of {runs:,} replications"
"""Where something never came to an end, in either variant: no correlation, and seldom an interval."""
PAIRED_COLUMNS: Final = (
    "a",
    "b",
    "difference",
    "ci_low",
    "ci_high",
    "unpaired_low",
    "unpaired_high",
    "ratio",
    "correlation",
    "runs",
    "not_finite",
    "unit",
    "note",
)


def paired_differences(
    experiment: Experiment,
    a: str | int,
    b: str | int,
    metrics: Sequence[str] | None = None,
    stats: Sequence[str] = ("mean", "p50", "p99"),
) -> pd.DataFrame:
    """The differences a - b between two cells; the columns are those of `Comparison.paired`."""
    left, right, notes = _pairs(experiment, a, b)
    shared = [name for name in experiment.metrics if any(one.get(name) for one in left)]
    chosen = [name for name in HEADLINES if name in shared] if metrics is None else list(metrics)
    rows, index = [], []
    for metric in chosen:
        ours, theirs = _of_metric(left, metric), _of_metric(right, metric)
        if not sum(unit.n for unit in ours) or not sum(unit.n for unit in theirs):
            continue
        for stat in stats:
            if stat == "mean" or not experiment.is_single(metric):
                index.append((metric, stat))
                found = _difference(ours, theirs, stat)
                told = [notes] if notes else []
                if found["not_finite"]:
                    told.append(NOT_FINITE.format(**found))
                rows.append({**found, "unit": experiment.unit(metric), "note": "; ".join(told)})
    names = pd.MultiIndex.from_tuples(index, names=["metric", "stat"]) if index else None
    return pd.DataFrame(rows, index=names, columns=list(PAIRED_COLUMNS))


def _pairs(
    experiment: Experiment, a: str | int, b: str | int
) -> tuple[list[Mapping[str, Samples]], list[Mapping[str, Samples]], str]:
    """The samples of the replications that both have, and what to beware of."""
    rows = [_successful(experiment, name) for name in (a, b)]
    both = rows[0].index.intersection(rows[1].index)
    notes = []
    missing = max(len(row) for row in rows) - len(both)
    if missing:
        notes.append(f"{missing:,} replications are without their pair")
    met = rows[0].loc[both, "timeline"].tolist() == rows[1].loc[both, "timeline"].tolist()
    if not met:
        notes.append("the variants met different changes: compare them with care")
    sides = [[experiment.samples_of(str(name)) for name in row.loc[both, "fingerprint"]] for row in rows]
    return sides[0], sides[1], "; ".join(notes)


def _successful(experiment: Experiment, variant: str | int) -> pd.DataFrame:
    cell = experiment.cell(variant)
    here = experiment.runs[(experiment.runs["cell"] == cell.index) & experiment.runs["error"].isna()]
    return here.set_index("replication")


def _of_metric(units: Sequence[Mapping[str, Samples]], metric: str) -> list[Samples]:
    none = Samples.of(np.empty(0))
    return [unit.get(metric, none) for unit in units]


def _difference(ours: Sequence[Samples], theirs: Sequence[Samples], stat: str) -> dict[str, Any]:
    left, right = Samples.merged(ours), Samples.merged(theirs)
    if stat == "mean":
        a, b = left.mean, right.mean
        first, second = totals_and_counts(ours), totals_and_counts(theirs)
        paired, unpaired = paired_mean_interval(first, second), difference_interval(first, second)
        each = [[unit.mean for unit in side] for side in (ours, theirs)]
    else:
        q = percent(stat)
        a, b = left.quantile(q), right.quantile(q)
        paired = bootstrap_difference(ours, theirs, float(q))
        unpaired = bootstrap_difference(ours, theirs, float(q), paired=False)
        each = [[unit.quantile(q) for unit in side] for side in (ours, theirs)]
    endless = sum(math.isinf(mine) or math.isinf(yours) for mine, yours in zip(*each, strict=True))
    difference = math.nan if math.isinf(a) and math.isinf(b) else a - b
    if not math.isfinite(difference):
        paired = unpaired = NO_INTERVAL
    return {
        "a": a,
        "b": b,
        "difference": difference,
        "ci_low": paired.low,
        "ci_high": paired.high,
        "unpaired_low": unpaired.low,
        "unpaired_high": unpaired.high,
        "ratio": a / b if b and not math.isnan(difference) else math.nan,
        # That of the replications that came to an end would be one of the lucky ones.
        "correlation": math.nan if endless else _correlation(np.array(each[0]), np.array(each[1])),
        "runs": len(ours),
        "not_finite": endless,
    }


def _correlation(first: Values, second: Values) -> float:
    """Pearson's; NaN where there are too few, or one side does not vary."""
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])
