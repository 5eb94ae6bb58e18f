"""Joins the parts of a world with a mesh: the mesh, Kubernetes, the replicas, agents, Envoys, the workload.

Proxies that start connected play their start-up at the instant before 0, where nothing takes time and nothing
is recorded: so they begin in exactly the state that the protocol would have left them in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

from simulator.control_plane.components.lifecycle import ComponentState
from simulator.engine.events import Band
from simulator.mesh.endpoints import DEFAULT_ACCOUNT
from simulator.mesh.services import POD_IDS, Proxy
from simulator.scenario.architectures import PILOT
from simulator.scenario.happenings import happenings
from simulator.scenario.live_mesh import LiveMesh
from simulator.scenario.mesh_parts import BEFORE_NS
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.workload import MigrateRevisionEntry, RolloutEntry, ScaleUpEntry
from simulator.scenario.world import World
from simulator.workload.play import Workload
from simulator.workload.timeline import Happening, timeline


def build_mesh(scenario: Scenario, seed: int, replication: int) -> World:
    """A fresh world of a mesh under istiod."""
    return MeshWorld(scenario, seed, replication).world()


class MeshWorld(LiveMesh):
    """One mesh and everything in it, from its beginning."""

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
        self._world.at_end += [self._traffic.finish, self._istiod.finish, self._certificates.finish]
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
            self._certificates.when_startable(proxy.id, start_envoy)
            self._traffic.begin(proxy, self._visibility.of(proxy), max(0, self._clock.now_ns))

        return start
