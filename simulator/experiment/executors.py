"""Who plays the runs: this process, worker processes, a Dask cluster, or any executor of the caller's.

All are `concurrent.futures.Executor`s in the end, so an experiment knows only that interface.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final

from simulator.experiment.errors import ExperimentError
from simulator.experiment.play import play, play_and_write_later
from simulator.experiment.task import Task
from simulator.experiment.worker_processes import IN_HAND, Later, WorkerProcesses
from simulator.results.records import RunRecord

__all__ = ["DEFAULT", "Players", "check_executor", "open_executor", "processors"]

DEFAULT: Final = "processes"
_DASK_WAIT: Final = "10s"
"""How long a scheduler may take to answer (assumption; its own default is 30 s)."""
_KNOWN: Final = "serial, processes, processes:N or dask://HOST:PORT"


@dataclass(frozen=True, slots=True)
class Players:
    """Who plays.

    Attributes:
        executor: What runs are handed to.
        at_once: How many runs it should be given at once to keep everybody busy.
        play: What is called there with each of them.
    """

    executor: Executor
    at_once: Callable[[], int]
    play: Callable[[Task], RunRecord | Later] = play


class _Serial(Executor):
    """Plays a run when it is handed in."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """The result is there when this returns; an interrupt by the user goes through."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_executor(executor: str | Executor) -> None:
    """Raises ExperimentError for a text that names no executor, and for what cannot be handed any work."""
    if isinstance(executor, str):
        _parsed(executor)
    elif not callable(getattr(executor, "submit", None)):
        raise ExperimentError(f"executor {executor!r}: write {_KNOWN}, or give a concurrent.futures.Executor")


@contextlib.contextmanager
def open_executor(executor: str | Executor) -> Iterator[Players]:
    """The executor that a text names, shut down in the end; one of the caller's own stays open.

    Raises ExperimentError for a text that names none, and for a Dask scheduler that does not answer.
    """
    if not isinstance(executor, str):
        # What executors of the standard library call it; of others, guess.
        workers = int(getattr(executor, "_max_workers", 0) or processors())
        yield Players(executor, lambda: 2 * workers)
        return
    kind, detail = _parsed(executor)
    if kind == "serial":
        yield Players(_Serial(), lambda: 1)
    elif kind == "dask":
        with _dask(detail) as players:
            yield players
    else:
        workers = int(detail) if detail else processors()
        pool = WorkerProcesses(workers)
        try:
            # One more for each than it may have, to be taken when it has answered.
            yield Players(pool, lambda: (IN_HAND + 1) * workers, play_and_write_later)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _parsed(text: str) -> tuple[str, str]:
    """The kind of an executor, and its number of processes or its address."""
    if text in ("serial", "processes"):
        return text, ""
    if match := re.fullmatch(r"processes:([0-9]{1,4})", text):
        if int(match[1]) == 0:
            raise ExperimentError(f"executor {text!r}: at least one process is needed")
        return "processes", match[1]
    if match := re.fullmatch(r"dask://([^\s/:]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/?", text):
        if not 0 < int(match[2]) < 2**16:
            raise ExperimentError(f"executor {text!r}: {match[2]} is no port")
        return "dask", f"{match[1]}:{match[2]}"
    raise ExperimentError(f"unknown executor {text!r}: write {_KNOWN}")


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Players]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ExperimentError(
            f"executor dask://{address} needs the extra `dask`: pip install 'xdsim[dask]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # versions that differ a little, and the like: not about the experiment
            client = distributed.Client(f"tcp://{address}", timeout=_DASK_WAIT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise ExperimentError(f"executor dask://{address}: no scheduler answers there ({told})") from error
    try:
        executor = client.get_executor(pure=False)
        yield Players(executor, lambda: 2 * max(sum(client.nthreads().values()), 4))
    finally:
        client.close()
