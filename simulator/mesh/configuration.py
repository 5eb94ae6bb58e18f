"""What xDS resources say: the bodies of `Resource`, as far as they decide when configuration takes effect.

Two bodies are equal when Envoy's hash of the messages would be; a resource's revision stands for everything
in the message that is not modelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.engine.delays import Delay
from simulator.xds.resources import NO_NAMES, Names


@dataclass(frozen=True, slots=True)
class Resolver:
    """How the DNS names of a STRICT_DNS cluster resolve: at once, ``after`` a delay, or never."""

    after: Delay | None = None
    never: bool = False


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An active health check and how the endpoints answer it.

    Attributes:
        answers: ``pass``, ``fail`` (503), ``refuse`` (connection refused), ``after`` or ``never``.
        after: The delay of ``after``.
        timeout_ns: Time-out of one check.
    """

    answers: str
    timeout_ns: int
    after: Delay | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster (CDS).

    Attributes:
        kind: ``static``, ``strict_dns`` or ``eds``.
        endpoints: Endpoints in the message itself (not for ``eds``).
        resolver: For ``strict_dns``.
        health_check: None where the cluster is not checked.
        secret: Name of the SDS secret its transport socket uses.
    """

    kind: str
    endpoints: int = 0
    resolver: Resolver | None = None
    health_check: HealthCheck | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterLoadAssignment:
    """The endpoints of one EDS cluster (EDS).

    Attributes:
        endpoints: How many.
        addresses: Pods that requests may be sent to, where somebody asks what becomes of requests.
    """

    endpoints: int
    addresses: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class RouteConfiguration:
    """A route table (RDS, or inline in a listener).

    Attributes:
        cluster: Cluster that all virtual hosts lead to; empty where each host leads to its own service.
        virtual_hosts: How many.
        hosts: Hosts it has a route for, where each leads to its own service.
    """

    cluster: str
    virtual_hosts: int = 1
    hosts: Names = NO_NAMES


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener (LDS).

    Attributes:
        route_name: Route configuration asked for by RDS; None with inline or scoped routes.
        inline_route: The route table in the message itself.
        scopes: Routes are chosen by SRDS.
        secret: Name of the SDS secret of its TLS context.
        filters: Names of the extension configurations its filters are (ECDS).
        edition: Counts changes of anything but the filter chains.
        filter_chains: Counts changes of filter chains alone, which are applied in place.
    """

    route_name: str | None = None
    inline_route: RouteConfiguration | None = None
    scopes: bool = False
    secret: str | None = None
    filters: tuple[str, ...] = ()
    edition: int = 0
    filter_chains: int = 0


@dataclass(frozen=True, slots=True)
class ScopedRouteConfiguration:
    """A scope (SRDS): which route configuration it selects."""

    route_name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A secret, an extension configuration or a runtime layer: something whose content does not matter
    here."""

    kind: str


@dataclass(frozen=True, slots=True)
class RuntimeFields:
    """A runtime layer (RTDS): shares from 0 to 1, by key."""

    values: tuple[tuple[str, float], ...] = ()

    def changed(self, key: str, value: float) -> RuntimeFields:
        """The layer with another value of one key."""
        return RuntimeFields((*((k, v) for k, v in self.values if k != key), (key, value)))
