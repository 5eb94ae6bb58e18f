"""The modelled resources as protobufs that a real Envoy takes or refuses.

Whatever a resource's revision stands for is written into a harmless field, so that Envoy sees a change; a
fault becomes something Envoy refuses at the stage the fault names: the message does not pass validation, or
the object cannot be built (rule N4).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import (
    address_pb2,
    base_pb2,
    config_source_pb2,
    extension_pb2,
    health_check_pb2,
)
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from envoy.service.runtime.v3 import rtds_pb2
from google.protobuf import any_pb2, duration_pb2

from simulator.lab.network import HEALTH_PATH, LOOPBACK
from simulator.mesh.configuration import (
    Cluster,
    ClusterLoadAssignment,
    HealthCheck,
    Listener,
    RouteConfiguration,
    RuntimeFields,
    ScopedRouteConfiguration,
)
from simulator.xds.resource_types import CDS, ECDS, EDS, LDS, RDS, RTDS, SDS, SRDS, ResourceType
from simulator.xds.resources import Fault, Resource

Message = Any
"""A protobuf message: their classes have no types."""

CONNECT_TIMEOUT_MS: Final = 250
_CHECK_INTERVAL_NS: Final = 60 * 10**9
"""Longer than any scenario waits: one round of checks is what start-up waits for."""

_UNKNOWN_CLUSTER: Final = "no-such-cluster"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What resources refer to outside themselves.

    Attributes:
        source: The ConfigSource of a type's subscriptions.
        endpoint_port: Where the endpoints of a cluster listen.
        dns_port: The resolver of a STRICT_DNS cluster's names.
        listener_port: Where a listener listens.
    """

    source: Callable[[ResourceType, str], Message]
    endpoint_port: Callable[[str], int]
    dns_port: Callable[[str], int]
    listener_port: Callable[[str], int]


def duration(ns: int) -> Message:
    """A duration."""
    return duration_pb2.Duration(seconds=ns // 10**9, nanos=ns % 10**9)


def packed(message: Message) -> Message:
    """An Any that holds the message; equal messages give equal bytes."""
    holder = any_pb2.Any()
    holder.Pack(message, deterministic=True)
    return holder


def address(host: str, port: int, *, udp: bool = False) -> Message:
    """A socket address."""
    socket = address_pb2.SocketAddress(address=host, port_value=port)
    if udp:
        socket.protocol = address_pb2.SocketAddress.UDP
    return address_pb2.Address(socket_address=socket)


class Builder:
    """Builds the protobuf of any resource, for one Envoy."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._builders: dict[ResourceType, Callable[[Resource[Any]], Message]] = {
            CDS: self._cluster,
            EDS: self._assignment,
            LDS: self._listener,
            RDS: self._route,
            SRDS: self._scope,
            SDS: _secret,
            ECDS: _extension,
            RTDS: _runtime,
        }

    def message(self, type_: ResourceType, resource: Resource[Any]) -> Message:
        """The protobuf of a resource."""
        return self._builders[type_](resource)

    # --- CDS, EDS

    def _cluster(self, resource: Resource[Cluster]) -> Message:
        body = resource.body
        built = cluster_pb2.Cluster(name=resource.name)
        built.connect_timeout.CopyFrom(duration((CONNECT_TIMEOUT_MS + resource.revision) * 10**6))
        built.type = cluster_pb2.Cluster.DiscoveryType.Value(body.kind.upper())
        port = self._around.endpoint_port(resource.name)
        if body.health_check is not None:
            built.health_checks.append(_health_check(body.health_check))
        if body.kind == "eds":
            built.eds_cluster_config.eds_config.CopyFrom(self._around.source(EDS, resource.name))
        else:
            host = self._resolved(built, resource.name) if body.kind == "strict_dns" else LOOPBACK
            built.load_assignment.CopyFrom(_assignment(resource.name, [(host, port)] * body.endpoints))
        if body.secret is not None:
            built.transport_socket.CopyFrom(self._upstream_tls(body.secret))
        if resource.fault is Fault.DECODE:
            built.connect_timeout.seconds, built.connect_timeout.nanos = -1, 0
        elif resource.fault is Fault.BUILD:
            built.type = cluster_pb2.Cluster.EDS
            built.ClearField("load_assignment")
            built.eds_cluster_config.eds_config.CopyFrom(_source_nobody_serves())
        return built

    def _resolved(self, built: Message, name: str) -> str:
        """The host name of a STRICT_DNS cluster, which a resolver of its own answers for."""
        built.dns_lookup_family = cluster_pb2.Cluster.V4_ONLY
        port = self._around.dns_port(name)
        resolver = built.typed_dns_resolver_config
        resolver.name = "envoy.network.dns_resolver.cares"
        resolver.typed_config.Pack(
            cares_dns_resolver_pb2.CaresDnsResolverConfig(resolvers=[address(LOOPBACK, port, udp=True)])
        )
        return f"{name}.test"

    def _upstream_tls(self, secret: str) -> Message:
        tls = tls_pb2.UpstreamTlsContext()
        wanted = tls.common_tls_context.validation_context_sds_secret_config
        wanted.name = secret
        wanted.sds_config.CopyFrom(self._around.source(SDS, secret))
        return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(tls))

    def _assignment(self, resource: Resource[ClusterLoadAssignment]) -> Message:
        host = "not-an-address" if resource.fault is Fault.BUILD else LOOPBACK
        count = max(1, resource.body.endpoints) if resource.fault is not None else resource.body.endpoints
        built = _assignment(resource.name, [(host, self._around.endpoint_port(resource.name))] * count)
        for locality in built.endpoints:
            for endpoint in locality.lb_endpoints:
                endpoint.load_balancing_weight.value = resource.revision
        if resource.fault is Fault.DECODE:
            built.endpoints[0].priority = 200
        return built

    # --- LDS, RDS, SRDS

    def _listener(self, resource: Resource[Listener]) -> Message:
        body = resource.body
        manager = hcm.HttpConnectionManager(stat_prefix=f"in{body.filter_chains}")
        if body.inline_route is not None:
            manager.route_config.CopyFrom(_route_table("inline", body.inline_route, 1))
        elif body.scopes:
            self._scoped(manager, resource.name)
        else:
            manager.rds.route_config_name = body.route_name
            manager.rds.config_source.CopyFrom(self._around.source(RDS, body.route_name or ""))
        for name in body.filters:
            self._discovered_filter(manager, name)
        router = manager.http_filters.add(name="envoy.filters.http.router")
        router.typed_config.Pack(router_pb2.Router())
        if resource.fault is Fault.BUILD:
            manager.stat_prefix = ""
        built = listener_pb2.Listener(
            name=resource.name,
            address=address(LOOPBACK, self._around.listener_port(resource.name)),
            filter_chains=[
                listener_components_pb2.FilterChain(
                    filters=[
                        listener_components_pb2.Filter(
                            name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
                        )
                    ]
                )
            ],
        )
        built.per_connection_buffer_limit_bytes.value = 65536 + body.edition
        if resource.fault is Fault.DECODE:
            built.filter_chains[0].filters[0].name = ""
        return built

    def _scoped(self, manager: Message, listener: str) -> None:
        scoped = manager.scoped_routes
        scoped.name = f"{listener}-scopes"
        fragment = scoped.scope_key_builder.fragments.add()
        fragment.header_value_extractor.name = "x-scope"
        fragment.header_value_extractor.index = 0
        scoped.rds_config_source.CopyFrom(self._around.source(RDS, ""))
        scoped.scoped_rds.scoped_rds_config_source.CopyFrom(self._around.source(SRDS, ""))

    def _discovered_filter(self, manager: Message, name: str) -> None:
        discovered = manager.http_filters.add(name=name).config_discovery
        discovered.config_source.CopyFrom(self._around.source(ECDS, name))
        discovered.type_urls.append("type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer")

    def _route(self, resource: Resource[RouteConfiguration]) -> Message:
        built = _route_table(resource.name, resource.body, resource.revision)
        if resource.fault is Fault.DECODE:
            del built.virtual_hosts[0].domains[:]
        elif resource.fault is Fault.BUILD:
            built.virtual_hosts.append(_virtual_host("twice", ["*"], resource.body.cluster))
        return built

    def _scope(self, resource: Resource[ScopedRouteConfiguration]) -> Message:
        built = scoped_route_pb2.ScopedRouteConfiguration(
            name=resource.name, route_configuration_name=resource.body.route_name
        )
        key = resource.name if resource.revision == 1 else f"{resource.name}.{resource.revision}"
        built.key.fragments.add(string_key=key)
        if resource.fault is not None:
            built.ClearField("key")
        return built


def _assignment(name: str, endpoints: list[tuple[str, int]]) -> Message:
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            endpoint_components_pb2.LocalityLbEndpoints(
                lb_endpoints=[
                    endpoint_components_pb2.LbEndpoint(
                        endpoint=endpoint_components_pb2.Endpoint(address=address(host, port))
                    )
                    for host, port in endpoints
                ]
            )
        ],
    )


def _health_check(check: HealthCheck) -> Message:
    built = health_check_pb2.HealthCheck(
        timeout=duration(check.timeout_ns), interval=duration(_CHECK_INTERVAL_NS)
    )
    built.unhealthy_threshold.value = built.healthy_threshold.value = 2
    built.http_health_check.path = HEALTH_PATH
    return built


def _source_nobody_serves() -> Message:
    source = config_source_pb2.ConfigSource(resource_api_version=config_source_pb2.ApiVersion.V3)
    api = source.api_config_source
    api.api_type = config_source_pb2.ApiConfigSource.GRPC
    api.transport_api_version = config_source_pb2.ApiVersion.V3
    api.grpc_services.add().envoy_grpc.cluster_name = _UNKNOWN_CLUSTER
    return source


def _virtual_host(name: str, domains: list[str], cluster: str) -> Message:
    match = route_components_pb2.RouteMatch(prefix="/")
    action = route_components_pb2.RouteAction(cluster=cluster, timeout=duration(0))  # Envoy's own is 15 s.
    route = route_components_pb2.Route(match=match, route=action)
    return route_components_pb2.VirtualHost(name=name, domains=domains, routes=[route])


def _route_table(name: str, body: RouteConfiguration, revision: int) -> Message:
    hosts = [_virtual_host(f"v{revision}", ["*"], body.cluster)]
    hosts += [
        _virtual_host(f"x{i}", [f"h{i}.example.com"], body.cluster) for i in range(1, body.virtual_hosts)
    ]
    return route_pb2.RouteConfiguration(name=name, virtual_hosts=hosts)


def _secret(resource: Resource[Any]) -> Message:
    built = secret_pb2.Secret(name=resource.name)
    context = built.validation_context
    context.max_verify_depth.value = resource.revision
    if resource.fault is Fault.DECODE:
        context.trusted_ca.filename = ""
    elif resource.fault is Fault.BUILD:
        context.trusted_ca.inline_string = "no certificate"
    return built


def _extension(resource: Resource[Any]) -> Message:
    filter_ = buffer_pb2.Buffer()
    filter_.max_request_bytes.value = 0 if resource.fault is not None else 1000 + resource.revision
    return extension_pb2.TypedExtensionConfig(name=resource.name, typed_config=packed(filter_))


def _runtime(resource: Resource[Any]) -> Message:
    built = rtds_pb2.Runtime(name="" if resource.fault is not None else resource.name)
    flags = resource.body.values if isinstance(resource.body, RuntimeFields) else ()
    built.layer.update({"xdsim.revision": resource.revision, **{key: share(value) for key, value in flags}})
    return built


def share(value: float) -> dict[str, Any]:
    """A share from 0 to 1 as a FractionalPercent of a runtime layer."""
    return {"numerator": round(value * 1_000_000), "denominator": "MILLION"}


def numerator_of(told: str) -> int | None:
    """The share in millionths, by what ``/runtime`` says of it: as it was posted to the admin endpoint, or as
    the text of a Struct that RTDS brought."""
    found = _NUMERATOR.search(told)
    return None if found is None else int(found[1])


_NUMERATOR: Final = re.compile(r'"numerator"(?:: |:|\s+value \{\s+number_value: )(\d+)')
