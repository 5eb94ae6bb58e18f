"""The phases of an Envoy's start, read from the ``startups`` table: one vocabulary for figures and terminal.

A phase lasts from the end of the one before it to its own instant. Envoy overlaps nothing here: the times of
the phases add up to the time until the workers start (rule S3 of the Envoy 1.40 measurements).
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = [
    "PHASES",
    "Phase",
    "Span",
    "Start",
    "by_type",
    "durations",
    "first_phase_of",
    "late_types",
    "read_starts",
]


_FAR: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of start-up, from the previous phase's instant to its own."""

    key: str
    ends: str
    """Column of ``startups`` that holds the instant at which the phase is over."""
    label: str
    waits_for: str
    """What ends it, in the words of Envoy's documentation."""
    fetches: tuple[str, ...] = ()
    """Resource types whose initial fetch this phase waits for, so whose time-outs lengthen it."""


# In the order in which Envoy passes them: source/server/server.cc (initializeOrThrow, startWorkers) and
# source/common/upstream/cluster_manager_impl.cc (ClusterManagerInitHelper).
PHASES: tuple[Phase, ...] = (
    Phase("bootstrap", "t_bootstrapped_ns", "bootstrap", "the static configuration"),
    Phase(
        "primary",
        "t_primary_initialized_ns",
        "primary clusters",
        "the STATIC and DNS clusters of the bootstrap",
    ),
    Phase("rtds", "t_rtds_initialized_ns", "runtime", "the RTDS layers", ("rtds",)),
    Phase("secondary", "t_cds_subscribed_ns", "static EDS clusters", "the EDS clusters of the bootstrap"),
    Phase("cds", "t_cds_initialized_ns", "CDS", "the first answer to CDS", ("cds",)),
    Phase(
        "clusters",
        "t_clusters_initialized_ns",
        "clusters",
        "EDS, DNS, SDS and one health-check round",
        ("eds", "sds"),
    ),
    Phase(
        "listeners",
        "t_listeners_initialized_ns",
        "listeners",
        "LDS, then RDS, SRDS, SDS and ECDS",
        ("lds", "rds", "srds", "vhds", "sds", "ecds"),
    ),
    Phase("workers", "t_workers_started_ns", "workers", "every worker to have every listener"),
    Phase("ready", "t_ready_ns", "ready", "the readiness probe"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """One phase of one start. Times are nanoseconds since that process started; ``None`` = not reached."""

    phase: Phase
    begins_ns: int
    ends_ns: int | None
    timed_out: Mapping[str, int]
    """Resource type -> number of subscriptions whose initial fetch timed out in this phase."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one Envoy: the phases it entered, in order, and its instants since process start."""

    proxy: str
    epoch: int
    outcome: str
    started_ns: int
    connected_ns: int | None
    workers_ns: int | None
    ready_ns: int | None
    spans: tuple[Span, ...]
    timed_out: Mapping[str, int]

    @property
    def label(self) -> str:
        """The proxy's name, with the epoch when it is not its first start."""
        return self.proxy if self.epoch == 0 else f"{self.proxy} (start {self.epoch + 1})"

    @property
    def waiting_in(self) -> Phase | None:
        """The phase that never ended, ``None`` when all of them did."""
        last = self.spans[-1]
        return last.phase if last.ends_ns is None else None


def read_starts(result: Result, proxy: str | None = None) -> list[Start]:
    """The rows of ``result.startups``, of all proxies or of one, as :class:`Start`, in the table's order."""
    rows = result.startups if proxy is None else result.startups[result.startups["proxy_id"] == proxy]
    late = _late_fetches(rows, result.states)
    return [_read(row, fetches) for row, fetches in zip(rows.to_dict("records"), late, strict=True)]


def late_types(result: Result) -> list[dict[str, int]]:
    """For every row of ``result.startups``, the fetches that timed out while it started, by type.

    The table counts those of the whole life of the process. Which of them fell into its start is known where
    the states were recorded; elsewhere all are taken to have done so.
    """
    return [by_type(kind for _, kind in late) for late in _late_fetches(result.startups, result.states)]


def first_phase_of(kind: str) -> str:
    """Key of the first phase that waits for fetches of this type."""
    return next((phase.key for phase in PHASES if kind in phase.fetches), "")


def durations(startups: pd.DataFrame) -> pd.DataFrame:
    """Seconds spent in each phase: a row per start, a column per phase key; NaN = not finished."""
    ends = _instants(startups)
    began = startups["t_started_ns"].to_numpy(dtype=np.float64, na_value=np.nan)
    spent = np.diff(np.column_stack([began, ends]), axis=1) / 1e9
    return pd.DataFrame(spent, columns=[phase.key for phase in PHASES], index=startups.index)


def _late_fetches(startups: pd.DataFrame, states: pd.DataFrame) -> list[list[tuple[int | None, str]]]:
    """For every start, the fetches that timed out in it: instant (None where it is not known) and type."""
    timed = _timed_out_states(states)
    if timed is None:
        return [
            [(None, kind) for kind, count in _counts(cell).items() for _ in range(count)]
            for cell in startups["fetch_timeouts"]
        ]
    late: list[list[tuple[int | None, str]]] = []
    for proxy, began, workers, next_began in zip(
        startups["proxy_id"],
        startups["t_started_ns"],
        startups["t_workers_started_ns"],
        startups.groupby("proxy_id")["t_started_ns"].shift(-1).astype("Int64"),
        strict=True,
    ):
        ends = min(_integer(instant) or _FAR for instant in (workers, next_began))
        late.append([(at, kind) for at, kind in timed.get(str(proxy), ()) if began <= at <= ends])
    return late


def _timed_out_states(states: pd.DataFrame) -> dict[str, list[tuple[int, str]]] | None:
    """Proxy -> (instant, type) of each fetch that timed out; None where subscriptions were not recorded."""
    subscriptions = states[states["machine"] == "subscription"]
    if len(subscriptions) == 0:
        return None
    # The detail of a subscription's state begins with its type: "eds timed out".
    rows = subscriptions[subscriptions["detail"].str.endswith(" timed out").fillna(False).astype(bool)]
    timed: dict[str, list[tuple[int, str]]] = {}
    for proxy, at_ns, detail in zip(rows["proxy_id"], rows["t_ns"], rows["detail"], strict=True):
        timed.setdefault(str(proxy), []).append((int(at_ns), str(detail).split(" ")[0]))
    return timed


def _counts(text: object) -> dict[str, int]:
    """The ``fetch_timeouts`` cell (JSON by type) as a mapping."""
    return json.loads(text) if isinstance(text, str) and text else {}


def by_type(kinds: Iterable[str]) -> dict[str, int]:
    """How often each type occurs, types in the order of start-up."""
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    order = [kind for phase in PHASES for kind in phase.fetches]
    return {kind: counts[kind] for kind in dict.fromkeys([*order, *sorted(counts)]) if kind in counts}


def _instants(startups: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The end of every phase (columns, in the order of PHASES), NaN where it was not reached.

    A null before an instant that was reached belongs to a phase without content: it takes the previous
    phase's time. Ready may come before the workers are counted, so instants never decrease.
    """
    columns = [startups[phase.ends].to_numpy(dtype=np.float64, na_value=np.nan) for phase in PHASES]
    ends = np.column_stack(columns) if columns else np.empty((0, 0))
    last_reached = (~np.isnan(ends)) * np.arange(1, len(PHASES) + 1)
    reached = np.arange(1, len(PHASES) + 1) <= last_reached.max(axis=1, initial=0)[:, None]
    began = startups["t_started_ns"].to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
    carried = np.fmax.accumulate(np.hstack([began, ends]), axis=1)[:, 1:]
    return np.where(reached, carried, np.nan)


def _read(row: Mapping[Hashable, object], late: Sequence[tuple[int | None, str]]) -> Start:
    started = _integer(row["t_started_ns"]) or 0
    spans = _spans(row, started)
    placed = [(_place(spans, None if at is None else at - started, kind), kind) for at, kind in late]
    return Start(
        proxy=str(row["proxy_id"]),
        epoch=_integer(row["epoch"]) or 0,
        outcome=str(row["outcome"]),
        started_ns=started,
        connected_ns=_since(row["t_connected_ns"], started),
        workers_ns=_since(row["t_workers_started_ns"], started),
        ready_ns=_since(row["t_ready_ns"], started),
        spans=tuple(
            replace(span, timed_out=by_type(kind for key, kind in placed if key == span.phase.key))
            for span in spans
        ),
        timed_out=by_type(kind for _, kind in late),
    )


def _spans(row: Mapping[Hashable, object], started: int) -> list[Span]:
    ends = [_since(row[phase.ends], started) for phase in PHASES]
    last_reached = max((index for index, end in enumerate(ends) if end is not None), default=-1)
    spans: list[Span] = []
    begins = 0
    for index, phase in enumerate(PHASES):
        if index > last_reached:
            spans.append(Span(phase, begins, None, {}))
            break  # nothing behind a phase that never ended was entered
        ends_ns = max(begins, ends[index] or 0)
        spans.append(Span(phase, begins, ends_ns, {}))
        begins = ends_ns
    return spans


def _place(spans: Sequence[Span], at_ns: int | None, kind: str) -> str:
    """Key of the phase that waited for a fetch which timed out at ``at_ns`` after process start."""
    for span in spans:
        within = at_ns is None or span.begins_ns <= at_ns <= (_FAR if span.ends_ns is None else span.ends_ns)
        if kind in span.phase.fetches and within:
            return span.phase.key
    return first_phase_of(kind)


def _integer(value: object) -> int | None:
    """A table cell as an integer, ``None`` where it is missing."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return int(value)  # type: ignore[call-overload, no-any-return]


def _since(value: object, started: int) -> int | None:
    moment = _integer(value)
    return None if moment is None else moment - started
