"""How far an experiment is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["OnProgress", "Progress"]


@dataclass(slots=True)
class Progress:
    """Told after every run that ends.

    Attributes:
        total: Runs that are planned, as far as is known: an experiment that runs until its interval is
            narrow enough plans more as it goes.
        done: Runs that have ended, the failed ones and those from before included.
        resumed: Runs that were there from before.
        failed: Runs that ended with an error.
    """

    total: int = 0
    done: int = 0
    resumed: int = 0
    failed: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds of real time since the beginning."""
        return time.monotonic() - self._began

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest will take at the rate so far; None before the first run has ended."""
        played = self.done - self.resumed
        if played <= 0:
            return 0.0 if self.done >= self.total else None
        return self.elapsed_s / played * (self.total - self.done)


OnProgress = Callable[[Progress], None]
