"""A worker process: reads calls from standard input, makes them, and writes what came of them.

One thread reads, so that the next call is there when one has been made; one makes the calls; one hands back
what they give, in their order, and waits for the disk where a call leaves that to it (`Later`).

It ends when its input does: it makes no further call then, and finishes what it has made, so it does not
outlive for long the process that started it. An interrupt from the keyboard is for that process, which then
ends its workers. Whatever a call prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from typing import IO, Final

from simulator.experiment.play import play  # the costly imports, while the first call is on its way
from simulator.experiment.worker_processes import Later, receive, send

__all__ = ["main", "play"]

Outcome = tuple[bool, object]
"""Whether a call went well, and what it gave or raised."""

_SWITCH_S: Final = 0.001
"""How long the thread that plays keeps the others from the interpreter; theirs are a few steps between
waits, which Python's own 5 ms each would draw out beyond a short run.
"""


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.excepthook = _die
    sys.setswitchinterval(_SWITCH_S)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    calls: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    made: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
    is_over = threading.Event()
    reader = threading.Thread(target=_read, args=(sys.stdin.buffer, calls, is_over))
    writer = threading.Thread(target=_write, args=(answers, made))
    reader.start()
    writer.start()
    while (call := calls.get()) is not None and not is_over.is_set():
        made.put(_make(call))
    made.put(None)
    writer.join()
    reader.join()


def _read(input_: IO[bytes], calls: queue.SimpleQueue[bytes | None], is_over: threading.Event) -> None:
    while (call := receive(input_)) is not None:
        calls.put(call)
    is_over.set()  # what is still in the queue has nobody who waits for it
    calls.put(None)


def _make(call: bytes) -> Outcome:
    try:
        function, arguments, keywords = pickle.loads(call)
        return True, function(*arguments, **keywords)
    except BaseException as error:
        return False, error


def _write(answers: IO[bytes], made: queue.SimpleQueue[Outcome | None]) -> None:
    is_heard = True
    while (outcome := made.get()) is not None:
        answer = _pickled(_ended(outcome))
        try:
            if is_heard:
                send(answers, answer)
        except BrokenPipeError:
            is_heard = False  # nobody waits any more; what has been made is still finished


def _ended(outcome: Outcome) -> Outcome:
    given = outcome[1]
    if not isinstance(given, Later):
        return outcome
    try:
        return True, given.result()
    except Exception as error:
        return False, error


def _die(failed: threading.ExceptHookArgs) -> None:
    """Without one of its threads a worker would be waited for in vain; of a dead one it is known."""
    sys.__excepthook__(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    os._exit(1)


def _pickled(outcome: Outcome) -> bytes:
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        return pickle.dumps((False, RuntimeError(f"{outcome[1]!r} cannot be sent back: {error}")))


if __name__ == "__main__":
    main()
