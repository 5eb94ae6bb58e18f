"""Delays of deliveries as figures and terminal need them: what never happened is infinite, and is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.recording.instants import METRICS
from simulator.results.folded import FoldedChange, FoldedDeliveries
from simulator.results.metrics import metric_rows, metric_values
from simulator.results.samples import Samples
from simulator.results.statistics import Values, quantile

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = [
    "MARKS",
    "OUTCOMES",
    "ChangeOutcomes",
    "change_outcomes",
    "delays_ns",
    "distribution",
    "reached_ns",
]

MARKS: Final = (Fraction(1, 2), Fraction(9, 10), Fraction(99, 100))
"""The shares of proxies that every figure and table of delays tells."""

_SPREAD_AT_MOST: Final = 2_000_000
"""So many samples of a histogram at most are told apart in figures."""

_POINTS_AT_MOST: Final = 1000
"""A curve of more points looks the same and makes a large file."""


OUTCOMES: Final = ("active", "superseded", "rejected", "disconnected", "pending")
"""The outcomes of deliveries, good ones first."""


@dataclass(frozen=True, slots=True, eq=False)
class ChangeOutcomes:
    """What became of one change, or of all changes of one kind, at the proxies concerned.

    Attributes:
        kind: Kind of the change.
        name: Its name; of a whole kind, that of the first.
        t_changed_ns: When it happened; of a whole kind, when the first did.
        changes: How many changes these are.
        counts: Outcome -> deliveries, good outcomes first.
        active_ns: Delay until active of each delivery; infinite where that never came.
    """

    kind: str
    name: str
    t_changed_ns: int
    changes: int
    counts: Mapping[str, int]
    active_ns: Values

    @property
    def median_ns(self) -> float:
        """Median delay until active, infinite where that never came to half of the deliveries."""
        return quantile(self.active_ns, MARKS[0])


def change_outcomes(result: Result, *, by_kind: bool) -> list[ChangeOutcomes]:
    """Every change of the run with a delivery, or every kind of change, in order."""
    if result.folded is not None:
        return _folded_outcomes(result.folded, by_kind=by_kind)
    changes = result.changes[["change_id", "kind", "name"]]
    rows = result.deliveries.merge(changes, on="change_id")
    delays = (rows["t_active_ns"] - rows["t_changed_ns"]).to_numpy(dtype=np.float64, na_value=np.inf)
    rows["active_ns"] = np.where(rows["outcome"].isin(("active", "superseded")), delays, np.inf)
    told = []
    for _, group in rows.groupby("kind" if by_kind else "change_id", sort=True):
        first = group.iloc[0]
        counts = group["outcome"].value_counts().to_dict()
        told.append(
            ChangeOutcomes(
                str(first["kind"]),
                str(first["name"]),
                int(group["t_changed_ns"].min()),
                int(group["change_id"].nunique()),
                {outcome: int(counts[outcome]) for outcome in OUTCOMES if outcome in counts},
                group["active_ns"].to_numpy(dtype=np.float64),
            )
        )
    return told


def _folded_outcomes(folded: FoldedDeliveries, *, by_kind: bool) -> list[ChangeOutcomes]:
    groups: dict[object, list[FoldedChange]] = {}
    for change in folded.changes:
        if change.rows:
            groups.setdefault(change.kind if by_kind else change.change_id, []).append(change)
    told = []
    for key in sorted(groups, key=str) if by_kind else sorted(groups, key=lambda number: int(str(number))):
        of_group = FoldedDeliveries(groups[key])
        counts = of_group.outcomes()
        told.append(
            ChangeOutcomes(
                of_group.changes[0].kind,
                of_group.changes[0].name,
                min(change.t_changed_ns for change in of_group.changes),
                len(of_group.changes),
                {outcome: counts[outcome] for outcome in OUTCOMES if outcome in counts},
                spread(of_group.samples(METRICS["active_delay"])) * 1e9,
            )
        )
    return told


def delays_ns(result: Result, metric: str, kind: str | None = None) -> Values:
    """One value per change, after the warm-up, and proxy that it concerns, in nanoseconds; infinite where it
    never came to an end. `kind` narrows to one kind of change.
    """
    asked = METRICS[metric]
    filters = () if kind is None else (("kind", kind),)
    if result.folded is not None:
        return spread(result.folded.after(result.warm_up_ns).narrowed(filters).samples(asked)) * 1e9
    return metric_values(asked, metric_rows(result, asked, filters), filters) * 1e9


def spread(samples: Samples) -> Values:
    """The samples of a histogram one by one; of very many, so many that stand evenly for all."""
    count = min(samples.n, _SPREAD_AT_MOST)
    return samples.at_ranks((np.arange(count) * samples.n) // max(count, 1))


def reached_ns(delays: Values, share: Fraction) -> float:
    """How long until that share of the deliveries is there: the smallest delay that is not exceeded by more.

    This is no percentile (`statistics.quantile`) and has no interpolation: "90 % of the proxies" is a number
    of proxies, and this is when the last of them came. Of ten of which one never comes it is finite, while
    the p90 is infinite.
    """
    if not len(delays):
        return float("nan")
    if share == 1:
        return float(delays.max())
    place = -(-share * len(delays) // 1)
    return float(np.partition(delays, max(int(place) - 1, 0))[max(int(place) - 1, 0)])


def distribution(delays: Values) -> tuple[Values, Values]:
    """The delays in order and, for each, the share of all that is at most that large; thinned evenly."""
    ordered = np.sort(delays[np.isfinite(delays)])
    shares = np.arange(1, len(ordered) + 1) / max(len(delays), 1)
    chosen = np.unique(
        np.linspace(0, len(ordered) - 1, min(len(ordered), _POINTS_AT_MOST)).round().astype(np.int64)
    )
    return ordered[chosen], shares[chosen]
