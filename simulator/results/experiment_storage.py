"""The tables of an experiment as Parquet files, and its manifest."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.results.storage import MANIFEST, ResultsError, json_bytes, read_json, write_bytes

__all__ = [
    "RUNS_TABLE",
    "SUMMARY_TABLE",
    "digest_of",
    "read_frame",
    "read_manifest",
    "write_frame",
    "write_manifest",
]

RUNS_TABLE: Final = "runs.parquet"
SUMMARY_TABLE: Final = "summary.parquet"

_ARROW: Final = {"int64": pa.int64(), "Int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table of whole numbers, numbers and texts; raises OSError."""
    kinds = {name: _ARROW[_kind_of(frame[name])] for name in frame.columns}
    arrays = [
        pa.array([None if pd.isna(cell) else cell for cell in frame[name]], type=kind)
        if kind == pa.string()
        else pa.Array.from_pandas(frame[name], type=kind)
        for name, kind in kinds.items()
    ]
    # Whether whole numbers may be missing is told by the schema, also when none is.
    fields = [pa.field(name, kind, nullable=_kind_of(frame[name]) != "int64") for name, kind in kinds.items()]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), sink, compression="zstd")
    write_bytes(path, sink.getvalue())


def read_frame(path: Path) -> pd.DataFrame:
    """A table that `write_frame` wrote; raises ResultsError."""
    try:
        stored = pq.read_table(path, partitioning=None)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}") from error
    except (pa.ArrowException, ValueError) as error:
        raise ResultsError(f"{path}: not a table: {error}") from error
    kinds = {pa.string(): "string", pa.float64(): "float64", pa.int64(): "Int64"}
    return pd.DataFrame(
        {
            field.name: pd.Series(
                stored.column(field.name).to_pylist(),
                dtype=kinds[field.type] if field.nullable else "int64",
            )
            for field in stored.schema
        }
    )


def digest_of(runs: pd.DataFrame) -> str:
    """The sha256 over what identifies the runs and over their digests or errors."""
    rows = [
        [str(cell) for cell in row]
        for row in runs[["variant", "replication", "seed", "digest", "error"]].itertuples(index=False)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_manifest(directory: Path, manifest: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> None:
    """Write the manifest, last of all files; raises OSError."""
    write_bytes(directory / MANIFEST, json_bytes({**manifest, "cells": list(cells)}))


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of an experiment; raises ResultsError for that of a single run, or of nothing."""
    manifest = read_json(directory / MANIFEST)
    if "kind" not in manifest or "cells" not in manifest:
        raise ResultsError(
            f"{directory}: not the results of a comparison, a sweep or a replicated run; "
            "xs.Result.load reads those of a single one"
        )
    return manifest


def _kind_of(column: pd.Series[Any]) -> str:
    return str(column.dtype)
