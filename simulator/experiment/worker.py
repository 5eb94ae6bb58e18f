"""A worker process: reads calls from standard input, makes them, and writes what came of them.

It ends when its input does, so it does not outlive for long the process that started it. An interrupt from
the keyboard is for that process, which then ends its workers. Whatever a call prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

from simulator.experiment.play import play  # the costly imports, while the first call is on its way
from simulator.experiment.worker_processes import receive, send

__all__ = ["main", "play"]


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while (call := receive(sys.stdin.buffer)) is not None:
        try:
            function, arguments, keywords = pickle.loads(call)
            outcome: tuple[bool, object] = (True, function(*arguments, **keywords))
        except Exception as error:
            outcome = (False, error)
        try:
            send(answers, _pickled(outcome))
        except BrokenPipeError:
            return  # nobody waits any more


def _pickled(outcome: tuple[bool, object]) -> bytes:
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        return pickle.dumps((False, RuntimeError(f"{outcome[1]!r} cannot be sent back: {error}")))


if __name__ == "__main__":
    main()
