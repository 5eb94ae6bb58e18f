"""The composition root: a scenario becomes a world, and only here do the parts learn of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulator.scenario.by_kind import MESH_KINDS
from simulator.scenario.engine_choice import EngineChoice, choose, with_rows
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.workload import RolloutEntry, ScaleUpEntry
from simulator.scenario.world import World, few_collections

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simulator.scenario.fleet.world import FleetWorld

__all__ = ["World", "build"]


def build(
    scenario: Scenario,
    seed: int,
    replication: int = 0,
    choice: EngineChoice | None = None,
    by_messages: Sequence[int] | NDArray[np.int64] = (),
) -> World:
    """A fresh world: nothing is shared between two of them.

    Args:
        scenario: What is simulated.
        seed: Of all draws.
        replication: Which repetition.
        choice: The engine, unless it is the scenario's.
        by_messages: Proxies that are no rows of a fleet, whatever the scenario says.
    """
    choice = choose(scenario) if choice is None else choice
    with few_collections():
        if choice.engine == "fleet":
            world, choice = _built_as_fleet(scenario, seed, replication, choice, by_messages)
        else:
            world = _built(scenario, seed, replication)
    world.engine, world.reason = choice.engine, choice.reason
    return world


def _built_as_fleet(
    scenario: Scenario,
    seed: int,
    replication: int,
    choice: EngineChoice,
    by_messages: Sequence[int] | NDArray[np.int64],
) -> tuple[World, EngineChoice]:
    """A world of rows; where the engine is to be chosen and only a minority of the sidecars are rows, of
    messages alone."""
    fleet = _form_of_fleet(scenario)(scenario, seed, replication, by_messages)
    choice = with_rows(choice, fleet.rows_of_start, scenario)
    return fleet.world() if choice.engine == "fleet" else _built(scenario, seed, replication), choice


def _form_of_fleet(scenario: Scenario) -> type[FleetWorld]:
    """By the way that configuration takes."""
    match scenario.propagation.strategy:
        case "poll":
            from simulator.scenario.fleet.polled_world import PolledFleetWorld

            return PolledFleetWorld
        case "long-poll":
            from simulator.scenario.fleet.long_polled_world import LongPolledFleetWorld

            return LongPolledFleetWorld
        case "file":
            from simulator.scenario.fleet.filed_world import FiledFleetWorld

            return FiledFleetWorld
    if scenario.mesh.start.kind != "connected":
        from simulator.scenario.fleet.started_world import StartedFleetWorld

        return StartedFleetWorld
    if any(isinstance(entry, RolloutEntry | ScaleUpEntry) for entry in scenario.workload):
        from simulator.scenario.fleet.growing_world import GrowingFleetWorld

        return GrowingFleetWorld
    from simulator.scenario.fleet.world import FleetWorld

    return FleetWorld


def _built(scenario: Scenario, seed: int, replication: int) -> World:
    if scenario.control_plane.kind in MESH_KINDS:
        from simulator.scenario.build_mesh import build_mesh

        return build_mesh(scenario, seed, replication)
    from simulator.scenario.build_scripted import build_scripted

    return build_scripted(scenario, seed, replication)
