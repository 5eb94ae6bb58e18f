"""What listeners wait for before they serve: routes, scopes, secrets and extension configurations.

What no listener uses any more is let go.
Each is a target of the init manager of the listener, or of the server (rules S8, W8).
Source: source/common/listener_manager/listener_impl.cc, source/common/init/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.envoy.listeners import ListenerBatch, ListenerOwner, ListenerSignal, ListenerState, listener_of
from simulator.xds.resources import NO_NAMES, Names, Resource, Resources

if TYPE_CHECKING:
    from simulator.envoy.providers import Providers, RouteConfigProviders
    from simulator.envoy.scopes import ScopedRoutes

_S, _G = ListenerState, ListenerSignal


class ListenerTargets:
    """The targets of all listener objects of one Envoy."""

    def __init__(
        self,
        owner: ListenerOwner,
        routes: RouteConfigProviders,
        secrets: Providers,
        extensions: Providers,
        scopes: ScopedRoutes,
    ) -> None:
        self._owner = owner
        self._routes = routes
        self._secrets = secrets
        self._extensions = extensions
        self._scopes = scopes
        self._waits_for_scopes: Resource[object] | None = None
        scopes.release_unused = self.release_unused
        for awaited in (routes, secrets, extensions, scopes):
            awaited.on_released(self.check)

    def new_routes(self, listeners: Resources) -> Names:
        """Route tables of these listeners to which nobody has subscribed yet."""
        return _route_names(listeners).minus(self._routes.interest)

    def start(self, batch: ListenerBatch) -> None:
        """Subscribes what the listeners refer to; what others already have does not keep them waiting.

        Types come in the order in which the listeners, one after the other, refer to them: so they are asked
        for when a stream opens again (D5).
        """
        configs = batch.configs
        start: dict[str, Callable[[], None]] = {
            "secret": lambda: self._secrets.require(
                configs.collect("secret", lambda r: _optional(listener_of(r).secret))
            ),
            "routes": lambda: self._routes.require(_route_names(configs)),
            "scopes": lambda: self._start_scopes(configs),
            "filters": lambda: self._extensions.require(
                configs.collect("filters", lambda r: listener_of(r).filters)
            ),
        }
        for kind in configs.collect("targets", _targets):
            start[kind]()
        self._check(batch)

    def _start_scopes(self, configs: Resources) -> None:
        """All listeners with scopes share one subscription, which is a target of the first one only
        (config_provider_impl.h, ConfigProviderManagerImplBase::getSubscription)."""
        if not self._scopes.is_started:
            first = next(iter(configs.grouped("scopes", _has_scopes)[True]))
            self._waits_for_scopes = configs[first]
        self._scopes.require()

    def check(self) -> None:
        """Something was released: who waits for nothing more goes on."""
        for batch in list(self._owner.batches):
            self._check(batch)

    def _check(self, batch: ListenerBatch) -> None:
        if batch.is_ready or batch.state not in (_S.WARMING, _S.ACTIVE_PENDING):
            return
        if self._owner.server_init.state.value == "Uninitialized":
            return  # Its targets have not been started.
        awaiting = self._waits_for_scopes
        routes, secrets, extensions = self._routes.released, self._secrets.released, self._extensions.released
        scopes_done = self._scopes.is_released and not self._scopes.route_names.minus(routes)

        def is_ready(name: str) -> bool:
            body = listener_of(batch.configs[name])
            return (
                (body.route_name is None or body.route_name in routes)
                and (body.secret is None or body.secret in secrets)
                and all(f in extensions for f in body.filters)
                and (scopes_done or batch.configs[name] is not awaiting)
            )

        ready = batch.names.where(
            (batch.configs, routes, secrets, extensions, scopes_done, awaiting), is_ready
        )
        if ready:
            batch.split(ready).fire(_G.TARGETS_READY)

    def release_unused(self) -> None:
        """Watches of routes and extensions that no listener uses any more end."""
        used = filters = NO_NAMES
        for batch in self._owner.batches:
            used = used.union(_route_names(batch.configs))
            filters = filters.union(batch.configs.collect("filters", lambda r: listener_of(r).filters))
            if batch.configs.grouped("scopes", _has_scopes).get(True):
                used = used.union(self._scopes.route_names)
        self._routes.release_unused(used, one_by_one=True)
        self._extensions.release_unused(filters, one_by_one=True)

    @property
    def secret_names(self) -> Names:
        """Secrets that listeners use."""
        used = NO_NAMES
        for batch in self._owner.batches:
            used = used.union(batch.configs.collect("secret", lambda r: _optional(listener_of(r).secret)))
        return used


def _targets(resource: Resource[object]) -> tuple[str, ...]:
    """What a listener waits for, in the order in which it is built (filter_chain_manager_impl.cc: transport
    socket, then filters; http_connection_manager config.cc: routes, then HTTP filters)."""
    body = listener_of(resource)
    uses = {
        "secret": body.secret is not None,
        "routes": body.route_name is not None,
        "scopes": body.scopes,
        "filters": bool(body.filters),
    }
    return tuple(kind for kind, is_used in uses.items() if is_used)


def _route_names(listeners: Resources) -> Names:
    return listeners.collect("route", lambda r: _optional(listener_of(r).route_name))


def _has_scopes(resource: Resource[object]) -> bool:
    return listener_of(resource).scopes


def _optional(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)
