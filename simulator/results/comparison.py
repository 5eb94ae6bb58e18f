"""The result of a comparison: every variant met the same changes and the same random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pandas as pd

from simulator.recording.bottlenecks import QUANTILES
from simulator.results.disruption import DISRUPTIONS
from simulator.results.experiment import Experiment
from simulator.results.paired import COSTS, paired_differences

__all__ = ["Comparison"]


class Comparison(Experiment):
    """Variants under common random numbers."""

    kind: ClassVar[str] = "compare"

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """One row a variant: percentiles and mean of one metric with their 95 % intervals, staleness, costs,
        and what was disturbed.

        Without a `metric`: the delay until active, or the time to ready where no change concerns any proxy.
        Costs, disturbances and staleness are means, the first two per run; `bottleneck_p50` and
        `bottleneck_p99` say which stage owns that quantile of the delay.
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
        for name in ("staleness", *COSTS, *DISRUPTIONS):
            found = self.estimate(index, name)
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        failed = int(here["error"].notna().sum())
        row |= {"runs": len(here) - failed, "failed": failed}
        return {**row, **{f"bottleneck_{at}": self.bottleneck(index, at) for at in QUANTILES}}

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

        What never came to an end is infinite: `not_finite` counts the replications whose statistic is, in
        either variant, and `note` says so. The difference is then infinite where one variant's statistic is,
        NaN where both are; an infinite end of an interval is one that nothing bounds, and there is no
        correlation, since that of the others would be one of the lucky ones.
        """
        return paired_differences(self, a, b, metrics, stats)

    def plot_convergence(self, ax: Any = None) -> Any:
        """Draw, for each variant, the share of proxies that use a change against time, with a band."""
        from simulator.report.plots import comparison_cdf

        return comparison_cdf(self, ax=ax)

    def plot_paired(self, a: str, b: str, ax: Any = None) -> Any:
        """Draw the differences a - b of the headline metrics with both intervals."""
        from simulator.report.plots import paired_differences

        return paired_differences(self, a, b, ax=ax)
