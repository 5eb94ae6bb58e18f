"""One rule held against both worlds, and how far times may be apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AGREES: Final = "agrees"
DIFFERS: Final = "DIFFERS"
RACES: Final = "race"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far times may be apart: `floor_s`, or `share` of the time after the origin if that is more."""

    floor_s: float = 0.020
    share: float = 0.05

    def at(self, seconds: float) -> float:
        """The tolerance of a time."""
        return max(self.floor_s, self.share * abs(seconds))

    def told(self) -> str:
        """As text."""
        return f"± max({self.floor_s * 1e3:.0f} ms, {self.share:.0%})"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule, held against simulation and measurement.

    Attributes:
        rule: What is compared.
        expected: What the measurement must be.
        simulated: What the simulator shows.
        measured: Median of the runs; with `low` and `high` its range.
        n: Runs that show a value.
        verdict: `agrees`, `race` (agrees but for a race) or `DIFFERS`.
        note: Which race, or what differs.
    """

    rule: str
    expected: str
    simulated: str
    measured: str
    low: str = ""
    high: str = ""
    n: int = 0
    verdict: str = AGREES
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether both worlds agree."""
        return self.verdict != DIFFERS
