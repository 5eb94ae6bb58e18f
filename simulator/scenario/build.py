"""The composition root: a scenario becomes a world, and only here do the parts learn of each other."""

from __future__ import annotations

from simulator.scenario.by_kind import MESH_KINDS
from simulator.scenario.engine_choice import EngineChoice, choose
from simulator.scenario.schema import Scenario
from simulator.scenario.world import World, few_collections

__all__ = ["World", "build"]


def build(scenario: Scenario, seed: int, replication: int = 0, choice: EngineChoice | None = None) -> World:
    """A fresh world: nothing is shared between two of them. The engine is the scenario's unless given."""
    choice = choose(scenario) if choice is None else choice
    with few_collections():
        world = _built(scenario, seed, replication, choice.engine)
    world.engine, world.reason = choice.engine, choice.reason
    return world


def _built(scenario: Scenario, seed: int, replication: int, engine: str) -> World:
    if engine == "fleet":
        from simulator.scenario.build_fleet import build_fleet

        return build_fleet(scenario, seed, replication)
    if scenario.control_plane.kind in MESH_KINDS:
        from simulator.scenario.build_mesh import build_mesh

        return build_mesh(scenario, seed, replication)
    from simulator.scenario.build_scripted import build_scripted

    return build_scripted(scenario, seed, replication)
