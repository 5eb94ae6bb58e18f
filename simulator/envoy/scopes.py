"""SRDS: scopes choose route configurations. A listener with scopes waits for the scopes, then for their
routes.

Source: source/common/router/scoped_rds.cc; section "SRDS" of MODEL.md. On-demand scopes are not modelled.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.envoy.process import Process
from simulator.envoy.providers import RouteConfigProviders
from simulator.envoy.subscription import Subscription
from simulator.mesh.configuration import ScopedRouteConfiguration
from simulator.wire.contract import ConfigSource, Update
from simulator.xds.resource_types import RDS, SRDS
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Fault, Names, Resource

_STAT = "http.in.scoped_rds.scopes."


class ScopedRoutes:
    """The scoped route configurations of one Envoy; the consumer of SRDS.

    Attributes:
        is_released: The first outcome of the scopes came.
        route_names: Route configurations the scopes select.
    """

    def __init__(self, process: Process, source: ConfigSource, routes: RouteConfigProviders) -> None:
        self.is_released = False
        self.scopes = NO_RESOURCES
        self._process = process
        self._source = source
        self._routes = routes
        self._subscription: Subscription | None = None
        self._waiters: list[Callable[[], None]] = []
        self.release_unused: Callable[[], None] = lambda: None
        """Ends the subscriptions of routes that nobody uses; set by who knows all owners of routes."""

    @property
    def route_names(self) -> Names:
        """Route configurations the scopes select."""
        return self.scopes.collect("route", lambda r: (_scope_of(r).route_name,))

    def on_released(self, waiter: Callable[[], None]) -> None:
        """Registers an owner to be told of the first outcome."""
        self._waiters.append(waiter)

    @property
    def is_started(self) -> bool:
        """Whether there is a subscription."""
        return self._subscription is not None

    def require(self) -> None:
        """Starts the subscription, once."""
        if self._subscription is None:
            self._subscription = Subscription(
                self._process, SRDS, Names((SRDS.name,)), self._source.has_fetch_timeout, self._on_timeout
            )
            self._subscription.start()
            self._source.subscribe(SRDS, NO_NAMES, self)

    def cost_ns(self, update: Update) -> int:
        """See ConfigConsumer."""
        return self._process.costs.ns("srds") + update.extra_cost_ns

    def on_config_update(self, update: Update) -> str | None:
        """One bad scope refuses the whole update. New routes are subscribed, and those that no scope selects
        any more let go, with RDS paused meanwhile."""
        process = self._process
        if update.resources.faulty().get(Fault.BUILD):
            self.on_update_rejected(update, "")
            return "scoped_rds: a scope cannot be built"
        process.count_update(_STAT, "success")
        self._source.pause(RDS)
        selected = self.route_names
        if update.is_delta:
            self.scopes = self.scopes.updated(update.resources).without(update.removed)
        else:
            self.scopes = update.resources
        self._routes.require(self.route_names)
        if selected.minus(self.route_names):
            self.release_unused()
        done = process.activations.applied(
            update.changes, SRDS.name, process.now_ns, refused=NO_NAMES, awaited=NO_NAMES
        )
        process.publish("post_routes", done)
        self._release("answered")
        self._source.resume(RDS)
        return None

    def on_update_rejected(self, update: Update, error: str) -> None:
        """Releases the wait for scopes."""
        self._process.count_update(_STAT, "rejected")
        self._process.activations.refused(update.changes, self._process.now_ns)
        self._release("rejected")

    def on_connection_failure(self, names: Names) -> None:
        """Counted, nothing released (D1)."""
        self._process.count_update(_STAT, "failure")

    def _on_timeout(self, _late: Names) -> None:
        self._process.count(_STAT + "init_fetch_timeout")
        self._release("timed out")

    def _release(self, how: str) -> None:
        assert self._subscription is not None
        self._subscription.answered(self._subscription.names, how)
        if not self.is_released:
            self.is_released = True
            for waiter in self._waiters:
                waiter()


def _scope_of(resource: Resource[object]) -> ScopedRouteConfiguration:
    assert isinstance(resource.body, ScopedRouteConfiguration)
    return resource.body
