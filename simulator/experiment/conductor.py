"""Has runs played and keeps what they give: hands out as many at once as keep everybody busy, no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any

from simulator.experiment.errors import ExperimentStopped
from simulator.experiment.executors import Players
from simulator.experiment.journal import Journal
from simulator.experiment.play import CannotWrite
from simulator.experiment.progress import OnProgress, Progress
from simulator.experiment.task import Task
from simulator.experiment.worker_processes import WorkerDied
from simulator.results.records import RunRecord

__all__ = ["Conductor"]


class Conductor:
    """Plays runs with the players of one executor."""

    def __init__(self, journal: Journal, players: Players, on_progress: OnProgress | None = None) -> None:
        self._journal = journal
        self._players = players
        self._on_progress = on_progress
        self.progress = Progress()

    def play(self, tasks: Sequence[Task]) -> list[RunRecord]:
        """Plays those of the tasks that are not finished yet; the records of all, in the order of the tasks.

        Raises ExperimentStopped when it cannot go on; what is finished is kept.
        """
        self.progress.total += len(tasks)
        todo: deque[Task] = deque()
        for task in tasks:
            record = self._journal.recall(task)
            if record is None:
                todo.append(task)
            else:
                self._count(record, is_resumed=True)
        self._tell()
        self._play_all(todo)
        return self._journal.records(tasks)

    def _play_all(self, todo: deque[Task]) -> None:
        waiting: dict[Future[Any], Task] = {}
        refused: ExperimentStopped | None = None
        try:
            while todo or waiting:
                while todo and len(waiting) < self._players.at_once():
                    task = todo.popleft()
                    try:
                        waiting[self._submit(task)] = task
                    except ExperimentStopped as error:
                        refused = error
                        todo.clear()  # what was taken before is still played
                if not waiting:
                    break
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in [future for future in waiting if future in done]:
                    self._keep(_outcome(future, waiting.pop(future)))
            if refused is not None:
                raise refused
        except BaseException:
            self._save_what_is_done(waiting)
            raise

    def _submit(self, task: Task) -> Future[Any]:
        try:
            return self._players.executor.submit(self._players.play, task)
        except (BrokenExecutor, RuntimeError) as error:
            raise ExperimentStopped(f"the executor takes no more runs: {error}") from error

    def _keep(self, record: RunRecord) -> None:
        self._journal.keep(record)
        self._count(record)
        self._tell()

    def _save_what_is_done(self, waiting: dict[Future[Any], Task]) -> None:
        """Interrupted: runs that have ended but were not looked at yet are kept, the others called off."""
        for future, task in waiting.items():
            if future.cancel() or not future.done():
                continue
            try:
                self._keep(_outcome(future, task))
            except (ExperimentStopped, Exception):
                continue  # the first reason to stop is the one that is told

    def _count(self, record: RunRecord, *, is_resumed: bool = False) -> None:
        self.progress.done += 1
        self.progress.resumed += is_resumed
        self.progress.failed += record.error is not None

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress)


def _outcome(future: Future[Any], task: Task) -> RunRecord:
    """The record of a run; a worker that dies of it makes it a failed one."""
    try:
        record: RunRecord = future.result()
    except WorkerDied as error:
        return _lost(task, str(error))
    except CannotWrite as error:
        raise ExperimentStopped(f"cannot write the results: {error}") from error
    except (BrokenExecutor, CancelledError) as error:
        told = str(error) or type(error).__name__
        raise ExperimentStopped(f"the executor broke: {told}") from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # Dask's own: the worker died of it several times
            return _lost(task, f"its Dask workers died: {error}")
        raise
    return record


def _lost(task: Task, why: str) -> RunRecord:
    return RunRecord.of_error(task.fingerprint, task.replication, f"WorkerDied: {why}", is_final=False)
