"""Plays a scripted scenario and reads times off its tables, in seconds after the first Envoy's CDS
subscription."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

import simulator as xs

NEVER = {"never": True}
TYPES = ("cds", "eds", "lds", "rds")


def scenario(
    *,
    preset: str = "envoy",
    timeout: object = "2s",
    strategy: str = "push",
    protocol: str = "sotw",
    streams: str = "ads",
    clusters: object = None,
    listeners: object = None,
    resources: dict[str, object] | None = None,
    answers: dict[str, object] | None = None,
    pushes: list[dict[str, object]] | None = None,
    connect: object = "accept",
    duration: str = "40s",
    traffic: str | None = None,
    connection: str = "fresh",
    envoy: dict[str, object] | None = None,
    propagation: dict[str, object] | None = None,
    **more: object,
) -> xs.Scenario:
    """One Envoy against a scripted control plane; by default one EDS cluster and one listener with RDS."""
    held: dict[str, object] = {
        "clusters": {"count": 1, "type": "eds"} if clusters is None else clusters,
        "listeners": {"count": 1, "routes": "rds"} if listeners is None else listeners,
    }
    written: dict[str, Any] = {
        "name": "case",
        "duration": duration,
        "envoy": {"preset": preset, **(envoy or {})},
        "propagation": {
            "strategy": strategy,
            "protocol": protocol,
            "streams": streams,
            **(propagation or {}),
        },
        "control_plane": {
            "kind": "scripted",
            "connect": connect,
            "resources": {**held, **(resources or {})},
            "answers": answers or {},
            "pushes": pushes or [],
        },
        **more,
    }
    if timeout is not None:
        written["envoy"]["initial_fetch_timeout"] = timeout
    if traffic is not None:
        written["workload"] = [{"traffic": {"to": "l0", "rate": traffic, "connection": connection}}]
    return xs.Scenario(**written)


@dataclass(frozen=True)
class Play:
    """A result, read in seconds after the CDS subscription of a proxy."""

    result: xs.Result
    proxy: str = "p0"

    @property
    def startup(self) -> pd.Series[Any]:
        """The start of the proxy."""
        rows = self.result.startups
        return rows[rows.proxy_id == self.proxy].iloc[0]

    @property
    def origin_ns(self) -> int:
        """The CDS subscription; process start where there is none."""
        subscribed = self.startup.t_cds_subscribed_ns
        return 0 if pd.isna(subscribed) else int(subscribed)

    def seconds(self, t_ns: object) -> float | None:
        """Seconds after the origin; None for an instant not reached."""
        return None if pd.isna(t_ns) else (int(t_ns) - self.origin_ns) / 1e9  # type: ignore[call-overload]

    def at(self, instant: str) -> float | None:
        """An instant of the start, such as workers_started."""
        return self.seconds(self.startup[f"t_{instant}_ns"])

    @property
    def fetch_timeouts(self) -> dict[str, int]:
        """Subscriptions timed out, by type."""
        counts: dict[str, int] = json.loads(self.startup.fetch_timeouts)
        return counts

    def messages(
        self,
        after: float = -1.0,
        type: str | None = None,  # noqa: A002 -- the name of the column
        direction: str | None = None,
    ) -> list[Any]:
        """Messages from a time on, each with `.t` in seconds."""
        rows = self.result.messages
        rows = rows[rows.proxy_id == self.proxy]
        rows = rows[(rows.t_ns - self.origin_ns) / 1e9 >= after]
        if type is not None:
            rows = rows[rows.type == type]
        if direction is not None:
            rows = rows[rows.direction == direction]
        rows = rows.assign(t=(rows.t_ns.astype("int64") - self.origin_ns) / 1e9)
        return list(rows.itertuples(index=False))

    def order(self, after: float = -1.0) -> list[str]:
        """The conversation as words: `request cds`, `ack cds`, `nack eds`, `response lds`."""
        return [word(m) for m in self.messages(after)]

    def states(self, machine: str, name: str | None = None) -> list[tuple[float, str, str]]:
        """(seconds, state, detail) of a machine's entries."""
        rows = self.result.states
        rows = rows[(rows.proxy_id == self.proxy) & (rows.machine == machine)]
        if name is not None:
            rows = rows[rows.name == name]
        return [
            ((int(t) - self.origin_ns) / 1e9, s, d)
            for t, s, d in zip(rows.t_ns, rows.state, rows.detail, strict=True)
        ]

    def entered(self, machine: str, name: str, state: str, after: float = -1.0) -> float:
        """When a machine first entered a state from a time on."""
        return next(t for t, s, _ in self.states(machine, name) if s == state and t >= after)

    def outcomes(self) -> list[tuple[float, str]]:
        """(seconds, outcome) at each change of what requests get."""
        changes: list[tuple[float, str]] = []
        for row in self.result.traffic.itertuples():
            if row.proxy_id == self.proxy and (not changes or changes[-1][1] != row.outcome):
                changes.append(((int(row.t_start_ns) - self.origin_ns) / 1e9, str(row.outcome)))
        return changes

    def outcome_at(self, t: float) -> str:
        """What a request gets at a time."""
        return [outcome for since, outcome in self.outcomes() if since <= t][-1]

    def delivery(self, change: int = 0) -> pd.Series[Any]:
        """The delivery of a change to the proxy."""
        rows = self.result.deliveries
        return rows[(rows.change_id == change) & (rows.proxy_id == self.proxy)].iloc[0]


def word(message: Any) -> str:
    """What a message is, as one word and its type."""
    if message.direction == "response":
        return f"response {message.type}"
    if message.error_detail:
        return f"nack {message.type}"
    return f"{'ack' if message.nonce else 'request'} {message.type}"


def play(**keywords: Any) -> Play:
    """Runs the scenario of these keywords (see `scenario`)."""
    return Play(xs.run(scenario(**keywords)))
