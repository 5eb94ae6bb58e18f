"""Which engine plays a scenario: by the features it uses and by its size, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.calibration.costs import Law, with_overrides, zero_costs
from simulator.engine.delays import Constant, Uniform
from simulator.scenario.certificates import has_certificates
from simulator.scenario.costs import read_calibration
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.workload import EditEntry, EndpointsEntry

FLEET_FROM = 1001
"""`auto` takes the arrays from so many sidecars on: up to 1000 the event engine keeps messages, states and
queues, which the arrays do not have."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine, and why it is that one."""

    engine: str
    reason: str


def choose(scenario: Scenario) -> EngineChoice:
    """The engine that plays it."""
    if scenario.engine == "events":
        return EngineChoice("events", "engine: events")
    if scenario.engine == "fleet":
        return EngineChoice("fleet", "engine: fleet")
    missing = not_in_fleet(scenario)
    if missing:
        return EngineChoice("events", f"auto: the fleet engine has no {missing[0]}")
    sidecars = scenario.mesh.proxies.sidecars + scenario.mesh.proxies.vms
    if sidecars < FLEET_FROM:
        return EngineChoice("events", f"auto: fewer than {FLEET_FROM} sidecars")
    return EngineChoice("fleet", f"auto: {sidecars} sidecars, and every feature in use has a fleet form")


def not_in_fleet(scenario: Scenario) -> list[str]:
    """Features in use that the fleet engine does not have, as their keys."""
    plane, propagation, mesh = scenario.control_plane, scenario.propagation, scenario.mesh
    if plane.kind != "istiod":
        return [f"control_plane.kind: {plane.kind}"]
    keep, entries = scenario.recording, scenario.workload
    wanted = {
        f"propagation.strategy: {propagation.strategy}": propagation.strategy != "push",
        "propagation.streams: separate": propagation.streams != "ads",
        "mesh.start other than connected": mesh.start.kind != "connected",
        "control_plane.start: cold": plane.start != "running",
        "control_plane.flow_control": plane.flow_control,
        "agent.certificates": has_certificates(scenario),
        "network.loss": scenario.network.loss > 0,
        "agent.dns_capture": scenario.agent.dns_capture,
        "mesh.wasm_plugins": mesh.wasm_plugins,
        "envoy.rate_limit": scenario.envoy.rate_limit is not None,
        "recording.messages: true": keep.messages is True,
        "recording.states: true": keep.states is True,
        "recording.queues: true": keep.queues is True,
        "workload.traffic": bool(scenario.traffic),
    }
    found = [name for name, is_used in wanted.items() if is_used]
    others = dict.fromkeys(
        e.KIND for e in entries if not isinstance(e, EditEntry | EndpointsEntry) and e.KIND != "traffic"
    )
    return found + [f"workload entry {kind}" for kind in others] + _drawn_costs(scenario)


def _drawn_costs(scenario: Scenario) -> list[str]:
    """Costs of Envoy that are drawn for each job, which the arrays do not do."""
    envoy = scenario.envoy
    costs: dict[str, Law] = dict(read_calibration(envoy.calibration, scenario.directory).costs)
    if envoy.costs.zero:
        costs = zero_costs(costs)
    costs = with_overrides(costs, envoy.costs.given)
    drawn = [f"envoy.costs.{key} with a distribution" for key in _SAME_FOR_ALL if _is_drawn(costs[key])]
    if not isinstance(costs["stats_flush_per_cluster"], Constant | Uniform):
        drawn.append("envoy.costs.stats_flush_per_cluster with an unbounded distribution")
    return drawn


_SAME_FOR_ALL = (
    "cds",
    "eds",
    "lds",
    "rds",
    "post_clusters",
    "post_routes",
    "post_listeners",
    "stop_listener",
)


def _is_drawn(law: Law) -> bool:
    from collections.abc import Mapping

    return not isinstance(law, Mapping | Constant)
