"""What became of requests: the ``traffic`` table summed and spread over time, for figures and terminal.

A row tells how many requests of an interval had one outcome, and spreads them evenly over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simulator.report.wording import count_text, share_text

if TYPE_CHECKING:
    import pandas as pd

    from simulator.results.result import Result

__all__ = ["SERVED_STALE", "Harm", "harm", "harm_text", "spread"]

SERVED_STALE: Final = "200, stale"
"""Answered, but decided by what a change had already made out of date: as by an endpoint that terminates."""

_SERVED: Final = "200"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Harm:
    """Requests of a run, as expected counts.

    Attributes:
        requests: All of them, by final result.
        failed: Outcome -> requests whose final result it was, most frequent first; without 200.
        served_stale: Requests answered by what was out of date.
        stale: Requests decided by what was out of date, failed or not.
        attempts_failed: Attempts that failed, before retries.
    """

    requests: float
    failed: Mapping[str, float]
    served_stale: float
    stale: float
    attempts_failed: float

    @property
    def all_failed(self) -> float:
        """Requests that failed, whatever the reason."""
        return float(sum(self.failed.values()))


def harm(result: Result) -> Harm:
    """The sums of the traffic table."""
    rows = result.traffic
    bad = rows[rows["outcome"] != _SERVED]
    by_outcome = bad.groupby("outcome")["requests"].sum().sort_values(ascending=False, kind="stable")
    stale = rows[rows["stale"]]
    return Harm(
        float(rows["requests"].sum()),
        {str(outcome): float(count) for outcome, count in by_outcome.items() if count > 0},
        float(stale[stale["outcome"] == _SERVED]["requests"].sum()),
        float(stale["requests"].sum()),
        float(bad["attempts"].sum()),
    )


def harm_text(told: Harm) -> str:
    """What happened to the requests, in a sentence."""
    if told.requests == 0:
        return "No request was sent"
    if not told.failed:
        words = f"None of {count_text(told.requests)} requests failed"
    else:
        reasons = ", ".join(f"{count_text(count)} {outcome}" for outcome, count in told.failed.items())
        words = (
            f"{count_text(told.all_failed)} of {count_text(told.requests)} requests failed "
            f"({share_text(told.all_failed / told.requests)}: {reasons})"
        )
    if told.served_stale:
        more = " more" if told.failed else ""
        words += f"; {count_text(told.served_stale)}{more} were served stale"
    return words


def spread(rows: pd.DataFrame, edges_ns: Floats, column: str = "requests") -> Floats:
    """How much of a column falls between each two neighbours of `edges_ns`, exactly."""
    begins = rows["t_start_ns"].to_numpy(dtype=np.float64)
    ends = rows["t_end_ns"].to_numpy(dtype=np.float64)
    amounts = rows[column].to_numpy(dtype=np.float64)
    # The running total of all rows is a sum of ramps: piecewise linear, with a kink at every begin and end.
    lasting = ends > begins
    rates = amounts[lasting] / (ends - begins)[lasting]
    kinks = np.concatenate([begins[lasting], ends[lasting]])
    order = np.argsort(kinks, kind="stable")
    places = kinks[order]
    slopes = np.cumsum(np.concatenate([rates, -rates])[order])
    totals = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(places))]) if len(places) else places
    running: Floats = np.interp(edges_ns, places, totals) if len(places) else np.zeros(len(edges_ns))
    return np.maximum(np.diff(running), 0.0)
