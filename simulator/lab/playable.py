"""Which scenarios a real Envoy can play, and why not the others."""

from __future__ import annotations

from simulator.lab.processes import MOST_ENVOYS
from simulator.scenario.schema import ListenerMapping, Scenario, TrafficEntry
from simulator.scenario.sections.workload import HotRestartEntry

LONGEST_NS = 10 * 60 * 10**9
"""A play takes the scenario's duration; ten minutes is for who really means it."""

MOST_REQUESTS_PER_SECOND = 1000
MOST_UNDER_WAY = 64
"""Requests of one train that may wait for their ends; more are not sent."""


def reasons_against(scenario: Scenario) -> list[str]:
    """Everything in the scenario that cannot be played, as `key: why`; empty if it can."""
    envoy, strategy = scenario.envoy, scenario.propagation.strategy
    latency = scenario.network.latency
    found: list[tuple[bool, str]] = [
        (
            scenario.control_plane.kind in ("istiod", "components", "rest-v1"),
            f"control_plane.kind: {scenario.control_plane.kind} is modelled; scripted and none are played",
        ),
        (strategy == "long-poll", "propagation.strategy: Envoy has no long polling"),
        (
            len(scenario.mesh.proxies.names()) > MOST_ENVOYS,
            f"mesh.proxies: the laboratory starts at most {MOST_ENVOYS} Envoys",
        ),
        (
            strategy != "push" and not (latency is None or latency.is_zero),
            "network.latency: the laboratory adds it to streams only; this scenario has none",
        ),
        (scenario.duration > LONGEST_NS, "duration: is played in real time; at most 10m"),
        (envoy.drain_time % 10**9 != 0, "envoy.drain_time: --drain-time-s takes whole seconds"),
        (not envoy.eds_cache, "envoy.eds_cache: Envoy 1.40 has no switch for it any more"),
        (
            any(entry.traffic.rate.per_second > MOST_REQUESTS_PER_SECOND for entry in scenario.traffic),
            f"workload: at most {MOST_REQUESTS_PER_SECOND} requests per second",
        ),
        (
            any(listener.secret is not None for listener in _listeners(scenario)),
            "control_plane.resources.listeners: secret: a listener's would need a certificate",
        ),
        (
            scenario.control_plane.resources.health_check is not None
            and any(cluster.secret is not None for cluster in scenario.control_plane.resources.clusters),
            "resources.health_check: a cluster with a secret would need endpoints that speak TLS",
        ),
        (
            any(entry.traffic.to in _scoped(scenario) for entry in scenario.traffic),
            "workload: requests to a listener with scopes would need the key of a scope",
        ),
        (
            any(_under_way(entry) > MOST_UNDER_WAY for entry in scenario.traffic),
            f"workload: at most {MOST_UNDER_WAY} requests of an entry under way (rate times request_time)",
        ),
        (
            any(layer.disk_layer is not None for layer in envoy.runtime_layers),
            "envoy.runtime_layers: disk_layer: what a kubelet swaps is modelled; RTDS and admin are played",
        ),
        *_against_hot_restarts(scenario),
    ]
    return [said for is_against, said in found if is_against]


def _under_way(entry: TrafficEntry) -> float:
    if entry.traffic.connection == "kept":
        return 1
    return entry.traffic.rate.per_second * entry.traffic.request_time / 1e9


def hot_restarts(scenario: Scenario) -> list[HotRestartEntry]:
    """Entries of the workload that hot restart Envoys."""
    return [entry for entry in scenario.workload if isinstance(entry, HotRestartEntry)]


def _against_hot_restarts(scenario: Scenario) -> list[tuple[bool, str]]:
    """A child and its parent talk to one control plane: who is who must be plain in both worlds."""
    if not hot_restarts(scenario):
        return []
    control_plane = scenario.control_plane
    is_reset = (
        control_plane.connect.kind != "accept"
        or any(push.close for push in control_plane.pushes)
        or any(answer.close for turns in control_plane.answers.values() for answer in turns)
    )
    return [
        (is_reset, "workload: hot_restart: is not played where streams are refused or closed"),
        (
            scenario.envoy.parent_shutdown_time % 10**9 != 0,
            "envoy.parent_shutdown_time: --parent-shutdown-time-s takes whole seconds",
        ),
    ]


def _listeners(scenario: Scenario) -> list[ListenerMapping]:
    return [*scenario.control_plane.resources.listeners, *scenario.envoy.static.listeners]


def _scoped(scenario: Scenario) -> list[str]:
    named = scenario.control_plane.resources.named_listeners
    return [one.name for one in named if one.mapping.routes == "scoped"]
