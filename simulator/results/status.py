"""What ``istioctl proxy-status`` would have shown at an instant of the run, with ages.

istiod compares nonces per type (pilot/pkg/xds/statusgen.go, debugSyncStatus): ERROR if the last answer was a
NACK, NOT SENT if it sent nothing, SYNCED if the last nonce sent is the last one acknowledged, otherwise
STALE. It knows nothing of what it has yet to send: a change that waits in debounce or in the push queue shows
SYNCED. The number of changes outstanding, which no tool of Istio tells, stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import pandas as pd

from simulator.results.result import Result

__all__ = ["ProxyStatus", "Sync", "TypeStatus", "UnknownStatus", "proxy_statuses", "types_shown"]

_ALWAYS: Final = ("cds", "lds", "eds", "rds", "ecds")
"""The types that istioctl shows."""
_CONFIGURED: Final = ("cds", "lds", "eds", "rds")
"""The types that a proxy has which was connected before the run began."""


_APPEARANCES: Final[Mapping[str, str]] = {
    "messages": "t_ns",
    "states": "t_ns",
    "startups": "t_started_ns",
    "deliveries": "t_changed_ns",
}
"""The tables that tell of proxies, and the instant from which a row does."""


class UnknownStatus(ValueError):
    """The run did not record what the status is read from; the message says what."""


class Sync(Enum):
    """How istiod and a proxy stand with one type, in the words of istioctl."""

    ERROR = "ERROR"
    STALE = "STALE"
    SYNCED = "SYNCED"
    NOT_SENT = "NOT SENT"
    POLLED = "POLLED"
    """Polls have no nonces: all that is known is when the last answer left."""


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One type of one proxy; `age_ns` since the NACK, the unanswered response or the ACK, None if that was
    before the run began.
    """

    sync: Sync
    age_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """One proxy as of an instant.

    Attributes:
        proxy: Its name.
        types: Type (cds, ...) -> status.
        replica: Which replica of the control plane it last exchanged a message with; None if with none yet.
        is_connected: Whether its stream stands, as far as its states were recorded.
        outstanding: Changes that had happened and did not decide its traffic yet; None if not recorded.
        oldest_ns: How long ago the oldest of them happened.
    """

    proxy: str
    types: Mapping[str, TypeStatus]
    replica: int | None
    is_connected: bool
    outstanding: int | None
    oldest_ns: int | None


@dataclass(slots=True)
class _Watched:
    """What the control plane remembers of one type on one stream."""

    sent: str | None = None
    acked: str | None = None
    error: str = ""
    t_sent_ns: int = 0
    t_acked_ns: int = 0
    t_error_ns: int = 0
    polls: bool = False

    def status(self, at_ns: int) -> TypeStatus:
        if self.error:
            return TypeStatus(Sync.ERROR, at_ns - self.t_error_ns)
        if self.sent is None:
            return TypeStatus(Sync.NOT_SENT)
        if self.polls:
            return TypeStatus(Sync.POLLED, at_ns - self.t_sent_ns)
        if self.sent == self.acked:
            return TypeStatus(Sync.SYNCED, at_ns - self.t_acked_ns)
        return TypeStatus(Sync.STALE, at_ns - self.t_sent_ns)


@dataclass(slots=True)
class _Exchanged:
    """The messages of one proxy so far: type -> stream -> what is remembered."""

    watched: dict[str, dict[int, _Watched]] = field(default_factory=dict)
    stream: int = 0
    replica: int = 0
    streams_opened: dict[int, None] = field(default_factory=dict)
    """Streams that were opened during the run: CDS was subscribed to on them."""


def proxy_statuses(result: Result, at_ns: int) -> list[ProxyStatus]:
    """Every proxy known at that instant, in order of name; raises UnknownStatus.

    A proxy that was connected before the run began, and has exchanged no message of a type since, is SYNCED
    in it.
    """
    if "messages" not in result.manifest.get("tables", {"messages": 0}):
        raise UnknownStatus(
            "this run did not record its messages; play it again with --set recording.messages=true"
        )
    exchanged = _exchanged(result.messages, at_ns)
    shares_a_stream = _setting(result, "propagation", "streams") != "separate"
    down = _streams_down(result.states, at_ns)
    outstanding = _outstanding(result, at_ns)
    started = result.startups.groupby("proxy_id")["t_started_ns"].min().to_dict()
    start = _setting(result, "mesh", "start")
    was_connected = (start.get("kind") if isinstance(start, dict) else start) == "connected"
    statuses = []
    for proxy in sorted(_proxies(result, at_ns, was_connected), key=_natural):
        known = exchanged.get(proxy, _Exchanged())
        is_from_before = was_connected and proxy not in started
        number, oldest_ns = outstanding.get(proxy, (0, None)) if outstanding is not None else (None, None)
        statuses.append(
            ProxyStatus(
                proxy,
                _types(known, at_ns, shares_a_stream, is_from_before),
                known.replica if proxy in exchanged else None,
                proxy not in down,
                number,
                oldest_ns,
            )
        )
    return statuses


def types_shown(statuses: Iterable[ProxyStatus]) -> list[str]:
    """Those that istioctl shows, and any other that occurs."""
    return list(dict.fromkeys([*_ALWAYS, *(kind for status in statuses for kind in status.types)]))


def _exchanged(messages: pd.DataFrame, at_ns: int) -> dict[str, _Exchanged]:
    rows = messages[messages["t_ns"] <= at_ns]
    columns = ("t_ns", "proxy_id", "replica", "stream", "direction", "type", "nonce", "error_detail")
    proxies: dict[str, _Exchanged] = {}
    for t_ns, proxy, replica, stream, direction, kind, nonce, error in zip(
        *(rows[column].tolist() for column in columns), strict=True
    ):
        known = proxies.get(proxy)
        if known is None:
            known = proxies[proxy] = _Exchanged()
        known.stream, known.replica = stream, replica
        watched = known.watched.setdefault(kind, {}).setdefault(stream, _Watched())
        if direction == "response":
            watched.sent, watched.t_sent_ns, watched.polls = nonce, t_ns, not nonce
        elif error:
            watched.error, watched.t_error_ns = error, t_ns
        elif nonce and nonce == watched.sent and nonce != watched.acked:
            watched.acked, watched.t_acked_ns, watched.error = nonce, t_ns, ""
        elif not nonce:
            if kind == "cds":
                known.streams_opened[stream] = None
            if watched.polls:
                watched.error = ""
    return proxies


def _types(
    known: _Exchanged, at_ns: int, shares_a_stream: bool, is_from_before: bool
) -> dict[str, TypeStatus]:
    """The status of each type on the stream, or the streams, that the proxy has now."""
    types: dict[str, TypeStatus] = {}
    if is_from_before and known.stream not in known.streams_opened:
        types = dict.fromkeys(_CONFIGURED, TypeStatus(Sync.SYNCED))
    for kind, streams in known.watched.items():
        polls = any(watched.polls for watched in streams.values())
        if polls:
            types[kind] = _worst([watched.status(at_ns) for watched in streams.values()])
        elif not shares_a_stream:
            types[kind] = streams[max(streams)].status(at_ns)
        elif known.stream in streams:
            status = streams[known.stream].status(at_ns)
            # A request alone, on a stream from before the run, changes nothing of what was in step.
            if status.sync is not Sync.NOT_SENT or kind not in types:
                types[kind] = status
    for kind in (*_ALWAYS, *known.watched):
        types.setdefault(kind, TypeStatus(Sync.NOT_SENT))
    return types


def _worst(statuses: Iterable[TypeStatus]) -> TypeStatus:
    """Of several subscriptions of one type, the one that is worst off, for the longest time."""
    order = list(Sync)
    return min(statuses, key=lambda status: (order.index(status.sync), -(status.age_ns or 0)))


def _streams_down(states: pd.DataFrame, at_ns: int) -> dict[str, None]:
    """Proxies whose stream for all types was down; known only where states were recorded."""
    rows = states[(states["machine"] == "stream") & (states["name"] == "ads") & (states["t_ns"] <= at_ns)]
    last = rows.groupby("proxy_id")["state"].last()
    return {str(proxy): None for proxy in last[last != "OPEN"].index}


def _outstanding(result: Result, at_ns: int) -> dict[str, tuple[int, int]] | None:
    """Proxy -> how many changes were outstanding and how long the oldest had been; None if not recorded."""
    if "deliveries" not in result.manifest.get("tables", {"deliveries": 0}):
        return None
    rows = result.deliveries
    rows = rows[(rows["t_changed_ns"] <= at_ns) & (rows["outcome"] != "disconnected")]
    open_then = rows["t_active_ns"].isna() | (rows["t_active_ns"] > at_ns).fillna(True)
    rows = rows[open_then.astype(bool)]
    counted = rows.groupby("proxy_id")["t_changed_ns"].agg(["size", "min"])
    return {
        str(proxy): (int(size), at_ns - int(first))
        for proxy, size, first in zip(counted.index, counted["size"], counted["min"], strict=True)
    }


def _proxies(result: Result, at_ns: int, was_connected: bool) -> list[str]:
    """The proxies that had appeared by then."""
    names: dict[str, None] = {}
    if was_connected:
        names = dict.fromkeys(_configured_proxies(_setting(result, "mesh", "proxies")))
    for table, instant in _APPEARANCES.items():
        rows = result.tables[table]
        names.update(dict.fromkeys(rows[rows[instant] <= at_ns]["proxy_id"].unique()))
    return [str(name) for name in names]


def _configured_proxies(proxies: Any) -> list[str]:
    """The names of the proxies a scenario begins with."""
    counts = {"sidecars": proxies} if isinstance(proxies, int) else dict(proxies or {})
    return [
        f"{prefix}{number}"
        for kind, prefix in (("sidecars", "p"), ("gateways", "gw"), ("vms", "vm"))
        for number in range(counts.get(kind, 0))
    ]


def _setting(result: Result, section: str, key: str) -> Any:
    """A key of the resolved scenario in the manifest; None where there is none."""
    scenario = result.manifest.get("scenario")
    values = scenario.get(section) if isinstance(scenario, dict) else None
    return values.get(key) if isinstance(values, dict) else None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts p2 before p10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
