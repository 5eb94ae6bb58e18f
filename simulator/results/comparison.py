"""The result of a comparison: every variant met the same changes and the same random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

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

__all__ = ["HEADLINES", "Comparison"]

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
)
"""The metrics that are compared unless others are named."""
COSTS: Final = ("xds_messages", "xds_bytes", "control_plane_cpu")


class Comparison(Experiment):
    """Variants under common random numbers."""

    kind: ClassVar[str] = "compare"

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """One row a variant: percentiles and mean of one metric with their 95 % intervals, staleness, costs.

        Without a `metric`: the delay until active, or the time to ready where no change concerns any proxy.
        Costs and staleness are means, costs per run.
        """
        chosen = self.headline_metric() if metric is None else metric
        rows = [self._row(cell.index, chosen) for cell in self.cells]
        return pd.DataFrame(rows, index=pd.Index(self.variants, name="variant"))

    def _row(self, index: int, metric: str) -> dict[str, Any]:
        here = self.runs[self.runs["cell"] == index]
        row: dict[str, Any] = {}
        for stat in ("p50", "p90", "p99", "mean"):
            found = self.estimate(index, metric, stat)
            row |= {stat: found.value, f"{stat}_low": found.low, f"{stat}_high": found.high}
        pooled = self.pooled(index, metric)
        row |= {"n": pooled.n, "pending": pooled.never}
        for name in ("staleness", *COSTS):
            found = self.estimate(index, name)
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        failed = int(here["error"].notna().sum())
        return {**row, "runs": len(here) - failed, "failed": failed}

    def paired(
        self,
        a: str,
        b: str,
        metrics: Sequence[str] | None = None,
        stats: Sequence[str] = ("mean", "p50", "p99"),
    ) -> pd.DataFrame:
        """The differences a - b, replication by replication, with their 95 % intervals.

        Rows are (metric, statistic). `ci_low` and `ci_high` use that replication r of both met the same
        changes and random numbers; `unpaired_low` and `unpaired_high` are what the interval would be without.
        `correlation` is that between the replications of a and b: the closer to 1, the more pairing helps.
        `ratio` is a / b. Means have Student's t on the paired differences, percentiles a paired bootstrap.
        """
        left, right, notes = self._pairs(a, b)
        shared = [name for name in self.metrics if any(one.get(name) for one in left)]
        chosen = [name for name in HEADLINES if name in shared] if metrics is None else list(metrics)
        rows, index = [], []
        for metric in chosen:
            ours, theirs = _of_metric(left, metric), _of_metric(right, metric)
            if not sum(unit.n for unit in ours) or not sum(unit.n for unit in theirs):
                continue
            for stat in stats:
                if stat == "mean" or not self._is_single(metric):
                    index.append((metric, stat))
                    rows.append({**_difference(ours, theirs, stat), "unit": self.unit(metric), "note": notes})
        names = pd.MultiIndex.from_tuples(index, names=["metric", "stat"]) if index else None
        return pd.DataFrame(rows, index=names, columns=list(_COLUMNS))

    def _pairs(self, a: str, b: str) -> tuple[list[Mapping[str, Samples]], list[Mapping[str, Samples]], str]:
        """The samples of the replications that both have, and what to beware of."""
        rows = [self._successful(name) for name in (a, b)]
        both = rows[0].index.intersection(rows[1].index)
        notes = []
        missing = max(len(row) for row in rows) - len(both)
        if missing:
            notes.append(f"{missing:,} replications are without their pair")
        met = rows[0].loc[both, "timeline"].tolist() == rows[1].loc[both, "timeline"].tolist()
        if not met:
            notes.append("the variants met different changes: compare them with care")
        sides = [[self._samples_of(str(name)) for name in row.loc[both, "fingerprint"]] for row in rows]
        return sides[0], sides[1], "; ".join(notes)

    def _successful(self, variant: str) -> pd.DataFrame:
        cell = self._cell(variant)
        here = self.runs[(self.runs["cell"] == cell.index) & self.runs["error"].isna()]
        return here.set_index("replication")

    def plot_convergence(self, ax: Any = None) -> Any:
        """Draw, for each variant, the share of proxies that use a change against time, with a band."""
        from simulator.report.plots import comparison_cdf

        return comparison_cdf(self, ax=ax)

    def plot_paired(self, a: str, b: str, ax: Any = None) -> Any:
        """Draw the differences a - b of the headline metrics with both intervals."""
        from simulator.report.plots import paired_differences

        return paired_differences(self, a, b, ax=ax)


_COLUMNS: Final = (
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
    "unit",
    "note",
)


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
        "ratio": a / b if b and math.isfinite(a) and math.isfinite(b) else math.nan,
        "correlation": _correlation(np.array(each[0]), np.array(each[1])),
        "runs": len(ours),
    }


def _correlation(first: Values, second: Values) -> float:
    """Pearson's; NaN where there are too few, or one side does not vary."""
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])
