"""One istiod process, from the watch events it receives to the pushes it hands to its connections.

Watch event -> registry queue (Services, EndpointSlices, Pods) or handler (configuration) -> ConfigUpdate ->
debounce -> PushContext -> push queue -> throttle -> connection. The parts are modules of their own; this one
joins them and keeps the books.
Sources: pilot/pkg/xds/discovery.go; serviceregistry/kube/controller/controller.go; bootstrap/server.go
(initRegistryEventHandlers, waitForCacheSync).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from simulator.calibration.istiod_costs import fan_out_cost_ns, push_context_cost_ns, registry_task_cost_ns
from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.costs import IstiodCosts
from simulator.control_plane.istiod.debounce import Debounce
from simulator.control_plane.istiod.doorway import Doorway
from simulator.control_plane.istiod.endpoint_index import EndpointIndex, PushType
from simulator.control_plane.istiod.generator import Generator
from simulator.control_plane.istiod.informers import Informers
from simulator.control_plane.istiod.metrics import IstiodMetrics
from simulator.control_plane.istiod.push_context import KnownChanges, PushContext
from simulator.control_plane.istiod.push_queue import PushQueue
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.registry import RegistryQueue
from simulator.control_plane.istiod.throttle import PushSender
from simulator.control_plane.istiod.xds_cache import XdsCache
from simulator.engine.servers import MultiServer
from simulator.mesh.content import ConfigChange
from simulator.mesh.endpoints import EndpointSet
from simulator.mesh.kinds import KINDS, Alters, ContextWork, config_key, kind_of
from simulator.mesh.services import Service
from simulator.xds.resource_types import EDS
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.mesh.kubernetes import WatchEvent
    from simulator.recording.recorder import PushRow
    from simulator.wire.contract import StreamServer
    from simulator.wire.stream import Stream


@dataclass(slots=True, eq=False)
class _Batch:
    """Changes told to the debounce and not yet taken by a push, by config key."""

    changes: dict[str, list[ConfigChange]] = field(default_factory=dict)

    def add(self, key: str, changes: tuple[ConfigChange, ...]) -> None:
        """They wait for the push that has this key."""
        if changes:
            self.changes.setdefault(key, []).extend(changes)

    def has(self, key: str) -> bool:
        """Whether changes of it wait."""
        return bool(self.changes.get(key))

    def take(self, keys: Names) -> list[ConfigChange]:
        """Those the push is about."""
        taken = [change for key in keys for change in self.changes.pop(key, ())]
        return sorted(taken, key=lambda change: change.number)


Published = Callable[[str, Names | None], None]
"""Told a type name and the names that may be new; None for any."""


class Replica:
    """One istiod process.

    Args:
        number: Which replica.
        deployment: What all replicas share.
        is_synced: It has the state of the cluster from the beginning (the replicas of t = 0).

    Attributes:
        connections: Its streams, in order of initialization.
        published: Told what a new PushContext publishes (polls and files).
        clients: The proxies that have a service's endpoints from this replica.
    """

    def __init__(self, number: int, deployment: Deployment, *, is_synced: bool) -> None:
        shared, settings = deployment, deployment.settings
        self.number = number
        self.shared = shared
        self.clock = shared.clock
        self.is_serving = True
        self.is_ready = is_synced
        self.flow_control_timeout_ns = settings.flow_control_timeout_ns
        self.costs = IstiodCosts(shared.laws, shared.draws, number)
        self.metrics = IstiodMetrics(shared.recorder.istio, shared.clock, number, settings.version)
        self.known = KnownChanges(number)
        self.cpu = MultiServer(shared.clock, settings.procs, number, on_queue=self._depth("cpu"))
        self.cache = XdsCache(settings.cache)
        self.generator = Generator(
            shared.factory, self.cache, self.costs, shared.objects, self.known, is_lazy=settings.is_lazy
        )
        self.registry = RegistryQueue(
            shared.clock,
            number,
            settings.registry,
            self._registry_task_ns,
            shared.draws,
            self._depth("registry"),
        )
        self.debounce = Debounce(
            shared.clock,
            settings.debounce,
            self._push,
            self._push_endpoints,
            entity=number,
            on_events=self._depth("config_update"),
        )
        self.queue: PushQueue[Connection] = PushQueue(on_depth=self._depth("push"))
        self.sender: PushSender[Connection] = PushSender(
            shared.clock, self.queue, settings.push_throttle, self._start_push
        )
        self.doorway = Doorway(self)
        self.connections: dict[Connection, None] = {}
        self.published: list[Published] = []
        self.clients: Callable[[Service], Iterable[int]] = self._watching
        self._informers = Informers(self)
        self._index = EndpointIndex(settings.sends_unhealthy)
        self._batch = _Batch()
        self._accounts: dict[Service, int] = {}
        """How often a service's accounts changed, and its clusters with them."""
        self._contexts = 0
        self.context = PushContext(0, self._version(0), shared.content(()), NO_RESOURCES, 0)
        self._pushing: PushRow | None = None
        if is_synced:
            self.sync()

    def _depth(self, queue: str) -> Callable[[int], None]:
        recorder, number = self.shared.recorder, self.number
        return lambda depth: recorder.depth(self.clock.now_ns, number, queue, depth)

    def _version(self, order: int) -> str:
        return f"istiod-{self.number}/{order}"

    # --- the state of the cluster

    def sync(self) -> None:
        """The informers have synced: the first PushContext holds all there is."""
        shared = self.shared
        for service in shared.services:
            self._note_endpoints(service, shared.kubernetes.endpoints(service))
        for change in shared.written():
            self.known.observe_at_start(change.number, self.clock.now_ns)
        self._accounts = dict(shared.accounts)
        renewed = [shared.unannounced("ServiceEntry", s) for s, n in self._accounts.items() for _ in range(n)]
        content = shared.content((*shared.changes, *renewed))
        self.context = PushContext(0, self._version(0), content, self.generator.assignments, 0)
        self.registry.start()
        self.is_ready = True

    def on_watch_event(self, event: WatchEvent) -> None:
        """The API server tells of an object."""
        if self.is_serving and self.is_ready:
            self._informers.on_watch_event(event)

    def _note_endpoints(self, service: Service, endpoints: EndpointSet) -> PushType:
        """The endpoint index changes when the task runs, not later; EDS reads it."""
        push_type = self._index.update(service.hostname, endpoints)
        assignments = self.shared.factory.assignments(service, endpoints)
        self.generator.assignments = self.generator.assignments.updated(assignments)
        self.cache.clear("eds", assignments.names, self.clock.now_ns)
        return push_type

    def _registry_task_ns(self, entity: int, index: int) -> int:
        endpoints = self._informers.endpoints_of_next_task()
        return self.costs.ns(
            "registry_task",
            lambda c: registry_task_cost_ns(c, endpoints=endpoints),
            entity=entity,
            index=index,
        )

    def endpoints_changed(
        self, service: Service, endpoints: EndpointSet, changes: tuple[ConfigChange, ...]
    ) -> None:
        """The registry's task of an EndpointSlice runs (EDSUpdate)."""
        push_type = self._note_endpoints(service, endpoints)
        self._observe(changes)
        self.metrics.on_inbound("eds")
        key = config_key("Endpoints", service.namespace, service.name)
        if push_type is PushType.NONE:
            self._nothing_new(service, key, changes)
        else:
            self._batch.add(key, changes)
            keys = Names((key,))
            if push_type is PushType.FULL:
                # The service accounts are in the clusters: these change as well.
                altering = config_key("ServiceEntry", service.namespace, service.name)
                self._batch.add(altering, (self.shared.unannounced("ServiceEntry", service),))
                self._accounts[service] = self._accounts.get(service, 0) + 1
                self.shared.note_accounts(service, self._accounts[service])
                keys = Names((key, altering))
            self._config_update(PushRequest(keys, {"endpoint": 1}))
        if service.headless:
            # Its addresses are in the name table and, for TCP, in listeners.
            kind = "DNSName" if service.is_all_http else "ServiceEntry"
            key = self.shared.unannounced(kind, service).key
            self._config_update(PushRequest(Names((key,)), {"headlessendpoint": 1}))

    def _nothing_new(self, service: Service, key: str, changes: tuple[ConfigChange, ...]) -> None:
        """What left is back: who has, or will be pushed, what was there before has these changes as well."""
        if self._batch.has(key):
            self._batch.add(key, changes)
            return
        for change in changes:
            self.known.hold(change.number, self._contexts)
        numbers = [change.number for change in changes]
        self.shared.ledger.on_nothing_new(numbers, self.clients(service), self.number, self.clock.now_ns)

    def _watching(self, service: Service) -> list[int]:
        """Proxies whose streams here have the service's endpoints."""
        cluster = service.cluster_names()[0]
        return [c.proxy for c in self.connections if c.watches(EDS) and cluster in c.names(EDS)]

    def config_changed(self, kind: str, key: str, changes: tuple[ConfigChange, ...]) -> None:
        """A handler learned of a configuration object or a Service."""
        self._observe(changes)
        self._batch.add(key, changes)
        row = KINDS[kind]
        if row.is_registry:
            self.metrics.on_inbound("svc")
        self._config_update(PushRequest(Names((key,)), {row.reason: 1}, forced=row.is_forced))

    def pod_ready(self, pod: int) -> None:
        """ProxyUpdate: a forced push for the pod's own proxy alone, past the debounce, if it is connected
        here."""
        request = PushRequest(
            NO_NAMES, {"proxy": 1}, forced=True, start_ns=self.clock.now_ns, context=self.context
        )
        for connection in self.connections:
            if connection.proxy == pod:
                self.queue.enqueue(connection, request)

    def _observe(self, changes: tuple[ConfigChange, ...]) -> None:
        for change in changes:
            self.known.observe(change.number, self.clock.now_ns)

    def _config_update(self, request: PushRequest) -> None:
        self.metrics.on_inbound("config")
        self.debounce.on_event(request)

    # --- Push()

    def _push(self, request: PushRequest, first_event_ns: int, events: int) -> None:
        """Builds the PushContext, then enqueues for every connection."""
        row = self._open_round(request, first_event_ns, events)
        order, changes = self._gather(request, row)

        def built() -> None:
            self._fan_out(request, row, order, changes)
            self.metrics.on_debounced(first_event_ns)
            self.debounce.on_push_finished()

        self._submit_own(lambda: self._context_ns(request), built)

    def _push_endpoints(self, request: PushRequest) -> None:
        """PILOT_ENABLE_EDS_DEBOUNCE=false: endpoints do not wait."""
        row = self._open_round(request, self.clock.now_ns, 1)
        order, changes = self._gather(request, row, is_apart=True)

        def built() -> None:
            # Order of what it was built from: a context under construction is not in it.
            self._fan_out(request, row, self.context.order, changes, endpoints_order=order)

        self._submit_own(lambda: self._context_ns(request), built)

    def _open_round(self, request: PushRequest, first_event_ns: int, events: int) -> PushRow:
        row = self.shared.recorder.push(
            self.number, first_event_ns, events_merged=events, forced=request.forced, kinds=request.kinds
        )
        row.t_started_ns = self.clock.now_ns
        return row

    def _gather(
        self, request: PushRequest, row: PushRow, *, is_apart: bool = False
    ) -> tuple[int, list[ConfigChange]]:
        """The changes of the batch belong to this push, and to the context that it makes."""
        self._contexts += 1
        changes = self._batch.take(request.keys)
        for change in changes:
            if change.number >= 0:
                self.known.gather(change.number, self._contexts, row, is_apart=is_apart)
        return self._contexts, changes

    def _context_ns(self, request: PushRequest) -> int:
        """CPU of the PushContext and of the copy of the table of connections."""
        connections = len(self.connections)
        fan_out_ns = self.costs.ns("fan_out", lambda c: fan_out_cost_ns(c, connections=connections))
        if request.only_endpoints and not self.shared.settings.endpoints_build_context:
            return fan_out_ns
        shared = self.shared
        work = _context_work(request)
        services = len(shared.services) if work in (ContextWork.SERVICES, ContextWork.ALL) else 0
        configs = 0 if work is ContextWork.COPY else len(request.keys)
        scope_services = 0
        if work in (ContextWork.SERVICES, ContextWork.SCOPES, ContextWork.ALL):
            scope_services = self._eager_scope_services()
        return fan_out_ns + self.costs.ns(
            "push_context",
            lambda c: push_context_cost_ns(
                c, services=services, configs=configs, scope_services=scope_services
            ),
        )

    def _eager_scope_services(self) -> int:
        """Services in sidecar scopes that are computed here, where these are not lazy."""
        if self.shared.settings.is_lazy:
            return 0
        classes = self.shared.visibility.classes
        return sum(len(c.services) for c in classes if c.kind == "sidecar")

    def _fan_out(
        self,
        request: PushRequest,
        row: PushRow,
        order: int,
        changes: list[ConfigChange],
        endpoints_order: int = 0,
    ) -> None:
        """The new context is global; every connection is enqueued, in random order."""
        now_ns, endpoints_order = self.clock.now_ns, max(endpoints_order, self.context.endpoints_order)
        row.t_context_ready_ns = now_ns
        assert row.t_started_ns is not None
        if not request.only_endpoints or self.shared.settings.endpoints_build_context:
            self.metrics.on_context(row.t_started_ns, len(self.shared.services))
            self._renew_context(request, order, changes, endpoints_order)
        else:
            self.context = PushContext(
                order,
                self.context.version,
                self.context.content,
                self.generator.assignments,
                self.context.scopes,
                endpoints_order,
            )
        self._clear_cache(request)
        stamped = request.stamped(now_ns, row.push_id, self.context)
        for connection in self._in_random_order(row.push_id):
            self.queue.enqueue(connection, stamped)
        row.proxies = len(self.connections)
        for tell in self.published:
            self._tell_published(tell, changes, forced=request.forced)

    def _renew_context(
        self, request: PushRequest, order: int, changes: list[ConfigChange], endpoints_order: int
    ) -> None:
        content = self.context.content.after(changes, self.shared.visibility.classes)
        scopes = order if _context_work(request) in _REBUILDS_SCOPES else self.context.scopes
        version = self._version(max(order, endpoints_order))
        self.context = PushContext(
            order, version, content, self.generator.assignments, scopes, endpoints_order
        )

    def _clear_cache(self, request: PushRequest) -> None:
        """Entries that depend on what changed go; a forced push clears all four caches."""
        now_ns = self.clock.now_ns
        if request.forced:
            self.cache.clear_all(now_ns)
            return
        for kind in request.kinds:
            alters = KINDS[kind].alters
            if Alters.ROUTES in alters or "rds" in KINDS[kind].pushes:
                self.cache.clear_type("rds", now_ns)
            if Alters.NAMESPACE_CLUSTERS in alters:
                # It clears all of EDS, and the version of all of the kind is part of a cluster's key.
                self.cache.clear_type("eds", now_ns)
                self.cache.clear_type("cds", now_ns)
            if Alters.SECRET in alters:
                self.cache.clear_type("sds", now_ns)
        names = [n for key in request.keys for n in self.shared.clusters_of(key)]
        if names:
            affected = Names(names)
            self.cache.clear("cds", affected, now_ns)
            self.cache.clear("eds", affected, now_ns)

    def _in_random_order(self, push: int) -> list[Connection]:
        """The table of connections is a map: its iteration order is random."""
        connections = list(self.connections)
        proxies = np.array([c.proxy for c in connections], np.int64)
        keys = self.shared.draws.uniform_array(f"istiod.fan_out/{self.number}", proxies, push)
        return [connections[i] for i in np.lexsort((proxies, keys))]

    @staticmethod
    def _tell_published(tell: Published, changes: list[ConfigChange], *, forced: bool) -> None:
        types: dict[str, None] = {}
        endpoints: dict[str, None] = {}
        for change in changes:
            kind = KINDS[change.kind]
            if Alters.ENDPOINTS in kind.alters and change.service is not None:
                endpoints.update(dict.fromkeys(change.service.cluster_names()))
            else:
                types.update(dict.fromkeys(kind.pushes))
        if endpoints:
            tell("eds", Names(endpoints))
        for type_name in types:
            tell(type_name, None)

    # --- connections

    def connect(self, stream: Stream) -> StreamServer | None:
        """A stream arrives; None where it is turned away at once."""
        return self.doorway.connect(stream)

    def add(self, connection: Connection) -> None:
        """Into the table of connections: pushes may queue from here, with the context of now."""
        connection.context = self.context
        connection.token_ns = self.clock.now_ns
        self.connections[connection] = None
        self.metrics.on_connections(1)
        connection.initialized()

    def submit(self, connection: Connection, cost_ns: Callable[[], int], done: Callable[[], None]) -> None:
        """A CPU job of a connection; before t = 0 it takes no time."""
        if self.clock.now_ns < 0:
            cost_ns()
            done()
        else:
            self.cpu.submit(connection.proxy, cost_ns, done)

    def _submit_own(self, cost_ns: Callable[[], int], done: Callable[[], None]) -> None:
        self.cpu.submit(0, cost_ns, done)

    def request_cost_ns(self) -> int:
        """Reading a request that is answered."""
        return self.costs.ns("request", lambda c: c["fixed"])

    def name_of(self, proxy: int) -> str:
        """Name of a proxy."""
        return self.shared.recorder.proxy_names[proxy]

    def _start_push(self, connection: Connection, request: PushRequest, dequeued_ns: int) -> None:
        self.metrics.on_dequeued(request.start_ns, request.reasons)
        connection.offer(request, dequeued_ns)

    def push_ended(
        self,
        connection: Connection,
        request: PushRequest,
        dequeued_ns: int,
        sent_ns: int | None,
        types: tuple[str, ...],
    ) -> None:
        """The push of one connection is over; its slot is free."""
        if sent_ns is not None:
            for push in request.rounds:
                row = self.shared.recorder.push_rows[push]
                row.t_last_sent_ns = max(row.t_last_sent_ns or 0, sent_ns)
        if request.rounds:
            self.shared.recorder.proxy_push(
                request.rounds[-1],
                connection.proxy,
                self.number,
                request.start_ns,
                request.start_ns,
                dequeued_ns,
                sent_ns,
                types,
            )
        self.sender.done(connection)

    def connection_ended(self, connection: Connection, push: PushRequest | None) -> None:
        """Its stream is gone."""
        if self.connections.pop(connection, self) is None:
            self.metrics.on_connections(-1)
        self.queue.forget(connection)
        if push is not None:
            self.sender.done(connection)

    def watch_send(self, connection: Connection) -> None:
        """PILOT_XDS_SEND_TIMEOUT, where there is one, ends a stream whose Send blocks for so long."""
        timeout_ns, sent = self.shared.settings.send_timeout_ns, connection.responses
        if timeout_ns == 0:
            return

        def give_up() -> None:
            if connection.is_blocked and connection.responses == sent:
                self.metrics.on_write_timeout()
                connection.reset()

        self.shared.deadlines.arm(timeout_ns, give_up, entity=connection.proxy)

    @property
    def busy_ns(self) -> int:
        """Time its processors were busy: with completed jobs, and with the registry's queue."""
        return self.cpu.busy_ns + self.registry.busy_ns

    def stop(self) -> None:
        """SIGTERM: the gRPC server is stopped hard, all its streams together."""
        self.is_serving = self.is_ready = False
        self.debounce.stop()
        self.sender.stop()
        self.registry.stop()
        self.cpu.stop()
        self.doorway.stop()
        for connection in list(self.connections):
            connection.reset()


_REBUILDS_SCOPES = (ContextWork.SCOPES, ContextWork.SERVICES, ContextWork.ALL)
_ORDER_OF_WORK = tuple(ContextWork)


def _context_work(request: PushRequest) -> ContextWork:
    """The largest work that one of the kinds asks for; a forced push is built from nothing."""
    if request.forced:
        return ContextWork.ALL
    works = [KINDS[kind_of(key)].context for key in request.keys]
    return max(works, key=_ORDER_OF_WORK.index, default=ContextWork.COPY)
