"""Processes the laboratory starts, each ended by its own handle: also on Ctrl-C, on exceptions, on time-outs
and when Python itself is told to go."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import subprocess
import weakref
from pathlib import Path
from typing import Final

MOST_ENVOYS: Final = 40
"""More Envoys at once than this only measure how the machine shares its cores."""

_PATIENCE_S: Final = 3.0
"""How long a process has to go by itself before it is killed."""


class TooManyEnvoys(RuntimeError):
    """The laboratory starts a bounded number of processes."""


_WARDEN: Final = """
while read -r what value; do
    case "$what" in
        group) groups="$groups $value" ;;
        path) set -- "$@" "$value" ;;
        done) exit ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
rm -rf -- "$@"
"""
"""Reads process groups and paths; when its input ends without `done`, whoever started them was killed: it
ends the groups and removes the paths."""


class Processes:
    """The processes of one play, in process groups of their own; a context manager that ends them all.

    A warden ends them should Python itself be killed outright.

    Args:
        cores: How many of the machine's cores they share; None for all.
    """

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores
        self._started: list[subprocess.Popen[bytes]] = []
        self._shared_memory: list[Path] = []
        self._warden: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Processes:
        self._warden = subprocess.Popen(
            ["/bin/sh", "-c", _WARDEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _alive.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        _alive.discard(self)

    def start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Starts a program whose output goes into a file; raises TooManyEnvoys, OSError."""
        if len(self._started) >= MOST_ENVOYS:
            raise TooManyEnvoys(f"the laboratory starts at most {MOST_ENVOYS} Envoys")
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        self._tell_warden(f"group {process.pid}")
        if self._cores is not None and hasattr(os, "sched_setaffinity"):
            allowed = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process.pid, allowed[: self._cores])
        return process

    def remove_if_killed(self, path: Path) -> None:
        """Something that is removed by whoever made it, unless Python is killed outright."""
        self._tell_warden(f"path {path}")

    def share_memory(self, name: str) -> None:
        """The processes will share memory of this name, which they leave behind."""
        path = Path("/dev/shm") / name  # Linux. Elsewhere no file shows it, and 104 bytes stay.
        self._shared_memory.append(path)
        self.remove_if_killed(path)

    def end(self) -> None:
        """Ends every process that still runs, and removes what they shared."""
        running = [process for process in self._started if process.poll() is None]
        for process in running:
            _signal(process, signal.SIGKILL)
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_S)
        for path in self._shared_memory:
            path.unlink(missing_ok=True)
        self._shared_memory.clear()
        if self._warden is not None:
            self._tell_warden("done")
            self._warden.communicate()
            self._warden = None

    def _tell_warden(self, line: str) -> None:
        assert self._warden is not None
        assert self._warden.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._warden.stdin.write(f"{line}\n".encode())
            self._warden.stdin.flush()


async def terminate(process: subprocess.Popen[bytes]) -> None:
    """Ends a process the friendly way, then the other way."""
    if process.poll() is not None:
        return
    _signal(process, signal.SIGTERM)
    for _ in range(int(_PATIENCE_S * 100)):
        if process.poll() is not None:
            return
        await asyncio.sleep(0.01)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


_alive: weakref.WeakSet[Processes] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for processes in list(_alive):
        processes.end()
