"""Calls that workers make for tests; they find them in this module."""

from __future__ import annotations

import time
from pathlib import Path

from simulator.experiment.worker_processes import Later


def later_than(path: Path) -> Later:
    """Something that ends when somebody else has left a trace."""

    def result() -> str:
        until = time.monotonic() + 30
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        return "there" if path.exists() else "waited in vain"

    return Later(result)


def fails_later() -> Later:
    """Something whose end goes wrong."""
    return Later(lambda: 1 / 0)


def touch_after(wait_s: float, path: Path) -> None:
    """Leave a trace, after a while."""
    time.sleep(wait_s)
    path.touch()
