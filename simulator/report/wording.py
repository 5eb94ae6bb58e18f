"""Times and time-outs in words, alike in figures and on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["seconds_text", "timed_out_text"]


def seconds_text(ns: float) -> str:
    """A time for people, with three figures and a unit: ``4.03 s``, ``12.3 ms``, ``0 s``, ``∞``."""
    if math.isinf(ns) or math.isnan(ns):
        return "∞"
    if ns == 0:
        return "0 s"
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        amount = ns / size
        if abs(amount) >= 0.9995:
            digits = 2 if abs(amount) < 9.995 else 1 if abs(amount) < 99.95 else 0
            return f"{amount:,.{digits}f} {unit}"
    return f"{ns:.0f} ns"


def timed_out_text(counts: Mapping[str, int]) -> str:
    """Fetch time-outs by type: ``EDS timed out (5), RDS timed out``; empty when there were none."""
    return ", ".join(
        f"{kind.upper()} timed out" if count == 1 else f"{kind.upper()} timed out ({count:,})"
        for kind, count in counts.items()
    )
