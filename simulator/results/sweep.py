"""The result of a sweep over scenario keys."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from simulator.results.experiment import Experiment

__all__ = ["Sweep"]


class Sweep(Experiment):
    """A grid or a design over scenario keys: one cell a combination of values."""

    kind: ClassVar[str] = "sweep"

    def table(self, metric: str | None = None, stat: str = "p99") -> pd.DataFrame:
        """One row a cell: its keys, a statistic of one metric with its 95 % interval, runs and failed runs.

        Without a `metric`: the delay until active, or the time to ready where no change concerns any proxy.
        """
        chosen = self.headline_metric() if metric is None else metric
        rows = []
        for cell in self.cells:
            found = self.estimate(cell.index, chosen, stat)
            here = self.runs[self.runs["cell"] == cell.index]
            rows.append(
                {
                    **cell.varied,
                    "value": found.value,
                    "low": found.low,
                    "high": found.high,
                    "n": found.n,
                    "runs": int(here["error"].isna().sum()),
                    "failed": int(here["error"].notna().sum()),
                    "note": found.note,
                }
            )
        return pd.DataFrame(rows, index=pd.Index([cell.label for cell in self.cells], name="variant"))

    def plot(self, metric: str | None = None, stat: str = "p99", x: str | None = None, ax: Any = None) -> Any:
        """Draw a statistic over the keys: a line with its interval, or, for two keys, a heat map.

        With `x`, always lines: one for each combination of the other keys.
        """
        from simulator.report.plots import sweep_heatmap, sweep_lines

        if len(self.keys) == 2 and x is None:
            return sweep_heatmap(self, metric=metric, stat=stat, ax=ax)
        return sweep_lines(self, metric=metric, stat=stat, x=x, ax=ax)
