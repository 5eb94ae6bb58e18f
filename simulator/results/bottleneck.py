"""Which stage owns the delay of changes: in the middle, and in the tail.

The owner of a quantile is what the deliveries around it spent most of their time in. The stages of one
delivery sum to its delay, so their means over the same deliveries sum to the mean delay of those, and the
share of each is honest; quantiles of stages would sum to nothing. Around p50 are the deliveries from p45 to
p55, around p99 those from p98 on: where the quantile never happened, those that did not, otherwise those that
did.

A delivery that is pending when the run ends has spent the time since its last instant in the stage it waits
in; of one that nothing had carried yet no more is known than whether a control plane had heard of it. One
that was rejected, or whose proxy was gone, belongs to that outcome as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.recording.bottlenecks import (
    ENDED_OTHERWISE,
    NAMES,
    NOT_SENT,
    OF_CARRIERS,
    OF_PUSHES,
    REGISTRY_QUEUE,
)
from simulator.recording.columns import DELIVERY_INSTANTS
from simulator.recording.instants import METRICS, STAGES
from simulator.results.metrics import Filters, Observed, metric_rows, metric_values
from simulator.results.statistics import percent, quantile

__all__ = ["Owner", "owner_of", "owners_of"]

Nanoseconds = npt.NDArray[np.float64]

_HALF_WIDTH: Final = Fraction(5, 100)
_INSTANTS: Final = DELIVERY_INSTANTS[:-1]  # without the acknowledgement, which stands outside the chain


@dataclass(frozen=True, slots=True)
class Owner:
    """What owns one quantile of the delay.

    Attributes:
        at: The quantile, such as ``p99``.
        stage: The bottleneck, one of `simulator.recording.bottlenecks.NAMES`.
        delay: The quantile itself in seconds; infinite where it never happened.
        took: Mean time in that stage of the deliveries around the quantile, in seconds.
        share: Of their time, the part spent in it.
        utilisation: Share of the run that its servers were busy, where it is a station; otherwise None.
        shares: Every stage that took any time, the largest part first, with its share.
    """

    at: str
    stage: str
    delay: float
    took: float
    share: float
    utilisation: float | None
    shares: Mapping[str, float]

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it: a delay that never ended is null."""
        told = asdict(self)
        return {**told, "delay": None if math.isinf(self.delay) else self.delay, "shares": dict(self.shares)}

    @classmethod
    def of_plain(cls, told: Mapping[str, Any]) -> Owner:
        """What `plain` gave."""
        return cls(**{**told, "delay": math.inf if told["delay"] is None else told["delay"]})


def owners_of(observed: Observed, quantiles: Sequence[str], filters: Filters = ()) -> list[Owner]:
    """The owners of quantiles of the delay of all deliveries, or of some; none where there are none, or where
    none took time. Raises MetricError.
    """
    rows = metric_rows(observed, METRICS["active_delay"], filters)
    if not len(rows):
        return []
    delays = metric_values(METRICS["active_delay"], rows)
    found = (_owner(observed, at, rows, delays) for at in quantiles)
    return [owner for owner in found if owner is not None]


def owner_of(observed: Observed, at: str, filters: Filters = ()) -> Owner | None:
    """The owner of one quantile; None where `owners_of` has none. Raises MetricError."""
    return next(iter(owners_of(observed, (at,), filters)), None)


def _owner(observed: Observed, at: str, rows: pd.DataFrame, delays: Nanoseconds) -> Owner | None:
    chosen, delay = _around(delays, percent(at))
    spent = _spent_ns(rows.iloc[chosen], observed.tables["watch_events"], observed.end_ns)
    means = {name: float(spent[name].mean()) for name in NAMES if name in spent}
    total = math.fsum(means.values())
    if total == 0:
        return None
    ranked = sorted(means, key=lambda name: -means[name])
    shares = {name: means[name] / total for name in ranked if means[name] > 0}
    stage = ranked[0]
    busy = observed.utilisation.get(stage)
    return Owner(at, stage, delay, means[stage] / 1e9, shares[stage], busy, shares)


def _around(delays: Nanoseconds, q: Fraction) -> tuple[npt.NDArray[np.int64], float]:
    """Which deliveries stand around a quantile of the delay, and the quantile, as the summary has it.

    Of few deliveries it lies between two of them: both are among those around it, or the later one is.
    """
    count = len(delays)
    order = np.argsort(delays, kind="stable")
    half = min(_HALF_WIDTH, 1 - q)
    place = math.ceil(q * count) - 1  # the first delivery with which that share of them is there
    above = math.ceil(q * (count - 1))  # the upper one of those between which the quantile lies
    low, high = min(math.floor((q - half) * count), place), max(math.ceil((q + half) * count), above + 1)
    near = order[low:high]
    delay = quantile(delays, q)
    return near[np.isinf(delays[near]) == math.isinf(delay)], delay


def _spent_ns(rows: pd.DataFrame, events: pd.DataFrame, end_ns: int) -> dict[str, Nanoseconds]:
    """Name -> time that each of these deliveries spent there."""
    instants = np.column_stack(
        [rows[instant].to_numpy(dtype=np.float64, na_value=np.nan) for instant in _INSTANTS]
    )
    # What was not reached is reached at the end at the earliest.
    instants = np.where(np.isnan(instants), float(max(end_ns, 0)), instants)
    instants = np.maximum.accumulate(instants, axis=1)
    spans = np.diff(instants, axis=1)
    spent: dict[str, Nanoseconds] = {}

    def add(name: str, amounts: Nanoseconds) -> None:
        spent[name] = spent[name] + amounts if name in spent else amounts

    outcomes = rows["outcome"].to_numpy(dtype=object)
    carriers = rows["carried_by"].to_numpy(dtype=object, na_value="")
    is_over = np.isin(outcomes, ENDED_OTHERWISE)
    is_unsent = ~is_over & rows["t_sent_ns"].isna().to_numpy(dtype=bool)
    is_unsent &= rows["change_id"].isin(events["change_id"]).to_numpy(dtype=bool)
    is_queued = events["stream"] == "registry"
    for outcome in ENDED_OTHERWISE:
        add(outcome, np.where(outcomes == outcome, instants[:, -1] - instants[:, 0], 0.0))
    add(NOT_SENT, np.where(is_unsent, instants[:, -1] - instants[:, 0], 0.0))
    for column, stage in enumerate(STAGES):
        span = np.where(is_over | is_unsent, 0.0, spans[:, column])
        for carrier, names in OF_CARRIERS.items():
            if stage in names:
                is_carried = carriers == carrier
                add(names[stage], np.where(is_carried, span, 0.0))
                span = np.where(is_carried, 0.0, span)
        if stage == STAGES[0] and is_queued.any():
            in_queue = np.minimum(span, _queued_ns(rows, events[is_queued], instants[:, 1]))
            add(REGISTRY_QUEUE, in_queue)
            span = span - in_queue
        add(OF_PUSHES[stage], span)
    return spent


def _queued_ns(rows: pd.DataFrame, events: pd.DataFrame, observed_ns: Nanoseconds) -> Nanoseconds:
    """Of the time until a change was observed, that in the queue of the registry and its worker's hands.

    A delivery that nothing has carried yet belongs to no replica: the one that heard first is taken.
    """
    heard = events.groupby(["change_id", "replica"])["t_heard_ns"].min()
    first = heard.groupby(level=0).min()
    keys = pd.MultiIndex.from_arrays([rows["change_id"], rows["replica"].fillna(-1).astype("int64")])
    at_replica = heard.reindex(keys).to_numpy(dtype=np.float64, na_value=np.nan)
    at_first = first.reindex(rows["change_id"]).to_numpy(dtype=np.float64, na_value=np.nan)
    since = np.where(np.isnan(at_replica), at_first, at_replica)
    queued: Nanoseconds = np.where(np.isnan(since), 0.0, np.maximum(observed_ns - since, 0.0))
    return queued
