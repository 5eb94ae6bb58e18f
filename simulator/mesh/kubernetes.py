"""The Kubernetes API server and its controllers, as far as they delay what istiod learns.

Pods come, turn Ready and go; the EndpointSlice controller notices some time later and writes the slices of
the service; that write is the event istiod watches. The controller's work queue holds a service once: what
happens to its pods until a sync runs is written by that one sync. Configuration objects are written by their
users and are watched at that instant. How long the watch takes to reach a replica is the replica's affair.
Source: kubernetes pkg/controller/endpointslice (one queue, keyed by service).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from simulator.engine.delays import Constant, Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.mesh.endpoints import Endpoint, EndpointSet, Health
from simulator.mesh.lives import EndpointLives, Life
from simulator.mesh.services import Service

AT_ONCE: Delay = Constant(0)


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Delays of Kubernetes's controllers.

    Nothing is published of either: assumptions of whoever sets them.

    Attributes:
        endpoint_slice_delay: From a change of a pod in the API server to the slice that says so: the
            controller's watch and its own write.
        kubelet_status_delay: From the probe that makes a pod Ready to the status that says so.
    """

    endpoint_slice_delay: Delay = AT_ONCE
    kubelet_status_delay: Delay = AT_ONCE


@dataclass(frozen=True, slots=True, eq=False)
class WatchEvent:
    """One object was written; everybody who watches is told.

    Attributes:
        stream: ``registry`` for Services, EndpointSlices and Pods, which istiod queues for its registry;
            ``config`` for everything else.
        kind: ``Endpoints`` for an EndpointSlice, ``Pod`` for a pod that turned Ready for the first time,
            ``ServiceEntry`` for a Service, else the kind of the object.
        key: ``kind/namespace/name``.
        changes: What the observers of the run call this event: several where one sync wrote several changes,
            none where nobody waits for it.
        service: The service concerned, if one is.
        endpoints: What the slices of the service say now, for ``Endpoints``.
        pod: For ``Pod``.
    """

    stream: str
    kind: str
    key: str
    changes: tuple[object, ...] = ()
    service: Service | None = None
    endpoints: EndpointSet | None = None
    pod: int | None = None

    @property
    def namespace(self) -> str:
        """Namespace of the object."""
        return self.key.split("/")[1]


class _Slices:
    """The EndpointSlices of one service: what they say, and what they will say after the next sync."""

    __slots__ = ("changes", "is_queued", "listed", "syncs", "wanted")

    def __init__(self, endpoints: EndpointSet) -> None:
        self.listed = endpoints
        self.wanted = endpoints
        self.changes: list[object] = []
        self.is_queued = False
        self.syncs = 0


class Kubernetes:
    """The API server of one cluster.

    Args:
        clock: Whose time passes.
        draws: Random numbers, keyed by service.
        settings: Delays.

    ``watchers`` are told every event in their order, at the instant of the write. ``lives`` records what the
    pods do with requests meanwhile.
    """

    def __init__(self, clock: Clock, draws: Draws, settings: KubernetesSettings) -> None:
        self._clock = clock
        self._draws = draws
        self._settings = settings
        self._slices: dict[Service, _Slices] = {}
        self._ready_once: dict[int, None] = {}
        self._at_start: dict[Service, EndpointSet] = {}
        """Services of which no pod became ready in the run so far."""
        self._deleted: dict[int, None] = {}
        self.watchers: list[Callable[[WatchEvent], None]] = []
        self.lives = EndpointLives()

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, in order of their coming."""
        return tuple(self._slices)

    def add_service(self, service: Service, endpoints: EndpointSet) -> None:
        """A service that is there before the run begins; nobody is told."""
        self._slices[service] = _Slices(endpoints)
        self._at_start[service] = endpoints

    def endpoints(self, service: Service) -> EndpointSet:
        """What the EndpointSlices of the service say now."""
        return self._slices[service].listed

    def endpoints_wanted(self, service: Service) -> EndpointSet:
        """What they will say after the next sync: the pods as they are."""
        return self._slices[service].wanted

    def unwritten(self, service: Service) -> tuple[object, ...]:
        """The changes that the next sync will write."""
        return tuple(self._slices[service].changes)

    def changed(
        self,
        kind: str,
        namespace: str,
        name: str,
        change: object | None = None,
        *,
        service: Service | None = None,
        stream: str = "config",
    ) -> None:
        """An object was written; watched at this instant."""
        changes = () if change is None else (change,)
        self._tell(WatchEvent(stream, kind, f"{kind}/{namespace}/{name}", changes, service))

    def pod_created(self, service: Service, endpoint: Endpoint) -> None:
        """A pod got its address: the slices will list it as not ready. It serves nothing yet."""
        self.lives.note(endpoint.id, self._clock.now_ns, Life.GONE)
        self._alter(service, self._wanted(service).with_endpoint(replace(endpoint, health=Health.UNHEALTHY)))

    def write_status(self, pod: int, written: Callable[[], None]) -> None:
        """The kubelet found the pod ready; `written` is called when the API server has been told."""
        delay_ns = draw_ns(
            self._settings.kubelet_status_delay, self._draws, "kubernetes.kubelet_status_delay", pod
        )
        if delay_ns == 0:
            written()
        else:
            self._clock.after(delay_ns, written, band=Band.WORKLOAD, entity=pod)

    def pod_ready(self, service: Service, pod: int, change: object | None = None) -> None:
        """The kubelet reported the pod Ready: told as ``Pod`` the first time, and by the slices later."""
        self.lives.note(pod, self._clock.now_ns, Life.SERVING)
        at_start = self._at_start.pop(service, None)
        if at_start is not None:
            self._ready_once.update(dict.fromkeys(at_start.serving_ids))
        if pod not in self._ready_once:
            self._ready_once[pod] = None
            self._tell(WatchEvent("registry", "Pod", f"Pod/{service.namespace}/{pod}", (), service, pod=pod))
        self._set_health(service, pod, Health.HEALTHY, change)

    def pod_unready(self, service: Service, pod: int, change: object | None = None) -> None:
        """The kubelet reported the pod not Ready: it is asked for nothing more, and answers if it is."""
        self._set_health(service, pod, Health.UNHEALTHY, change)

    def pod_deleted(self, service: Service, pod: int, change: object | None = None) -> None:
        """The pod has a deletionTimestamp: the slices will say that it terminates, serving or not."""
        self._deleted[pod] = None
        if self.lives.at(pod, self._clock.now_ns) is Life.SERVING:
            self.lives.note(pod, self._clock.now_ns, Life.TERMINATING)
        self._set_health(service, pod, Health.TERMINATING, change)

    def is_deleted(self, pod: int) -> bool:
        """Whether the pod has, or had, a deletionTimestamp."""
        return pod in self._deleted

    def pod_stopped_serving(self, pod: int) -> None:
        """Nobody answers at the pod's address any more. The API server knows nothing of it."""
        self.lives.note(pod, self._clock.now_ns, Life.GONE)

    def pod_gone(self, service: Service, pod: int, change: object | None = None) -> None:
        """The pod's object is gone, or it is no endpoint of the service any more: nobody answers at its
        address, and the slices will not list it."""
        self.pod_stopped_serving(pod)
        self._alter(service, self._wanted(service).without(pod), change)

    def endpoint_added(self, service: Service, endpoint: Endpoint, change: object | None = None) -> None:
        """A ready address joins the service, or joins it again."""
        self.lives.note(endpoint.id, self._clock.now_ns, Life.SERVING)
        self._alter(service, self._wanted(service).with_endpoint(endpoint), change)

    def entry_written(self, service: Service, endpoint: Endpoint, change: object | None = None) -> None:
        """The WorkloadEntry of a virtual machine was written: no controller stands between it and who
        watches. The slices of pods stay as they are."""
        slices = self._slices[service]
        slices.wanted = slices.wanted.with_endpoint(endpoint)
        slices.listed = slices.listed.with_endpoint(endpoint)
        self._tell_endpoints(service, () if change is None else (change,))

    def entry_removed(self, service: Service, vm: int, change: object | None = None) -> None:
        """It was deleted; the machine may serve on."""
        slices = self._slices[service]
        slices.wanted, slices.listed = slices.wanted.without(vm), slices.listed.without(vm)
        self._tell_endpoints(service, () if change is None else (change,))

    def _wanted(self, service: Service) -> EndpointSet:
        return self._slices[service].wanted

    def _set_health(self, service: Service, pod: int, health: Health, change: object | None) -> None:
        wanted = self._wanted(service)
        endpoint = wanted.get(pod)  # None: its address left the service while the pod lives on
        if endpoint is not None:
            wanted = wanted.with_endpoint(replace(endpoint, health=health))
        self._alter(service, wanted, change)

    def _alter(self, service: Service, wanted: EndpointSet, change: object | None = None) -> None:
        """The pods of a service changed: its slices are written by the sync under way, or by a new one."""
        slices = self._slices[service]
        if wanted is slices.wanted and change is None:
            return
        slices.wanted = wanted
        if change is not None:
            slices.changes.append(change)
        if slices.is_queued:
            return
        delay_ns = draw_ns(
            self._settings.endpoint_slice_delay,
            self._draws,
            "kubernetes.endpoint_slice_delay",
            service.entity,
            slices.syncs,
        )
        slices.syncs += 1
        if delay_ns == 0:
            self._sync(service)
            return
        slices.is_queued = True
        self._clock.after(delay_ns, lambda: self._sync(service), band=Band.WORKLOAD, entity=service.entity)

    def _sync(self, service: Service) -> None:
        """Writes the slices and tells the watchers."""
        slices = self._slices[service]
        slices.is_queued = False
        changes, slices.changes = tuple(slices.changes), []
        slices.listed = slices.wanted
        self._tell_endpoints(service, changes)

    def _tell_endpoints(self, service: Service, changes: tuple[object, ...]) -> None:
        key = f"Endpoints/{service.namespace}/{service.name}"
        listed = self._slices[service].listed
        self._tell(WatchEvent("registry", "Endpoints", key, changes, service, listed))

    def _tell(self, event: WatchEvent) -> None:
        for watcher in self.watchers:
            watcher(event)
