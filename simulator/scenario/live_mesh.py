"""A mesh whose Envoys and pods come and go, and what the workload does to it (workload/contract.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from simulator.agent.pod_start import PodStart
from simulator.agent.settings import TerminationSettings
from simulator.agent.termination import termination
from simulator.control_plane.istiod.deployment import DEFAULT_REVISION
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.events import Band
from simulator.envoy.process import Process
from simulator.envoy.startup import Server
from simulator.mesh.content import ConfigChange
from simulator.mesh.kinds import KINDS, config_key
from simulator.mesh.services import Proxy, Service
from simulator.mesh.visibility import VisibilityClass, altered
from simulator.recording.ledger import Change
from simulator.scenario.architectures import make_certificates
from simulator.scenario.certificates import CertificatesOfMesh
from simulator.scenario.certificates_before_istiod import SdsByNodeAgents
from simulator.scenario.hot_restarts import HotRestarts
from simulator.scenario.mesh_parts import MeshParts, law_of
from simulator.scenario.mesh_traffic import HotRestartedTraffic
from simulator.scenario.schema import Scenario
from simulator.scenario.virtual_machines import VirtualMachines
from simulator.scenario.vm_references import registers_vms
from simulator.wire.contract import ConfigSource
from simulator.workload.contract import Edit, Pod, PodEnd
from simulator.workload.entries import PodSettings
from simulator.xds.resources import Names


class LiveMesh(MeshParts):
    """Its proxies, their certificates, and the deeds that the workload asks for (a `MeshActions`)."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        super().__init__(scenario, seed, replication)
        self._hot_restarts = HotRestarts(self._clock, self._draws, self._recorder, self._make_child)
        self._certificates = self._make_certificates()
        self._vms = self._make_vms()
        self._servers: dict[int, Server] = {}
        self._alive: dict[int, dict[int, None]] = {}
        """Proxies that run, by visibility class."""
        self._pods: dict[int, PodStart] = {}
        self._epochs: dict[int, int] = {}
        self._labels: dict[str, str] = {}
        """Revision that injects the proxies of a namespace; absent = the default one."""
        self._gone: dict[int, None] = {}
        """Proxies whose pods are no more."""

    def _make_certificates(self) -> CertificatesOfMesh:
        return make_certificates(
            self._scenario,
            self._deployment,
            self._latency,
            law_of(self._laws, "token_review"),
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
            law_of(self._laws, "token_review"),
        )

    # --- Envoys

    def _config_source(self, process: Process) -> ConfigSource:
        return self._certificates.discovery(process, self._sources.make(process))

    def _pod_created(self, proxy: Proxy, account: str) -> None:
        self._certificates.pod_created(proxy.id, f"{proxy.namespace}/{account}")

    def _start_envoy(self, proxy: Proxy, cause: str) -> Server:
        server = self._place_envoy(proxy, cause)
        server.start()
        return server

    def _place_envoy(self, proxy: Proxy, cause: str) -> Server:
        """A new Envoy, about to be started."""
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

    # --- what the workload does

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
            self._certificates.when_startable(proxy.id, execute_envoy)

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
            on_agent_started=lambda: self._certificates.begin_agent(pod.id),
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
        self._certificates.end_agent(pod.id)
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
        self._certificates.begin_agent(proxy)
        self._alive.setdefault(self._visibility.of(self._proxies[proxy]).index, {})[proxy] = None
        delay_ns = draw_ns(
            self._agent.bootstrap, self._draws, "agent.bootstrap.restart", proxy, self._epochs[proxy]
        )

        def start_again() -> None:
            if proxy not in self._gone:
                self._start_envoy(self._proxies[proxy], "restart")

        def bootstrapped() -> None:
            self._certificates.when_startable(proxy, start_again)

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
        self._certificates.outage(is_on, delay)

    def rotate_root(self) -> None:
        """The CA goes over to a new root."""
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


_T = TypeVar("_T")


def _unless_given(own: _T, given: _T | None) -> _T:
    return own if given is None else given
