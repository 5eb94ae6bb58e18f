"""Worker processes that may die: one Python each, driven through its pipes by a thread of this process.

Unlike a `concurrent.futures.ProcessPoolExecutor`, which breaks as a whole when one of its processes is
killed and cannot say what that one was doing, a worker that dies here is replaced, its call tried again, and
nobody else notices. Workers start as plain Pythons: scripts need no `if __name__ == "__main__"`, and no
thread of this process is forked.

While calls are short, a worker is given the next ones before it has answered: it never waits for this
process, nor for the disk (`Later`).
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import IO, Any, Final

__all__ = ["IN_HAND", "Later", "WorkerDied", "WorkerProcesses", "receive", "send"]

TRIES: Final = 3
"""Times a call is given to a worker before its death is blamed on the call."""
IN_HAND: Final = 3
"""Calls that a worker has at once while they are short: one waits for the disk, one is made, one is next."""
_SHORT_S: Final = 0.5
"""A call that takes longer is given alone: others behind it would wait while another worker has nothing to
do, and what is lost without them is less than a hundredth (assumption).
"""
_LENGTH: Final = 8
"""Bytes that tell how long a message is."""


class WorkerDied(RuntimeError):
    """Every worker that was given this call died: killed, or out of memory."""


@dataclass(frozen=True, slots=True)
class Later:
    """What a call in a worker may return: its result is what `result` gives, which waits for something that
    is no processor. Meanwhile the worker makes its next call; results still come in the order of the calls.
    """

    result: Callable[[], Any]


class WorkerProcesses(Executor):
    """So many worker processes, started when they are first needed."""

    def __init__(self, workers: int) -> None:
        assert workers >= 1, f"{workers} workers"
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._threads: list[threading.Thread] = []
        self._count = workers
        self._is_over = False
        self._lock = threading.Lock()
        self._idle = 0
        """How many workers have nothing to do."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Queue a call; function and arguments are pickled, and must be found in a module."""
        if self._is_over:
            raise RuntimeError("the worker processes have been shut down")
        call = _Call(Future(), pickle.dumps((fn, arguments, keywords)))
        self._calls.put(call)
        if len(self._threads) < self._count:
            worker = _Worker()
            thread = threading.Thread(target=self._drive, args=(worker,), daemon=True)
            self._workers.append(worker)
            self._threads.append(thread)
            thread.start()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end when the queue is empty; with `cancel_futures`, end them now."""
        self._is_over = True
        for _ in self._threads:
            self._calls.put(None)
        if cancel_futures:
            for worker in self._workers:
                worker.kill()
        if wait:
            for thread in self._threads:
                thread.join()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    def _drive(self, worker: _Worker) -> None:
        """Give one worker calls and hear what came of them until there are no more."""
        is_last = False
        while not is_last or worker.has_calls:
            while worker.has_room and not is_last:
                try:
                    call = self._next(waits=not worker.has_calls)
                except queue.Empty:
                    break
                if call is None:
                    is_last = True
                elif worker.is_over or not call.future.set_running_or_notify_cancel():
                    call.future.cancel()
                else:
                    worker.give(call)
            if worker.has_calls:
                worker.hear()
        worker.end()

    def _next(self, *, waits: bool) -> _Call | None:
        """The next call, None after the last; raises queue.Empty rather than take one that another worker is
        waiting for, or wait itself where it should not.
        """
        if not waits:
            if self._idle:
                raise queue.Empty
            return self._calls.get_nowait()
        with self._lock:
            self._idle += 1
        call = self._calls.get()
        with self._lock:
            self._idle -= 1
        return call


@dataclass(slots=True, eq=False)
class _Call:
    """What is to be called, pickled, and how often a worker has died of it alone."""

    future: Future[Any]
    message: bytes
    deaths: int = 0


class _Worker:
    """One process, replaced when it dies. All but `kill` and `pid` is for the thread that drives it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._calls: deque[_Call] = deque()
        self._sent = 0
        """How many of the calls, from the first on, the process has been sent."""
        self._alone = 0
        """How many calls are still to be sent one by one: the process died while it had all of them."""
        self._is_quick = False
        self._since_s = 0.0
        self.is_over = False

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    @property
    def has_calls(self) -> bool:
        """Whether there are calls that it has not answered."""
        return bool(self._calls)

    @property
    def has_room(self) -> bool:
        """Whether it may be given another call."""
        return len(self._calls) < (IN_HAND if self._is_quick and not self._alone else 1)

    def give(self, call: _Call) -> None:
        """Have it make this call after those it has."""
        if not self._calls:
            self._since_s = time.monotonic()
        self._calls.append(call)
        self._send()

    def hear(self) -> None:
        """Wait for what came of its first call, or of the process."""
        process = self._process
        assert process is not None, "it has been sent a call"
        assert process.stdout is not None
        try:
            answer = receive(process.stdout)
        except OSError:
            answer = None
        if answer is None:
            self._bury(process)
        else:
            now_s = time.monotonic()
            self._is_quick = now_s - self._since_s < _SHORT_S
            self._since_s = now_s
            self._sent -= 1
            self._alone = max(self._alone - 1, 0)
            _settle(self._calls.popleft().future, answer)
        self._send()

    def kill(self) -> None:
        """End the process at once and for good."""
        with self._lock:
            self.is_over = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """Let the process end by itself."""
        if self._process is not None:
            self._close(self._process)

    def _send(self) -> None:
        """Send what may be sent; a process that is dead is found so when it is listened to."""
        upto = min(len(self._calls), 1) if self._alone else len(self._calls)
        while self._sent < upto:
            try:
                process = self._started()
            except (OSError, WorkerDied) as error:
                self._give_up(error)
                return
            assert process.stdin is not None
            message = self._calls[self._sent].message
            self._sent += 1
            try:
                send(process.stdin, message)
            except OSError:
                return

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """It is dead: what it had is given to another, one by one to find out what kills them."""
        died = _death_of(process)
        self._close(process)
        self._process = None
        if self.is_over:
            self._give_up(WorkerDied("the worker was ended"))
            return
        if self._sent == 1:
            self._calls[0].deaths += 1
        if self._calls[0].deaths == TRIES:
            told = f"a worker process died {TRIES} times while playing it ({died})"
            self._calls.popleft().future.set_exception(WorkerDied(told))
        self._sent, self._alone = 0, len(self._calls)
        self._since_s = time.monotonic()

    def _give_up(self, error: Exception) -> None:
        for call in self._calls:
            call.future.set_exception(error)
        self._calls.clear()
        self._sent = self._alone = 0

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.is_over:
                raise WorkerDied("the worker was ended")
            if self._process is None:
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


def _settle(future: Future[Any], answer: bytes) -> None:
    """Tell a future what its call came to: a pickled pair of whether it went well, and what it gave."""
    try:
        is_good, outcome = pickle.loads(answer)
    except Exception as error:
        is_good, outcome = False, error
    if is_good:
        future.set_result(outcome)
    else:
        future.set_exception(outcome)


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
