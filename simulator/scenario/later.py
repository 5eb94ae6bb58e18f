"""Keys of the scenario format that this version does not have yet: refused as such, not as typing errors."""

from __future__ import annotations

from simulator.scenario.problems import Location

LATER_KEYS = (
    "agent",
    "control_plane.cache",
    "control_plane.cpu",
    "control_plane.debounce",
    "control_plane.max_connection_age",
    "control_plane.max_requests_per_second",
    "control_plane.push_throttle",
    "control_plane.replicas",
    "control_plane.version",
    "envoy.connect_timeout",
    "envoy.health_checks",
    "envoy.hot_restart",
    "envoy.parent_shutdown_time",
    "mesh.endpoints",
    "mesh.namespaces",
    "mesh.scope",
    "mesh.services",
    "mesh.sizes",
    "mesh.zones",
    "network.bandwidth",
    "network.loss",
    "propagation.sync_period",
    "propagation.wait",
    "workload.name",
    "workload.namespace",
    "workload.service",
    "workload.traffic.dead_endpoint",
    "workload.traffic.from",
)

LATER_HAPPENINGS = (
    "add_istiod",
    "ca_outage",
    "edit",
    "endpoints",
    "hot_restart",
    "migrate_revision",
    "partition",
    "restart",
    "restart_istiod",
    "rollout",
    "rollout_istiod",
    "root_rotation",
    "runtime_flag",
    "scale_up",
    "slow_reader",
)
"""Kinds of workload entries to come."""


def is_later(location: Location) -> bool:
    """Whether the key at `location` belongs to a later version."""
    return ".".join(part for part in location if isinstance(part, str)) in LATER_KEYS
