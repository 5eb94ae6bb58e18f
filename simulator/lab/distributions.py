"""Simulated and measured delays as distributions: fleets on the bench, pushing against polling.

Twenty Envoys that share two cores, or back-offs drawn at random, do not give the same number twice; what can
be held against each other is how the numbers are distributed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from simulator.experiment.run import run
from simulator.lab.play import play
from simulator.lab.verify import watched
from simulator.results.result import Result
from simulator.results.two_samples import KolmogorovSmirnov, kolmogorov_smirnov
from simulator.scenario.schema import Scenario

SIMULATED: Final = 10
"""Replications of the simulation: it costs little, and its own scatter should not blur the comparison."""

Nanoseconds = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TwoWorlds:
    """One kind of delay in both worlds.

    Attributes:
        what: Which delay.
        strategy: How configuration travelled.
        simulated_ns: Of all replications.
        measured_ns: Of the play.
    """

    what: str
    strategy: str
    simulated_ns: Nanoseconds
    measured_ns: Nanoseconds

    @property
    def distance(self) -> KolmogorovSmirnov:
        """How far apart the distributions are."""
        return kolmogorov_smirnov(self.simulated_ns, self.measured_ns)


def apply_delays(result: Result) -> Nanoseconds:
    """From a change until an Envoy's main thread has applied it, of every delivery that came so far.

    When its workers have taken it over no process tells.
    """
    done = result.deliveries.dropna(subset=["t_applied_ns"])
    return cast("Nanoseconds", (done.t_applied_ns - done.t_changed_ns).to_numpy(np.int64))


def apply_spreads(result: Result) -> Nanoseconds:
    """From the first Envoy that applies a change until each of them does."""
    done = result.deliveries.dropna(subset=["t_applied_ns"])
    after = done.t_applied_ns - done.groupby("change_id").t_applied_ns.transform("min")
    return after.to_numpy(np.int64)


def reconnects(result: Result) -> Nanoseconds:
    """From a stream's end until the same Envoy's next one is open."""
    streams = result.states[result.states.machine == "stream"].sort_values("t_ns", kind="stable")
    found: list[int] = []
    for _, told in streams.groupby(["proxy_id", "name"], observed=True, sort=True):
        down_ns: int | None = None
        for t_ns, state in zip(told.t_ns, told.state, strict=True):
            if state == "OPEN" and down_ns is not None:
                found.append(int(t_ns) - down_ns)
            if state == "OPEN":
                down_ns = None
            elif state == "DOWN":
                down_ns = int(t_ns)
    return np.array(found, np.int64)


QUANTITIES: Final[tuple[tuple[str, Callable[[Result], Nanoseconds], int], ...]] = (
    ("change to applied", apply_delays, 1),
    ("first to each Envoy's apply", apply_spreads, 2),
    ("stream end to reconnect", reconnects, 1),
)
"""What is compared, and how many Envoys it takes."""


def compared(
    scenario: Scenario, strategies: Sequence[str] = (), *, seed: int | None = None
) -> list[TwoWorlds]:
    """Simulates and plays a scenario with each strategy; raises what `play` raises.

    Args:
        scenario: What to play.
        strategies: `propagation.strategy` of each play; the scenario's own if empty.
        seed: Seed of both worlds; the scenario's own if not given.
    """
    found: list[TwoWorlds] = []
    for strategy in strategies or [scenario.propagation.strategy]:
        variant = watched(scenario.with_(**{"propagation.strategy": strategy}))
        measured = play(variant, seed)
        simulated = [run(variant, seed, replication=number) for number in range(SIMULATED)]
        found += _held_together(variant, simulated, measured)
    return found


def _held_together(scenario: Scenario, simulated: Sequence[Result], measured: Result) -> list[TwoWorlds]:
    strategy = scenario.propagation.strategy
    envoys = len(scenario.mesh.proxies.names())
    found = []
    for what, delays_of, least in QUANTITIES:
        ours = np.concatenate([delays_of(result) for result in simulated])
        theirs = delays_of(measured)
        if envoys >= least and len(ours) and len(theirs):
            found.append(TwoWorlds(what, strategy, ours, theirs))
    return found
