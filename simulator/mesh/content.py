"""What a control plane that knows certain changes would serve: clusters, listeners, routes and the rest.

`MeshContent` is the snapshot behind a PushContext: immutable, made from its predecessor by the changes of one
batch. A change counts up the revision of the resources it alters; a resource stays refused by Envoy for as
long as the newest change of some object in it is one that Envoy refuses.
Endpoints are not in it: EDS is generated from the live index (`ContentFactory.assignments`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.mesh.configuration import (
    Cluster,
    ClusterLoadAssignment,
    Listener,
    Opaque,
    RouteConfiguration,
)
from simulator.mesh.endpoints import EndpointSet
from simulator.mesh.kinds import KINDS, Alters, config_key
from simulator.mesh.services import ROOT_NAMESPACE, Service, Sizes
from simulator.mesh.visibility import (
    GATEWAY_SECRET,
    VisibilityClass,
    altered,
    extension_name,
    http_ports,
    inbound_listener,
    route_name,
    route_names,
)
from simulator.xds.resources import NO_RESOURCES, Fault, Names, Resource, Resources


@dataclass(frozen=True, slots=True, eq=False)
class ConfigChange:
    """One change of one object.

    Attributes:
        number: Counts the changes of the run.
        kind: Kind of the object.
        namespace: Namespace of the object.
        name: Name of the object; that of the service for Endpoints and ServiceEntry.
        service: The service it is about, if it is about one.
        is_refused: Envoy cannot build what it makes of it.
        t_changed_ns: When it happened.
    """

    number: int
    kind: str
    namespace: str
    name: str
    service: Service | None
    is_refused: bool
    t_changed_ns: int

    @property
    def key(self) -> str:
        """Its config key."""
        return config_key(self.kind, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class _Version:
    """How often a resource was altered: at all, in its filter chains alone; and by whom it is spoiled."""

    revision: int = 0
    chains: int = 0
    refused: tuple[str, ...] = ()

    def after(self, change: ConfigChange, *, in_place: bool) -> _Version:
        """The version that the change makes."""
        others = tuple(key for key in self.refused if key != change.key)
        return _Version(
            self.revision + 1,
            self.chains + in_place,
            (*others, change.key) if change.is_refused else others,
        )

    @property
    def fault(self) -> Fault | None:
        """Whether Envoy refuses it."""
        return Fault.BUILD if self.refused else None


_FIRST = _Version()
_Key = tuple[int, str, str]
"""Class, type and name of a resource that differs from class to class."""


class ContentFactory:
    """Makes resources, each only once, so that equal content is one object.

    Args:
        services: All services istiod knows.
        sizes: Encoded sizes.
        sends_unhealthy: Whether endpoints that are not ready are sent, as UNHEALTHY.
        workload_secret: The secret without which no mTLS connection can be made; None where it is always
            there.
    """

    def __init__(
        self,
        services: Sequence[Service],
        sizes: Sizes,
        *,
        sends_unhealthy: bool,
        workload_secret: str | None = None,
    ) -> None:
        self._workload_cluster = Cluster("eds", secret=workload_secret)
        self.services = tuple(services)
        self.sizes = sizes
        self._sends_unhealthy = sends_unhealthy
        self._resources: dict[tuple[object, ...], Resource[object]] = {}
        self._sets: dict[tuple[Resource[object], ...], Resources] = {}
        self._assignments: dict[tuple[EndpointSet, int], Resources] = {}
        self._fixed = self._fixed_clusters()

    def initial(self) -> MeshContent:
        """The content before any change."""
        clusters = Resources(
            self._cluster(name, _FIRST) for service in self.services for name in service.cluster_names()
        )
        return MeshContent(self, clusters, {}, {})

    def assignments(self, service: Service, endpoints: EndpointSet, entries: int = 0) -> Resources:
        """The assignments of a service's clusters; `entries` counts the changes of its WorkloadEntries."""
        made = self._assignments.get((endpoints, entries))
        if made is None:
            sent = endpoints.sent_count(sends_unhealthy=self._sends_unhealthy)
            serving = endpoints.serving_ids
            body = ClusterLoadAssignment(sent, serving)
            size = self.sizes.assignment + self.sizes.endpoint * sent
            revision = endpoints.revision + entries
            made = Resources(Resource(name, revision, body, size) for name in service.cluster_names())
            self._assignments[endpoints, entries] = made
        return made

    def together(self, resources: Iterable[Resource[object]]) -> Resources:
        """The set of these resources: one object for each content."""
        key = tuple(resources)
        made = self._sets.get(key)
        if made is None:
            made = self._sets[key] = Resources(key)
        return made

    def clusters_of(self, clusters: Resources, class_: VisibilityClass) -> Resources:
        """All of CDS for a class."""
        return self._fixed.updated(clusters.only(class_.clusters))

    @property
    def fixed_clusters(self) -> Names:
        """Clusters that every proxy has, and that every delta CDS push holds."""
        return self._fixed.names

    def _fixed_clusters(self) -> Resources:
        passthrough = Cluster("static", endpoints=1)
        names = {"BlackHoleCluster": Cluster("static"), "PassthroughCluster": passthrough}
        names["inbound|80||"] = passthrough
        return Resources(Resource(name, 0, body, self.sizes.cluster) for name, body in names.items())

    def _made(self, name: str, version: _Version, body: object, size_bytes: int) -> Resource[object]:
        key = name, version.revision, body, version.fault
        made = self._resources.get(key)
        if made is None:
            made = Resource(name, version.revision, body, size_bytes, version.fault)
            self._resources[key] = made
        return made

    def _cluster(self, name: str, version: _Version) -> Resource[object]:
        return self._made(name, version, self._workload_cluster, self.sizes.cluster)

    def listener(self, name: str, version: _Version, body: Listener) -> Resource[object]:
        """A listener; a change in place alters its filter chains only."""
        body = replace(body, edition=version.revision - version.chains, filter_chains=version.chains)
        return self._made(name, version, body, self.sizes.listener)

    def routes(self, name: str, version: _Version, class_: VisibilityClass) -> Resource[object]:
        """A route configuration with a virtual host for each visible service."""
        hosts = class_.hosts
        body = RouteConfiguration("", max(1, len(hosts)), hosts)
        return self._made(name, version, body, self.sizes.route * max(1, len(hosts)))

    def name_table(self) -> Resources:
        """NDS: one resource that holds all names; its content changes nothing that is modelled."""
        return self.together([self.opaque("name_table", "nds", _FIRST)])

    def opaque(self, kind: str, name: str, version: _Version) -> Resource[object]:
        """A secret or an extension configuration."""
        return self._made(name, version, Opaque(kind), self.sizes.cluster)

    def cluster_after(self, cluster: Resource[object], version: _Version) -> Resource[object]:
        """A cluster in a newer version."""
        return self._cluster(cluster.name, version)


class MeshContent:
    """One snapshot; see the module."""

    __slots__ = ("_by_class", "_cluster_versions", "_clusters", "_factory", "_versions")

    def __init__(
        self,
        factory: ContentFactory,
        clusters: Resources,
        cluster_versions: Mapping[str, _Version],
        versions: Mapping[_Key, _Version],
    ) -> None:
        self._factory = factory
        self._clusters = clusters
        self._cluster_versions = cluster_versions
        self._versions = versions
        self._by_class: dict[tuple[str, int], Resources] = {}

    def after(self, changes: Sequence[ConfigChange], classes: Sequence[VisibilityClass]) -> MeshContent:
        """The snapshot that knows these changes too."""
        altering = [c for c in changes if Alters.ENDPOINTS not in KINDS[c.kind].alters]
        if not altering:
            return self
        clusters = dict(self._cluster_versions)
        versions = dict(self._versions)
        touched: dict[str, None] = {}
        for change in altering:
            self._alter_clusters(change, clusters, touched)
            for class_ in classes:
                self._alter_class(change, class_, versions)
        newer = Resources(self._factory.cluster_after(self._clusters[n], clusters[n]) for n in touched)
        return MeshContent(self._factory, self._clusters.updated(newer), clusters, versions)

    def _alter_clusters(
        self, change: ConfigChange, clusters: dict[str, _Version], touched: dict[str, None]
    ) -> None:
        alters = KINDS[change.kind].alters
        names: list[str] = []
        if Alters.CLUSTERS in alters and change.service is not None:
            names = list(change.service.cluster_names())
        elif Alters.NAMESPACE_CLUSTERS in alters:
            names = [
                n
                for s in self._factory.services
                if change.namespace in (s.namespace, ROOT_NAMESPACE)
                for n in s.cluster_names()
            ]
        for name in names:
            if name in self._clusters:
                clusters[name] = clusters.get(name, _FIRST).after(change, in_place=False)
                touched[name] = None

    @staticmethod
    def _alter_class(change: ConfigChange, class_: VisibilityClass, versions: dict[_Key, _Version]) -> None:
        kind = KINDS[change.kind]
        parts = altered(kind, change.namespace, change.service, class_)
        for type_name, names in parts.items():
            if type_name in ("cds", "eds"):
                continue
            for name in names:
                key = class_.index, type_name, name
                in_place = type_name == "lds" and name == inbound_listener(class_)
                versions[key] = versions.get(key, _FIRST).after(change, in_place=in_place)

    # --- what a class gets

    def of(self, type_name: str, class_: VisibilityClass) -> Resources:
        """All resources of a type (not EDS) for a class."""
        key = type_name, class_.index
        made = self._by_class.get(key)
        if made is None:
            made = self._by_class[key] = _MAKERS[type_name](self, class_)
        return made

    def clusters(self, class_: VisibilityClass) -> Resources:
        """CDS."""
        return self._factory.clusters_of(self._clusters, class_)

    def listeners(self, class_: VisibilityClass) -> Resources:
        """LDS."""
        bodies = _gateway_listeners() if class_.kind == "gateway" else _sidecar_listeners(class_)
        return self._factory.together(
            self._factory.listener(name, self._version(class_, "lds", name), body)
            for name, body in bodies.items()
        )

    def routes(self, class_: VisibilityClass) -> Resources:
        """RDS."""
        return self._factory.together(
            self._factory.routes(name, self._version(class_, "rds", name), class_)
            for name in route_names(class_)
        )

    def secrets(self, class_: VisibilityClass) -> Resources:
        """SDS over ADS: the certificates of a gateway."""
        if class_.kind != "gateway":
            return NO_RESOURCES
        version = self._version(class_, "sds", GATEWAY_SECRET)
        return self._factory.together([self._factory.opaque("secret", GATEWAY_SECRET, version)])

    def extensions(self, class_: VisibilityClass) -> Resources:
        """ECDS."""
        if not class_.has_extension:
            return NO_RESOURCES
        name = extension_name(class_)
        version = self._version(class_, "ecds", name)
        return self._factory.together([self._factory.opaque("extension", name, version)])

    def _version(self, class_: VisibilityClass, type_name: str, name: str) -> _Version:
        return self._versions.get((class_.index, type_name, name), _FIRST)


_MAKERS = {
    "cds": MeshContent.clusters,
    "lds": MeshContent.listeners,
    "rds": MeshContent.routes,
    "sds": MeshContent.secrets,
    "ecds": MeshContent.extensions,
}


def _sidecar_listeners(class_: VisibilityClass) -> dict[str, Listener]:
    filters = (extension_name(class_),) if class_.has_extension else ()
    listeners = {
        "virtualOutbound": Listener(inline_route=RouteConfiguration("PassthroughCluster")),
        "virtualInbound": Listener(inline_route=RouteConfiguration("inbound|80||"), filters=filters),
    }
    for port in http_ports(class_):
        listeners[f"0.0.0.0_{port}"] = Listener(route_name=route_name(class_, port))
    for service in class_.services:
        for port_ in service.ports:
            if port_.protocol == "tcp":
                cluster = f"outbound|{port_.number}||{service.hostname}"
                listeners[tcp_listener(service, port_.number)] = Listener(
                    inline_route=RouteConfiguration(cluster)
                )
    return listeners


def _gateway_listeners() -> dict[str, Listener]:
    return {
        "0.0.0.0_8080": Listener(route_name="http.8080"),
        "0.0.0.0_8443": Listener(route_name="http.8080", secret=GATEWAY_SECRET),
    }


def tcp_listener(service: Service, port: int) -> str:
    """The listener of a TCP port of a service (Istio: its cluster IP and port)."""
    return f"{service.name}.{service.namespace}_{port}"
