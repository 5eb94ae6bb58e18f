"""Keys of the scenario format that this version does not have yet: refused as such, not as typing errors."""

from __future__ import annotations

from simulator.scenario.problems import Location

LATER_KEYS = ("envoy.health_checks",)

LATER_HAPPENINGS: tuple[str, ...] = ()
"""Kinds of workload entries to come."""


def is_later(location: Location) -> bool:
    """Whether the key at `location` belongs to a later version."""
    return ".".join(part for part in location if isinstance(part, str)) in LATER_KEYS
