"""The recorded columns as pandas tables, in a fixed order, and the digest of a run.

Rows are ordered by what identifies them (change and proxy; proxy and epoch; time), never by the order in
which the model happened to record them. Messages and states of one instant keep the order in which they
happened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd

from simulator.recording.columns import DELIVERY_INSTANTS, DIGESTED, STARTUP_INSTANTS, TABLES
from simulator.recording.recorder import Recorder
from simulator.recording.rows import DeliveryRow, StartupRow

PANDAS_TYPES: Final[Mapping[str, str]] = {
    "int64": "int64",
    "int64?": "Int64",
    "float64": "float64",
    "bool": "bool",
    "string": "string",
    "list[string]": "object",
}
"""Kind of column -> pandas type: whole numbers and texts that may be missing use pandas' nullable types."""


def frame(table: str, columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """One table of the contract from its columns, each with the type its kind asks for."""
    if not any(len(columns[name]) for name in TABLES[table]):
        return _empty(table).copy()
    return pd.DataFrame(
        {
            name: pd.Series(columns[name], dtype=PANDAS_TYPES[kind])
            if kind != "list[string]"
            else _lists(columns[name])
            for name, kind in TABLES[table].items()
        }
    )


def empty_frame(table: str) -> pd.DataFrame:
    """The table without rows."""
    return _empty(table).copy()


@cache
def _empty(table: str) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series([], dtype=PANDAS_TYPES[kind]) for name, kind in TABLES[table].items()}
    )


def build_tables(recorder: Recorder, without: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """Every table of the run; those that were not recorded have no rows, nor those to do `without`."""
    return {
        table: empty_frame(table) if table in without else build(recorder)
        for table, build in _BUILDERS.items()
    }


def digest_of(tables: Mapping[str, pd.DataFrame], histograms: Iterable[bytes] = ()) -> str:
    """The sha256, in hexadecimal, over the columns of the tables that exist at every recording level, and
    over the histograms that stand for rows, where they do (`FoldedDeliveries.to_bytes`).
    """
    sha = hashlib.sha256()
    for table in DIGESTED:
        rows = tables[table]
        for name, kind in TABLES[table].items():
            sha.update(f"{table}.{name}:{kind}:{len(rows)}\n".encode())
            sha.update(_column_bytes(rows[name], kind))
    for piece in histograms:
        sha.update(piece)
    return sha.hexdigest()


def _column_bytes(column: pd.Series[Any], kind: str) -> bytes:
    """The column as bytes that are equal exactly when its values are, on every platform."""
    if kind == "int64?":
        missing = column.isna().to_numpy(dtype=bool)
        return missing.tobytes() + column.fillna(0).to_numpy(dtype="<i8").tobytes()
    if kind in ("string", "list[string]"):
        values = [None if value is pd.NA else value for value in column.tolist()]
        return json.dumps(values, separators=(",", ":")).encode()
    if kind == "float64":
        return (column.to_numpy(dtype="<f8") + 0.0).tobytes()  # + 0.0 makes -0.0 and 0.0 one
    return column.to_numpy(dtype="<i8" if kind == "int64" else bool).tobytes()


def _lists(values: Sequence[object]) -> pd.Series[Any]:
    """A column of lists; rows that share one sequence of names share one list."""
    cells = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        cells[index] = value
    return pd.Series(cells, dtype=object)


def _changes(recorder: Recorder) -> pd.DataFrame:
    return _frame_of_tuples("changes", sorted(recorder.change_rows), recorder, proxy_at=None)


def _deliveries(recorder: Recorder) -> pd.DataFrame:
    names = recorder.proxy_names

    def place(row: DeliveryRow) -> tuple[int, ...]:
        return row.change_id, row.proxy, *_instants(row, DELIVERY_INSTANTS)

    rows = sorted(recorder.delivery_rows, key=place)
    if recorder.delivery_parts is not None and (parts := list(recorder.delivery_parts())):
        named = [{name: getattr(row, name) for name in row.__slots__} for row in rows]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return _merged("deliveries", named, columns, ("change_id", "proxy"), recorder)
    return frame(
        "deliveries",
        {
            column: [names[row.proxy] for row in rows]
            if column == "proxy_id"
            else [getattr(row, column) for row in rows]
            for column in TABLES["deliveries"]
        },
    )


def _startups(recorder: Recorder) -> pd.DataFrame:
    names = recorder.proxy_names

    def place(row: StartupRow) -> tuple[int, ...]:
        return row.proxy, row.epoch, *_instants(row, STARTUP_INSTANTS)

    rows = sorted(recorder.startup_rows, key=place)
    columns: dict[str, list[object]] = {
        column: [getattr(row, column) for row in rows]
        for column in TABLES["startups"]
        if column not in ("proxy_id", "fetch_timeouts")
    }
    columns["proxy_id"] = [names[row.proxy] for row in rows]
    columns["fetch_timeouts"] = [json.dumps(row.fetch_timeouts, sort_keys=True) for row in rows]
    return frame("startups", columns)


def _pushes(recorder: Recorder) -> pd.DataFrame:
    rows = sorted(recorder.push_rows, key=lambda row: row.push_id)
    columns: dict[str, list[object]] = {
        column: [getattr(row, column) for row in rows] for column in TABLES["pushes"] if column != "kinds"
    }
    columns["kinds"] = [list(row.kinds) for row in rows]
    return frame("pushes", columns)


def _messages(recorder: Recorder) -> pd.DataFrame:
    lists: dict[int, list[str]] = {}

    def listed(names: Iterable[str]) -> list[str]:
        found = lists.get(id(names))
        if found is None:
            found = lists[id(names)] = list(names)
        return found

    rows = [(*row[:9], listed(row[9]), row[10]) for row in sorted(recorder.message_rows, key=_time)]
    return _frame_of_tuples("messages", rows, recorder, proxy_at=1)


def _states(recorder: Recorder) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for t_ns, proxy, machine, names, state, detail in sorted(recorder.state_rows, key=_time):
        for name in (names,) if isinstance(names, str) else names:
            rows.append((t_ns, proxy, machine, name, state, detail))
    return _frame_of_tuples("states", rows, recorder, proxy_at=1)


def _traffic(recorder: Recorder) -> pd.DataFrame:
    rows = sorted(recorder.traffic_rows, key=lambda row: (row[2], row[0], row[1], *row[3:]))
    return _frame_of_tuples("traffic", rows, recorder, proxy_at=2)


def _queues(recorder: Recorder) -> pd.DataFrame:
    return _frame_of_tuples("queues", sorted(recorder.queue_rows, key=_time), recorder, proxy_at=None)


def _merged(
    table: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Any],
    order: tuple[str, ...],
    recorder: Recorder,
) -> pd.DataFrame:
    """A table from rows and from columns of further rows, in this order; -1 stands for a missing number."""
    found = _joined(table, rows, columns)
    proxies = found["proxy"]
    seats = np.lexsort([found[name] for name in reversed(order)])
    made: dict[str, Any] = {}
    for name, kind in TABLES[table].items():
        if name == "proxy_id":
            known, which = np.unique(proxies[seats], return_inverse=True)
            named = np.array(recorder.names_of(known.tolist()), object)
            made[name] = pd.array(named[which], dtype="string")
        elif kind == "int64":
            made[name] = found[name][seats]
        elif kind == "int64?":
            values = found[name][seats]
            made[name] = pd.arrays.IntegerArray(np.where(values < 0, 0, values), values < 0)
        elif kind == "string":
            made[name] = pd.array(found[name][seats], dtype="string")
        else:
            made[name] = pd.Series(found[name][seats], dtype=object)
    return pd.DataFrame(made)


def _joined(table: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Rows, then columns of further ones, as columns; -1 stands for a missing number."""
    found: dict[str, Any] = {"proxy": _numbers([row["proxy"] for row in rows], columns["proxy"])}
    for name, kind in TABLES[table].items():
        if name != "proxy_id":
            join = _numbers if kind in ("int64", "int64?") else _texts
            found[name] = join([row[name] for row in rows], columns[name])
    return found


def own_deliveries(recorder: Recorder) -> Iterator[dict[str, Any]]:
    """The deliveries of proxies that were played by messages as columns, those of one change after those of
    another; -1 stands for a missing number."""
    of_change: dict[int, list[dict[str, Any]]] = {}
    for row in recorder.delivery_rows:
        named = {name: getattr(row, name) for name in row.__slots__}
        of_change.setdefault(row.change_id, []).append(named)
    nothing = {name: np.empty(0, object if name in _TEXTS else np.int64) for name in _DELIVERY_COLUMNS}
    for change in sorted(of_change):
        yield _joined("deliveries", of_change[change], nothing)


def further_deliveries(recorder: Recorder) -> Iterator[Mapping[str, Any]]:
    """The deliveries of proxies that were advanced in arrays, likewise."""
    return iter(()) if recorder.delivery_parts is None else recorder.delivery_parts()


def sampled_deliveries(recorder: Recorder, parts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of the rows that are kept beside histograms."""
    if not any(len(part["proxy"]) for part in parts):
        return empty_frame("deliveries")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _merged("deliveries", [], columns, ("change_id", "proxy"), recorder)


_TEXTS: Final = ("carried_by", "outcome")
_DELIVERY_COLUMNS: Final = ("proxy", *TABLES["deliveries"])


def _numbers(own: Sequence[int | None], further: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    mine = np.array([-1 if value is None else value for value in own], np.int64)
    return np.concatenate([mine, further])


def _texts(own: Sequence[object], further: Any) -> np.ndarray[Any, np.dtype[np.object_]]:
    mine = np.empty(len(own), object)
    for seat, value in enumerate(own):
        mine[seat] = value
    return np.concatenate([mine, further])


def _proxy_pushes(recorder: Recorder) -> pd.DataFrame:
    shared: dict[int, list[str]] = {}
    rows = [
        (*row[:7], shared.setdefault(id(row[7]), list(row[7])))
        for row in sorted(recorder.proxy_push_rows, key=lambda row: (row[0], row[1], *row[2:6]))
    ]
    if recorder.proxy_push_columns:
        columns = ["proxy" if name == "proxy_id" else name for name in TABLES["proxy_pushes"]]
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        order = ("push_id", "proxy", "replica", "t_start_ns", "t_enqueued_ns", "t_dequeued_ns")
        return _merged("proxy_pushes", named, recorder.proxy_push_columns, order, recorder)
    return _frame_of_tuples("proxy_pushes", rows, recorder, proxy_at=1)


def _regressions(recorder: Recorder) -> pd.DataFrame:
    return _frame_of_tuples("regressions", sorted(recorder.regression_rows), recorder, proxy_at=1)


def _watch_events(recorder: Recorder) -> pd.DataFrame:
    return _frame_of_tuples("watch_events", sorted(recorder.watch_event_rows), recorder, proxy_at=None)


def _components(recorder: Recorder) -> pd.DataFrame:
    return _frame_of_tuples("components", recorder.component_rows, recorder, proxy_at=None)


def _connections(recorder: Recorder) -> pd.DataFrame:
    return _frame_of_tuples("connections", sorted(recorder.connection_rows, key=_time), recorder, proxy_at=1)


def _certificates(recorder: Recorder) -> pd.DataFrame:
    names = recorder.proxy_names
    rows = sorted(recorder.certificate_rows, key=lambda row: (row.t_wanted_ns, row.proxy))
    columns: dict[str, list[object]] = {
        column: [getattr(row, column) for row in rows]
        for column in TABLES["certificates"]
        if column != "proxy_id"
    }
    columns["proxy_id"] = [names[row.proxy] for row in rows]
    return frame("certificates", columns)


def _frame_of_tuples(
    table: str, rows: Sequence[tuple[object, ...]], recorder: Recorder, proxy_at: int | None
) -> pd.DataFrame:
    """A table from rows in the order of its columns; the proxy number at `proxy_at` becomes a name."""
    columns: list[Sequence[object]] = list(zip(*rows, strict=True)) if rows else [()] * len(TABLES[table])
    if proxy_at is not None:
        columns[proxy_at] = [recorder.proxy_names[proxy] for proxy in columns[proxy_at]]  # type: ignore[index]
    return frame(table, dict(zip(TABLES[table], columns, strict=True)))


def _time(row: tuple[Any, ...]) -> int:
    t_ns: int = row[0]
    return t_ns


def _instants(row: DeliveryRow | StartupRow, names: tuple[str, ...]) -> tuple[int, ...]:
    """The instants of a row as a key to sort by: rows that agree in everything before are told apart by
    them.
    """
    return tuple(-1 if getattr(row, name) is None else getattr(row, name) for name in names)


_BUILDERS: Final[Mapping[str, Callable[[Recorder], pd.DataFrame]]] = {
    "changes": _changes,
    "deliveries": _deliveries,
    "startups": _startups,
    "pushes": _pushes,
    "messages": _messages,
    "states": _states,
    "traffic": _traffic,
    "queues": _queues,
    "proxy_pushes": _proxy_pushes,
    "regressions": _regressions,
    "watch_events": _watch_events,
    "components": _components,
    "connections": _connections,
    "certificates": _certificates,
}
