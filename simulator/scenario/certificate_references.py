"""Who hands out certificates in a scenario; those that no Istio of that kind and version handed out, and
happenings that need others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from simulator.scenario.problems import Location
from simulator.scenario.sections.agent import Agent
from simulator.scenario.sections.control_plane import ControlPlane
from simulator.scenario.sections.mesh import Mesh
from simulator.scenario.sections.workload import CaOutageEntry, RestartComponentEntry, RootRotationEntry
from simulator.scenario.sections.workload_entries import WorkloadEntry

_NODE_AGENT = "node-agent"
_NOT_UNDER = {
    "istiod": {
        "citadel": "Istio 1.5 made Citadel a part of istiod, which writes no Secrets for workloads",
        _NODE_AGENT: "Istio 1.5 removed the node agent: SDS is in each pod's agent (upgrade notes of 1.5)",
    },
    "components": {"istiod": "there is no istiod before Istio 1.5: take citadel or node-agent"},
    "rest-v1": dict.fromkeys(
        ("istiod", "citadel", _NODE_AGENT), "certificates before Istio 1.0 are not modelled: take none"
    ),
}
"""Kind of control plane -> provider -> why they do not go together."""


class Checked(Protocol):
    """The sections of a scenario that certificates concern."""

    @property
    def agent(self) -> Agent:
        """Section `agent`."""

    @property
    def mesh(self) -> Mesh:
        """Section `mesh`."""

    @property
    def control_plane(self) -> ControlPlane:
        """Section `control_plane`."""

    @property
    def workload(self) -> tuple[WorkloadEntry, ...]:
        """Section `workload`."""


def certificate_provider(scenario: Checked) -> str:
    """Who signs, with ``auto`` resolved: none, istiod, citadel or node-agent."""
    provider = scenario.agent.certificates.provider
    if provider != "auto":
        return provider
    if not any(isinstance(entry, CaOutageEntry | RootRotationEntry) for entry in scenario.workload):
        return "none"
    return "citadel" if scenario.control_plane.kind == "components" else "istiod"


def has_certificates(scenario: Checked) -> bool:
    """Whether certificates are asked for, or there at once."""
    return certificate_provider(scenario) != "none"


def has_workload_sds(scenario: Checked) -> bool:
    """Whether Envoys ask an agent for them; else they read files, or nothing."""
    return certificate_provider(scenario) in ("istiod", "node-agent")


def nodes(scenario: Checked) -> int:
    """How many nodes node agents are on."""
    return max(1, -(-scenario.mesh.proxies.total // scenario.agent.certificates.pods_per_node))


def unusable_certificates(scenario: Checked) -> Iterator[tuple[Location, str]]:
    """Every problem with `agent.certificates` and the entries of the workload that need it."""
    provider, plane = scenario.agent.certificates.provider, scenario.control_plane
    place: Location = ("agent", "certificates", "provider")
    reason = _NOT_UNDER.get(plane.kind, {}).get(provider)
    if reason is not None:
        yield place, f"{provider} does not go with control_plane.kind: {plane.kind}: {reason}"
    elif provider == _NODE_AGENT and plane.version == "1.0":
        yield place, "node-agent came with Istio 1.1, and this is Istio 1.0"
    for position, entry in enumerate(scenario.workload):
        if isinstance(entry, CaOutageEntry | RootRotationEntry) and provider == "none":
            told = "needs certificates, and agent.certificates.provider is none"
            yield ("workload", position, entry.KIND), told
        if isinstance(entry, RestartComponentEntry):
            yield from _node_agents(scenario, entry, ("workload", position))


def _node_agents(
    scenario: Checked, entry: RestartComponentEntry, place: Location
) -> Iterator[tuple[Location, str]]:
    if entry.restart_component != _NODE_AGENT:
        if entry.node is not None:
            yield (*place, "node"), "goes with restart_component: node-agent"
        return
    if scenario.agent.certificates.provider != _NODE_AGENT:
        yield (*place, "restart_component"), "there is none: needs agent.certificates.provider: node-agent"
        return
    count = nodes(scenario)
    if entry.node is not None and entry.node >= count:
        told = f"there is no node {entry.node}: agent.certificates.pods_per_node makes {count}, from 0"
        yield (*place, "node"), told
