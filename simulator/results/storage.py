"""The results directory: Parquet tables, JSON and Prometheus text, written so that equal runs give equal
bytes.

Nothing here depends on the clock, the machine or the order of a hash. Each file is written beside its place
and then renamed into it; the manifest goes first when a directory is overwritten and comes back last, so a
directory with a manifest is a complete one.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.recording.columns import TABLES
from simulator.results.tables import PANDAS_TYPES

MANIFEST: Final = "manifest.json"
SUMMARY: Final = "summary.json"
COUNTERS: Final = "counters.prom"
HISTOGRAMS: Final = "delivery_histograms.parquet"
"""There where the deliveries of a run are histograms."""
RUNS: Final = "runs"
"""Directory of the records of an experiment's runs."""
TOKEN: Final = ".token"
"""Names the experiment that a directory of runs belongs to."""

_BESIDE: Final = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}")
"""Names of files that are being written."""

_ARROW_TYPES: Final[Mapping[str, pa.DataType]] = {
    "int64": pa.int64(),
    "int64?": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list[string]": pa.list_(pa.string()),
}


class ResultsError(ValueError):
    """A results directory cannot be read; the message names the file and what is wrong with it."""


def write_directory(
    directory: Path,
    tables: Mapping[str, pd.DataFrame],
    manifest: Mapping[str, Any],
    summary: Any,
    counters_text: str,
    histograms: pd.DataFrame | None = None,
) -> None:
    """Write a whole results directory, over an earlier one if there is one.

    Files that are not part of a result, such as figures, are left alone. Raises OSError when it cannot be
    written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).unlink(missing_ok=True)
    for table in TABLES:
        write_bytes(directory / f"{table}.parquet", parquet_bytes(table, tables[table]))
    (directory / HISTOGRAMS).unlink(missing_ok=True)
    if histograms is not None:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pandas(histograms, preserve_index=False), sink, compression="zstd")
        write_bytes(directory / HISTOGRAMS, sink.getvalue())
    write_bytes(directory / COUNTERS, counters_text.encode())
    write_bytes(directory / SUMMARY, json_bytes(summary))
    write_bytes(directory / MANIFEST, json_bytes(manifest))


def read_tables(directory: Path) -> dict[str, pd.DataFrame]:
    """The tables of a results directory; one that is missing or damaged raises ResultsError."""
    return {table: _read_table(directory / f"{table}.parquet", table) for table in TABLES}


def read_histograms(directory: Path) -> pd.DataFrame | None:
    """The histograms that stand for deliveries; None where the run kept their rows. Raises ResultsError."""
    path = directory / HISTOGRAMS
    if not path.exists():
        return None
    try:
        return pq.read_table(path, partitioning=None).to_pandas()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ResultsError(f"{path}: not histograms: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON mapping of a results directory; raises ResultsError."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; is this a results directory?") from error
    except ValueError as error:
        raise ResultsError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: expected a mapping")
    return content


def read_text(path: Path) -> str:
    """A text file of a results directory; raises ResultsError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: {error}") from error


def parquet_bytes(table: str, rows: pd.DataFrame) -> bytes:
    """The table as a Parquet file."""
    kinds = TABLES[table]
    fields = [
        pa.field(name, _ARROW_TYPES[kind], nullable=kind in ("int64?", "string"))
        for name, kind in kinds.items()
    ]
    columns = [_arrow_column(rows[name], kind) for name, kind in kinds.items()]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), sink, compression="zstd")
    return sink.getvalue()


def json_bytes(content: Any) -> bytes:
    """The content as indented JSON with keys in the order given; infinities must have been made text
    before.
    """
    return (json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def new_token() -> str:
    """A text that no other call gives."""
    return secrets.token_hex(16)


def write_bytes(path: Path, content: bytes) -> None:
    """Put a file in its place whole: a reader sees the old one or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_unfinished(directory: Path) -> None:
    """Remove what `write_bytes` was writing into this directory when its process was killed."""
    for path in directory.glob(".*"):
        if _BESIDE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _arrow_column(column: pd.Series[Any], kind: str) -> pa.Array[Any]:
    if kind == "list[string]":
        return pa.array(column.tolist(), type=_ARROW_TYPES[kind])
    return pa.Array.from_pandas(column, type=_ARROW_TYPES[kind])


def _read_table(path: Path, table: str) -> pd.DataFrame:
    try:
        stored = pq.read_table(path, partitioning=None)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}") from error
    except (pa.ArrowException, ValueError) as error:
        raise ResultsError(f"{path}: not a table: {error}") from error
    kinds = TABLES[table]
    missing = [name for name in kinds if name not in stored.column_names]
    if missing:
        raise ResultsError(f"{path}: no column {', '.join(missing)}")
    return pd.DataFrame({name: _pandas_column(stored.column(name), kind) for name, kind in kinds.items()})


def _pandas_column(column: pa.ChunkedArray[Any], kind: str) -> pd.Series[Any]:
    values: Any = column.to_pylist() if kind == "list[string]" else column
    if kind != "list[string]":
        nullable = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
        values = column.to_pandas(types_mapper=nullable.get)
    return pd.Series(values, dtype=PANDAS_TYPES[kind])
