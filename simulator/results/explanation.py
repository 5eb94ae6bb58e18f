"""What an explanation found: what owns the delay of changes, and what each knob does to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from simulator.recording.bottlenecks import QUANTILES
from simulator.results.bottleneck import Owner
from simulator.results.comparison import Comparison
from simulator.results.in_notebooks import page

__all__ = ["AS_IT_IS", "Explanation", "Turn"]

AS_IT_IS: Final = "as it is"
"""The variant in which no knob is turned."""

_METRIC: Final = "active_delay"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a knob: its key, what the scenario has there, and what it is turned to, in words."""

    key: str
    before: str
    after: str

    @property
    def label(self) -> str:
        """What the turned scenario is called: ``control_plane.cpu=4``."""
        return f"{self.key}={self.after}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What owns the delay of changes, and what each knob does to it.

    Attributes:
        owners: What owns p50 and p99 in the first replication, with all shares.
        turns: The knobs that were turned, the most direct first.
        unturned: Knobs of the owners that the scenario has not got, or that cannot be turned.
        comparison: All replications: the scenario as it is, then one variant a turn.
    """

    owners: tuple[Owner, ...]
    turns: tuple[Turn, ...]
    unturned: tuple[str, ...]
    comparison: Comparison

    def table(self) -> pd.DataFrame:
        """One row a knob, that which takes most off p99 first: `before` and `after` the turn, and for each of
        p50 and p99 the delay with it turned in seconds, `_change` (turned - as it is) with its paired 95 %
        interval `_low`, `_high`, whether that `_moves` (the interval is without 0), and what owns it then.
        """
        rows = [self._row(turn) for turn in self.turns]
        table = pd.DataFrame(rows, index=pd.Index([turn.key for turn in self.turns], name="knob"))
        return table.sort_values("p99_change", kind="stable", na_position="last") if rows else table

    def _repr_html_(self) -> str:
        """For Jupyter: what owns the delay, and what each knob does to it, in seconds."""
        owned = [f"{owner.share:.0%} of {owner.at}: {owner.stage}" for owner in self.owners]
        return page("What owns the delay, and what each knob does to it", owned, self.table())

    def _row(self, turned: Turn) -> dict[str, Any]:
        found = self.comparison.paired(turned.label, AS_IT_IS, [_METRIC], QUANTILES)
        lines: dict[str, dict[str, Any]] = found.droplevel("metric").to_dict(orient="index")  # type: ignore[assignment]
        row: dict[str, Any] = {"before": turned.before, "after": turned.after}
        for at in QUANTILES:
            line = lines[at]
            row |= {
                at: line["a"],
                f"{at}_change": line["difference"],
                f"{at}_low": line["ci_low"],
                f"{at}_high": line["ci_high"],
                f"{at}_moves": bool(line["ci_low"] > 0 or line["ci_high"] < 0),
                f"{at}_bottleneck": self.comparison.bottleneck(turned.label, at),
            }
        return row
