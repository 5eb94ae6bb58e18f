"""A result read as what one Envoy and its control plane said to each other, in seconds after the origin.

All times count from the first xDS subscription (CDS, unless RTDS comes first), and from the end of server
construction where there is no xDS: so what a process needs to start, which varies by hundreds of
milliseconds on a busy machine, is in no comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from simulator.recording.columns import STARTUP_INSTANTS
from simulator.results.result import Result

PHASES: Final = STARTUP_INSTANTS[STARTUP_INSTANTS.index("t_cds_subscribed_ns") + 1 :]
"""Instants of a start that come after the origin."""


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


class Reading:
    """One Envoy of one result."""

    def __init__(self, result: Result, proxy: str) -> None:
        self._result = result
        self.proxy = proxy
        rows = result.startups
        self.startup: Any = rows[rows.proxy_id == proxy].iloc[0]
        self.origin_ns = self._origin_ns()
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
        return rows[rows.proxy_id == self.proxy]

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
        rows = self._result.states
        rows = rows[(rows.proxy_id == self.proxy) & rows.machine.isin(("cluster", "listener"))]
        started_s = self.at("t_workers_started_ns")
        found: list[Entered] = []
        last: dict[tuple[str, str], str] = {}
        for row in rows.itertuples():
            key, state, at_s = (str(row.machine), str(row.name)), str(row.state), self.seconds(row.t_ns)
            is_start_up = state == "WARMING" and (started_s is None or at_s <= started_s)
            if state in ("WARMING", "ACTIVE") and last.get(key) != state and not is_start_up:
                found.append(Entered(at_s, key[0], key[1], state))
            if state in ("WARMING", "ACTIVE") and not is_start_up:
                last[key] = state
        return found

    def outcomes(self, service: str) -> list[tuple[float, str]]:
        """(seconds, outcome) at each change of what requests get."""
        rows = self._result.traffic
        rows = rows[(rows.proxy_id == self.proxy) & (rows.service == service)]
        changes: list[tuple[float, str]] = []
        for row in rows.itertuples():
            if not changes or changes[-1][1] != row.outcome:
                changes.append((self.seconds(row.t_start_ns), str(row.outcome)))
        return changes

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


def _verb(row: Any) -> str:
    if row.direction == "response":
        return "response"
    if row.error_detail:
        return "nack"
    return "ack" if row.nonce else "request"


def _is_known(value: Any) -> bool:
    return value is not None and str(value) != "<NA>" and value == value
