"""The composition root: a scenario becomes a world, and only here do the parts learn of each other."""

from __future__ import annotations

from simulator.scenario.by_kind import MESH_KINDS
from simulator.scenario.engine_choice import EngineChoice, choose, with_rows
from simulator.scenario.schema import Scenario
from simulator.scenario.world import World, few_collections

__all__ = ["World", "build"]


def build(scenario: Scenario, seed: int, replication: int = 0, choice: EngineChoice | None = None) -> World:
    """A fresh world: nothing is shared between two of them. The engine is the scenario's unless given."""
    choice = choose(scenario) if choice is None else choice
    with few_collections():
        if choice.engine == "fleet":
            world, choice = _built_as_fleet(scenario, seed, replication, choice)
        else:
            world = _built(scenario, seed, replication)
    world.engine, world.reason = choice.engine, choice.reason
    return world


def _built_as_fleet(
    scenario: Scenario, seed: int, replication: int, choice: EngineChoice
) -> tuple[World, EngineChoice]:
    """A world of rows; where the engine is to be chosen and only a minority of the sidecars are rows, of
    messages alone."""
    from simulator.scenario.build_fleet import FleetWorld

    fleet = FleetWorld(scenario, seed, replication)
    choice = with_rows(choice, fleet.rows, scenario)
    return fleet.world() if choice.engine == "fleet" else _built(scenario, seed, replication), choice


def _built(scenario: Scenario, seed: int, replication: int) -> World:
    if scenario.control_plane.kind in MESH_KINDS:
        from simulator.scenario.build_mesh import build_mesh

        return build_mesh(scenario, seed, replication)
    from simulator.scenario.build_scripted import build_scripted

    return build_scripted(scenario, seed, replication)
