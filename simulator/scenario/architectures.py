"""The architectures of the control plane: what each kind adds to a mesh, in the terms of its own settings."""

from __future__ import annotations

from collections.abc import Callable

from simulator.control_plane.components.galley import Galley
from simulator.control_plane.components.lifecycle import Components
from simulator.control_plane.components.mcp import McpStream
from simulator.control_plane.components.pilot import Pilot
from simulator.control_plane.components.settings import GalleySettings, LifecycleSettings, McpSettings
from simulator.control_plane.components.versions import GALLEY_MAX, GALLEY_QUIESCE
from simulator.control_plane.istiod.certificate_authority import IstiodAuthority
from simulator.control_plane.istiod.deployment import Deployment, MakeReplica
from simulator.control_plane.istiod.replica import Replica
from simulator.control_plane.istiod.versions import behaviour
from simulator.control_plane.rest_v1.pilot import RestPilot
from simulator.control_plane.rest_v1.settings import EVENTS_PER_SECOND, RestV1Settings
from simulator.engine.delays import Constant, Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.recording.recorder import Recorder
from simulator.scenario.certificate_references import certificate_provider
from simulator.scenario.certificates import CertificatesAtOnce, CertificatesOfMesh, SdsByPodAgents
from simulator.scenario.certificates_before_istiod import (
    HotRestart,
    MountedSecrets,
    SdsByNodeAgents,
    make_citadel,
)
from simulator.scenario.istiod_processes import IstiodProcesses
from simulator.scenario.mesh_sources import Sources
from simulator.scenario.schema import Scenario

PILOT = "pilot"
FIRST_AGENT_PROXY = 8
"""Istio 1.8: the agent forwards xDS (istio/istio#33975); before, Envoy dialled Pilot or istiod itself."""


def minor_of(scenario: Scenario) -> int:
    """The 4 of Istio 1.4."""
    return int(scenario.control_plane.version.split(".")[1])


def make_replica(scenario: Scenario) -> MakeReplica:
    """How a process of the discovery server comes to be."""
    plane = scenario.control_plane
    if plane.kind == "rest-v1":
        given = plane.events_per_second
        rate = EVENTS_PER_SECOND.at(minor_of(scenario)) if given == "auto" else given
        settings = RestV1Settings(plane.cache_squash, rate)
        return lambda number, deployment: RestPilot(number, deployment, settings)
    if plane.kind != "components":
        return lambda number, deployment: Replica(number, deployment, is_synced=True)
    engine = behaviour(plane.version).push_engine

    def pilot(number: int, deployment: Deployment) -> Replica:
        return Pilot(number, deployment, engine, _stream(deployment, number))

    return pilot


def _stream(deployment: Deployment, number: int) -> McpStream | None:
    galley = deployment.ingestion
    return galley.stream(number) if isinstance(galley, Galley) else None


def make_galley(scenario: Scenario, deployment: Deployment, latency: Delay) -> Galley | None:
    """Galley, where the version has it between the API server and Pilot."""
    plane = scenario.control_plane
    if not plane.has_galley:
        return None
    given, minor = plane.galley, minor_of(scenario)
    objects = len(deployment.services) * plane.mcp.object_size
    mcp = McpSettings(
        plane.mcp.max_message,
        plane.mcp.retry,
        plane.mcp.collections,
        {"VirtualService": objects, "DestinationRule": objects},
        latency,
    )
    settings = GalleySettings(
        GALLEY_QUIESCE.at(minor) if given.quiesce == "auto" else given.quiesce,
        GALLEY_MAX.at(minor) if given.max == "auto" else given.max,
        mcp,
    )
    galley = deployment.ingestion = Galley(deployment, settings)
    return galley


def make_components(
    scenario: Scenario, clock: Clock, draws: Draws, recorder: Recorder, galley: Galley | None
) -> Components | None:
    """The processes beside Pilot, where they are apart."""
    plane = scenario.control_plane
    if plane.kind != "components":
        return None
    settings = LifecycleSettings(
        Constant(0) if plane.costs.zero else plane.components.start,
        plane.readiness.initial_delay,
        plane.readiness.period,
        plane.components.security,
    )
    is_running = plane.start == "running"
    return Components(clock, draws, recorder, settings, galley, are_running=is_running)


def make_certificates(
    scenario: Scenario,
    deployment: Deployment,
    latency: Delay,
    api_call: Delay,
    components: Components | None,
    hot_restart: HotRestart,
) -> CertificatesOfMesh:
    """The way of the workloads' certificates."""
    provider = certificate_provider(scenario)
    if provider == "none":
        return CertificatesAtOnce()
    if provider == "istiod":
        authority = IstiodAuthority(deployment, latency, scenario.agent.certificates.signing)
        return SdsByPodAgents(scenario, deployment, authority, authority)
    assert components is not None, "Citadel is one of the components"
    citadel = components.citadel = make_citadel(scenario, deployment, api_call)
    if provider == "citadel":
        return MountedSecrets(scenario, deployment, citadel, hot_restart)
    return SdsByNodeAgents(scenario, deployment, citadel, latency, api_call)


def hop_of(scenario: Scenario) -> Delay:
    """The process that a message passes between Envoy and the discovery server: the agent, the Envoy in front
    of Pilot, or none."""
    plane = scenario.control_plane
    if plane.kind == "components":
        return plane.components.sidecar_hop if plane.components.security else Constant(0)
    if minor_of(scenario) < FIRST_AGENT_PROXY:
        return Constant(0)
    return scenario.agent.hop


class PilotProcesses(IstiodProcesses):
    """Processes of Pilot, which are ready only when Galley has given them every collection.

    Args:
        galley: What they wait for.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        cache_sync: Delay,
        deployment: Deployment,
        sources: Sources,
        end_ns: int,
        galley: Galley,
    ) -> None:
        super().__init__(clock, draws, cache_sync, deployment, sources, end_ns)
        self._galley = galley

    def begin_running(self, number: int) -> None:
        """It runs since long ago, and has had every collection."""
        self._galley.stream(number).begin_running()
        self.begin(number)

    def start_istiod(self, number: int, on_synced: Callable[[], None]) -> None:
        """A process starts: it lists Services and endpoints, and asks Galley for everything else."""
        starts = self._starts[number] = self._starts.get(number, 0) + 1
        delay_ns = draw_ns(self._cache_sync, self._draws, "istiod.cache_sync", number, starts)
        stream = self._galley.stream(number)
        stream.start()

        def synced() -> None:
            if self._starts.get(number) == starts:
                self.begin(number)
                on_synced()

        def listed() -> None:
            if self._starts.get(number) != starts:
                return
            if stream.is_synced:
                synced()
            else:
                now_ns = self._clock.now_ns
                self._deployment.recorder.component(now_ns, PILOT, number, "waiting for Galley")
                stream.on_synced = synced

        self._clock.after(delay_ns, listed, band=Band.TIMER, entity=number)

    def stop_istiod(self, number: int) -> None:
        """SIGTERM."""
        self._galley.stream(number).stop()
        super().stop_istiod(number)

    def finish(self) -> None:
        """As istiod's; and streams that a message was too large for are told."""
        super().finish()
        recorder = self._deployment.recorder
        recorder.control_plane_busy_ns += self._galley.busy_ns
        for stream in self._galley.streams:
            if stream.broken:
                recorder.warn(
                    f"pilot-{stream.number}: {stream.broken} of {stream.attempts} MCP streams ended at a "
                    f"message beyond control_plane.mcp.max_message ({stream.last_too_large})"
                )
