"""How long a run was watched, which is where the bar of something unfinished ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.clock import DurationError, parse_duration

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["watched_ns"]


def watched_ns(result: Result) -> int:
    """The simulated duration of the run in nanoseconds, 0 where the manifest does not tell it."""
    scenario = result.manifest.get("scenario")
    text = scenario.get("duration") if isinstance(scenario, dict) else None
    try:
        return parse_duration(text) if isinstance(text, str) else 0
    except DurationError:
        return 0
