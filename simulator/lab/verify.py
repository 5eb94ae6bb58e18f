"""Holds the simulator against real Envoys, scenario by scenario.

A scenario is played once. Where both worlds agree, that is the verdict; where they do not, it is played
again, up to so many times, and what the majority of the runs says counts: a busy machine may spoil one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from simulator.experiment.run import run
from simulator.lab.conversation import Reading
from simulator.lab.differences import Row, Tolerance, compare
from simulator.lab.play import played
from simulator.lab.trace import side_by_side
from simulator.results.result import Result
from simulator.scenario.schema import Scenario

DEFAULT_RUNS: Final = 3

Simulate = Callable[[Scenario, int | None], Result]
"""How a scenario is simulated: `experiment.run.run`, or a model under test."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying one scenario showed.

    Attributes:
        name: The scenario's name.
        rows: What was compared.
        simulated: The simulated result.
        measured: The measured ones, in order.
    """

    name: str
    rows: tuple[Row, ...]
    simulated: Result
    measured: tuple[Result, ...]

    @property
    def agrees(self) -> bool:
        """Whether every rule is met."""
        return all(row.is_met for row in self.rows)

    @property
    def differing(self) -> list[Row]:
        """The rules that are not met."""
        return [row for row in self.rows if not row.is_met]

    def explained(self) -> str:
        """The first differing event, both traces side by side; empty where all agree."""
        if self.agrees:
            return ""
        parts = []
        for proxy in self.simulated.startups.proxy_id:
            ours = Reading(self.simulated, str(proxy))
            parts.append(side_by_side(ours, Reading(self.measured[-1], str(proxy))))
        return "\n\n".join(dict.fromkeys(part for part in parts if part))


def verify(
    scenario: Scenario,
    seed: int | None = None,
    *,
    runs: int = DEFAULT_RUNS,
    tolerance: Tolerance | None = None,
    simulate: Simulate = run,
) -> Verdict:
    """Plays a scenario in both worlds and compares; raises what `play` raises."""
    return asyncio.run(verified(scenario, seed, runs=runs, tolerance=tolerance, simulate=simulate))


async def verified(
    scenario: Scenario,
    seed: int | None = None,
    *,
    runs: int = DEFAULT_RUNS,
    tolerance: Tolerance | None = None,
    simulate: Simulate = run,
) -> Verdict:
    """`verify`, for who verifies several at once."""
    simulated = simulate(watched(scenario), seed)
    measured: list[Result] = []
    rows: Sequence[Row] = ()
    while len(measured) < max(1, runs):
        measured.append(await played(scenario, seed))
        rows = compare(scenario, simulated, measured, tolerance)
        if all(row.is_met for row in rows):
            break
    return Verdict(scenario.name, tuple(rows), simulated, tuple(measured))


def watched(scenario: Scenario) -> Scenario:
    """The scenario with everything recorded that is compared."""
    keep = scenario.recording
    if keep.messages is True and keep.states is True:
        return scenario
    return scenario.with_(**{"recording.messages": True, "recording.states": True})
