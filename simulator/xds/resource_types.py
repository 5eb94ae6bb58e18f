"""The table of xDS resource types.

A type is a row of data. Adding one costs a row here and, if something waits for it, the code that waits.
Sources: Envoy api/envoy/service/*/v3, docs/root/api-docs/xds_protocol.rst ("Resource types", "SotW
wildcard").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """One xDS resource type.

    Attributes:
        name: Short name as scenarios and tables write it (``cds``).
        type_url: Protobuf type URL.
        wildcard: Envoy subscribes to all resources of the type without naming them.
        states_all: A SotW response lists every resource, so an absent one is removed (CDS and LDS only).
        push_order: Rank in the make-before-break order a server should send in.
        described_as: What the type holds.
    """

    name: str
    type_url: str
    wildcard: bool
    states_all: bool
    push_order: int
    described_as: str

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, ...]:
        return (resource_type, (self.name,))


_V3 = "type.googleapis.com/envoy."

CDS = ResourceType("cds", _V3 + "config.cluster.v3.Cluster", True, True, 0, "clusters")
EDS = ResourceType(
    "eds", _V3 + "config.endpoint.v3.ClusterLoadAssignment", False, False, 1, "cluster load assignments"
)
LDS = ResourceType("lds", _V3 + "config.listener.v3.Listener", True, True, 2, "listeners")
RDS = ResourceType("rds", _V3 + "config.route.v3.RouteConfiguration", False, False, 4, "route configurations")
SRDS = ResourceType(
    "srds", _V3 + "config.route.v3.ScopedRouteConfiguration", True, True, 3, "scoped route configurations"
)
VHDS = ResourceType("vhds", _V3 + "config.route.v3.VirtualHost", False, False, 5, "virtual hosts on demand")
SDS = ResourceType("sds", _V3 + "extensions.transport_sockets.tls.v3.Secret", False, False, 6, "secrets")
ECDS = ResourceType(
    "ecds", _V3 + "config.core.v3.TypedExtensionConfig", False, False, 7, "extension configurations"
)
RTDS = ResourceType("rtds", _V3 + "service.runtime.v3.Runtime", False, False, 8, "runtime layers")


NDS = ResourceType(
    "nds", "type.googleapis.com/istio.networking.nds.v1.NameTable", True, False, 9, "name tables"
)
PCDS = ResourceType(
    "pcds", "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig", True, False, 10, "proxy configurations"
)
AGENT_TYPES: dict[str, ResourceType] = {t.name: t for t in (NDS, PCDS)}
"""Types that the istio-agent asks for itself; Envoy does not know them."""

RESOURCE_TYPES: dict[str, ResourceType] = {
    t.name: t for t in (CDS, EDS, LDS, RDS, SRDS, VHDS, SDS, ECDS, RTDS)
}


def resource_type(name: str) -> ResourceType:
    """The row of a short name; KeyError for an unknown one."""
    return RESOURCE_TYPES[name] if name in RESOURCE_TYPES else AGENT_TYPES[name]
