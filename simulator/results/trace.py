"""The run as it happened: one readable line per event, or a Chrome/Perfetto trace.

Both merge the instants of start-ups, the changes, the states entered and the xDS messages in order of time.
What was not recorded is simply not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from simulator.recording.columns import STARTUP_INSTANTS
from simulator.results.result import Result

LEGEND: Final = (
    "# time since the start of the run | proxy | what happened | "
    "xDS: <- response from, -> request to the control plane, v = version_info, n = nonce"
)
_FEW: Final = 8  # names shown before a line says how many more there are

# In the order in which Envoy passes them.
_PHASE_TEXTS: Final = {
    "t_started_ns": "process started",
    "t_bootstrapped_ns": "bootstrap loaded",
    "t_primary_initialized_ns": "primary clusters initialized",
    "t_rtds_initialized_ns": "runtime initialized",
    "t_connected_ns": "connected to the control plane",
    "t_cds_subscribed_ns": "CDS subscribed",
    "t_cds_initialized_ns": "CDS has its first outcome",
    "t_clusters_initialized_ns": "all clusters initialized",
    "t_listeners_initialized_ns": "all listeners initialized",
    "t_workers_started_ns": "workers started, listeners accept",
    "t_ready_ns": "ready",
}

# The instants a start passes one after another, each with the name of the phase it ends. Being connected is
# no phase: nothing waits for it as such.
_PHASES: Final = (
    ("t_bootstrapped_ns", "bootstrap"),
    ("t_primary_initialized_ns", "primary clusters"),
    ("t_rtds_initialized_ns", "runtime"),
    ("t_cds_subscribed_ns", "static EDS clusters"),
    ("t_cds_initialized_ns", "CDS"),
    ("t_clusters_initialized_ns", "clusters"),
    ("t_listeners_initialized_ns", "listeners"),
    ("t_workers_started_ns", "workers"),
    ("t_ready_ns", "ready"),
)

_STARTUP_TRACK, _REQUEST_TRACK, _RESPONSE_TRACK = 1, 2, 3


class _Event(NamedTuple):
    """One line to be; at equal times changes come first, then phases, states and messages, each in their
    order.
    """

    t_ns: int
    rank: int
    place: int
    proxy: str
    what: str
    text: str


def trace_lines(result: Result, proxy: str | None = None) -> Iterator[str]:
    """The run, one line per event, of all proxies or of one; the first line says how to read the rest."""
    events = [
        event
        for events in (_changes(result), _startups(result), _states(result), _messages(result))
        for event in events
        if proxy is None or event.proxy in (proxy, "-")
    ]
    events.sort()
    width = max((len(event.proxy) for event in events), default=1)
    yield LEGEND
    for event in events:
        where = f"{_milliseconds(event.t_ns):>15}  {event.proxy:<{width}}"
        yield f"{where}  {event.what:<9} {event.text}".rstrip()


def perfetto(result: Result, proxy: str | None = None) -> dict[str, Any]:
    """The run as Chrome trace JSON (chrome://tracing, ui.perfetto.dev): a process per proxy, times in
    microseconds.

    Phases of the start are slices, messages are instants, and each cluster, listener or other machine is a
    row of its own with a slice per state.
    """
    proxies = [name for name in _proxies(result) if proxy in (None, name)]
    numbers = {name: index + 1 for index, name in enumerate(proxies)}
    events: list[dict[str, Any]] = []
    for name, pid in numbers.items():
        events.append(_metadata("process_name", pid, 0, name))
        for tid, track in (
            (_STARTUP_TRACK, "start-up"),
            (_REQUEST_TRACK, "requests"),
            (_RESPONSE_TRACK, "responses"),
        ):
            events.append(_metadata("thread_name", pid, tid, track))
    events += _phase_slices(result.startups, numbers)
    events += _message_instants(result.messages, numbers)
    events += _state_slices(result.states, numbers, _last_ns(result))
    return {"displayTimeUnit": "ms", "traceEvents": events}


def folded(names: Sequence[str]) -> str:
    """Names in few words: runs of numbered ones as ``c0..c9``, and after a few only how many more there
    are.
    """
    runs: list[str] = []
    for first, last in _runs(names):
        runs.append(first if first == last else f"{first}..{last}")
    if len(runs) > _FEW:
        return f"{' '.join(runs[:_FEW])} ... ({len(names)} names)"
    return " ".join(runs)


def _changes(result: Result) -> Iterator[_Event]:
    for index, row in enumerate(_rows(result.changes)):
        concerned = f"{row['proxies_concerned']} proxies"
        text = f"{row['kind']} {row['name']} ({concerned})"
        yield _Event(row["t_changed_ns"], 0, index, "-", "change", text)


def _startups(result: Result) -> Iterator[_Event]:
    index = 0
    for row in _rows(result.startups):
        start = "" if row["epoch"] == 0 else f" (start {row['epoch'] + 1}, {row['cause']})"
        for instant in _PHASE_TEXTS:
            if not pd.isna(row[instant]):
                index += 1
                yield _Event(
                    int(row[instant]), 1, index, row["proxy_id"], "start-up", _PHASE_TEXTS[instant] + start
                )


def _states(result: Result) -> Iterator[_Event]:
    columns = ("t_ns", "proxy_id", "machine", "state", "detail")
    group: list[str] = []
    shared: tuple[Any, ...] = ()
    index = 0
    for row in _rows(result.states):
        here = tuple(row[column] for column in columns)
        if group and here != shared:
            yield _state_event(shared, group, index)
            index += 1
            group = []
        shared = here
        group.append(row["name"])
    if group:
        yield _state_event(shared, group, index)


def _state_event(shared: tuple[Any, ...], names: Sequence[str], index: int) -> _Event:
    t_ns, proxy, machine, state, detail = shared
    text = " ".join(part for part in (machine, folded(names), "->", state) if part)
    return _Event(t_ns, 2, index, proxy, "state", f"{text} ({detail})" if detail else text)


def _repeated(before: frozenset[str], asked: frozenset[str]) -> str:
    if asked == before:
        return "asks again"
    return "subscribes" if asked - before else "unsubscribes"


def _messages(result: Result) -> Iterator[_Event]:
    acknowledged: dict[tuple[str, int, str, str], frozenset[str]] = {}
    for index, row in enumerate(_rows(result.messages)):
        request = row["direction"] == "request"
        said = ""
        if request and row["error_detail"]:
            said = f"NACK: {row['error_detail']}"
        elif request and row["nonce"]:
            # Only the first request with a nonce answers that response; a later one with it asks again.
            key = row["proxy_id"], row["stream"], row["type"], row["nonce"]
            asked = frozenset(row["resources"])
            said = _repeated(acknowledged[key], asked) if key in acknowledged else "ACK"
            acknowledged[key] = asked
        names = folded(row["resources"]) or (
            "wildcard" if request and row["type"] in ("cds", "lds", "srds") else "none"
        )
        parts = [
            "->" if request else "<-",
            f"{row['type']:<4}",
            f'v="{row["version_info"]}" n="{row["nonce"]}"',
            names,
        ]
        if row["bytes"]:
            parts.append(f"({row['bytes']} B)")
        yield _Event(row["t_ns"], 3, index, row["proxy_id"], row["direction"], " ".join([*parts, said]))


def _phase_slices(startups: pd.DataFrame, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for row in _rows(startups):
        if row["proxy_id"] not in numbers:
            continue
        timed_out = json.loads(row["fetch_timeouts"])
        begin = int(row["t_started_ns"])
        for instant, name in _PHASES:
            if pd.isna(row[instant]):
                break
            end = int(row[instant])
            if end > begin:
                yield {
                    "ph": "X",
                    "name": name,
                    "cat": "start-up",
                    "pid": numbers[row["proxy_id"]],
                    "tid": _STARTUP_TRACK,
                    "ts": begin / 1000,
                    "dur": (end - begin) / 1000,
                    "args": {"epoch": int(row["epoch"]), "fetch_timeouts": timed_out},
                }
            begin = max(begin, end)


def _message_instants(messages: pd.DataFrame, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for row in _rows(messages):
        if row["proxy_id"] not in numbers:
            continue
        nack = " NACK" if row["direction"] == "request" and row["error_detail"] else ""
        keys = ("replica", "stream", "version_info", "nonce", "error_detail", "resources", "bytes")
        yield {
            "ph": "i",
            "s": "t",
            "name": f"{row['type']} {row['direction']}{nack}",
            "cat": "xds",
            "pid": numbers[row["proxy_id"]],
            "tid": _REQUEST_TRACK if row["direction"] == "request" else _RESPONSE_TRACK,
            "ts": row["t_ns"] / 1000,
            "args": {key: row[key] for key in keys},
        }


def _state_slices(states: pd.DataFrame, numbers: dict[str, int], last_ns: int) -> Iterator[dict[str, Any]]:
    """Slices of states, each until the next state of the same machine and name; the last until the end."""
    entered: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in _rows(states):
        if row["proxy_id"] in numbers:
            entered.setdefault((row["proxy_id"], row["machine"], row["name"]), []).append(row)
    for (proxy, machine, name), rows in entered.items():
        ends = [*(row["t_ns"] for row in rows[1:]), max(last_ns, rows[-1]["t_ns"])]
        for row, end_ns in zip(rows, ends, strict=True):
            shared = {
                "name": f"{machine} {name}: {row['state']}" if name else f"{machine}: {row['state']}",
                "cat": machine,
                "id": f"{proxy}/{machine}/{name}",
                "pid": numbers[proxy],
                "tid": 0,
            }
            yield {"ph": "b", **shared, "ts": row["t_ns"] / 1000, "args": {"detail": row["detail"]}}
            yield {"ph": "e", **shared, "ts": end_ns / 1000}


def _metadata(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _proxies(result: Result) -> list[str]:
    """The proxies of the run in order of first appearance."""
    tables = (result.startups, result.messages, result.states)
    return list(dict.fromkeys(name for table in tables for name in table["proxy_id"].tolist()))


def _last_ns(result: Result) -> int:
    """The last instant anything was recorded at."""
    columns = [
        result.messages["t_ns"],
        result.states["t_ns"],
        *(result.startups[name] for name in STARTUP_INSTANTS),
    ]
    return max((int(column.max()) for column in columns if column.notna().any()), default=0)


def _runs(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """First and last of each run of names that differ only by a number counting up."""
    first = last = ""
    expected: tuple[str, int] | None = None
    for name in names:
        numbered = re.fullmatch(r"(.*\D|)(0|[1-9]\d*)", name)
        stem = (numbered.group(1), int(numbered.group(2))) if numbered else None
        if stem is not None and stem == expected:
            last = name
        else:
            if first:
                yield first, last
            first = last = name
        expected = None if stem is None else (stem[0], stem[1] + 1)
    if first:
        yield first, last


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(column): value for column, value in row.items()} for row in table.to_dict(orient="records")]


def _milliseconds(t_ns: int) -> str:
    microseconds = t_ns // 1000
    return f"{microseconds // 1000}.{microseconds % 1000:03d}ms"
