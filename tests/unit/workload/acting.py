"""A mesh that notes what is done to it, for tests of the workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.mesh.endpoints import Endpoint, EndpointSet
from simulator.mesh.kubernetes import Kubernetes, KubernetesSettings, WatchEvent
from simulator.mesh.services import Service
from simulator.workload.contract import Edit, Pod, PodEnd
from simulator.workload.entries import PodSettings


def service(index: int, namespace: str = "shop") -> Service:
    return Service(index, index, f"s{index}", namespace)


class Mesh:
    """Services with pods that have sidecars, which start in `proxy_start_ns` and end `end` after deletion."""

    def __init__(
        self,
        clock: Clock,
        *,
        services: int = 3,
        pods: int = 4,
        proxies: int = 20,
        has_proxies: bool = True,
        slice_delay: Delay = Constant(0),  # noqa: B008  # frozen
        seed: int = 1,
    ) -> None:
        self.clock = clock
        self.draws = Draws(seed)
        self.kubernetes = Kubernetes(clock, self.draws, KubernetesSettings(slice_delay))
        self.all_services = [service(index) for index in range(services)]
        self.first: dict[Service, list[Pod]] = {}
        for s in self.all_services:
            ids = range(100 * s.index, 100 * s.index + pods)
            self.first[s] = [Pod(i, f"p{i}", s, has_proxies, zone=i % 2) for i in ids]
            self.kubernetes.add_service(s, EndpointSet(Endpoint(i, zone=i % 2) for i in ids))
        self.kubernetes.watchers.append(self._watched)
        self.all_proxies: list[int] = list(range(proxies))
        self.end = PodEnd(5 * MS, 10 * MS, 20 * MS)
        self.proxy_start_ns = 3 * MS
        self.sync_ns = 4 * MS
        self.done: list[tuple[int, str]] = []
        self.edits: list[tuple[int, Edit]] = []
        self.watched: list[tuple[int, WatchEvent]] = []
        self.settings: list[PodSettings] = []
        self.started: list[Pod] = []
        self.deleted: list[Pod] = []
        self.changes = 0

    def _watched(self, event: WatchEvent) -> None:
        self.watched.append((self.clock.now_ns, event))

    def _note(self, text: str) -> None:
        self.done.append((self.clock.now_ns, text))

    def services(self) -> Sequence[Service]:
        return self.all_services

    def proxies(self) -> Sequence[int]:
        return self.all_proxies

    def edit(self, edit: Edit) -> None:
        self.edits.append((self.clock.now_ns, edit))

    def pods_of(self, service: Service) -> Sequence[Pod]:
        return self.first[service]

    def endpoints_changed(self, service: Service) -> object:
        self.changes += 1
        return f"{service.name} change {self.changes}"

    def start_pod(self, pod: Pod, ready_after_ns: int, on_ready: Callable[[], None]) -> None:
        self.started.append(pod)
        self._note(f"start {pod.name}")
        self.clock.after(self.proxy_start_ns + ready_after_ns, on_ready)

    def pod_deleted(self, pod: Pod) -> None:
        self.deleted.append(pod)

    def stop_pod(self, pod: Pod) -> None:
        self._note(f"stop {pod.name}")

    def pod_end(self, pod: Pod, settings: PodSettings) -> PodEnd:
        self.settings.append(settings)
        return self.end

    def restart_proxy(self, proxy: int) -> None:
        self._note(f"restart {proxy}")

    def hot_restart(self, proxy: int) -> None:
        self._note(f"hot restart {proxy}")

    def restart_node_agent(self, node: int | None, down_for_ns: int) -> None:
        self._note(f"restart node agent {node} after {down_for_ns}")

    def vms(self) -> list[int]:
        return []

    def unhealthy(self, proxy: int, is_on: bool) -> None:
        self._note(f"{'ill' if is_on else 'well'} {proxy}")

    def partition(self, proxy: int, is_on: bool) -> None:
        self._note(f"{'cut off' if is_on else 'let through'} {proxy}")

    def slow_reader(self, proxy: int, is_on: bool) -> None:
        self._note(f"{'slow' if is_on else 'fast'} {proxy}")

    def start_istiod(self, replica: int, on_synced: Callable[[], None]) -> None:
        self._note(f"start istiod {replica}")
        self.clock.after(self.sync_ns, on_synced)

    def stop_istiod(self, replica: int) -> None:
        self._note(f"stop istiod {replica}")

    def istiod_in_service(self, replica: int, is_in: bool) -> None:
        self._note(f"istiod {replica} {'in' if is_in else 'out'}")
