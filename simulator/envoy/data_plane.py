"""What a request meets: only as much of the data plane as shows which configuration decides.

The outcome of a request to a listener is a function of what the workers hold: no listening socket (refused),
no route (404 NR), no such cluster (503 NC), no host (503 UH), hosts that refuse (503 UF), else 200. All hosts
unhealthy is panic mode: traffic goes on (one health-check round that failed does not stop it).
Rules S6, W3, W7, W10 and the table of fetch timeouts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.engine.events import Band
from simulator.envoy.clusters import assignment_of, cluster_of
from simulator.envoy.listeners import listener_of
from simulator.envoy.providers import route_of
from simulator.envoy.startup import Server
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names, Resource, Resources


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """What the workers hold: listeners accepting and draining, route tables, clusters and their
    assignments."""

    listeners: Resources = NO_RESOURCES
    draining: Resources = NO_RESOURCES
    routes: Resources = NO_RESOURCES
    scope_routes: Names = NO_NAMES
    clusters: Resources = NO_RESOURCES
    hosts: Resources = NO_RESOURCES
    extensions: Resources = NO_RESOURCES

    def outcome(self, listener: str) -> str:
        """What a request on a new connection to that listener gets."""
        config = self.listeners.get(listener)
        return "refused" if config is None else self.outcome_on(config)

    def outcome_on(self, config: Resource[object]) -> str:
        """What a request on a connection of that listener object gets.

        A filter whose configuration never came answers for itself (filter_chain_helper.h: 500, before the
        router looks for a route).
        """
        body = listener_of(config)
        if any(name not in self.extensions for name in body.filters):
            return "500"
        route = body.inline_route
        if route is None:
            name = body.route_name if not body.scopes else next(iter(self.scope_routes), None)
            table = None if name is None else self.routes.get(name)
            if table is None:
                return "NR"
            route = route_of(table)
        return self._cluster_outcome(route.cluster)

    def _cluster_outcome(self, name: str) -> str:
        resource = self.clusters.get(name)
        if resource is None:
            return "NC"
        cluster = cluster_of(resource)
        if cluster.kind == "eds":
            assignment = self.hosts.get(name)
            endpoints = 0 if assignment is None else assignment_of(assignment).endpoints
        elif cluster.resolver is not None and cluster.resolver.never:
            endpoints = 0
        else:
            endpoints = cluster.endpoints
        if endpoints == 0:
            return "UH"
        check = cluster.health_check
        return "UF" if check is not None and check.answers == "refuse" else "200"


class DataPlane:
    """Follows what the workers hold, publication by publication; exists only where the workload sends
    requests."""

    def __init__(self, server: Server, on_change: Callable[[int, Published], None]) -> None:
        self._server = server
        self._on_change = on_change
        server.process.workers.watchers.append(self._published)

    def _published(self, t_ns: int) -> None:
        server = self._server
        view = Published(
            server.listeners.serving(),
            server.listeners.draining(),
            server.routes.content,
            server.scopes.route_names,
            server.clusters.active,
            server.clusters.hosts,
            server.extensions.content,
        )
        process = server.process
        process.clock.at(
            t_ns, lambda: self._on_change(t_ns, view), band=Band.COMPLETION, entity=process.proxy
        )
