"""Which engine plays a scenario: by the features it uses and by its size, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.calibration.costs import Law, with_overrides, zero_costs
from simulator.calibration.ways import DIRECTORY, REST
from simulator.control_plane.istiod.doorway import AGE_JITTER
from simulator.engine.delays import Constant, Uniform
from simulator.scenario.certificate_references import certificate_provider
from simulator.scenario.costs import read_calibration
from simulator.scenario.istiod import istiod_settings
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.workload import (
    AddIstiodEntry,
    CaOutageEntry,
    EditEntry,
    EndpointsEntry,
    MigrateRevisionEntry,
    PartitionEntry,
    RestartEntry,
    RestartIstiodEntry,
    RolloutEntry,
    RolloutIstiodEntry,
    RootRotationEntry,
    ScaleUpEntry,
    SlowReaderEntry,
    UnhealthyEntry,
)

FLEET_FROM = 1001
"""`auto` takes the arrays from so many sidecars on: up to 1000 the event engine keeps messages, states and
queues, which the arrays do not have."""

_PLAYED_BY_FLEET = (
    UnhealthyEntry,
    AddIstiodEntry,
    EditEntry,
    EndpointsEntry,
    RolloutEntry,
    ScaleUpEntry,
    RestartEntry,
    PartitionEntry,
    SlowReaderEntry,
    CaOutageEntry,
    RootRotationEntry,
    RestartIstiodEntry,
    RolloutIstiodEntry,
    MigrateRevisionEntry,
)


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


def with_rows(choice: EngineChoice, rows: int, scenario: Scenario) -> EngineChoice:
    """The choice of the fleet, now that it is known how many sidecars would be rows: under `auto` it stands
    if they are the majority. Whoever the workload touches is played message by message in either engine."""
    sidecars = scenario.mesh.proxies.sidecars + scenario.mesh.proxies.vms
    told = f"{rows} of {sidecars} sidecars are rows"
    if scenario.engine == "auto" and 2 * rows <= sidecars:
        return EngineChoice(
            "events", f"auto: only {told} of the fleet engine: to the others more happens than pushes"
        )
    return EngineChoice("fleet", f"{choice.reason}; {told}" if rows < sidecars else choice.reason)


def not_in_fleet(scenario: Scenario) -> list[str]:
    """Features in use that the fleet engine does not have, as their keys."""
    plane, propagation, mesh = scenario.control_plane, scenario.propagation, scenario.mesh
    if plane.kind != "istiod":
        return [f"control_plane.kind: {plane.kind}"]
    keep, entries = scenario.recording, scenario.workload
    is_pushed = propagation.strategy == "push"
    certificates = certificate_provider(scenario)
    wanted = {
        "propagation.strategy: long-poll with network.loss": (
            propagation.strategy == "long-poll" and scenario.network.loss > 0
        ),
        "propagation.streams: separate": is_pushed and propagation.streams != "ads",
        "control_plane.flow_control": plane.flow_control,
        "agent.dns_capture": scenario.agent.dns_capture,
        "mesh.wasm_plugins": mesh.wasm_plugins,
        "envoy.rate_limit": scenario.envoy.rate_limit is not None,
        "recording.messages: true": keep.messages is True,
        "recording.states: true": keep.states is True,
        "recording.queues: true": keep.queues is True,
        f"agent.certificates.provider: {certificates}": certificates not in ("none", "istiod"),
    }
    if propagation.strategy == "long-poll" and (outage := _everybody_is_cut_off(scenario)):
        wanted[f"{outage} by long polls"] = True
    if propagation.strategy == "poll" and plane.replicas > 1:
        # Which of those that are left a proxy asks next is drawn when it does.
        is_rolled = any(isinstance(e, RolloutIstiodEntry) for e in entries)
        wanted["rollout_istiod of several istiods by polls"] = is_rolled
    if not is_pushed and mesh.start.kind != "connected":
        wanted["mesh.start other than connected by polls or files"] = True
    found = [name for name, is_used in wanted.items() if is_used]
    others = dict.fromkeys(
        e.KIND for e in entries if not isinstance(e, _PLAYED_BY_FLEET) and e.KIND != "traffic"
    )
    return found + [f"workload entry {kind}" for kind in others] + _drawn_costs(scenario)


def _everybody_is_cut_off(scenario: Scenario) -> str | None:
    """By what, if there are times at which no istiod goes on that was there before."""
    if any(isinstance(e, RolloutIstiodEntry) for e in scenario.workload):
        return "rollout_istiod"
    is_alone = scenario.control_plane.replicas == 1
    if is_alone and any(isinstance(e, RestartIstiodEntry) for e in scenario.workload):
        return "restart_istiod of the only istiod"
    return None


def _istiods_end(scenario: Scenario) -> bool:
    """Whether processes of istiod end within the run."""
    return any(isinstance(e, RestartIstiodEntry | RolloutIstiodEntry) for e in scenario.workload)


def streams_end(scenario: Scenario) -> bool:
    """Whether streams that were opened in the run end within it, with their istiod or by age."""
    settings = istiod_settings(scenario)
    age_ns, grace_ns = settings.max_connection_age_ns, settings.max_connection_age_grace_ns
    return _istiods_end(scenario) or (
        age_ns is not None and int((1 - AGE_JITTER) * age_ns) + grace_ns <= scenario.duration
    )


def dials_in_arrays(scenario: Scenario) -> bool:
    """Whether a proxy that starts has nothing to do but to dial until a stream of it is let in."""
    envoy = scenario.envoy
    return not (
        certificate_provider(scenario) != "none"
        or envoy.fetch_timeout_ns("cds") > 0
        or envoy.static.named_clusters
        or any(layer.rtds_layer for layer in envoy.runtime_layers)
    )


def _drawn_costs(scenario: Scenario) -> list[str]:
    """Costs of Envoy that are drawn for each job, which the arrays do not do."""
    envoy = scenario.envoy
    costs: dict[str, Law] = dict(read_calibration(envoy.calibration, scenario.directory).costs)
    if envoy.costs.zero:
        costs = zero_costs(costs)
    costs = with_overrides(costs, envoy.costs.given)
    keys = (*_SAME_FOR_ALL, *filter(None, _BY_STRATEGY.get(scenario.propagation.strategy, ())))
    drawn = [f"envoy.costs.{key} with a distribution" for key in keys if _is_drawn(costs[key])]
    if not isinstance(costs["stats_flush_per_cluster"], Constant | Uniform):
        drawn.append("envoy.costs.stats_flush_per_cluster with an unbounded distribution")
    return drawn


_SAME_FOR_ALL = (
    "cds",
    "eds",
    "lds",
    "rds",
    "decode_failed",
    "post_clusters",
    "post_routes",
    "post_listeners",
    "stop_listener",
)


_BY_STRATEGY = {"poll": REST, "long-poll": REST, "file": DIRECTORY}


def _is_drawn(law: Law) -> bool:
    from collections.abc import Mapping

    return not isinstance(law, Mapping | Constant)
