"""The results of many runs: one row a run, one summary row a cell and metric, and the samples behind them."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd

from simulator.recording.bottlenecks import BOTTLENECK
from simulator.recording.instants import METRICS
from simulator.results import experiment_storage as storage
from simulator.results.estimates import Estimate, estimate
from simulator.results.in_notebooks import page
from simulator.results.records import OWNED, OWNERS, STATISTICS, TOTALS, RunRecord, read_record, write_record
from simulator.results.samples import Samples
from simulator.results.storage import RUNS, ResultsError

__all__ = ["Experiment", "ExperimentCell", "SamplesOf"]

SamplesOf = Callable[[str], Mapping[str, Samples]]
"""Fingerprint of a run -> its samples by metric."""

QUANTILES: Final = ("p50", "p90", "p99")
MEAN_ONLY: Final = "one number a run"
_IDENTITY: Final = ("cell", "variant")
_OF_RUN: Final = {
    "replication": "int64",
    "seed": "int64",
    "fingerprint": "string",
    "digest": "string",
    "timeline": "string",
    "error": "string",
    "events": "Int64",
    "unmet": "string",
    "warnings": "Int64",
    **{
        column: kind
        for owner in OWNERS
        for column, kind in ((owner, "string"), *((f"{owner}.{name}", "float64") for name in OWNED))
    },
}


@dataclass(frozen=True, slots=True)
class ExperimentCell:
    """One of the things that were played: a variant of a comparison, a point of a sweep.

    Attributes:
        index: Its place, from 0.
        label: What it is called.
        varied: Key -> its value here, as text.
    """

    index: int
    label: str
    varied: Mapping[str, str]


class Experiment:
    """What many runs showed together.

    `runs` has one row a run, sorted by cell and replication: its keys, its digest, its error if it failed,
    its costs, and ``METRIC.STATISTIC`` for every metric of its summary. `timeline` is a hash of what happened
    to the mesh: runs with equal ones met the same changes at the same instants. `manifest` tells how the
    experiment came about. ``bottleneck.p50`` and ``bottleneck.p99`` name the stage that owns that quantile of
    the delay, ``.share`` says what part of it, ``.utilisation`` how busy its servers were.
    """

    kind: ClassVar[str] = "experiment"

    def __init__(
        self,
        manifest: Mapping[str, Any],
        cells: Sequence[ExperimentCell],
        runs: pd.DataFrame,
        samples_of: SamplesOf,
        summary: pd.DataFrame | None = None,
    ) -> None:
        self.manifest: dict[str, Any] = dict(manifest)
        self.cells: list[ExperimentCell] = list(cells)
        self.runs = runs
        self.samples_of = samples_of
        self._summary = summary
        self._units: dict[int, list[Mapping[str, Samples]]] = {}

    @classmethod
    def from_records(
        cls,
        manifest: Mapping[str, Any],
        cells: Sequence[ExperimentCell],
        records: Sequence[tuple[int, int, RunRecord]],
        samples_of: SamplesOf,
    ) -> Self:
        """The results of (cell, seed, record) triples, in whatever order they come."""
        runs = _runs_frame(cells, records)
        digest = storage.digest_of(runs)
        return cls({**manifest, "digest": digest}, cells, runs, samples_of)

    # --- what was played

    @property
    def variants(self) -> list[str]:
        """The labels of the cells, in order."""
        return [cell.label for cell in self.cells]

    @property
    def keys(self) -> list[str]:
        """The keys that vary between cells."""
        return list(self.cells[0].varied) if self.cells else []

    @property
    def digest(self) -> str:
        """The sha256 over the digests and errors of all runs: equal experiments have equal ones."""
        return str(self.manifest["digest"])

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that ended with an error."""
        return self.runs[self.runs["error"].notna()]

    @property
    def met(self) -> bool:
        """Whether every `expect:` line held in every run that did not fail."""
        return not (self.runs["unmet"].fillna("") != "").any()

    @cached_property
    def metrics(self) -> list[str]:
        """The names of the metrics that any run has, costs and measures first."""
        statistics = {column.rpartition(".")[0] for column in self.runs.columns if column.endswith(".mean")}
        own = [column for column in self.runs.columns if column in TOTALS or self._is_measure(column)]
        return [*own, *(metric for metric in METRICS if metric in statistics)]

    def _is_measure(self, column: str) -> bool:
        return column in self.manifest.get("measures", ())

    def unit(self, metric: str) -> str:
        """The unit of a metric: s, B or count; empty for a measure of the caller's own."""
        if metric in TOTALS:
            return TOTALS[metric][0]
        return METRICS[metric].unit or "count" if metric in METRICS else ""

    def headline_metric(self) -> str:
        """What the experiment is about: the delay until active; without changes, the time to ready."""
        for name in ("active_delay", "time_to_ready"):
            if name in self.metrics:
                return name
        return self.metrics[0] if self.metrics else "active_delay"

    def owners(self, variant: str | int, at: str = "p99") -> dict[str, int]:
        """What owns a quantile (p50 or p99) of the delay -> in how many runs it does, the most frequent
        first; nothing where no change concerns any proxy.
        """
        cell = self.cell(variant).index
        stages = self.runs.loc[self.runs["cell"] == cell, f"{BOTTLENECK}.{at}"].dropna()
        return dict(Counter(str(stage) for stage in stages).most_common())

    def bottleneck(self, variant: str | int, at: str = "p99") -> str:
        """What owns a quantile (p50 or p99) of the delay in most runs, and in how many where not in all:
        ``push queue (9 of 10 runs)``; empty where no change concerns any proxy.
        """
        owners = self.owners(variant, at)
        if not owners:
            return ""
        stage, runs = next(iter(owners.items()))
        total = sum(owners.values())
        return stage if runs == total else f"{stage} ({runs:,} of {total:,} runs)"

    # --- samples and estimates

    def units(self, variant: str | int, metric: str) -> list[Samples]:
        """The samples of each replication that did not fail, in order: the independent units."""
        none = Samples.of(_NOTHING)
        return [samples.get(metric, none) for samples in self._of_cell(self.cell(variant).index)]

    def pooled(self, variant: str | int, metric: str) -> Samples:
        """The samples of all replications together."""
        return Samples.merged(self.units(variant, metric))

    def estimate(self, variant: str | int, metric: str, stat: str = "mean") -> Estimate:
        """A statistic (mean, max, p50 ... p99.9) of the pooled samples, with its interval."""
        return estimate(self.units(variant, metric), stat)

    def summary(self) -> pd.DataFrame:
        """Cell x metric, with pooled statistics and their 95 % intervals, in seconds, bytes and counts.

        `ci_low` and `ci_high` belong to the mean, `p50_low` ... `p99_high` to the percentiles. `runs` counts
        the replications that did not fail, `n` the samples of all of them, `pending` those that never came
        to an end and so stand as +infinity.
        """
        if self._summary is None:
            lines = [line for cell in self.cells for line in self._lines(cell)]
            self._summary = _summary_frame(self.keys, lines)
        return self._summary.copy()

    def _lines(self, cell: ExperimentCell) -> list[dict[str, Any]]:
        lines = []
        for metric in self.metrics:
            units = self.units(cell.index, metric)
            pooled = Samples.merged(units)
            if pooled.n:
                head = {"cell": cell.index, "variant": cell.label, **cell.varied, "metric": metric}
                lines.append(
                    {**head, "unit": self.unit(metric), **_line(units, pooled, self.is_single(metric))}
                )
        self._units.pop(cell.index, None)
        return lines

    def is_single(self, metric: str) -> bool:
        """Whether a run has one number of it: what it costs, or a measure of the caller's own."""
        return metric not in METRICS

    def cell(self, variant: str | int) -> ExperimentCell:
        """The cell of that label or index; raises KeyError."""
        for cell in self.cells:
            if variant in (cell.index, cell.label):
                return cell
        raise KeyError(f"no variant {variant!r}; there are {', '.join(self.variants[:12])}")

    def _of_cell(self, index: int) -> list[Mapping[str, Samples]]:
        if index not in self._units:
            self._units[index] = [self.samples_of(name) for name in self._fingerprints(index)]
        return self._units[index]

    def _fingerprints(self, index: int) -> list[str]:
        rows = self.runs[(self.runs["cell"] == index) & self.runs["error"].isna()]
        return [str(name) for name in rows["fingerprint"]]

    # --- on disk

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write manifest.json, runs.parquet, summary.parquet and the records of the runs; equal experiments
        give equal bytes. Raises OSError.
        """
        path = Path(directory)
        (path / RUNS).mkdir(parents=True, exist_ok=True)
        for row in self.runs.itertuples(index=False):
            place = path / RUNS / f"{row.fingerprint}.run"
            if read_record(place) is None:
                write_record(place, self._record(row))
        self.write_tables(path)

    def write_tables(self, directory: Path) -> None:
        """Write all of it but the records, which whoever played the runs has put down. Raises OSError."""
        storage.write_frame(directory / storage.RUNS_TABLE, self.runs)
        storage.write_frame(directory / storage.SUMMARY_TABLE, self.summary())
        storage.write_manifest(directory, self.manifest, self.cells_content())

    def cells_content(self) -> list[dict[str, Any]]:
        """The cells as plain data."""
        return [
            {"index": cell.index, "label": cell.label, "varied": dict(cell.varied)} for cell in self.cells
        ]

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """Read an experiment's directory; raises ResultsError, naming the file, when there is none."""
        path = Path(directory)
        manifest = storage.read_manifest(path)
        if cls.kind != Experiment.kind and manifest["kind"] != cls.kind:
            raise ResultsError(f"{path}: holds a {manifest['kind']}, not a {cls.kind}")
        cells = [
            ExperimentCell(cell["index"], cell["label"], dict(cell["varied"])) for cell in manifest["cells"]
        ]
        return cls(
            manifest,
            cells,
            storage.read_frame(path / storage.RUNS_TABLE),
            _records_in(path / RUNS),
            storage.read_frame(path / storage.SUMMARY_TABLE),
        )

    def _record(self, row: Any) -> RunRecord:
        if not pd.isna(row.error):
            return RunRecord.of_error(row.fingerprint, row.replication, row.error)
        names = [name for name in self.runs.columns if name not in (*_IDENTITY, *self.keys, "fingerprint")]
        line = self.runs[self.runs["fingerprint"] == row.fingerprint].iloc[0]
        numbers = {name: _plain(line[name]) for name in names if name not in ("replication", "seed")}
        numbers = {name: value for name, value in numbers.items() if value is not None or name == "error"}
        return RunRecord(row.fingerprint, int(row.replication), numbers, self.samples_of(row.fingerprint))

    def _repr_html_(self) -> str:
        """For Jupyter: the errors of failed runs, and the table."""
        table: pd.DataFrame = self.table()  # type: ignore[attr-defined]  # every kind of experiment has one
        errors = self.failed["error"].dropna().unique()
        return page(repr(self), [f"failed: {error}" for error in errors], table)

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if len(self.failed) else ""
        told = f"{len(self.cells)} cells, {len(self.runs)} runs{failed}"
        return f"<{type(self).__name__} {self.manifest.get('name', '')}: {told}>"


def _line(units: Sequence[Samples], pooled: Samples, is_single: bool) -> dict[str, Any]:
    mean = estimate(units, "mean", pooled)
    notes = [mean.note]
    line: dict[str, Any] = {
        "runs": len(units),
        "n": pooled.n,
        "pending": pooled.never,
        "mean": mean.value,
        "ci_low": mean.low,
        "ci_high": mean.high,
    }
    for name in QUANTILES:
        found = estimate(units, name, pooled)
        line |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        notes.append(found.note)
    if is_single:
        notes = [*notes[:1], MEAN_ONLY]
    told = [part for note in notes for part in note.split("; ") if part]
    return {**line, "max": pooled.max, "note": "; ".join(dict.fromkeys(told))}


def _runs_frame(
    cells: Sequence[ExperimentCell], records: Sequence[tuple[int, int, RunRecord]]
) -> pd.DataFrame:
    ordered = sorted(records, key=lambda triple: (triple[0], triple[2].replication))
    by_index = {cell.index: cell for cell in cells}
    rows = [
        {
            "cell": index,
            "variant": by_index[index].label,
            **by_index[index].varied,
            "replication": record.replication,
            "seed": seed,
            "fingerprint": record.fingerprint,
            **record.row,
        }
        for index, seed, record in ordered
    ]
    keys = list(cells[0].varied) if cells else []
    others = {*_IDENTITY, *keys, *_OF_RUN}
    numbers = dict.fromkeys(name for row in rows for name in row if name not in others)
    single = [name for name in numbers if not name.endswith(tuple(f".{stat}" for stat in STATISTICS))]
    spread = [f"{metric}.{stat}" for metric in METRICS for stat in STATISTICS]
    columns = {
        "cell": "int64",
        "variant": "string",
        **dict.fromkeys(keys, "string"),
        **_OF_RUN,
        **dict.fromkeys(single, "float64"),
        **dict.fromkeys((name for name in spread if name in numbers), "float64"),
    }
    return pd.DataFrame(
        {
            name: pd.Series([row.get(name, _MISSING[kind]) for row in rows], dtype=kind)
            for name, kind in columns.items()
        }
    )


def _summary_frame(keys: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    percentiles = [name for q in QUANTILES for name in (q, f"{q}_low", f"{q}_high")]
    columns = {
        "cell": "int64",
        "variant": "string",
        **dict.fromkeys(keys, "string"),
        "metric": "string",
        "unit": "string",
        **dict.fromkeys(("runs", "n", "pending"), "int64"),
        **dict.fromkeys(("mean", "ci_low", "ci_high", *percentiles, "max"), "float64"),
        "note": "string",
    }
    return pd.DataFrame(
        {name: pd.Series([line[name] for line in lines], dtype=kind) for name, kind in columns.items()}
    )


def _records_in(runs: Path) -> SamplesOf:
    def samples_of(fingerprint: str) -> Mapping[str, Samples]:
        record = read_record(runs / f"{fingerprint}.run")
        if record is None:
            raise ResultsError(f"{runs / fingerprint}.run: the record of a run is missing or damaged")
        return record.samples

    return samples_of


def _plain(value: Any) -> Any:
    """A cell of a row of runs as plain data; None where it is missing."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


_NOTHING: Final = np.empty(0, dtype=np.float64)
_MISSING: Final = {"float64": math.nan, "string": None, "Int64": None, "int64": 0}
