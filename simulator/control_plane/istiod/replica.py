"""One istiod process, from the watch events it receives to the pushes it hands to its connections.

Watch event -> registry queue (Services, EndpointSlices, Pods) or handler (configuration) -> ConfigUpdate ->
debounce -> PushContext -> push queue -> throttle -> connection. The parts are modules of their own; this one
joins them and keeps the books.
Sources: pilot/pkg/xds/discovery.go; serviceregistry/kube/controller/controller.go; bootstrap/server.go
(initRegistryEventHandlers, waitForCacheSync).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.istiod_costs import registry_task_cost_ns
from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.costs import IstiodCosts
from simulator.control_plane.istiod.debounce import Debounce, Gathering
from simulator.control_plane.istiod.doorway import Doorway
from simulator.control_plane.istiod.endpoint_index import EndpointIndex, PushType
from simulator.control_plane.istiod.generator import Generator
from simulator.control_plane.istiod.informers import Informers
from simulator.control_plane.istiod.metrics import IstiodMetrics
from simulator.control_plane.istiod.push_context import KnownChanges, PushContext
from simulator.control_plane.istiod.push_queue import PushQueue
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.pushes import Pushes
from simulator.control_plane.istiod.registry import RegistryQueue
from simulator.control_plane.istiod.throttle import PushSender, Sender
from simulator.control_plane.istiod.xds_cache import XdsCache
from simulator.engine.servers import MultiServer
from simulator.mesh.content import ConfigChange
from simulator.mesh.endpoints import EndpointSet
from simulator.mesh.kinds import KINDS, config_key
from simulator.mesh.services import Proxy, Service
from simulator.xds.resource_types import EDS
from simulator.xds.resources import NO_NAMES, Names

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.mesh.kubernetes import WatchEvent
    from simulator.wire.contract import StreamServer
    from simulator.wire.stream import Stream


class Replica:
    """One istiod process.

    Args:
        number: Which replica.
        deployment: What all replicas share.
        is_synced: It has the state of the cluster from the beginning (the replicas of t = 0).

    Attributes:
        connections: Its streams, in order of initialization.
        pushes: Its push rounds, with the global PushContext.
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
        self.pushes = self._make_pushes()
        self.debounce: Gathering = self._make_debounce()
        self.sender: Sender[Connection] = self._make_sender()
        self.doorway = Doorway(self)
        self.connections: dict[Connection, None] = {}
        self.clients: Callable[[Service], Iterable[int]] = self._watching
        self._informers = Informers(self)
        self._index = EndpointIndex(settings.sends_unhealthy)
        self._endpoints: dict[Service, EndpointSet] = {}
        self._entries: dict[Service, int] = {}
        """How often a service's WorkloadEntries changed."""
        self._accounts: dict[Service, int] = {}
        """How often a service's accounts changed, and its clusters with them."""
        if is_synced:
            self.sync()

    def _make_pushes(self) -> Pushes:
        return Pushes(self)

    def _make_debounce(self) -> Gathering:
        return Debounce(
            self.clock,
            self.shared.settings.debounce,
            self.pushes.push,
            self.pushes.push_endpoints,
            entity=self.number,
            on_events=self._depth("config_update"),
        )

    def _make_sender(self) -> Sender[Connection]:
        queue: PushQueue[Connection] = PushQueue(on_depth=self._depth("push"))
        return PushSender(self.clock, queue, self.shared.settings.push_throttle, self._start_push)

    def _depth(self, queue: str) -> Callable[[int], None]:
        recorder, number = self.shared.recorder, self.number
        return lambda depth: recorder.depth(self.clock.now_ns, number, queue, depth)

    @property
    def context(self) -> PushContext:
        """The global PushContext."""
        return self.pushes.context

    # --- the state of the cluster

    def sync(self) -> None:
        """The informers have synced: the first PushContext holds all there is."""
        shared = self.shared
        for service in shared.services:
            self._note_endpoints(service, shared.kubernetes.endpoints(service))
        written = self._written()
        for change in written:
            self.known.observe_at_start(change.number, self.clock.now_ns)
        self._note_entries(written)
        self._accounts = dict(shared.accounts)
        renewed = [shared.unannounced("ServiceEntry", s) for s, n in self._accounts.items() for _ in range(n)]
        self.pushes.begin_with((*written, *renewed))
        self.registry.start()
        self.is_ready = True

    def _written(self) -> list[ConfigChange]:
        """The changes that it knows from the beginning."""
        return self.shared.written()

    def on_watch_event(self, event: WatchEvent) -> None:
        """The API server tells of an object."""
        if self.is_serving and self.is_ready:
            self._informers.on_watch_event(event)

    def _note_endpoints(self, service: Service, endpoints: EndpointSet) -> PushType:
        """The endpoint index changes when the task runs, not later; EDS reads it."""
        self._endpoints[service] = endpoints
        push_type = self._index.update(service.hostname, endpoints)
        self._renew_assignments(service)
        return push_type

    def _renew_assignments(self, service: Service) -> None:
        assignments = self.shared.factory.assignments(
            service, self._endpoints[service], self._entries.get(service, 0)
        )
        self.generator.assignments = self.generator.assignments.updated(assignments)
        self.cache.clear("eds", assignments.names, self.clock.now_ns)

    def _note_entries(self, changes: Iterable[ConfigChange]) -> None:
        """WorkloadEntries are endpoints of their service as well."""
        for change in changes:
            if change.kind == "WorkloadEntry" and change.service in self._endpoints:
                self._entries[change.service] = self._entries.get(change.service, 0) + 1
                self._renew_assignments(change.service)

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
        accounts = self._index.accounts(service.hostname)
        push_type = self._note_endpoints(service, endpoints)
        self._observe(changes)
        self.metrics.on_inbound("eds")
        key = config_key("Endpoints", service.namespace, service.name)
        if push_type is PushType.NONE:
            self._nothing_new(service, key, changes)
        else:
            self.pushes.batch.add(key, changes)
            keys = Names((key,))
            if push_type is PushType.FULL:
                renewed = self.shared.unannounced("ServiceEntry", service)
                if self._index.accounts(service.hostname) != accounts:
                    # The service accounts are in the clusters: these change as well.
                    self.pushes.batch.add(renewed.key, (renewed,))
                    self._accounts[service] = self._accounts.get(service, 0) + 1
                    self.shared.note_accounts(service, self._accounts[service])
                keys = Names((key, renewed.key))
            self._config_update(PushRequest(keys, {"endpoint": 1}))
        if service.headless:
            # Its addresses are in the name table and, for TCP, in listeners.
            kind = "DNSName" if service.is_all_http else "ServiceEntry"
            key = self.shared.unannounced(kind, service).key
            self._config_update(PushRequest(Names((key,)), {"headlessendpoint": 1}))

    def _nothing_new(self, service: Service, key: str, changes: tuple[ConfigChange, ...]) -> None:
        """What left is back: who has, or will be pushed, what was there before has these changes as well."""
        if self.pushes.batch.has(key):
            self.pushes.batch.add(key, changes)
            return
        if not changes:
            return
        for change in changes:
            self.known.hold(change.number, self.pushes.contexts)
        self._tell_nothing_new(service, [change.number for change in changes])

    def _tell_nothing_new(self, service: Service, changes: list[int]) -> None:
        self.shared.ledger.on_nothing_new(changes, self.clients(service), self.number, self.clock.now_ns)

    def _watching(self, service: Service) -> list[int]:
        """Proxies whose streams here have the service's endpoints."""
        cluster = service.cluster_names()[0]
        return [c.proxy for c in self.connections if c.watches(EDS) and cluster in c.names(EDS)]

    def config_changed(self, kind: str, key: str, changes: tuple[ConfigChange, ...]) -> None:
        """A handler learned of a configuration object or a Service."""
        self._observe(changes)
        self._note_entries(changes)
        self.pushes.batch.add(key, changes)
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
                self.sender.enqueue(connection, request)

    def _observe(self, changes: tuple[ConfigChange, ...]) -> None:
        for change in changes:
            self.known.observe(change.number, self.clock.now_ns)

    def _config_update(self, request: PushRequest) -> None:
        self.metrics.on_inbound("config")
        if self.shared.settings.pushes_in_full and not request.only_endpoints:
            request = replace(request, forced=True)
        self.debounce.on_event(request)

    # --- connections

    def connect(self, stream: Stream) -> StreamServer | None:
        """A stream arrives; None where it is turned away at once."""
        return self.doorway.connect(stream)

    def make_connection(self, stream: Stream, proxy: Proxy) -> Connection:
        """Its end of a stream that is let in."""
        shared = self.shared
        return Connection(
            self,
            stream,
            shared.visibility.of(proxy),
            proxy.zone,
            self.context,
            is_reconnect=shared.opened(stream) > 1,
        )

    def add(self, connection: Connection) -> None:
        """Into the table of connections: pushes may queue from here, with the context of now."""
        connection.context = self.context
        connection.behind = self.shared.behind(self)
        connection.token_ns = self.clock.now_ns
        self.connections[connection] = None
        self.metrics.on_connections(1)
        self.shared.recorder.connection(self.clock.now_ns, connection.proxy, self.number, "opened")
        self.shared.note_connection(connection.proxy, self.number, "opened")
        connection.initialized()

    @property
    def connection_count(self) -> int:
        """How many streams are initialized."""
        return len(self.connections)

    def enqueue_all(self, request: PushRequest, push: int) -> None:
        """Every connection is enqueued, in random order: their table is a map."""
        connections = list(self.connections)
        order = self.random_order(np.array([c.proxy for c in connections], np.int64), push)
        self.sender.begin([connections[place] for place in order], request)

    def random_order(self, proxies: NDArray[np.int64], push: int) -> NDArray[np.int64]:
        """The order in which a push meets the connections of these proxies, as positions among them."""
        keys = self.shared.draws.uniform_array(f"istiod.fan_out/{self.number}", proxies, push)
        order = np.argsort(keys)  # faster than a sort that keeps equals in order
        ordered = keys[order]
        if (ordered[1:] == ordered[:-1]).any():
            order = np.lexsort((proxies, keys))
        return order

    def submit(self, connection: Connection, cost_ns: Callable[[], int], done: Callable[[], None]) -> None:
        """A CPU job of a connection; before t = 0 it takes no time."""
        if self.clock.now_ns < 0:
            cost_ns()
            done()
        else:
            self.cpu.submit(connection.proxy, cost_ns, done)

    def submit_own(self, cost_ns: Callable[[], int], done: Callable[[], None]) -> None:
        """A CPU job of no connection: the PushContext."""
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
            self.shared.recorder.connection(self.clock.now_ns, connection.proxy, self.number, "closed")
            event = "closed" if self.is_serving else "lost"
            self.shared.note_connection(connection.proxy, self.number, event)
        self.doorway.forget(connection)
        self.sender.forget(connection)
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
