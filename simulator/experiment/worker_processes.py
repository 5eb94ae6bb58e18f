"""Worker processes that may die: one Python each, driven through its pipes by a thread of this process.

Unlike a `concurrent.futures.ProcessPoolExecutor`, which breaks as a whole when one of its processes is
killed and cannot say what that one was doing, a worker that dies here is replaced, its call tried again, and
nobody else notices. Workers start as plain Pythons: scripts need no `if __name__ == "__main__"`, and no
thread of this process is forked.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import IO, Any, Final

__all__ = ["WorkerDied", "WorkerProcesses", "receive", "send"]

TRIES: Final = 3
"""Times a call is given to a worker before its death is blamed on the call."""
_LENGTH: Final = 8
"""Bytes that tell how long a message is."""


class WorkerDied(RuntimeError):
    """Every worker that was given this call died: killed, or out of memory."""


class WorkerProcesses(Executor):
    """So many worker processes, started when they are first needed."""

    def __init__(self, workers: int) -> None:
        assert workers >= 1, f"{workers} workers"
        self._calls: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._threads: list[threading.Thread] = []
        self._count = workers
        self._is_over = False

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Queue a call; function and arguments are pickled, and must be found in a module."""
        if self._is_over:
            raise RuntimeError("the worker processes have been shut down")
        future: Future[Any] = Future()
        self._calls.put((future, pickle.dumps((fn, arguments, keywords))))
        if len(self._threads) < self._count:
            worker = _Worker()
            thread = threading.Thread(target=self._drive, args=(worker,), daemon=True)
            self._workers.append(worker)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end when the queue is empty; with `cancel_futures`, end them now."""
        self._is_over = True
        for _ in self._threads:
            self._calls.put(None)
        if cancel_futures:
            for worker in self._workers:
                worker.kill(for_good=True)
        if wait:
            for thread in self._threads:
                thread.join()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    def _drive(self, worker: _Worker) -> None:
        while (given := self._calls.get()) is not None:
            future, call = given
            if worker.is_over or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                is_good, outcome = worker.answer(call)
            except Exception as error:
                future.set_exception(error)
            else:
                if is_good:
                    future.set_result(outcome)
                else:
                    future.set_exception(outcome)
        worker.end()


class _Worker:
    """One process, replaced when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.is_over = False

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def answer(self, call: bytes) -> tuple[bool, Any]:
        """What the process says: whether the call went well, and its result or exception."""
        died = ""
        for _ in range(TRIES):
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                send(process.stdin, call)
                answer = receive(process.stdout)
            except OSError:
                answer = None
            if answer is not None:
                outcome: tuple[bool, Any] = pickle.loads(answer)
                return outcome
            died = _death_of(process)
            self._close(process)
            if self.is_over:
                raise WorkerDied("the worker was ended")
        raise WorkerDied(f"a worker process died {TRIES} times while playing it ({died})")

    def kill(self, *, for_good: bool) -> None:
        """End the process at once."""
        with self._lock:
            self.is_over |= for_good
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """Let the process end by itself."""
        if self._process is not None:
            self._close(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.is_over:
                raise WorkerDied("the worker was ended")
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "simulator.experiment.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(_search_path())},
                )
            return self._process

    def _close(self, process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                continue  # what was left in the buffer has no reader any more
        process.wait()


def send(pipe: IO[bytes], message: bytes) -> None:
    """Write one message."""
    pipe.write(len(message).to_bytes(_LENGTH, "little") + message)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """Read one message; None where the other side is gone."""
    head = pipe.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    length = int.from_bytes(head, "little")
    message = pipe.read(length)
    return message if len(message) == length else None


def _search_path() -> list[str]:
    """Where this process finds modules, so that its workers find the same ones."""
    return [os.path.abspath(place) for place in sys.path]  # noqa: PTH100 -- "" is the working directory


def _death_of(process: subprocess.Popen[bytes]) -> str:
    """How a process that says nothing more has ended."""
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return f"signal {-code}" if code < 0 else f"exit status {code}"
