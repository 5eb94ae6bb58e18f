"""The result of a sweep over scenario keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import pandas as pd

from simulator.results.experiment import Experiment, ExperimentCell
from simulator.results.paired import PAIRED_COLUMNS, paired_differences

__all__ = ["Sweep"]


class Sweep(Experiment):
    """A grid or a design over scenario keys: one cell a combination of values."""

    kind: ClassVar[str] = "sweep"

    def table(self, metric: str | None = None, stat: str = "p99") -> pd.DataFrame:
        """One row a cell: its keys, a statistic of one metric with its 95 % interval, runs and failed runs,
        and the stage that owns p99 of the delay.

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
                    "bottleneck": self.bottleneck(cell.index),
                    "note": found.note,
                }
            )
        return pd.DataFrame(rows, index=pd.Index([cell.label for cell in self.cells], name="variant"))

    def steps(self, metric: str | None = None, stat: str = "p99") -> pd.DataFrame:
        """Which knob moves it: the paired difference that each step of each key makes, the others unchanged.

        One row a pair of cells that differ in one key, whose values are neighbours in the order given:
        `key`, `before`, `after`, `others` (what the other keys were), then the columns of
        `Comparison.paired`, `b` before the step and `a` after it. Designs have no neighbours, and so no
        rows.
        """
        chosen = self.headline_metric() if metric is None else metric
        heads, rows = [], []
        for key, before, after in self._neighbours():
            found = paired_differences(self, after.index, before.index, [chosen], [stat])
            others = {name: value for name, value in before.varied.items() if name != key}
            for line in found.to_dict(orient="records"):
                told = ", ".join(f"{name}={value}" for name, value in others.items())
                heads.append((key, before.varied[key], after.varied[key], told))
                rows.append(line)
        head = pd.DataFrame(heads, columns=["key", "before", "after", "others"])
        return pd.concat([head, pd.DataFrame(rows, columns=list(PAIRED_COLUMNS))], axis=1)

    @property
    def is_grid(self) -> bool:
        """Whether every combination of values was played, not scattered points of a design."""
        return bool(self.manifest.get("design", "grid") == "grid")

    def _neighbours(self) -> Iterator[tuple[str, ExperimentCell, ExperimentCell]]:
        for key in self.keys if self.is_grid else ():
            values = list(dict.fromkeys(cell.varied[key] for cell in self.cells))
            following = dict(pairwise(values))
            at = {tuple(cell.varied.items()): cell for cell in self.cells}
            for cell in self.cells:
                after = following.get(cell.varied[key])
                other = None if after is None else at.get(tuple({**cell.varied, key: after}.items()))
                if other is not None:
                    yield key, cell, other

    def plot(self, metric: str | None = None, stat: str = "p99", x: str | None = None, ax: Any = None) -> Any:
        """Draw a statistic over the keys: a line with its interval, or, for two keys, a heat map; of a
        design of several keys its points.

        With `x`, lines: one for each combination of the other keys; of a design, the points over `x`.
        """
        from simulator.report.plots import sweep_heatmap, sweep_lines, sweep_points

        if not self.is_grid and len(self.keys) > 1:
            return sweep_points(self, metric=metric, stat=stat, x=x, ax=ax)
        if len(self.keys) == 2 and x is None:
            return sweep_heatmap(self, metric=metric, stat=stat, ax=ax)
        return sweep_lines(self, metric=metric, stat=stat, x=x, ax=ax)
