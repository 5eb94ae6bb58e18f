"""Who sees what: Sidecar scope, exportTo and discovery selectors, as classes that proxies share.

Proxies of one kind, namespace and visible set get the same configuration, so they share one
`VisibilityClass`, and everything computed for it.
Sources: pilot/pkg/model/sidecar.go (ConvertToSidecarScope, DefaultSidecarScopeForNamespace), exportTo of
networking.istio.io, meshConfig.discoverySelectors (pkg/kube/namespace/filter.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simulator.mesh.kinds import Alters, Condition, Kind, Relevance
from simulator.mesh.services import ROOT_NAMESPACE, Proxy, Service
from simulator.xds.resources import Names

if TYPE_CHECKING:
    from simulator.engine.draws import Draws


@dataclass(frozen=True, slots=True)
class ScopeSettings:
    """What a sidecar sees.

    Attributes:
        kind: ``all``; a ``share`` of the services; a number of ``services``; or those of its ``own``
            namespace.
        share: For ``share``, from 0 to 1.
        services: For ``services``.
    """

    kind: Literal["all", "share", "services", "own"] = "all"
    share: float = 1.0
    services: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class VisibilityClass:
    """What proxies of one kind, namespace and scope have in common.

    Attributes:
        index: Position among the classes.
        kind: ``sidecar`` or ``gateway``.
        namespace: Namespace of its proxies.
        services: Visible services, in order.
        hosts: Their host names.
        clusters: Their clusters.
        namespaces: The namespaces they are in.
        has_extension: Whether its proxies run a Wasm filter.
    """

    index: int
    kind: str
    namespace: str
    services: tuple[Service, ...]
    hosts: Names
    clusters: Names
    namespaces: Names
    has_extension: bool = False

    def sees(self, service: Service | None) -> bool:
        """Whether the service is visible."""
        return service is not None and service.hostname in self.hosts

    def is_relevant(self, kind: Kind, namespace: str, service: Service | None) -> bool:
        """Whether a change of that kind can concern its proxies at all (ProxyNeedsPush)."""
        is_own = namespace in (self.namespace, ROOT_NAMESPACE)
        match kind.relevance:
            case Relevance.ALL:
                return True
            case Relevance.SIDECARS:
                return self.kind == "sidecar"
            case Relevance.GATEWAYS:
                return self.kind == "gateway"
            case Relevance.NAMESPACE:
                return self.kind == "gateway" or is_own
            case Relevance.OWN_SIDECARS:
                return self.kind == "sidecar" and is_own
            case Relevance.SERVICE:
                return self.sees(service)
            case Relevance.SCOPE:
                if service is not None:
                    return self.kind == "gateway" or self.sees(service)
                return self.kind == "gateway" or is_own or namespace in self.namespaces

    def meets(self, condition: Condition, namespace: str) -> bool:
        """Whether a type is generated for its proxies under that condition."""
        match condition:
            case Condition.SIDECAR:
                return self.kind == "sidecar"
            case Condition.ROUTER:
                return self.kind == "gateway"
            case Condition.OWN_NAMESPACE:
                return namespace in (self.namespace, ROOT_NAMESPACE)
            case Condition.ALWAYS | Condition.REFERENCED:
                return True


class Visibility:
    """The classes of one mesh, made as proxies ask for theirs.

    Args:
        services: All services istiod knows (discovery selectors applied).
        scope: What a sidecar sees; gateways see all that is exported to them.
        draws: For scopes that hold some of the services only: each application draws its own set.
        has_extensions: Whether sidecars run a Wasm filter whose configuration comes by ECDS.
    """

    def __init__(
        self, services: Sequence[Service], scope: ScopeSettings, draws: Draws, *, has_extensions: bool = False
    ) -> None:
        self._has_extensions = has_extensions
        self.services = tuple(services)
        self._scope = scope
        self._draws = draws
        self._by_key: dict[tuple[str, str, tuple[int, ...]], VisibilityClass] = {}
        self._shared: dict[tuple[int, ...], tuple[tuple[Service, ...], Names, Names, Names]] = {}
        self._of_application: dict[tuple[str, str, int | None], VisibilityClass] = {}
        self.classes: list[VisibilityClass] = []

    def of(self, proxy: Proxy) -> VisibilityClass:
        """The class of a proxy."""
        application = proxy.kind, proxy.namespace, None if proxy.service is None else proxy.service.index
        found = self._of_application.get(application)
        if found is None:
            visible = self._visible(proxy)
            key = proxy.kind, proxy.namespace, visible
            found = self._by_key.get(key)
            if found is None:
                found = VisibilityClass(
                    len(self.classes),
                    proxy.kind,
                    proxy.namespace,
                    *self._seen(visible),
                    has_extension=self._has_extensions and proxy.kind == "sidecar",
                )
                self._by_key[key] = found
                self.classes.append(found)
            self._of_application[application] = found
        return found

    def _seen(self, visible: tuple[int, ...]) -> tuple[tuple[Service, ...], Names, Names, Names]:
        """Classes that see the same services share the objects that say so."""
        if visible not in self._shared:
            services = tuple(self.services[i] for i in visible)
            self._shared[visible] = (
                services,
                Names(s.hostname for s in services),
                Names(n for s in services for n in s.cluster_names()),
                Names(s.namespace for s in services),
            )
        return self._shared[visible]

    def _visible(self, proxy: Proxy) -> tuple[int, ...]:
        exported = [i for i, s in enumerate(self.services) if s.is_exported_to(proxy.namespace)]
        scope = self._scope
        if proxy.kind == "gateway" or scope.kind == "all":
            return tuple(exported)
        if scope.kind == "own":
            return tuple(i for i in exported if self.services[i].namespace == proxy.namespace)
        wanted = scope.services if scope.kind == "services" else round(scope.share * len(exported))
        if wanted >= len(exported):
            return tuple(exported)
        own = proxy.service
        application = own.entity if own is not None else proxy.id
        ranked = sorted(
            exported,
            key=lambda i: (
                self.services[i] is not own,
                self._draws.uniform("mesh.scope", application, self.services[i].entity),
                i,
            ),
        )
        return tuple(sorted(ranked[:wanted]))


def altered(kind: Kind, namespace: str, service: Service | None, class_: VisibilityClass) -> dict[str, Names]:
    """Resources, by type, in which a change arrives at proxies of that class; empty if in none."""
    if not class_.is_relevant(kind, namespace, service):
        return {}
    parts: dict[str, list[str]] = {}
    for what in kind.alters:
        type_name, names = _altered(what, namespace, service, class_)
        parts.setdefault(type_name, []).extend(names)
    return {
        type_name: Names(names)
        for type_name, names in parts.items()
        if names and _is_pushed(kind, type_name, namespace, class_)
    }


def _altered(
    what: Alters, namespace: str, service: Service | None, class_: VisibilityClass
) -> tuple[str, Sequence[str]]:
    """Type and names of the resources of one sort in which a change arrives."""
    is_own = namespace in (class_.namespace, ROOT_NAMESPACE)
    is_gateway = class_.kind == "gateway"
    of_service = service.cluster_names() if service is not None and class_.sees(service) else ()
    match what:
        case Alters.ENDPOINTS:
            return "eds", of_service
        case Alters.CLUSTERS:
            return "cds", of_service
        case Alters.NAMESPACE_CLUSTERS:
            # That of the root namespace is about all services.
            within = (s for s in class_.services if namespace in (s.namespace, ROOT_NAMESPACE))
            return "cds", [name for s in within for name in s.cluster_names()]
        case Alters.ROUTES:
            return "rds", _routes(service, class_, is_own)
        case Alters.INBOUND:
            return "lds", [inbound_listener(class_)] if is_own or is_gateway else ()
        case Alters.OUTBOUND:
            return "lds", [outbound_listener(class_)] if is_own or is_gateway else ()
        case Alters.SECRET:
            return "sds", [GATEWAY_SECRET] if is_gateway else ()
    assert what is Alters.EXTENSION
    if class_.has_extension:
        return "ecds", [extension_name(class_)] if is_own else ()
    return "lds", [inbound_listener(class_)] if is_own else ()


def _is_pushed(kind: Kind, type_name: str, namespace: str, class_: VisibilityClass) -> bool:
    """Content arrives only in types that the kind makes istiod push: a PeerAuthentication of one namespace
    leaves the listeners of others alone."""
    condition = kind.pushes.get(type_name)
    return condition is not None and class_.meets(condition, namespace)


def _routes(service: Service | None, class_: VisibilityClass, is_own: bool) -> list[str]:
    if service is None:
        return list(route_names(class_)) if is_own else []
    if not class_.sees(service):
        return []
    return [route_name(class_, port.number) for port in service.ports if port.protocol == "http"]


GATEWAY_SECRET = "kubernetes://gateway-credential"
"""The one server certificate of a gateway (credentialName)."""


def inbound_listener(class_: VisibilityClass) -> str:
    """The listener whose filter chains policies of the workload itself change."""
    return "virtualInbound" if class_.kind == "sidecar" else "0.0.0.0_8443"


def outbound_listener(class_: VisibilityClass) -> str:
    """The listener of outbound HTTP."""
    return f"0.0.0.0_{http_ports(class_)[0]}" if class_.kind == "sidecar" else "0.0.0.0_8080"


def http_ports(class_: VisibilityClass) -> tuple[int, ...]:
    """Port numbers with an HTTP listener, in order of number; 80 where there is none."""
    ports = dict.fromkeys(p.number for s in class_.services for p in s.ports if p.protocol == "http")
    return tuple(sorted(ports)) or (80,)


def route_name(class_: VisibilityClass, port: int) -> str:
    """The route configuration of an outbound HTTP port; a gateway has one for its HTTP server."""
    return str(port) if class_.kind == "sidecar" else "http.8080"


def route_names(class_: VisibilityClass) -> tuple[str, ...]:
    """All route configurations of the class."""
    return tuple(dict.fromkeys(route_name(class_, port) for port in http_ports(class_)))


def extension_name(class_: VisibilityClass) -> str:
    """The Wasm filter of a namespace's workloads."""
    return f"{class_.namespace}.extension"
