"""Watches: what the API server tells one replica, and when it hears it.

Two ordered streams: the registry's (Services, EndpointSlices, Pods), whose events become tasks of the
registry queue, and the configuration's, whose handlers act at once. On one stream nothing overtakes. A task
reads the object from the informer's cache when it runs, so it acts on the newest state heard of, and takes
the changes of later events of the same object with it.
Source: pilot/pkg/serviceregistry/kube/controller/controller.go:registerHandlers; endpointslice.go.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from simulator.engine.events import Band
from simulator.mesh.content import ConfigChange
from simulator.mesh.services import stable_id

if TYPE_CHECKING:
    from simulator.control_plane.istiod.replica import Replica
    from simulator.mesh.endpoints import EndpointSet
    from simulator.mesh.kubernetes import WatchEvent
    from simulator.mesh.services import Service


class Informers:
    """The informers of one replica."""

    __slots__ = ("_arrived_ns", "_heard", "_replica", "_sizes", "_slices", "_unread", "_waiting")

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._arrived_ns: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._slices: dict[Service, EndpointSet] = {}
        self._waiting: dict[Service, list[ConfigChange]] = {}
        self._unread: dict[str, list[ConfigChange]] = {}
        self._sizes: deque[int] = deque()

    def on_watch_event(self, event: WatchEvent) -> None:
        """The object was written; it is heard of after the watch delay."""
        replica = self._replica
        if not replica.shared.watches(event.namespace):
            return
        count = self._heard[event.key] = self._heard.get(event.key, -1) + 1
        delay_ns = replica.costs.ns("watch_delay", entity=stable_id(event.key), index=count)
        now_ns = replica.clock.now_ns
        arrival_ns = max(now_ns + delay_ns, self._arrived_ns.get(event.stream, 0))
        self._arrived_ns[event.stream] = arrival_ns
        if arrival_ns == now_ns:
            self._hear(event)
        else:
            replica.clock.at(arrival_ns, lambda: self._hear(event), band=Band.WORKLOAD, entity=replica.number)

    def _hear(self, event: WatchEvent) -> None:
        replica = self._replica
        if not replica.is_serving:
            return
        replica.metrics.on_watch_event(event.stream, event.kind)
        changes = cast("tuple[ConfigChange, ...]", event.changes)
        for change in changes:
            replica.shared.recorder.heard(change.number, replica.number, event.stream, replica.clock.now_ns)
        if event.stream == "config":
            replica.config_changed(event.kind, event.key, changes)
            return
        service = event.service
        assert service is not None
        if event.endpoints is not None:
            self._slices[service] = event.endpoints
            self._waiting.setdefault(service, []).extend(changes)
            self._sizes.append(len(event.endpoints))
            replica.registry.push(lambda: self._run_slice(service), service.entity)
        elif event.pod is not None:
            pod = event.pod
            self._sizes.append(0)
            replica.registry.push(lambda: replica.pod_ready(pod), service.entity)
        else:
            self._sizes.append(0)
            self._unread.setdefault(event.key, []).extend(changes)
            replica.registry.push(lambda: self._run_object(event), service.entity)

    def endpoints_of_next_task(self) -> int:
        """Endpoints of the task whose service begins: tasks are served in order."""
        return self._sizes.popleft() if self._sizes else 0

    def _run_object(self, event: WatchEvent) -> None:
        changes = tuple(self._unread.pop(event.key, ()))
        self._replica.config_changed(event.kind, event.key, changes)

    def _run_slice(self, service: Service) -> None:
        changes = tuple(self._waiting.pop(service, ()))
        self._replica.endpoints_changed(service, self._slices[service], changes)
