"""Holds the simulator against real Envoys, scenario by scenario.

A scenario is played once. Where both worlds agree, that is the verdict; where they do not, it is played
again, up to so many times, and what the majority of the runs says counts.

A run that disagrees does not count if the machine was busy: if after the first subscription the laboratory's
loop, or an Envoy's main thread, was kept from running for more than 20 ms of any 100 (lab/pulse.py), which is
as far as times may be apart. After as many such runs as may disagree there is no verdict; after twice as
many that all miss the same rule there is one: no busy machine does the same thing every time.

Clusters that one CDS update removes while start-up waits go in the order of a hash map, which no
configuration decides (`lab.removal_order`). Where a run disagrees, the scenario is simulated again in the
order that its log tells: what follows from the order must then be the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulator.engine.clock import format_duration
from simulator.experiment.run import run
from simulator.lab.conversation import Reading, starts_of
from simulator.lab.differences import Row, Tolerance, compare
from simulator.lab.play import TURNAROUND, played, undisturbed
from simulator.lab.pulse import KEY, MOST_LATE_S
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
        measured: The measured ones that count, in order; if none does, all.
        disturbed: Runs that disagreed and do not count, since the machine was busy.
        is_judged: Enough runs count, or they agree.
    """

    name: str
    rows: tuple[Row, ...]
    simulated: Result
    measured: tuple[Result, ...]
    disturbed: int = 0
    is_judged: bool = True

    @property
    def agrees(self) -> bool:
        """Whether every rule is met."""
        return self.is_judged and all(row.is_met for row in self.rows)

    @property
    def differing(self) -> list[Row]:
        """The rules that are not met."""
        return [row for row in self.rows if not row.is_met]

    def explained(self) -> str:
        """The first differing event, both traces side by side; empty where all agree."""
        if self.agrees:
            return ""
        parts = []
        measured = self.measured[-1]
        for proxy in dict.fromkeys(map(str, self.simulated.startups.proxy_id)):
            starts = min(len(starts_of(self.simulated, proxy)), len(starts_of(measured, proxy)))
            for number in range(starts):
                ours, theirs = Reading(self.simulated, proxy, number), Reading(measured, proxy, number)
                parts.append(side_by_side(ours, theirs))
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
    with undisturbed():
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
    trial = Trial(
        scenario, simulated, runs, tolerance, again=lambda ordered: simulate(watched(ordered), seed)
    )
    while not trial.is_settled:
        trial.take(await played(scenario, seed))
    return trial.verdict()


class Trial:
    """The runs of one scenario, and when they suffice for a verdict.

    Args:
        scenario: What is played.
        simulated: What must come of it.
        runs: Runs that disagree, and count, before that is the verdict.
        tolerance: How far times may be apart.
        again: Simulates the scenario with clusters removed in another order; None: it has only this one.
    """

    def __init__(
        self,
        scenario: Scenario,
        simulated: Result,
        runs: int,
        tolerance: Tolerance | None = None,
        again: Callable[[Scenario], Result] | None = None,
    ) -> None:
        self.scenario = scenario
        self.simulated = simulated
        self._runs = max(1, runs)
        self._tolerance = tolerance
        self._again = again
        self._counted: list[Result] = []
        self._disturbed: list[Result] = []
        self._forgiven = 0
        self._rows: Sequence[Row] = ()
        self._always_missed: dict[str, None] | None = None

    def take(self, measured: Result) -> None:
        """One more run."""
        rows = self._compared(measured)
        if not all(row.is_met for row in rows) and self._follow_removals_of(measured):
            rows = self._compared(measured)
        if all(row.is_met for row in rows) or not is_disturbed(measured):
            self._counted.append(measured)
            self._rows = rows
        else:
            self._disturbed.append(measured)
            missed = self._missed(measured)
            before = missed if self._always_missed is None else self._always_missed
            self._always_missed = {rule: None for rule in before if rule in missed}

    def _compared(self, measured: Result) -> list[Row]:
        return compare(self.scenario, self.simulated, [*self._counted, measured], self._tolerance)

    def _follow_removals_of(self, measured: Result) -> bool:
        """Simulates in the order in which the first Envoy of a run removed its clusters; whether that is
        another."""
        if self._again is None or measured.startups.empty:
            return False
        order = Reading(measured, str(measured.startups.proxy_id.iloc[0])).removed()
        if len(order) < 2 or tuple(order) == self.scenario.lab.removal_order:
            return False
        self.scenario = self.scenario.with_(**{"lab.removal_order": order})
        self.simulated = self._again(self.scenario)
        return True

    def _missed(self, measured: Result) -> dict[str, None]:
        rows = compare(self.scenario, self.simulated, [measured], self._tolerance)
        return {row.rule: None for row in rows if not row.is_met}

    @property
    def is_settled(self) -> bool:
        """Whether nothing more need be played."""
        return self._agrees or max(len(self._counted), len(self._disturbed) - self._forgiven) >= self._runs

    def forgive(self) -> None:
        """As many runs more may be disturbed; those before are still told."""
        self._forgiven = len(self._disturbed)

    @property
    def _agrees(self) -> bool:
        return bool(self._counted) and all(row.is_met for row in self._rows)

    @property
    def _is_never_met(self) -> bool:
        return len(self._disturbed) >= 2 * self._runs and not self._counted and bool(self._always_missed)

    def verdict(self) -> Verdict:
        """What they showed."""
        measured, rows = self._counted, self._rows
        if not measured:
            measured = self._disturbed
            rows = compare(self.scenario, self.simulated, measured, self._tolerance)
        return Verdict(
            self.scenario.name,
            tuple(rows),
            self.simulated,
            tuple(measured),
            len(self._disturbed),
            is_judged=self._agrees or len(self._counted) >= self._runs or self._is_never_met,
        )


def is_disturbed(measured: Result) -> bool:
    """Whether the machine kept the laboratory or an Envoy from running, for long enough to matter."""
    return float(measured.manifest.get(KEY, 0.0)) > MOST_LATE_S * 1e3


def watched(scenario: Scenario) -> Scenario:
    """The scenario with everything recorded that is compared, and a control plane that answers as late as the
    laboratory's does."""
    keep = scenario.recording
    wanted: dict[str, Any] = {}
    if keep.messages is not True or keep.states is not True:
        wanted |= {"recording.messages": True, "recording.states": True}
    if scenario.control_plane.kind == "scripted" and scenario.control_plane.costs.answer is None:
        wanted["control_plane.costs.answer"] = format_duration(TURNAROUND.value_ns)
    return scenario.with_(**wanted) if wanted else scenario
