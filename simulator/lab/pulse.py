"""Whether the machine let a play happen in time: how late the laboratory's own loop ran, and how long
Envoys' main threads stood in line for a core, added up over any tenth of a second.

A play that was disturbed and agrees, agrees. One that was disturbed and disagrees says nothing: it is played
again (lab/verify.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Final

PERIOD_S: Final = 0.010

_OWN: Final = 0
"""Stands for the laboratory itself among the processes."""

_BEATS: Final = 10
"""Delays are added up over as many beats, 100 ms: a busy machine takes a little at each step."""

MOST_LATE_S: Final = 0.020
"""A delay of this much, caused by the machine alone, may spoil a comparison: it is the tolerance of times."""

KEY: Final = "lab_most_late_ms"
"""Where a result's manifest tells the greatest delay."""


class Pulse:
    """Beats every 10 ms and notes the greatest delay from the last `restart` to `freeze`."""

    def __init__(self) -> None:
        self.most_late_s = 0.0
        self._is_frozen = False
        self._waited_ns: dict[int, int] = {}
        self._recent: dict[int, deque[float]] = {}

    def watch(self, process: int) -> None:
        """A process whose main thread is watched; only Linux tells how long it stood in line."""
        self._waited_ns[process] = _waited_ns(process)

    def restart(self) -> None:
        """What happens from now on counts."""
        self.most_late_s = 0.0
        self._recent.clear()

    def freeze(self) -> None:
        """What happens from now on is in no comparison."""
        self._is_frozen = True

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while not self._is_frozen:
            before_s = loop.time()
            await asyncio.sleep(PERIOD_S)
            self._note(_OWN, loop.time() - before_s - PERIOD_S)
            for process, before_ns in self._waited_ns.items():
                waited_ns = self._waited_ns[process] = max(before_ns, _waited_ns(process))
                self._note(process, (waited_ns - before_ns) / 1e9)

    def _note(self, process: int, late_s: float) -> None:
        recent = self._recent.setdefault(process, deque(maxlen=_BEATS))
        recent.append(max(0.0, late_s))
        self.most_late_s = max(self.most_late_s, sum(recent))


def _waited_ns(process: int) -> int:
    """Time its main thread was ready to run but did not (proc_pid_schedstat); 0 where nobody tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1])
    return 0
