"""Real time, as the parts of the simulator ask for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from simulator.engine.events import After, Band, Call, Clock


class WallClock(Clock):
    """Nanoseconds of the machine's clock since `start`; callbacks are the event loop's.

    Envoy's log carries the machine's clock too, so both share one time axis. The order of bands within an
    instant means nothing here: no two things happen at one nanosecond.
    """

    __slots__ = ("_loop", "_on_error", "_origin_ns")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: Callable[[BaseException], None]) -> None:
        super().__init__()
        self._loop = loop
        self._on_error = on_error
        self._origin_ns = time.time_ns()

    def start(self) -> None:
        """Now is zero."""
        self._origin_ns = time.time_ns()

    @property
    def now_ns(self) -> int:
        """Nanoseconds since `start`."""
        return time.time_ns() - self._origin_ns

    def of_log(self, seconds: str) -> int:
        """The instant of a line of Envoy's log, stamped with ``%E.%f``."""
        whole, _, fraction = seconds.partition(".")
        return int(whole) * 10**9 + int(fraction.ljust(9, "0")) - self._origin_ns

    def at(self, t_ns: int, call: Call, *, band: Band = Band.TIMER, entity: int = 0) -> After:
        """Call at `t_ns`; at once if that is in the past."""
        return self.after(max(0, t_ns - self.now_ns), call, band=band, entity=entity)

    def after(self, delay_ns: int, call: Call, *, band: Band = Band.TIMER, entity: int = 0) -> After:
        """Call `delay_ns` from now."""
        after = After(self, self.now_ns + delay_ns, call)
        if delay_ns <= 0:
            # Answers that need no time must not change places with what is read next.
            self._loop.call_soon(self._happen, after)
        else:
            self._loop.call_later(delay_ns / 1e9, self._happen, after)
        return after

    def _happen(self, after: After) -> None:
        try:
            for callback in after.callbacks or ():
                callback(after)
        except Exception as error:
            self._on_error(error)
