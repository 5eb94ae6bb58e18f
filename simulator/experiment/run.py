"""Runs one scenario once."""

from __future__ import annotations

from simulator.experiment.provenance import manifest
from simulator.results.result import Result
from simulator.scenario.build import build
from simulator.scenario.schema import Scenario


def run(scenario: Scenario, seed: int | None = None, replication: int = 0) -> Result:
    """Runs a scenario and returns its tables.

    Args:
        scenario: What to simulate.
        seed: Seed of all draws; the scenario's own if not given.
        replication: Which of the independent repetitions of that seed.

    Returns:
        The result; the same scenario, seed and replication give the same digest.
    """
    actual_seed = scenario.seed if seed is None else seed
    world = build(scenario, actual_seed, replication)
    world.run()
    return Result.from_recorder(
        world.recorder, manifest(scenario, actual_seed, replication), expectations=scenario.expect
    )
