"""Follows requests between services: joins each sender's data plane and the pods that answer.

An edge is one sender and one service; its view of the service changes with what the sender's workers hold.
The sender is the application: it begins when it is ready, whether its proxy is or not (then its requests are
refused), and ends when its pod is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from simulator.envoy.clusters import assignment_of
from simulator.envoy.data_plane import DataPlane, Published
from simulator.envoy.listeners import listener_of
from simulator.envoy.providers import route_of
from simulator.envoy.startup import Server
from simulator.mesh.content import tcp_listener
from simulator.mesh.lives import EndpointLives
from simulator.mesh.services import Proxy, Service
from simulator.mesh.visibility import VisibilityClass, route_name
from simulator.recording.recorder import Recorder
from simulator.scenario.schema import TrafficEntry
from simulator.scenario.sections.workload import ANY
from simulator.workload.mesh_traffic import NOT_LISTENING, EdgeSettings, EdgeTraffic, RoutingView, Shares
from simulator.xds.resources import Names, Resource


@dataclass(frozen=True, slots=True)
class _Request:
    """One entry of traffic.

    Attributes:
        source: Service whose sidecars send; None for all that see the destination.
        destination: Service.
        settings: Rate, time and retries.
    """

    source: Service | None
    destination: Service
    settings: EdgeSettings


@dataclass(slots=True)
class _Sender:
    """One application.

    Attributes:
        edges: Where it sends, by entry.
        begin_ns: When it is ready; None until then.
        until_ns: When its pod is deleted; None before.
    """

    edges: list[tuple[_Request, EdgeTraffic]] = field(default_factory=list)
    begin_ns: int | None = None
    until_ns: int | None = None


class MeshTraffic:
    """All requests of a run."""

    def __init__(
        self,
        entries: tuple[TrafficEntry, ...],
        services: dict[str, Service],
        connect_timeout_ns: int,
        end_ns: int,
        lives: EndpointLives,
        recorder: Recorder,
    ) -> None:
        self._lives = lives
        self._recorder = recorder
        self._end_ns = end_ns
        self._requests = [_request(entry, services, connect_timeout_ns, end_ns) for entry in entries]
        self._senders: dict[int, _Sender] = {}
        self._worked_out: dict[object, Shares] = {}
        self._processes: dict[int, dict[Server, Published]] = {}
        """What the workers of each proxy's processes hold, the oldest process first: one, but for hot
        restarts."""

    def follow(self, server: Server, proxy: Proxy, class_: VisibilityClass) -> None:
        """An Envoy starts: what it knows is followed from now on."""
        edges = self._sender(proxy, class_).edges
        if edges:
            self._processes.setdefault(proxy.id, {})[server] = Published()
            DataPlane(server, partial(self._on_published, server, edges, class_))

    def begin(self, proxy: Proxy, class_: VisibilityClass, t_ns: int) -> None:
        """The application beside a proxy is ready, and sends from now on."""
        sender = self._sender(proxy, class_)
        if sender.begin_ns is None and sender.until_ns is None:
            sender.begin_ns = t_ns

    def _sender(self, proxy: Proxy, class_: VisibilityClass) -> _Sender:
        sender = self._senders.get(proxy.id)
        if sender is None:
            sent = self._sent_by(proxy, class_)
            sender = self._senders[proxy.id] = _Sender(
                [(r, EdgeTraffic(r.settings, self._lives, self._worked_out)) for r in sent]
            )
        return sender

    def _sent_by(self, proxy: Proxy, class_: VisibilityClass) -> list[_Request]:
        if proxy.kind == "gateway":
            return [r for r in self._requests if r.source is None and class_.sees(r.destination)]
        return [
            r
            for r in self._requests
            if (r.source is proxy.service or (r.source is None and class_.sees(r.destination)))
            and proxy.service is not r.destination
        ]

    def _on_published(
        self,
        server: Server,
        edges: list[tuple[_Request, EdgeTraffic]],
        class_: VisibilityClass,
        t_ns: int,
        published: Published,
    ) -> None:
        if server.process.is_exited:
            return
        processes = self._processes[server.process.proxy]
        processes[server] = published
        published = _accepting(processes)
        for request, edge in edges:
            edge.set(max(0, t_ns), view_of(published, request.destination, class_))

    def senders(self) -> list[Service] | None:
        """Services whose sidecars send; None where all may."""
        sources = [request.source for request in self._requests]
        return None if None in sources else [source for source in sources if source is not None]

    def views(self, published: Published, class_: VisibilityClass) -> tuple[RoutingView, ...]:
        """What requests of each entry meet at workers that hold this."""
        return tuple(view_of(published, request.destination, class_) for request in self._requests)

    def decided_by(self, published: Published, class_: VisibilityClass) -> tuple[Names, Names]:
        """Names of the clusters, and of the route tables, on which it depends what requests meet at workers
        whose listeners are these."""
        to = [request.destination for request in self._requests]
        tables = [_table_name(published, service, class_) for service in to]
        clusters = Names(service.cluster_names()[0] for service in to)
        return clusters, Names(name for name in tables if name is not None)

    def hand_over(self, proxy: int) -> tuple[int | None, list[tuple[int, tuple[RoutingView, ...]]]]:
        """Since when a proxy's application sends, and what requests of each entry met there, from when on:
        from here on nobody follows it here. Nothing is on its way to its workers."""
        sender = self._senders.pop(proxy, _Sender())
        self._processes.pop(proxy, None)
        edges = dict(sender.edges)
        instants = sorted(dict.fromkeys([0, *(t_ns for edge in edges.values() for t_ns in edge.instants)]))
        met = [edges[request].view if request in edges else _never for request in self._requests]
        return sender.begin_ns, [(t_ns, tuple(view(t_ns) for view in met)) for t_ns in instants]

    def write_held(
        self,
        proxy: Proxy,
        class_: VisibilityClass,
        held: Sequence[tuple[int, Sequence[RoutingView]]],
        begin_ns: int = 0,
    ) -> None:
        """Writes what became of the requests of a sidecar that ran until the end, once the run is over.

        Args:
            held: What requests of each entry met there, from when on.
            begin_ns: When its application began to send.
        """
        for request in self._sent_by(proxy, class_):
            edge, number = (
                EdgeTraffic(request.settings, self._lives, self._worked_out),
                self._requests.index(request),
            )
            for t_ns, views in held:
                edge.set(t_ns, views[number])
            self._write(proxy.id, request, edge, begin_ns, self._end_ns)

    def interrupt(self, proxy: int, t_ns: int) -> None:
        """Its Envoy is gone, for now or for good."""
        self._processes.pop(proxy, None)
        if proxy in self._senders:
            for _, edge in self._senders[proxy].edges:
                edge.set(t_ns, NOT_LISTENING)

    def terminated(self, parent: Server) -> None:
        """It ended after a hot restart; its successor accepts."""
        self._processes.get(parent.process.proxy, {}).pop(parent, None)

    def end(self, proxy: int, t_ns: int) -> None:
        """The pod of the sender is deleted: it sends nothing more, or never will."""
        self._senders.setdefault(proxy, _Sender()).until_ns = t_ns

    def finish(self) -> None:
        """Writes the rows. Not before the end of the run: attempts may meet what comes after their sender's
        end."""
        for proxy, sender in self._senders.items():
            if sender.begin_ns is not None:
                end_ns = self._end_ns if sender.until_ns is None else sender.until_ns
                for request, edge in sender.edges:
                    self._write(proxy, request, edge, sender.begin_ns, end_ns)

    def _write(self, proxy: int, request: _Request, edge: EdgeTraffic, begin_ns: int, end_ns: int) -> None:
        for row in edge.rows(end_ns, begin_ns):
            self._recorder.traffic(
                row.t_start_ns,
                row.t_end_ns,
                proxy,
                request.destination.label,
                row.outcome,
                row.stale,
                row.attempts,
                row.requests,
            )


def _never(_t_ns: int) -> RoutingView:
    """What a proxy that sends none of these requests knows."""
    return NOT_LISTENING


def _accepting(processes: dict[Server, Published]) -> Published:
    """What the newest process that accepts connections holds; the newest of all where none does."""
    newest_first = list(reversed(processes.values()))
    return next((view for view in newest_first if view.listeners), newest_first[0])


class HotRestartedTraffic:
    """A `hot_restarts.Watch`: the requests of one proxy's application while Envoys take over from each other.

    Each request chooses a connection anew, so none is cut with the parent.
    """

    def __init__(self, traffic: MeshTraffic, proxy: Proxy, class_: VisibilityClass) -> None:
        self._traffic = traffic
        self._proxy = proxy
        self._class = class_

    def follow(self, server: Server) -> None:
        """See Watch."""
        self._traffic.follow(server, self._proxy, self._class)

    def on_drained(self, parent: Server) -> None:
        """Its successor accepts already."""

    def on_terminated(self, parent: Server) -> None:
        """See Watch."""
        self._traffic.terminated(parent)


def view_of(published: Published, service: Service, class_: VisibilityClass) -> RoutingView:
    """What the workers of a proxy do with a request to the service's first port."""
    cluster = service.cluster_names()[0]
    if _listener(published, service, class_) is None:
        return NOT_LISTENING
    name = _table_name(published, service, class_)
    if name is not None:
        table = published.routes.get(name)
        if table is None or service.hostname not in route_of(table).hosts:
            return RoutingView("NR")
    if cluster not in published.clusters:
        return RoutingView("NC")
    assignment = published.hosts.get(cluster)
    return RoutingView(None, () if assignment is None else tuple(assignment_of(assignment).addresses))


def _is_tcp(service: Service, class_: VisibilityClass) -> bool:
    return service.ports[0].protocol == "tcp" and class_.kind == "sidecar"


def _listener(published: Published, service: Service, class_: VisibilityClass) -> Resource[object] | None:
    """The one that takes requests to the service's first port."""
    number = service.ports[0].number
    if _is_tcp(service, class_):
        return published.listeners.get(tcp_listener(service, number))
    return published.listeners.get(f"0.0.0.0_{number}" if class_.kind == "sidecar" else "0.0.0.0_8080")


def _table_name(published: Published, service: Service, class_: VisibilityClass) -> str | None:
    """The route table that this listener uses; None where it uses none, or is not there."""
    listener = _listener(published, service, class_)
    if listener is None or _is_tcp(service, class_):
        return None
    return listener_of(listener).route_name or route_name(class_, service.ports[0].number)


def _request(
    entry: TrafficEntry, services: dict[str, Service], connect_timeout_ns: int, end_ns: int
) -> _Request:
    traffic = entry.traffic
    until_ns = end_ns if entry.until is None else min(entry.until, end_ns)
    settings = EdgeSettings(
        traffic.rate.per_second,
        entry.begin,
        until_ns,
        traffic.retries,
        connect_timeout_ns if traffic.dead_endpoint == "blackhole" else 0,
    )
    source = None if traffic.source == ANY else services[traffic.source]
    return _Request(source, services[traffic.to], settings)
