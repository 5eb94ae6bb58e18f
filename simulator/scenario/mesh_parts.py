"""The parts of a mesh as its scenario describes them: Kubernetes, the control plane, sources and traffic."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.agent.secret_discovery import WORKLOAD_SECRET
from simulator.calibration.costs import Law
from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.delays import Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Clock, Deadlines
from simulator.mesh.content import ContentFactory
from simulator.mesh.kubernetes import Kubernetes, KubernetesSettings
from simulator.mesh.services import Service, Sizes
from simulator.mesh.visibility import Visibility
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.architectures import (
    PILOT,
    PilotProcesses,
    hop_of,
    make_components,
    make_galley,
    make_replica,
)
from simulator.scenario.certificate_references import has_workload_sds
from simulator.scenario.costs import read_calibration
from simulator.scenario.envoys import Envoys
from simulator.scenario.istiod import agent_settings, istiod_laws, istiod_settings
from simulator.scenario.istiod_processes import IstiodProcesses
from simulator.scenario.mesh_sources import Files, LongPolls, Polls, Sources
from simulator.scenario.mesh_start import PodsAtStart, Proxies
from simulator.scenario.mesh_streams import Streams
from simulator.scenario.mesh_traffic import MeshTraffic
from simulator.scenario.schema import Scenario
from simulator.scenario.vm_references import registers_vms
from simulator.scenario.world import EVENT_BUDGET, World
from simulator.wire.contract import Publisher, PushSession
from simulator.wire.stream import Stream
from simulator.workload.istiod_pods import IstiodPods, IstiodPodSettings
from simulator.xds.resources import Names

BEFORE_NS = -1
"""The instant at which proxies that start connected are configured."""


class MeshParts:
    """What stands before the first proxy starts."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        self._scenario = scenario
        self._calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
        self._clock = Clock(event_budget=EVENT_BUDGET, start_ns=BEFORE_NS)
        self._deadlines = Deadlines(self._clock)
        self._draws = Draws(seed, replication)
        self._services = {s.label: s for s in scenario.mesh.named_services()}
        services = list(self._services.values())
        self._proxies = Proxies(scenario, services)
        self._pods_at_start = PodsAtStart(
            services,
            self._proxies,
            scenario.mesh.zones,
            are_vms_listed=scenario.mesh.start.kind == "connected" or not registers_vms(scenario),
        )
        self._recorder = self._make_recorder()
        self._ledger: ChangeLedger[Names] = ChangeLedger(self._recorder, Names.minus)
        self._world = World(scenario, self._clock, self._recorder, self._ledger)
        self._laws = istiod_laws(scenario)
        self._kubernetes = Kubernetes(
            self._clock,
            self._draws,
            KubernetesSettings(
                law_of(self._laws, "endpoint_slice_delay"), law_of(self._laws, "kubelet_status_delay")
            ),
        )
        self._agent = agent_settings(scenario)
        self._visibility = self._make_visibility()
        self._deployment = self._make_deployment()
        self._galley = make_galley(scenario, self._deployment, self._latency)
        self._components = make_components(scenario, self._clock, self._draws, self._recorder, self._galley)
        self._envoys = Envoys(
            scenario,
            self._calibration,
            self._clock,
            self._deadlines,
            self._draws,
            self._recorder,
            self._ledger,
        )
        self._sources = self._make_sources()
        self._istiod = self._make_processes()
        self._istiod_pods = self._make_istiod_pods()
        self._traffic = MeshTraffic(
            scenario.traffic,
            self._service_names(),
            scenario.envoy.connect_timeout,
            scenario.duration,
            self._kubernetes.lives,
            self._recorder,
        )

    @property
    def kubernetes(self) -> Kubernetes:
        """Its API server, for whoever wants to watch as well."""
        return self._kubernetes

    def _make_recorder(self) -> Recorder:
        keep, count = self._scenario.recording, len(self._proxies)
        objects = sum(len(s.ports) for s in self._services.values())
        return Recorder(
            self._proxy_names(),
            messages=keep.keeps_messages(count),
            states=keep.keeps_states(count, objects),
            deliveries=keep.keeps_deliveries,
            folds_deliveries=keep.folds_deliveries,
            queues=keep.keeps_queues(count),
            proxy_pushes=keep.keeps_proxy_pushes(count),
        )

    def _proxy_names(self) -> Mapping[int, str]:
        return {proxy: self._proxies.name(proxy) for proxy in self._proxies}

    def _make_visibility(self) -> Visibility:
        mesh = self._scenario.mesh
        selected = mesh.discovery_selectors
        known = [s for s in self._services.values() if selected is None or s.namespace in selected]
        return Visibility(known, mesh.scope, self._draws, has_extensions=mesh.wasm_plugins)

    def _make_deployment(self) -> Deployment:
        settings, sizes = istiod_settings(self._scenario), self._scenario.mesh.sizes
        factory = ContentFactory(
            self._visibility.services,
            Sizes(sizes.cluster, sizes.endpoint, sizes.assignment, sizes.listener, sizes.route),
            sends_unhealthy=settings.sends_unhealthy,
            workload_secret=WORKLOAD_SECRET if has_workload_sds(self._scenario) else None,
        )
        return Deployment(
            clock=self._clock,
            deadlines=self._deadlines,
            draws=self._draws,
            settings=settings,
            laws=self._laws,
            recorder=self._recorder,
            ledger=self._ledger,
            kubernetes=self._kubernetes,
            factory=factory,
            visibility=self._visibility,
            proxies=self._proxies,
            namespaces=self._scenario.mesh.discovery_selectors,
            end_ns=self._scenario.duration,
            make_session=self._make_session,
            make_replica=self._make_replica,
        )

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        return make_replica(self._scenario)(number, deployment)

    def _make_session(self, stream: Stream, publisher: Publisher) -> PushSession:
        form = DeltaSession if stream.is_delta else SotwSession
        return form(stream, publisher, self._ledger)

    @property
    def _latency(self) -> Delay:
        given = self._scenario.network.latency
        return self._calibration.loopback if given is None else given

    def _make_sources(self) -> Sources:
        scenario, delay = self._scenario, self._latency
        match scenario.propagation.strategy:
            case "poll":
                return Polls(scenario, self._clock, self._draws, self._recorder, delay)
            case "long-poll":
                return LongPolls(scenario, self._clock, self._draws, self._recorder, delay)
            case "file":
                return Files(scenario, self._clock, self._draws)
        return Streams(
            scenario,
            self._clock,
            self._draws,
            self._recorder,
            self._envoys,
            self._agent,
            delay,
            hop_of(scenario),
            self._deployment,
        )

    def _make_processes(self) -> IstiodProcesses:
        cache_sync, end_ns = law_of(self._laws, "cache_sync"), self._scenario.duration
        if self._galley is None:
            return IstiodProcesses(
                self._clock, self._draws, cache_sync, self._deployment, self._sources, end_ns
            )
        return PilotProcesses(
            self._clock, self._draws, cache_sync, self._deployment, self._sources, end_ns, self._galley
        )

    def _istiod_pod_settings(self) -> IstiodPodSettings:
        plane = self._scenario.control_plane
        return IstiodPodSettings(
            plane.readiness.initial_delay,
            plane.readiness.period,
            law_of(self._laws, "endpoint_slice_delay"),
            law_of(self._laws, "kube_proxy_delay"),
        )

    def _make_istiod_pods(self) -> IstiodPods:
        plane, settings = self._scenario.control_plane, self._istiod_pod_settings()
        name = "istiod" if plane.kind == "istiod" else PILOT
        return IstiodPods(
            self._clock,
            self._draws,
            settings,
            self._istiod,
            plane.replicas,
            are_running=plane.start == "running",
            on_phase=lambda replica, phase: self._recorder.component(
                self._clock.now_ns, name, replica, phase.value.lower()
            ),
        )

    def _service_names(self) -> dict[str, Service]:
        """Services by ``namespace/name``, and by name alone where that says which."""
        names: dict[str, Service] = {}
        for entry in self._scenario.traffic:
            for text in (entry.traffic.source, entry.traffic.to):
                named = self._scenario.mesh.service(text)
                if named is not None:
                    names[text] = self._services[f"{named.namespace}/{named.name}"]
        return names


def law_of(laws: Mapping[str, Law], key: str) -> Delay:
    """A cost that is a time, no formula."""
    law = laws[key]
    assert not isinstance(law, Mapping), f"costs.{key} is a formula"
    return law
