"""What a scenario lists that never comes, because the run ends first: allowed, and said aloud."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.engine.clock import format_duration
from simulator.scenario.schema import Scenario, TrafficEntry

__all__ = ["after_the_end"]


def after_the_end(scenario: Scenario) -> list[str]:
    """A warning for each entry of `workload` and each push of a script with instants that the run does not
    reach.

    No error: a scenario that is played in part, with a shorter `duration`, is a fair thing to do.
    """
    ends = format_duration(scenario.duration)
    return [f"{place} {which}: the run ends after {ends} (duration)" for place, which in _unreached(scenario)]


def _unreached(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for position, entry in enumerate(scenario.workload):
        place = f"workload[{position}] ({entry.KIND})"
        listed = () if isinstance(entry, TrafficEntry) else entry.at
        late = [t_ns for t_ns in listed if t_ns >= scenario.duration]
        if listed and len(late) == len(listed):
            yield place, f"never happens, at {format_duration(min(late))}"
        elif late:
            yield place, f"happens {len(listed) - len(late):,} of {len(listed):,} times"
        elif entry.begin >= scenario.duration:
            yield place, f"never happens, from {format_duration(entry.begin)}"
    for position, push in enumerate(scenario.control_plane.pushes):
        # Their times count from the first subscription, so later ones than these may be left out as well.
        if push.at >= scenario.duration:
            yield f"control_plane.pushes[{position}]", f"never happens, at {format_duration(push.at)}"
