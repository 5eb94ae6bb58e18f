"""One experiment from its cells to its results: what comparing, sweeping and replicating have in common."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from simulator.experiment.arguments import check_seed
from simulator.experiment.conductor import Conductor
from simulator.experiment.errors import ExperimentError, ExperimentStopped
from simulator.experiment.executors import DEFAULT, check_executor, open_executor
from simulator.experiment.journal import Journal
from simulator.experiment.progress import OnProgress
from simulator.experiment.provenance import commit, versions
from simulator.experiment.stopping import FIRST_ROUND, UntilCi, next_count, parse_until_ci
from simulator.experiment.task import Cell, Measure, Task, tasks_of
from simulator.recording.instants import METRICS, UnknownMetric, find_metric
from simulator.results.estimates import Estimate, estimate
from simulator.results.experiment import Experiment, ExperimentCell
from simulator.results.records import OWNED, OWNERS, TOTALS, RunRecord
from simulator.results.samples import Samples

__all__ = ["Options", "conduct"]

ExperimentT = TypeVar("ExperimentT", bound=Experiment)


@dataclass(frozen=True, slots=True)
class Options:
    """How an experiment is done.

    Attributes:
        replications: Independent repetitions of every cell; where `until_ci` is given, the first round.
        seed: Seed of every cell.
        executor: Who plays: a text, or an executor of the caller's.
        out: Directory of the results; None to keep them in memory.
        resume: Whether runs that are finished there are taken over.
        until_ci: Play on until half of the 95 % interval is this share of the estimate: ``5%`` or 0.05.
        ci_of: Which statistic that is about, such as ``p99(active_delay)``.
        max_replications: When to give up on that.
        keep_tables: Whether every run leaves its raw tables.
        measure: Further numbers about a run, of a function found in a module.
        progress: Told after every run.
    """

    replications: int | None
    seed: int
    executor: str | Executor | None = None
    out: str | os.PathLike[str] | None = None
    resume: bool = False
    until_ci: str | float | None = None
    ci_of: str | None = None
    max_replications: int = 1000
    keep_tables: bool = False
    measure: Measure | None = None
    progress: OnProgress | None = None


def conduct(
    result_type: type[ExperimentT], cells: Sequence[Cell], options: Options, manifest: Mapping[str, Any]
) -> ExperimentT:
    """Plays all cells and returns the results; with `out`, everything is there when this returns.

    An interrupt from the keyboard, a full disk or a lost executor end it early: what is finished is kept in
    `out`, and the tables there tell of it. Raises ExperimentError before anything is played, and
    ExperimentStopped when it could not go on.
    """
    check_seed(options.seed)
    _check(cells, options)
    until = None if options.until_ci is None else parse_until_ci(options.until_ci, options.ci_of)
    if until is not None and until.metric is not None:
        _check_metric(until.metric, options)
    told = {
        "kind": result_type.kind,
        **manifest,
        "seed": options.seed,
        "replications": options.replications,
        "until_ci": None if until is None else f"{until.half_width:.6g}",
        "ci_of": options.ci_of,
        "versions": dict(versions()),
        "git_commit": commit(),
        "scenarios": {cell.label: cell.scenario.resolved() for cell in cells},
    }
    campaign = _Campaign(cells, options, until)
    executor = DEFAULT if options.executor is None else options.executor
    try:
        with open_executor(executor) as players:
            campaign.journal.open({**told, "cells": _plain(cells)}, resume=options.resume)
            campaign.play(Conductor(campaign.journal, players, options.progress))
    except (KeyboardInterrupt, ExperimentStopped):
        # The players have stopped by now: nothing is added behind the back of these tables.
        _save_unfinished(campaign, result_type, told)
        raise
    results = campaign.results(result_type, {**told, "finished": True})
    _save(campaign, results)
    campaign.journal.close()
    return results


class _Campaign:
    """The runs of all cells, round after round."""

    def __init__(self, cells: Sequence[Cell], options: Options, until: UntilCi | None) -> None:
        self.cells = cells
        self.options = options
        self.until = until
        self.journal = Journal(None if options.out is None else Path(options.out))
        self._tasks: dict[int, list[Task]] = {cell.index: [] for cell in cells}

    def play(self, conductor: Conductor) -> None:
        """All rounds. Every cell has as many replications as the others: they are paired."""
        first = FIRST_ROUND if self.options.replications is None else self.options.replications
        count, wanted = 0, min(first, self.options.max_replications) if self.until else first
        while wanted > count:
            added = [task for cell in self.cells for task in self._add(cell, range(count, wanted))]
            conductor.play(added)
            count = wanted
            if self.until is not None:
                wanted = next_count(
                    self._estimates(self.until), count, self.until, self.options.max_replications
                )

    def recall(self) -> None:
        """Take note of records that were written and not looked at any more."""
        for tasks in self._tasks.values():
            for task in tasks:
                self.journal.recall(task)

    def _add(self, cell: Cell, replications: range) -> list[Task]:
        tasks = tasks_of(
            cell,
            replications,
            self.options.seed,
            measure=self.options.measure,
            runs=None if self.journal.runs is None else self.journal.runs.absolute(),
            token=self.journal.token,
            keeps_tables=self.options.keep_tables,
        )
        self._tasks[cell.index] += tasks
        return tasks

    def _estimates(self, until: UntilCi) -> list[Estimate]:
        found = []
        for cell in self.cells:
            good = [record for record in self.journal.records(self._tasks[cell.index]) if not record.error]
            samples = [self.journal.samples(record.fingerprint) for record in good]
            metric = until.metric or _headline(samples)
            none = Samples.merged([])
            found.append(estimate([of_run.get(metric, none) for of_run in samples], until.statistic))
        return found

    def results(self, result_type: type[ExperimentT], manifest: Mapping[str, Any]) -> ExperimentT:
        """What has been finished so far."""
        records: list[tuple[int, int, RunRecord]] = [
            (cell.index, self.options.seed, record)
            for cell in self.cells
            for record in self.journal.records(self._tasks[cell.index])
        ]
        told = {**manifest, "measures": _measures(records)}
        cells = [ExperimentCell(cell.index, cell.label, dict(cell.varied)) for cell in self.cells]
        return result_type.from_records(told, cells, records, self.journal.samples)


def _check(cells: Sequence[Cell], options: Options) -> None:
    """Raises ExperimentError for options that make no sense, before anything is begun."""
    if not cells:
        raise ExperimentError("there is nothing to play")
    for name, number in (
        ("replications", options.replications),
        ("max_replications", options.max_replications),
    ):
        if number is not None and (type(number) is not int or number < 1):
            raise ExperimentError(f"{name} must be a whole number from 1, not {number!r}")
    if options.ci_of is not None and options.until_ci is None:
        raise ExperimentError("ci_of goes with until_ci")
    if options.keep_tables and options.out is None:
        raise ExperimentError("keep_tables needs a directory to keep them in: give out")
    if options.executor is not None:
        check_executor(options.executor)
    if options.measure is not None:
        try:
            pickle.dumps(options.measure)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ExperimentError(
                f"measure must be a function of a module, to be found by workers: {error}"
            ) from error


def _check_metric(metric: str, options: Options) -> None:
    if metric in METRICS or metric in TOTALS or options.measure is not None:
        return
    try:
        find_metric(metric)
    except UnknownMetric as error:
        raise ExperimentError(f"ci_of: {error}") from error
    raise ExperimentError(f"ci_of: {metric} is a column; name one of {', '.join(METRICS)}")


def _headline(samples: Sequence[Mapping[str, Samples]]) -> str:
    return "active_delay" if any("active_delay" in of_run for of_run in samples) else "time_to_ready"


def _measures(records: Sequence[tuple[int, int, RunRecord]]) -> list[str]:
    """The columns that the caller's own measure brought."""
    owned = (f"{owner}.{name}" for owner in OWNERS for name in OWNED)
    known = ("digest", "timeline", "error", "events", "unmet", "warnings", *TOTALS, *OWNERS, *owned)
    names = [name for _, _, record in records for name in record.row if name not in known]
    return [name for name in dict.fromkeys(names) if name.rpartition(".")[0] not in METRICS]


def _plain(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    return [{"index": cell.index, "label": cell.label, "varied": dict(cell.varied)} for cell in cells]


def _save(campaign: _Campaign, results: Experiment) -> None:
    if campaign.journal.directory is None:
        return
    try:
        results.write_tables(campaign.journal.directory)
    except OSError as error:
        told = f"{error.filename or campaign.journal.directory}: {error.strerror or error}"
        raise ExperimentStopped(f"cannot write the results: {told}") from error


def _save_unfinished(campaign: _Campaign, result_type: type[Experiment], manifest: Mapping[str, Any]) -> None:
    """The tables of what is finished, as far as they can be written."""
    if not campaign.journal.is_open:
        return
    campaign.journal.tidy()
    campaign.recall()
    try:
        _save(campaign, campaign.results(result_type, {**manifest, "finished": False}))
    except ExperimentStopped:
        return  # the disk is full: the records that are there are whole, and the tables follow on resuming
