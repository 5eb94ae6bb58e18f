"""Plays one run of an experiment: in this process, in a worker process, or on another machine."""

from __future__ import annotations

import os
from pathlib import Path

from simulator.experiment.engines import played
from simulator.experiment.provenance import manifest
from simulator.experiment.task import Measure, Task
from simulator.experiment.worker_processes import Later
from simulator.recording.instants import find_metric
from simulator.recording.recorder import Recorder
from simulator.results.records import RunRecord, write_record
from simulator.results.result import Result, kept_tables
from simulator.results.storage import TOKEN
from simulator.scenario.schema import Scenario

__all__ = ["CannotWrite", "play", "play_and_write_later"]


class CannotWrite(OSError):
    """The record or the tables of a run cannot be written: the disk is full, or the directory is gone."""

    def __reduce__(self) -> tuple[type[CannotWrite], tuple[str]]:
        return CannotWrite, (str(self),)


def play(task: Task) -> RunRecord:
    """Plays a run and returns its record, without samples where the record has been written to its place.

    A run that fails gives a record that says why. Raises CannotWrite.
    """
    return _write(task, *_play(task))


def play_and_write_later(task: Task) -> Later:
    """The same for a worker process, which plays the next run while the disk takes this one's record."""
    record, result = _play(task)
    return Later(lambda: _write(task, record, result))


def _play(task: Task) -> tuple[RunRecord, Result | None]:
    try:
        return _played(task)
    except Exception as error:
        told = " ".join(str(error).split()) or "no further message"
        is_final = not isinstance(error, MemoryError | OSError)
        text = f"{type(error).__name__}: {told}"
        return RunRecord.of_error(task.fingerprint, task.replication, text, is_final=is_final), None


def _write(task: Task, record: RunRecord, result: Result | None) -> RunRecord:
    if task.runs is None or not _is_reachable(task.runs, task.token):
        return record
    path = task.runs / f"{task.fingerprint}.run"
    try:
        if task.keeps_tables and result is not None:
            result.save(task.runs / task.fingerprint)
        write_record(path, record)
    except OSError as error:
        raise CannotWrite(f"{error.filename or path}: {error.strerror or error}") from error
    return RunRecord(record.fingerprint, record.replication, record.row, is_final=record.is_final)


def _played(task: Task) -> tuple[RunRecord, Result]:
    scenario, measure = task.content()
    kept: tuple[str, ...] = ()

    def prepare(recorder: Recorder) -> None:
        nonlocal kept
        kept = kept_tables(recorder)
        _record_less(recorder, scenario, measure, task)

    world = played(scenario, task.seed, task.replication, prepare)
    told = manifest(scenario, task.seed, task.replication, world.engine, world.reason)
    result = Result.from_recorder(world.recorder, told, expectations=scenario.asked)
    measures = {} if measure is None else measure(result)
    record = RunRecord.of_result(task.fingerprint, task.replication, result, measures)
    if task.keeps_tables:
        result.drop([table for table in result.tables if table not in kept])
    return record, result


def _record_less(recorder: Recorder, scenario: Scenario, measure: Measure | None, task: Task) -> None:
    """Keep what the record is made of, and of the other tables only those somebody looks at."""
    recorder.keeps_deliveries = recorder.keeps_proxy_pushes = True
    if measure is not None or task.keeps_tables:
        return
    looked_at = [find_metric(expectation.metric).table for expectation in scenario.asked]
    recorder.keeps_messages &= "messages" in looked_at
    recorder.keeps_states &= "states" in looked_at
    recorder.keeps_queues &= "queues" in looked_at


def _is_reachable(runs: Path, token: str) -> bool:
    """Whether this process sees the directory of the experiment, and not another of the same name."""
    try:
        return (runs / TOKEN).read_text(encoding="ascii") == token and os.access(runs, os.W_OK)
    except (OSError, ValueError):
        return False
