"""Kinds of change, as data: which proxies each concerns, which xDS types it makes istiod push, what it
alters.

Three questions, three columns. *Relevance*: can the whole push be skipped for a proxy? *Pushes*: which types
are generated and sent (istiod resends much that did not change)? *Alters*: in which resources does the change
itself arrive, so that it takes effect when they do?
Sources: pilot/pkg/xds/{proxy_dependencies,cds,eds,lds,rds,nds,ecds,sds}.go; pilot/pkg/model/sidecar.go
(DependsOnConfig); architecture/networking/pilot.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Relevance(Enum):
    """Which proxies a change of the kind may concern."""

    ALL = "every proxy"
    SIDECARS = "every sidecar"
    GATEWAYS = "gateways only"
    NAMESPACE = "sidecars of its namespace (of all, if it is the root namespace); every gateway"
    SCOPE = "sidecars whose scope depends on it; every gateway"
    SERVICE = "proxies that see the service"
    OWN_SIDECARS = "sidecars of its namespace (of all, if it is the root namespace)"


class Condition(Enum):
    """For which proxies a type is generated, once the change is relevant."""

    ALWAYS = "every proxy"
    SIDECAR = "sidecars"
    ROUTER = "gateways"
    OWN_NAMESPACE = "proxies of its namespace, or all if it is the root namespace"
    REFERENCED = "proxies that subscribed the changed resource"


class Alters(Enum):
    """Resources in which a change arrives."""

    ENDPOINTS = "the assignment of the service's clusters (EDS)"
    CLUSTERS = "the service's clusters (CDS)"
    NAMESPACE_CLUSTERS = "the clusters of all services of its namespace, or of all of the mesh (CDS)"
    ROUTES = "the route configuration that has the service (RDS)"
    INBOUND = "the filter chains of the inbound listener (LDS)"
    OUTBOUND = "the outbound HTTP listener (LDS)"
    EXTENSION = "an extension configuration (ECDS)"
    SECRET = "a secret (SDS)"


class ContextWork(Enum):
    """What of the PushContext is computed anew (initPushContext, updateContext)."""

    COPY = "pointers are copied"
    INDEX = "the index of the kind"
    SCOPES = "the index of the kind and the sidecar scopes"
    SERVICES = "the service registry and the sidecar scopes"
    ALL = "everything"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change.

    Attributes:
        name: Istio's word for it.
        relevance: Which proxies it may concern.
        pushes: Type name to the condition under which it is generated; absent types are not.
        alters: Where its content arrives.
        context: Work of the PushContext.
        is_forced: Everything is pushed to everybody.
        reason: Label in ``pilot_push_triggers``.
        is_registry: It comes through the service registry's queue, not the configuration store's handlers.
    """

    name: str
    relevance: Relevance
    pushes: Mapping[str, Condition]
    alters: tuple[Alters, ...]
    context: ContextWork
    is_forced: bool = False
    reason: str = "config"
    is_registry: bool = False


_A, _S, _R, _N, _X = (
    Condition.ALWAYS,
    Condition.SIDECAR,
    Condition.ROUTER,
    Condition.OWN_NAMESPACE,
    Condition.REFERENCED,
)


def _types(**conditions: Condition) -> Mapping[str, Condition]:
    return MappingProxyType(conditions)


_EVERY_TYPE = _types(cds=_A, eds=_A, lds=_A, rds=_A, nds=_A, ecds=_A, sds=_A)

_ROWS = (
    Kind(
        "Endpoints",
        Relevance.SERVICE,
        _types(eds=_A),
        (Alters.ENDPOINTS,),
        ContextWork.COPY,
        reason="endpoint",
        is_registry=True,
    ),
    Kind(
        "ServiceEntry",
        Relevance.SERVICE,
        _types(cds=_A, eds=_A, lds=_A, rds=_A, nds=_A),
        (Alters.CLUSTERS, Alters.ROUTES),
        ContextWork.SERVICES,
        reason="service",
        is_registry=True,
    ),
    Kind(
        "DNSName",
        Relevance.ALL,
        _types(nds=_A),
        (),
        ContextWork.SERVICES,
        reason="headlessendpoint",
        is_registry=True,
    ),
    Kind(
        "DestinationRule",
        Relevance.SCOPE,
        _types(cds=_A, eds=_A, lds=_A, rds=_A),
        (Alters.CLUSTERS,),
        ContextWork.SCOPES,
    ),
    Kind(
        "VirtualService",
        Relevance.SCOPE,
        _types(cds=_A, lds=_A, rds=_A),
        (Alters.ROUTES,),
        ContextWork.SCOPES,
    ),
    Kind(
        "Gateway",
        Relevance.GATEWAYS,
        _types(cds=_R, lds=_R, rds=_R),
        (Alters.INBOUND,),
        ContextWork.INDEX,
    ),
    Kind(
        "Sidecar",
        Relevance.OWN_SIDECARS,
        _types(cds=_S, lds=_S, rds=_S, nds=_S),
        (Alters.ROUTES,),
        ContextWork.SCOPES,
    ),
    Kind(
        "PeerAuthentication",
        Relevance.SCOPE,
        _types(cds=_A, eds=_A, lds=_N),
        (Alters.NAMESPACE_CLUSTERS, Alters.INBOUND),
        ContextWork.SCOPES,
    ),
    Kind(
        "RequestAuthentication",
        Relevance.NAMESPACE,
        _types(lds=_A),
        (Alters.INBOUND,),
        ContextWork.SCOPES,
    ),
    Kind(
        "AuthorizationPolicy",
        Relevance.NAMESPACE,
        _types(lds=_A),
        (Alters.INBOUND,),
        ContextWork.INDEX,
    ),
    Kind(
        "EnvoyFilter",
        Relevance.NAMESPACE,
        _types(cds=_A, eds=_A, lds=_A, rds=_A, ecds=_A),
        (Alters.OUTBOUND,),
        ContextWork.INDEX,
    ),
    Kind("Telemetry", Relevance.NAMESPACE, _types(lds=_A), (Alters.INBOUND,), ContextWork.INDEX),
    Kind(
        "TrafficExtension",
        Relevance.NAMESPACE,
        _types(lds=_A, ecds=_A),
        (Alters.EXTENSION,),
        ContextWork.INDEX,
    ),
    Kind(
        "Secret",
        Relevance.ALL,
        _types(sds=_X),
        (Alters.SECRET,),
        ContextWork.COPY,
        reason="secret",
    ),
    Kind(
        "ConfigMap",
        Relevance.ALL,
        _types(cds=_A, eds=_A, lds=_A, rds=_A, nds=_A, sds=_A),
        (Alters.INBOUND,),
        ContextWork.COPY,
        reason="secret",
    ),
    Kind("ProxyConfig", Relevance.ALL, _types(), (), ContextWork.INDEX),
    Kind("WorkloadGroup", Relevance.ALL, _types(), (), ContextWork.COPY),
    Kind(
        "WorkloadEntry",
        Relevance.SERVICE,
        _types(eds=_A),
        (Alters.ENDPOINTS,),
        ContextWork.COPY,
        is_registry=True,
    ),
    Kind(
        "MeshConfig",
        Relevance.ALL,
        _EVERY_TYPE,
        (Alters.OUTBOUND,),
        ContextWork.ALL,
        is_forced=True,
        reason="global",
    ),
)

KINDS: Mapping[str, Kind] = MappingProxyType({row.name: row for row in _ROWS})
"""Kind name to its row."""

HEADLESS_ENDPOINT_PUSHES = _types(eds=_A, lds=_S, nds=_A)
"""What a ServiceEntry key pushes among reasons with ``headlessendpoint`` and without ``service``: the service
itself did not change."""

PUSH_ORDER = ("cds", "eds", "lds", "rds", "sds", "ecds", "nds")
"""Order in which the types of one push are sent. Istio sends those after SDS in random order; here it is
fixed. Source: pilot/pkg/xds/ads.go:PushOrder."""

DELTA_CDS_KINDS = ("ServiceEntry", "DestinationRule", "VirtualService", "PeerAuthentication", "Sidecar")
"""Kinds whose CDS a delta push limits to the affected services (cluster.go:BuildDeltaClusters)."""

PARTIAL_EDS_KINDS = ("Endpoints", "ServiceEntry", "DestinationRule", "PeerAuthentication")
"""Kinds whose EDS push is limited to the affected clusters (eds.go:canSendPartialFullPushes)."""


def config_key(kind: str, namespace: str, name: str) -> str:
    """Istio's ConfigKey as text."""
    return f"{kind}/{namespace}/{name}"


def kind_of(key: str) -> str:
    """The kind in a config key."""
    return key.partition("/")[0]
