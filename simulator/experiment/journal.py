"""Where finished runs are kept, so that nothing finished is lost and nothing finished is played again.

Each run has a file of its own, written beside its place, synced and renamed, so that a process killed at any
moment leaves whole files only. Its name is the fingerprint of everything that decides the run; so a resumed
experiment finds what it has already, also when its grid or its number of replications has grown meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulator.experiment.errors import ExperimentError, ExperimentStopped
from simulator.experiment.task import Task
from simulator.recording.columns import TABLES
from simulator.results.records import RunRecord, read_record, write_record
from simulator.results.samples import Samples
from simulator.results.storage import (
    COUNTERS,
    MANIFEST,
    RUNS,
    SUMMARY,
    TOKEN,
    json_bytes,
    new_token,
    remove_unfinished,
    write_bytes,
)

__all__ = ["Journal", "Recalled", "SamplesOf"]

SamplesOf = Callable[[str], Mapping[str, Samples]]
"""Fingerprint of a run -> its samples."""

Recalled = dict[str, RunRecord]
"""Fingerprint -> the record of a run, its samples perhaps left on disk."""


class Journal:
    """The finished runs of one experiment, in a directory or, without one, in memory."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.token = ""
        self.is_open = False
        self._records: Recalled = {}

    @property
    def runs(self) -> Path | None:
        """The directory of the records."""
        return None if self.directory is None else self.directory / RUNS

    def open(self, manifest: Mapping[str, Any], *, resume: bool) -> None:
        """Prepare the directory. Raises ExperimentError where it cannot be used for this experiment."""
        if self.directory is None:
            if resume:
                raise ExperimentError("resume needs the directory of the experiment: give out")
            return
        try:
            self._open(self.directory, manifest, resume=resume)
        except OSError as error:
            told = f"{error.filename or self.directory}: {error.strerror or error}"
            raise ExperimentError(f"cannot write the results: {told}") from error

    def _open(self, directory: Path, manifest: Mapping[str, Any], *, resume: bool) -> None:
        if directory.exists() and not directory.is_dir():
            raise ExperimentError(f"{directory}: there is a file of that name; name a directory")
        earlier = _manifest_in(directory)
        if earlier is not None and "kind" in earlier:
            self._over_experiment(directory, earlier, str(manifest["kind"]), resume=resume)
        elif earlier is not None:
            _remove_single_run(directory)
        runs = directory / RUNS
        runs.mkdir(parents=True, exist_ok=True)
        self.tidy()
        self.token = _token_in(runs)
        write_bytes(directory / MANIFEST, json_bytes({**manifest, "finished": False}))
        self.is_open = True

    def _over_experiment(
        self, directory: Path, earlier: Mapping[str, Any], kind: str, *, resume: bool
    ) -> None:
        if resume:
            if earlier["kind"] != kind:
                raise ExperimentError(f"{directory}: holds a {earlier['kind']}, which no {kind} can resume")
            return
        stored = [path for path in (directory / RUNS).glob("*.run") if path.is_file()]
        if stored and not earlier.get("finished"):
            raise ExperimentError(
                f"{directory}: holds {len(stored):,} finished runs of an experiment that did not end; resume "
                f"it (--resume), or name another directory"
            )
        for path in stored:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """All is done: nobody writes here any more, and what is left tells of the runs alone."""
        if self.runs is not None:
            (self.runs / TOKEN).unlink(missing_ok=True)
            self.tidy()

    def tidy(self) -> None:
        """Remove what a player that was ended was writing; one that still writes plays for nobody."""
        assert self.directory is not None
        assert self.runs is not None
        for directory in (self.directory, self.runs, *self.runs.glob("*/")):
            remove_unfinished(directory)

    def recall(self, task: Task) -> RunRecord | None:
        """The record of a run that is finished already: with its tables, if those are wanted."""
        if task.fingerprint in self._records:
            return self._records[task.fingerprint]
        if self.runs is None:
            return None
        record = read_record(self.runs / f"{task.fingerprint}.run")
        if record is None or not record.is_final or record.fingerprint != task.fingerprint:
            return None
        if task.keeps_tables and not record.error and not (self.runs / task.fingerprint / MANIFEST).exists():
            return None
        self._records[task.fingerprint] = _without_samples(record)
        return self._records[task.fingerprint]

    def keep(self, record: RunRecord) -> None:
        """A run has ended: put its record down, unless whoever played it has done so.

        Raises ExperimentStopped.
        """
        if self.runs is None:
            self._records[record.fingerprint] = record
            return
        path = self.runs / f"{record.fingerprint}.run"
        is_written = not record.samples and not record.error and path.exists()
        try:
            if not is_written:
                write_record(path, record)
        except OSError as error:
            told = f"{error.filename or path}: {error.strerror or error}"
            raise ExperimentStopped(f"cannot write the results: {told}") from error
        self._records[record.fingerprint] = _without_samples(record)

    def records(self, tasks: Sequence[Task]) -> list[RunRecord]:
        """The records of those of these runs that are finished, in the order of the tasks."""
        found = [self._records.get(task.fingerprint) for task in tasks]
        return [record for record in found if record is not None]

    def samples(self, fingerprint: str) -> Mapping[str, Samples]:
        """The samples of a finished run, read from its file where they are not in memory."""
        if self.runs is not None:
            record = read_record(self.runs / f"{fingerprint}.run")
            return {} if record is None else record.samples
        return self._records[fingerprint].samples


def _without_samples(record: RunRecord) -> RunRecord:
    return RunRecord(record.fingerprint, record.replication, record.row, is_final=record.is_final)


def _manifest_in(directory: Path) -> dict[str, Any] | None:
    """The manifest of what was written there before; raises ExperimentError where it is not of this tool."""
    path = directory / MANIFEST
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        content = None
    if not isinstance(content, dict) or not ("digest" in content or "finished" in content):
        raise ExperimentError(f"{directory}: its {MANIFEST} is not of a run; name another directory")
    return content


def _remove_single_run(directory: Path) -> None:
    """The tables of a single run make way for those of many."""
    for name in (*(f"{table}.parquet" for table in TABLES), SUMMARY, COUNTERS):
        (directory / name).unlink(missing_ok=True)


def _token_in(runs: Path) -> str:
    """The name of this directory of runs, made when there is none: by it, workers elsewhere know it again."""
    path = runs / TOKEN
    if not path.exists():
        write_bytes(path, new_token().encode())
    return path.read_text(encoding="ascii")
