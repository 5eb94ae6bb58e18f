"""The bootstrap and command line of an Envoy, as the scenario's section `envoy` describes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from envoy.config.core.v3 import config_source_pb2
from google.protobuf import json_format

from simulator.lab.network import GRPC_CLUSTER, LOOPBACK, REST_CLUSTER
from simulator.lab.protobufs import Builder, Message, duration
from simulator.scenario.schema import Scenario
from simulator.xds.resource_types import CDS, LDS, RTDS, ResourceType
from simulator.xds.resources import Resources

CALLER_HEADER: Final = "x-xdsim-caller"
"""Metadata of every stream: which process of which Envoy of the scenario opened it."""

EPOCH_KEY: Final = "xdsim.epoch"
"""Metadata of the node of a process that was hot restarted."""

_LOGGED: Final = "init:debug,config:debug,upstream:debug,main:debug,runtime:debug"
"""Components whose debug lines are read; the chatty `router` besides where no mux tells what was applied."""

_V3: Final = config_source_pb2.ApiVersion.V3
_API: Final = config_source_pb2.ApiConfigSource
_HTTP2: Final = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@dataclass(frozen=True, slots=True)
class Caller:
    """One process of an Envoy of the scenario.

    Attributes:
        proxy: Which Envoy.
        epoch: Its restart epoch; 0 unless it was hot restarted.
    """

    proxy: int
    epoch: int = 0

    def told(self) -> str:
        """As metadata of a stream."""
        return f"{self.proxy}.{self.epoch}"

    @classmethod
    def of(cls, told: str) -> Caller:
        """From the metadata of a stream."""
        proxy, _, epoch = told.partition(".")
        return cls(int(proxy), int(epoch))


class Sources:
    """The ConfigSources of one process."""

    def __init__(
        self, scenario: Scenario, caller: Caller, file_of: Callable[[ResourceType, str], Path] | None
    ) -> None:
        self._scenario = scenario
        self._caller = caller
        self._file_of = file_of

    def node(self, proxy_name: str) -> dict[str, Any]:
        """Who the process says it is; polls tell nothing else."""
        told = {"id": proxy_name, "cluster": "xdsim"}
        return {**told, "metadata": {EPOCH_KEY: self._caller.epoch}} if self._caller.epoch else told

    def of(self, type_: ResourceType, name: str) -> Message:
        """Where a subscription's configuration comes from; the name is empty for wildcard types."""
        source = config_source_pb2.ConfigSource(resource_api_version=_V3)
        propagation = self._scenario.propagation
        if propagation.strategy == "file" and self._file_of is not None:
            path = self._file_of(type_, name)
            source.path_config_source.path = str(path)
            if propagation.watch == "directory":
                source.path_config_source.watched_directory.path = str(path.parent.parent)
        elif propagation.strategy == "poll":
            source.api_config_source.CopyFrom(self._rest())
        elif propagation.streams == "ads":
            source.ads.SetInParent()
        else:
            source.api_config_source.CopyFrom(self.grpc())
        source.initial_fetch_timeout.CopyFrom(duration(self._scenario.envoy.fetch_timeout_ns(type_.name)))
        return source

    def grpc(self) -> Message:
        """The gRPC service, state-of-the-world or delta."""
        scenario = self._scenario
        api = _API(
            api_type=_API.DELTA_GRPC if scenario.propagation.protocol == "delta" else _API.GRPC,
            transport_api_version=_V3,
        )
        service = api.grpc_services.add()
        service.envoy_grpc.cluster_name = GRPC_CLUSTER
        service.initial_metadata.add(key=CALLER_HEADER, value=self._caller.told())
        back_off = scenario.propagation.backoff
        service.envoy_grpc.retry_policy.retry_back_off.base_interval.CopyFrom(duration(back_off.base))
        service.envoy_grpc.retry_policy.retry_back_off.max_interval.CopyFrom(duration(back_off.max))
        limit = scenario.envoy.rate_limit
        if limit is not None:
            api.rate_limit_settings.max_tokens.value = limit.max_tokens
            api.rate_limit_settings.fill_rate.value = limit.fill_rate.count * 1e9 / limit.fill_rate.per_ns
        return api

    def _rest(self) -> Message:
        propagation = self._scenario.propagation
        return _API(
            api_type=_API.REST,
            transport_api_version=_V3,
            cluster_names=[REST_CLUSTER],
            refresh_delay=duration(propagation.refresh_delay),
            request_timeout=duration(propagation.request_timeout),
        )


@dataclass(frozen=True, slots=True)
class ServerPorts:
    """Where the control plane listens."""

    grpc: int
    rest: int


def bootstrap(
    scenario: Scenario,
    proxy_name: str,
    admin_port: int,
    servers: ServerPorts,
    sources: Sources,
    build: Builder,
    static: tuple[Resources, Resources],
) -> dict[str, Any]:
    """The bootstrap of one Envoy, as JSON.

    Args:
        scenario: What to play.
        proxy_name: Node id.
        admin_port: Where the admin endpoint listens.
        servers: Where the control plane listens.
        sources: The ConfigSources of this Envoy.
        build: Builds its protobufs.
        static: Its static clusters and listeners.
    """
    clusters, listeners = static
    strategy = scenario.propagation.strategy
    has_xds = scenario.control_plane.kind != "none"
    written: dict[str, Any] = {
        "node": sources.node(proxy_name),
        "admin": {"address": {"socket_address": {"address": LOOPBACK, "port_value": admin_port}}},
        "static_resources": {
            "clusters": [_plain(build.message(CDS, cluster)) for cluster in clusters],
            "listeners": [_plain(build.message(LDS, listener)) for listener in listeners],
        },
        "stats_flush_interval": _plain_duration(scenario.envoy.stats_flush_interval),
    }
    if has_xds:
        written["static_resources"]["clusters"] += _management_clusters(strategy, servers)
        written["dynamic_resources"] = {
            "cds_config": _plain(sources.of(CDS, "")),
            "lds_config": _plain(sources.of(LDS, "")),
        }
        if strategy == "push" and scenario.propagation.streams == "ads":
            written["dynamic_resources"]["ads_config"] = _plain(sources.grpc())
    layers = [_layer(layer, sources) for layer in scenario.envoy.runtime_layers]
    if layers:
        written["layered_runtime"] = {"layers": layers}
    return written


@dataclass(frozen=True, slots=True)
class HotRestartable:
    """What the processes of one hot restarted Envoy have in common, and which of them this is.

    Attributes:
        base_id: Of the shared memory and the sockets over which they talk.
        epoch: 0 for the first.
    """

    base_id: int
    epoch: int

    @property
    def shared_memory(self) -> str:
        """Name of the shared memory, which no Envoy removes (source/server/hot_restart_impl.cc)."""
        return f"envoy_shared_memory_{self.base_id * 10}"


def command(
    binary: Path, configuration: Path, scenario: Scenario, restartable: HotRestartable | None = None
) -> list[str]:
    """The command line of one Envoy."""
    envoy = scenario.envoy
    told = ["--disable-hot-restart"]
    if restartable is not None:
        told = ["--base-id", str(restartable.base_id), "--restart-epoch", str(restartable.epoch)]
        told += ["--parent-shutdown-time-s", str(envoy.parent_shutdown_time // 10**9)]
    return [
        str(binary),
        "--config-path",
        str(configuration),
        "--concurrency",
        str(envoy.concurrency),
        *told,
        "--drain-time-s",
        str(envoy.drain_time // 10**9),
        "--drain-strategy",
        envoy.drain_strategy,
        "--log-level",
        "info",
        "--component-log-level",
        _LOGGED if scenario.propagation.strategy == "push" else f"{_LOGGED},router:debug",
        "--log-format",
        "%E.%f|%l|%n|%v",
    ]


def write(bootstrap_: dict[str, Any], path: Path) -> Path:
    """Writes the bootstrap where an Envoy will read it."""
    path.write_text(json.dumps(bootstrap_, indent=1), encoding="utf-8")
    return path


def _management_clusters(strategy: str, servers: ServerPorts) -> list[dict[str, Any]]:
    if strategy == "push":
        return [
            {**_management(GRPC_CLUSTER, servers.grpc), "typed_extension_protocol_options": _HTTP2},
        ]
    return [_management(REST_CLUSTER, servers.rest)] if strategy == "poll" else []


def _management(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": LOOPBACK, "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _layer(layer: Any, sources: Sources) -> dict[str, Any]:
    if layer.rtds_layer is not None:
        name = layer.rtds_layer.name
        fetched = {"name": name, "rtds_config": _plain(sources.of(RTDS, name))}
        return {"name": layer.name, "rtds_layer": fetched}
    written: dict[str, Any] = layer.model_dump(mode="json")
    return written


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return plain


def _plain_duration(ns: int) -> str:
    return f"{ns // 10**9}.{ns % 10**9:09d}s"
