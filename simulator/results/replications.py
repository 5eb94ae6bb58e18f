"""The result of one scenario run many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from simulator.results.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Replications"]


class Replications(Experiment):
    """Independent repetitions of one scenario: the same seed, numbers of its own for each."""

    kind: ClassVar[str] = "run"

    def table(self) -> pd.DataFrame:
        """Metric x (mean, p50, p90, p99, max, n, ci_low, ci_high, ...), as the summary of a single run, with
        intervals.
        """
        return self.summary().drop(columns=["cell", "variant"]).set_index("metric")

    def plot_convergence(self, ax: Any = None) -> Any:
        """Draw the share of proxies that use a change against time, with a band from the replications."""
        from simulator.report.plots import comparison_cdf

        return comparison_cdf(self, ax=ax)
