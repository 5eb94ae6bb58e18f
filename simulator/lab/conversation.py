"""A result read as what one Envoy and its control plane said to each other, in seconds after the origin.

All times count from the first xDS subscription (CDS, unless RTDS comes first), and from the end of server
construction where there is no xDS: so what a process needs to start, which varies by hundreds of
milliseconds on a busy machine, is in no comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from simulator.control_plane.scripted import RUNTIME_FLAG
from simulator.recording.columns import STARTUP_INSTANTS
from simulator.results.result import Result

PHASES: Final = STARTUP_INSTANTS[STARTUP_INSTANTS.index("t_cds_subscribed_ns") + 1 :]
"""Instants of a start that come after the origin."""

_WARMING_CLUSTER: Final = ("cluster", "WARMING")


@dataclass(frozen=True, slots=True)
class Said:
    """One message.

    Attributes:
        at_s: When, after the origin.
        word: `request cds`, `ack cds`, `nack eds`, `response lds`.
        type: Short name of its resource type.
        names: Resource names in it, sorted.
        stream: Number of its stream.
    """

    at_s: float
    word: str
    type: str
    names: tuple[str, ...]
    stream: int

    @property
    def is_of_server(self) -> bool:
        """Whether the control plane said it."""
        return self.word.startswith("response")

    @property
    def same(self) -> tuple[str, tuple[str, ...]]:
        """What must be equal in both worlds."""
        return self.word, self.names

    def __str__(self) -> str:
        return f"{self.word} {' '.join(self.names)}".rstrip()


@dataclass(frozen=True, slots=True)
class Entered:
    """A cluster or listener entered a state."""

    at_s: float
    machine: str
    name: str
    state: str


Flip = tuple[str, str, float | None]
"""A feature flag's key, what became of the flip, and seconds until it decided."""


class Reading:
    """One start of one Envoy of one result, and what its process did; there is more than one start where it
    was hot restarted.

    No table tells which process of an Envoy opened a stream or has a cluster. Streams that open when a child
    has connected count as the child's; clusters and listeners count while one process runs.
    """

    def __init__(self, result: Result, proxy: str, number: int = 0) -> None:
        self._result = result
        self.proxy = proxy
        self._starts = starts_of(result, proxy)
        self.startup: Any = self._starts.iloc[number]
        following = self._starts.iloc[number + 1 :]
        self._connected = _window(
            self.startup["t_connected_ns"] if number else None, following["t_connected_ns"]
        )
        self._alone = _window(self._parent_ended_ns() if number else None, following["t_started_ns"])
        self.origin_ns = self._origin_ns()
        self.after_first_s = (self.origin_ns - Reading(result, proxy).origin_ns) / 1e9 if number else 0.0
        """From the origin of the Envoy's first start, which the script's times count from, to this one's."""
        self.said = self._said()

    def _origin_ns(self) -> int:
        known = [
            int(self.startup[column])
            for column in ("t_cds_subscribed_ns", "t_bootstrapped_ns", "t_started_ns")
            if _is_known(self.startup[column])
        ]
        first = self._messages().head(1)
        is_rtds_first = len(first) > 0 and str(first.iloc[0]["type"]) == "rtds"
        if is_rtds_first and _is_known(self.startup["t_primary_initialized_ns"]):
            return int(self.startup["t_primary_initialized_ns"])  # RTDS is subscribed to right then.
        return known[0]

    @property
    def construction_ns(self) -> int:
        """From process start to the end of server construction."""
        ended = self.startup["t_bootstrapped_ns"]
        return int(ended) - int(self.startup["t_started_ns"]) if _is_known(ended) else 0

    def _messages(self) -> Any:
        rows = self._result.messages
        rows = rows[rows.proxy_id == self.proxy]
        begin_ns, end_ns = self._connected
        opened_ns = rows.groupby("stream").t_ns.transform("min")
        return rows[(opened_ns >= begin_ns) & (opened_ns < end_ns)]

    def seconds(self, t_ns: Any) -> float:
        """Seconds after the origin."""
        return (int(t_ns) - self.origin_ns) / 1e9

    def at(self, column: str) -> float | None:
        """An instant of the start; None if it was not reached."""
        value = self.startup[column]
        return self.seconds(value) if _is_known(value) else None

    def _said(self) -> list[Said]:
        return [
            Said(
                self.seconds(row.t_ns),
                f"{_verb(row)} {row.type}",
                str(row.type),
                tuple(sorted(row.resources)),
                int(row.stream),
            )
            for row in self._messages().itertuples()
        ]

    def subscriptions(self) -> dict[int, str]:
        """What each stream is for, where it is for one subscription; otherwise "ads"."""
        types: dict[int, dict[str, None]] = {}
        first: dict[int, Said] = {}
        for said in self.said:
            types.setdefault(said.stream, {})[said.type] = None
            first.setdefault(said.stream, said)
        if any(len(one) > 1 for one in types.values()):
            return dict.fromkeys(first, "ads")
        return {
            stream: f"{said.type} {said.names[0]}" if said.names and not said.is_of_server else said.type
            for stream, said in first.items()
        }

    def openings(self) -> dict[tuple[str, int], float]:
        """When the first request came on the k-th stream for each subscription."""
        first: dict[int, float] = {}
        for said in self.said:
            first.setdefault(said.stream, said.at_s)
        counts: dict[str, int] = {}
        found: dict[tuple[str, int], float] = {}
        of_stream = self.subscriptions()
        for stream, at_s in first.items():
            label = of_stream[stream]
            counts[label] = counts.get(label, 0) + 1
            found[label, counts[label]] = at_s
        return found

    def entered(self) -> list[Entered]:
        """When clusters and listeners serve, and when they warm anew.

        That a cluster warms during start-up is told at different moments: when it is added by Envoy, when its
        initialization begins by the simulator.
        """
        found: list[Entered] = []
        last: dict[tuple[str, str], str] = {}
        for one, is_start_up in self._states_entered():
            key = one.machine, one.name
            if one.state in ("WARMING", "ACTIVE") and not is_start_up:
                if last.get(key) != one.state:
                    found.append(one)
                last[key] = one.state
        return found

    def warmed_in_start_up(self) -> list[str]:
        """Clusters that warmed before the workers started."""
        started_s = self.at("t_workers_started_ns")
        warmed = [one for one, _ in self._states_entered() if (one.machine, one.state) == _WARMING_CLUSTER]
        return [one.name for one in warmed if started_s is None or one.at_s <= started_s]

    def _states_entered(self) -> Iterator[tuple[Entered, bool]]:
        """Every state of a cluster or listener, and whether it is one of start-up."""
        rows = self._result.states
        rows = rows[(rows.proxy_id == self.proxy) & rows.machine.isin(("cluster", "listener"))]
        rows = rows[(rows.t_ns >= self._alone[0]) & (rows.t_ns < self._alone[1])]
        started_s = self.at("t_workers_started_ns")
        entered: dict[tuple[str, str], str] = {}
        for row in rows.itertuples():
            key, state, at_s = (str(row.machine), str(row.name)), str(row.state), self.seconds(row.t_ns)
            # One that warms since start-up goes from step to step afterwards.
            goes_on = entered.get(key) == state
            entered[key] = state
            is_start_up = goes_on or (state == "WARMING" and (started_s is None or at_s <= started_s))
            yield Entered(at_s, key[0], key[1], state), is_start_up

    def removed(self) -> list[str]:
        """Clusters, in the order in which they were removed first."""
        rows = self._result.states
        rows = rows[(rows.proxy_id == self.proxy) & (rows.machine == "cluster") & (rows.state == "GONE")]
        rows = rows[(rows.t_ns >= self._alone[0]) & (rows.t_ns < self._alone[1])]
        return list(dict.fromkeys(str(name) for name in rows.name))

    def takeover(self) -> list[tuple[float, str]]:
        """(seconds after the first, state) of the hot restart that this process is the child of."""
        rows = self._takeover()
        return [((int(row.t_ns) - int(rows.t_ns.iloc[0])) / 1e9, str(row.state)) for row in rows.itertuples()]

    def _takeover(self) -> Any:
        rows = self._result.states
        rows = rows[(rows.proxy_id == self.proxy) & (rows.machine == "hot_restart")]
        return rows[rows.name == f"epoch {self.startup['epoch']}"]

    def _parent_ended_ns(self) -> float:
        rows = self._takeover()
        return float(rows[rows.state == "PARENT_TERMINATED"].t_ns.min())

    def outcomes(self, service: str) -> list[tuple[float, str]]:
        """(seconds, outcome) at each change of what requests get; several trains may get several at once."""
        rows = self._result.traffic
        rows = rows[(rows.proxy_id == self.proxy) & (rows.service == service)]
        spans = [
            (int(begin_ns), int(end_ns), str(outcome))
            for begin_ns, end_ns, outcome in zip(rows.t_start_ns, rows.t_end_ns, rows.outcome, strict=True)
        ]
        changes: list[tuple[float, str]] = []
        for t_ns in sorted({t_ns for begin_ns, end_ns, _ in spans for t_ns in (begin_ns, end_ns)}):
            met = sorted({outcome for begin_ns, end_ns, outcome in spans if begin_ns <= t_ns < end_ns})
            told = " and ".join(met)
            if told and (not changes or changes[-1][1] != told):
                changes.append((self.seconds(t_ns), told))
        return changes

    def flips(self) -> list[Flip]:
        """Flips of feature flags, in order."""
        changes, found = self._result.changes, self.deliveries()
        rows: Any = changes[(changes.kind == RUNTIME_FLAG) & changes.change_id.isin(list(found))]
        return [(str(row.name), *found[int(row.change_id)]) for row in rows.itertuples(index=False)]

    def deliveries(self) -> dict[int, tuple[str, float | None]]:
        """Outcome of each change here, and seconds from change to active."""
        table = self._result.deliveries
        rows: Any = table[table.proxy_id == self.proxy]
        return {
            int(row.change_id): (
                str(row.outcome),
                (int(row.t_active_ns) - int(row.t_changed_ns)) / 1e9 if _is_known(row.t_active_ns) else None,
            )
            for row in rows.itertuples()
        }


def starts_of(result: Result, proxy: str) -> Any:
    """The starts of an Envoy, in order."""
    rows = result.startups
    return rows[rows.proxy_id == proxy].sort_values("t_started_ns", kind="stable")


def _window(begin: Any, ends: Any) -> tuple[float, float]:
    """From an instant (always, if none is given; never, if it did not come) to the first of others."""
    known = [float(end) for end in ends if _is_known(end)]
    if begin is None:
        return -math.inf, min(known, default=math.inf)
    return float(begin) if _is_known(begin) else math.inf, min(known, default=math.inf)


def _verb(row: Any) -> str:
    if row.direction == "response":
        return "response"
    if row.error_detail:
        return "nack"
    return "ack" if row.nonce else "request"


def _is_known(value: Any) -> bool:
    return value is not None and str(value) != "<NA>" and value == value
