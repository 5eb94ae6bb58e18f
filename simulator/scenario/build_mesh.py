"""Joins the parts of a world with a mesh: the mesh, Kubernetes, the replicas, agents, Envoys, the workload.

Proxies that start connected play their start-up at the instant before 0, where nothing takes time and nothing
is recorded: so they begin in exactly the state that the protocol would have left them in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TypeVar

from simulator.agent.pod_start import PodStart
from simulator.agent.secret_discovery import WORKLOAD_SECRET
from simulator.agent.settings import TerminationSettings
from simulator.agent.termination import termination
from simulator.calibration.costs import Law
from simulator.control_plane.components.lifecycle import ComponentState
from simulator.control_plane.istiod.deployment import DEFAULT_REVISION, Deployment
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock, Deadlines
from simulator.envoy.process import Process
from simulator.envoy.startup import Server
from simulator.mesh.content import ConfigChange, ContentFactory
from simulator.mesh.endpoints import DEFAULT_ACCOUNT
from simulator.mesh.kinds import KINDS, config_key
from simulator.mesh.kubernetes import Kubernetes, KubernetesSettings
from simulator.mesh.services import (
    POD_IDS,
    Proxy,
    Service,
    Sizes,
)
from simulator.mesh.visibility import Visibility, VisibilityClass, altered
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import Change, ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.architectures import (
    PILOT,
    PilotProcesses,
    hop_of,
    make_certificates,
    make_components,
    make_galley,
    make_replica,
)
from simulator.scenario.certificates import CertificatesOfMesh, has_workload_sds
from simulator.scenario.certificates_before_istiod import SdsByNodeAgents
from simulator.scenario.costs import read_calibration
from simulator.scenario.envoys import Envoys
from simulator.scenario.happenings import happenings
from simulator.scenario.hot_restarts import HotRestarts
from simulator.scenario.istiod import agent_settings, istiod_laws, istiod_settings
from simulator.scenario.istiod_processes import IstiodProcesses
from simulator.scenario.mesh_sources import Files, LongPolls, Polls, Sources, Streams
from simulator.scenario.mesh_start import PodsAtStart, Proxies
from simulator.scenario.mesh_traffic import HotRestartedTraffic, MeshTraffic
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.workload import MigrateRevisionEntry, RolloutEntry, ScaleUpEntry
from simulator.scenario.virtual_machines import VirtualMachines
from simulator.scenario.vm_references import registers_vms
from simulator.scenario.world import EVENT_BUDGET, World
from simulator.wire.contract import ConfigSource, Publisher, PushSession
from simulator.wire.stream import Stream
from simulator.workload.contract import Edit, Pod, PodEnd
from simulator.workload.entries import PodSettings
from simulator.workload.istiod_pods import IstiodPods, IstiodPodSettings
from simulator.workload.play import Workload
from simulator.workload.timeline import Happening, timeline
from simulator.xds.resources import Names

BEFORE_NS = -1
"""The instant at which proxies that start connected are configured."""


def build_mesh(scenario: Scenario, seed: int, replication: int) -> World:
    """A fresh world of a mesh under istiod."""
    return MeshWorld(scenario, seed, replication).world()


class MeshWorld:
    """One mesh and everything in it; what the workload does to it (workload/contract.py: MeshActions)."""

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
                _law(self._laws, "endpoint_slice_delay"), _law(self._laws, "kubelet_status_delay")
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
        self._hot_restarts = HotRestarts(self._clock, self._draws, self._recorder, self._make_child)
        self._certificates = self._make_certificates()
        self._vms = self._make_vms()
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
        self._servers: dict[int, Server] = {}
        self._alive: dict[int, dict[int, None]] = {}
        """Proxies that run, by visibility class."""
        self._pods: dict[int, PodStart] = {}
        self._epochs: dict[int, int] = {}
        self._labels: dict[str, str] = {}
        """Revision that injects the proxies of a namespace; absent = the default one."""
        self._gone: dict[int, None] = {}
        """Proxies whose pods are no more."""

    @property
    def kubernetes(self) -> Kubernetes:
        """Its API server, for whoever wants to watch as well."""
        return self._kubernetes

    # --- what there is at the start

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
        make = make_replica(self._scenario)
        return Replica(number, deployment, is_synced=True) if make is None else make(number, deployment)

    def _make_session(self, stream: Stream, publisher: Publisher) -> PushSession:
        form = DeltaSession if stream.is_delta else SotwSession
        return form(stream, publisher, self._ledger)

    @property
    def _latency(self) -> Delay:
        given = self._scenario.network.latency
        return self._calibration.loopback if given is None else given

    def _make_processes(self) -> IstiodProcesses:
        cache_sync, end_ns = _law(self._laws, "cache_sync"), self._scenario.duration
        if self._galley is None:
            return IstiodProcesses(
                self._clock, self._draws, cache_sync, self._deployment, self._sources, end_ns
            )
        return PilotProcesses(
            self._clock, self._draws, cache_sync, self._deployment, self._sources, end_ns, self._galley
        )

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

    def _make_certificates(self) -> CertificatesOfMesh | None:
        return make_certificates(
            self._scenario,
            self._deployment,
            self._latency,
            _law(self._laws, "token_review"),
            self._components,
            self._hot_restarts.restart_when_live,
        )

    def _make_vms(self) -> VirtualMachines | None:
        if not registers_vms(self._scenario):
            return None
        return VirtualMachines(
            self._scenario,
            self._deployment,
            self._kubernetes,
            self._proxies,
            self.endpoints_changed,
            self._latency,
            _law(self._laws, "token_review"),
        )

    def _config_source(self, process: Process) -> ConfigSource:
        source = self._sources.make(process)
        return source if self._certificates is None else self._certificates.discovery(process, source)

    def _pod_created(self, proxy: Proxy, account: str) -> None:
        if self._certificates is not None:
            self._certificates.pod_created(proxy.id, f"{proxy.namespace}/{account}")

    def _when_startable(self, proxy: int, start: Callable[[], None]) -> None:
        """Before Istio 1.5 an agent may wait for files before it executes Envoy."""
        if self._certificates is None:
            start()
        else:
            self._certificates.when_startable(proxy, start)

    def _begin_agent(self, proxy: int) -> None:
        if self._certificates is not None:
            self._certificates.begin_agent(proxy)

    def _end_agent(self, proxy: int) -> None:
        if self._certificates is not None:
            self._certificates.end_agent(proxy)

    def _service_names(self) -> dict[str, Service]:
        """Services by ``namespace/name``, and by name alone where that says which."""
        names: dict[str, Service] = {}
        for entry in self._scenario.traffic:
            for text in (entry.traffic.source, entry.traffic.to):
                named = self._scenario.mesh.service(text)
                if named is not None:
                    names[text] = self._services[f"{named.namespace}/{named.name}"]
        return names

    # --- the beginning

    @cached_property
    def _timeline(self) -> tuple[Happening, ...]:
        """What will happen, drawn beforehand."""
        entries = happenings(self._scenario, self._services, self._proxies.numbered)
        return timeline(entries, self._draws, self._scenario.duration)

    def _played(self) -> list[Proxy]:
        """The proxies that are Envoys with an agent and a stream: here all of them."""
        return list(self._proxies.values())

    def world(self) -> World:
        """Everything in place; the proxies start at their times."""
        scenario = self._scenario
        for service in self._services.values():
            self._kubernetes.add_service(service, self._pods_at_start.endpoints(service))
        for proxy in (*self._proxies.applications(), *self._pods_to_come()):
            self._visibility.of(proxy)
        if scenario.control_plane.start == "running":
            self._begin_running()
        else:
            self._clock.at(0, self._install, band=Band.WORKLOAD)
        for proxy in self._played():
            self._clock.at(self._start_ns(proxy), self._starter(proxy), band=Band.WORKLOAD, entity=proxy.id)
        workload = Workload(
            self._clock, self._draws, self._kubernetes, self, self._istiod_pods, self._components
        )
        workload.play(self._timeline)
        self._world.at_end += [self._traffic.finish, self._istiod.finish]
        if self._certificates is not None:
            self._world.at_end.append(self._certificates.finish)
        return self._world

    def _begin_running(self) -> None:
        if self._galley is not None:
            self._galley.begin_with([])
        for number in range(self._scenario.control_plane.replicas):
            self._istiod.begin_running(number)
            self._deployment.set_in_service(number, is_in=True)

    def _install(self) -> None:
        """Every process of the control plane is created at this instant."""
        components = self._components
        if components is not None:
            components.install()
        for number in range(self._scenario.control_plane.replicas):
            begin = partial(self._istiod_pods.begin, number)
            if components is None:
                begin()
            else:
                self._recorder.component(0, PILOT, number, ComponentState.MOUNTING.value)
                components.when_mounted(PILOT, begin)

    def _pods_to_come(self) -> list[Proxy]:
        """A sidecar of each service that may get pods: what happens before they come is part of what they
        see."""
        if not any(
            isinstance(entry, MigrateRevisionEntry | RolloutEntry | ScaleUpEntry)
            for entry in self._scenario.workload
        ):
            return []
        services = self._services.values()
        return [Proxy(POD_IDS, "", "sidecar", service.namespace, service) for service in services]

    def _start_ns(self, proxy: Proxy) -> int:
        start = self._scenario.mesh.start
        if start.kind == "connected":
            return BEFORE_NS
        return int(self._draws.uniform("mesh.start", proxy.id) * start.over) if start.over else 0

    def _starter(self, proxy: Proxy) -> Callable[[], None]:
        def start_envoy() -> None:
            self._start_envoy(proxy, "start")

        def start() -> None:
            self._pod_created(proxy, DEFAULT_ACCOUNT)
            self._when_startable(proxy.id, start_envoy)
            self._traffic.begin(proxy, self._visibility.of(proxy), max(0, self._clock.now_ns))

        return start

    def _istiod_pod_settings(self) -> IstiodPodSettings:
        plane = self._scenario.control_plane
        return IstiodPodSettings(
            plane.readiness.initial_delay,
            plane.readiness.period,
            _law(self._laws, "endpoint_slice_delay"),
            _law(self._laws, "kube_proxy_delay"),
        )

    def _make_istiod_pods(self) -> IstiodPods:
        plane, settings = self._scenario.control_plane, self._istiod_pod_settings()
        name = "istiod" if plane.kind == "istiod" else PILOT
        return IstiodPods(
            self._clock,
            self._draws,
            settings,
            self,
            plane.replicas,
            are_running=plane.start == "running",
            on_phase=lambda replica, phase: self._recorder.component(
                self._clock.now_ns, name, replica, phase.value.lower()
            ),
        )

    # --- Envoys

    def _start_envoy(self, proxy: Proxy, cause: str) -> Server:
        epoch = self._epochs[proxy.id] = self._epochs.get(proxy.id, -1) + 1
        server = self._envoys.make(
            proxy.id,
            self._config_source,
            cause=cause,
            epoch=epoch,
            is_gateway=proxy.kind == "gateway",
            on_exit=lambda _server: self._ledger.on_gone(proxy.id),
        )
        self._servers[proxy.id] = server
        self._world.servers.append(server)
        class_ = self._visibility.of(proxy)
        self._alive.setdefault(class_.index, {})[proxy.id] = None
        self._traffic.follow(server, proxy, class_)
        if self._vms is not None:
            self._vms.follow(server)
        self._hot_restarts.follow(server, [HotRestartedTraffic(self._traffic, proxy, class_)])
        server.start()
        return server

    def _make_child(self, proxy: int, epoch: int, on_exit: Callable[[Server], None]) -> Server:
        self._epochs[proxy] = epoch
        is_gateway = self._proxies[proxy].kind == "gateway"
        child = self._envoys.make(
            proxy,
            self._config_source,
            cause="hot_restart",
            epoch=epoch,
            is_gateway=is_gateway,
            on_exit=on_exit,
        )
        self._servers[proxy] = child
        self._world.servers.append(child)
        return child

    def _stop_envoy(self, proxy: int) -> None:
        self._hot_restarts.kill(proxy)
        server = self._servers.pop(proxy, None)
        if server is not None and not server.process.is_exited:
            server.stop()
        self._traffic.interrupt(proxy, self._clock.now_ns)
        self._alive.get(self._visibility.of(self._proxies[proxy]).index, {}).pop(proxy, None)

    # --- what the workload does (workload/contract.py)

    def services(self) -> Sequence[Service]:
        """The services that a happening without one may choose from."""
        return list(self._services.values())

    def proxies(self) -> Sequence[int]:
        """The proxies that exist now."""
        return sorted(self._servers)

    def edit(self, edit: Edit) -> None:
        """A configuration object is written."""
        kind = KINDS[edit.kind]
        change = self._announce(edit.kind, edit.namespace, edit.name, edit.service, edit.rejected_by_envoy)
        self._kubernetes.changed(
            edit.kind,
            edit.namespace,
            edit.name,
            change,
            service=edit.service if kind.is_registry else None,
            stream="registry" if kind.is_registry else "config",
        )

    def endpoints_changed(self, service: Service) -> ConfigChange:
        """A change of the service's endpoints happens."""
        return self._announce("Endpoints", service.namespace, service.name, service, is_refused=False)

    def _announce(
        self, kind_name: str, namespace: str, name: str, service: Service | None, is_refused: bool
    ) -> ConfigChange:
        kind = KINDS[kind_name]
        watched = self._deployment.watches(namespace)
        concerned: list[tuple[VisibilityClass, dict[str, Names]]] = []
        for class_ in self._visibility.classes if watched else ():
            if class_.is_relevant(kind, namespace, service):
                parts = altered(kind, namespace, service, class_)
                if parts:
                    concerned.append((class_, parts))
        now_ns = self._clock.now_ns
        label = f"{namespace}/{name}"
        objects = Names((config_key(kind_name, namespace, name),))
        announced = self._record(kind_name, label, objects, now_ns, concerned)
        change = ConfigChange(announced.id, kind_name, namespace, name, service, is_refused, now_ns)
        self._deployment.note(change)
        return change

    def _record(
        self,
        kind_name: str,
        label: str,
        objects: Names,
        now_ns: int,
        concerned: list[tuple[VisibilityClass, dict[str, Names]]],
        elsewhere: int = 0,
    ) -> Change[Names]:
        """Opens the rows of a change, by class of the proxies that run."""
        alive = [(list(self._alive.get(class_.index, ())), parts) for class_, parts in concerned]
        return self._ledger.announce_parts(
            kind_name, label, objects, now_ns, [group for group in alive if group[0]], elsewhere
        )

    def pods_of(self, service: Service) -> list[Pod]:
        """The pods of a service at the start: its sidecars' first, then pods without one."""
        return self._pods_at_start.of(service)

    def start_pod(self, pod: Pod, ready_after_ns: int, on_ready: Callable[[], None]) -> None:
        """A pod with a sidecar is created."""
        proxy = Proxy(pod.id, pod.name, "sidecar", pod.service.namespace, pod.service, pod.zone)
        self._proxies.add(proxy)
        self._deployment.revision_of[proxy.id] = self._labels.get(proxy.namespace, DEFAULT_REVISION)
        self._recorder.add_proxy(proxy.id, proxy.name)

        def execute_envoy() -> None:
            server = self._start_envoy(proxy, "restart" if proxy.id in self._epochs else pod.cause)
            server.on_ready = start.proxy_ready

        def start_envoy() -> None:
            self._when_startable(proxy.id, execute_envoy)

        def begin_traffic() -> None:
            self._traffic.begin(proxy, self._visibility.of(proxy), self._clock.now_ns)

        start = PodStart(
            self._clock,
            self._draws,
            pod.id,
            self._agent,
            start_envoy=start_envoy,
            kill_envoy=lambda: self._stop_envoy(pod.id),
            on_ready=on_ready,
            on_agent_started=lambda: self._begin_agent(pod.id),
            on_app_ready=begin_traffic,
            app_start_ns=ready_after_ns,
        )
        self._pods[pod.id] = start

        def create() -> None:
            if pod.id not in self._gone:
                self._pod_created(proxy, pod.service_account)
                start.begin()

        if self._components is None:
            create()
        else:
            self._components.when_injecting(create)

    def pod_deleted(self, pod: Pod) -> None:
        """Its application sends no more."""
        self._traffic.end(pod.id, self._clock.now_ns)

    def stop_pod(self, pod: Pod) -> None:
        """The Envoy of a pod exits for good."""
        start = self._pods.pop(pod.id, None)
        if start is not None:
            start.delete()
        self._gone[pod.id] = None
        self._stop_envoy(pod.id)
        self._end_agent(pod.id)
        self._ledger.on_gone(pod.id)
        self._sources.forget(pod.id)

    def pod_end(self, pod: Pod, settings: PodSettings) -> PodEnd:
        """How a pod with a sidecar ends if it is deleted now."""
        own = self._agent.termination
        told = TerminationSettings(
            _unless_given(own.native_sidecars, settings.native_sidecar),
            _unless_given(own.termination_drain_ns, settings.termination_drain_ns),
            _unless_given(own.exit_on_zero_active_connections, settings.exit_on_zero),
            own.minimum_drain_ns,
        )
        end = termination(told, pre_stop_ns=settings.pre_stop_ns, grace_ns=settings.termination_grace_ns)
        return PodEnd(end.serves_until_ns, end.proxy_exits_ns, end.pod_gone_ns)

    def restart_proxy(self, proxy: int) -> None:
        """Its Envoy is killed and starts anew after the agent's bootstrap."""
        if proxy not in self._servers:
            return
        start = self._pods.get(proxy)
        self._ledger.on_restarted(proxy)
        if start is not None:
            start.restart()
            return
        self._stop_envoy(proxy)
        self._begin_agent(proxy)
        self._alive.setdefault(self._visibility.of(self._proxies[proxy]).index, {})[proxy] = None
        delay_ns = draw_ns(
            self._agent.bootstrap, self._draws, "agent.bootstrap.restart", proxy, self._epochs[proxy]
        )

        def start_again() -> None:
            if proxy not in self._gone:
                self._start_envoy(self._proxies[proxy], "restart")

        def bootstrapped() -> None:
            self._when_startable(proxy, start_again)

        self._clock.after(delay_ns, bootstrapped, band=Band.TIMER, entity=proxy)

    def hot_restart(self, proxy: int) -> None:
        """A new Envoy takes over from the one that runs."""
        if proxy in self._servers:
            self._hot_restarts.restart(proxy)

    def restart_node_agent(self, node: int | None, down_for_ns: int) -> None:
        """The agent of a node, or of every one, ends and starts again so much later."""
        assert isinstance(self._certificates, SdsByNodeAgents), "there are no node agents"
        self._certificates.restart(node, down_for_ns)

    def partition(self, proxy: int, is_on: bool) -> None:
        """Cuts the proxy off from the control plane, or lets it through again."""
        self._sources.partition(proxy, is_on=is_on)

    def vms(self) -> Sequence[int]:
        """The proxies of virtual machines."""
        return [proxy for proxy in self._proxies.vms if proxy in self._servers]

    def unhealthy(self, proxy: int, is_on: bool) -> None:
        """The workload of a virtual machine answers nobody, or does again."""
        assert self._vms is not None, "there are no virtual machines that register"
        self._vms.unhealthy(proxy, is_on)

    def slow_reader(self, proxy: int, is_on: bool) -> None:
        """It stops reading what the control plane sends, or reads again."""
        self._sources.slow_reader(proxy, is_on=is_on)

    def ca_outage(self, is_on: bool, delay: Delay | None) -> None:
        """The CA fails, or works again."""
        assert self._certificates is not None, "an outage of the CA brings certificates with it"
        self._certificates.outage(is_on, delay)

    def rotate_root(self) -> None:
        """The CA goes over to a new root."""
        assert self._certificates is not None, "a new root brings certificates with it"
        self._certificates.rotate_root(self._servers)

    def label_namespace(self, namespace: str, revision: str) -> None:
        """Its pods are injected by the revision from now on."""
        self._labels[namespace] = revision

    def gateways(self) -> Sequence[int]:
        """Gateways that exist now."""
        return [proxy for proxy in self.proxies() if self._proxies[proxy].kind == "gateway"]

    def move_gateway(self, proxy: int, revision: str) -> None:
        """It starts anew, with the revision's proxy."""
        self._deployment.revision_of[proxy] = revision
        self.restart_proxy(proxy)

    def assign_revision(self, replica: int, revision: str) -> None:
        """A new replica is the revision's."""
        self._deployment.revisions[replica] = revision

    def start_istiod(self, replica: int, on_synced: Callable[[], None]) -> None:
        """A process starts; it has the state of the cluster when its caches are synced."""
        self._istiod.start(replica, on_synced)

    def stop_istiod(self, replica: int) -> None:
        """SIGTERM."""
        self._istiod.stop(replica)

    def istiod_in_service(self, replica: int, is_in: bool) -> None:
        """Kube-proxies learned of it."""
        self._deployment.set_in_service(replica, is_in=is_in)


_T = TypeVar("_T")


def _unless_given(own: _T, given: _T | None) -> _T:
    return own if given is None else given


def _law(laws: Mapping[str, Law], key: str) -> Delay:
    law = laws[key]
    assert not isinstance(law, Mapping), f"costs.{key} is a formula"
    return law
