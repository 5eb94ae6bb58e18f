"""Section `propagation`: how configuration travels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from simulator.engine.clock import MS, S
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import PositiveDurationNs
from simulator.scenario.problems import refusal
from simulator.scenario.quantities import Choice, OrNone, Whole
from simulator.scenario.settings import FORMAT, Settings, setting


class Backoff(Settings):
    """Full-jitter exponential back-off between attempts to connect."""

    base: PositiveDurationNs = setting(
        "Bound of the first wait; it doubles from one attempt to the next",
        500 * MS,
        stands_for="RetryPolicy.retry_back_off.base_interval",
        source="envoy/config/subscription_factory.h (500 ms); measured rule D2",
    )
    max: PositiveDurationNs = setting(
        "Largest bound",
        30 * S,
        stands_for="RetryPolicy.retry_back_off.max_interval",
        source="envoy/config/subscription_factory.h (30000 ms); measured rule D2",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Backoff:
        if self.max < self.base:
            raise refusal("must not be shorter than base", "max")
        return self


class Server(Settings):
    """The server that polls meet."""

    concurrency: Annotated[int, Whole(1, 1_000_000)] = setting(
        "Polls served at the same time; at most control_plane.cpu of them unless service_time is given",
        100,
        stands_for="worker threads of a REST management server",
        assumption="no published value; 100 is Istio's push throttle of 1.3 to 1.20",
    )
    service_time: Annotated[DelayField | None, OrNone()] = setting(
        "Time one poll occupies the server; absent = what the answer costs istiod to generate and to send, "
        "for a 304 what the request costs",
        None,
        stands_for="the REST management server's turnaround",
        source="the calibration file of istiod: costs.request, generate, marshal",
    )


class Propagation(Settings):
    """The way configuration takes from the control plane to Envoy."""

    strategy: Annotated[
        Literal["push", "poll", "long-poll", "file"], Choice(("push", "poll", "long-poll", "file"))
    ] = setting(
        "push: gRPC streams; poll: REST; long-poll: requests held until a change; file: watched files",
        "push",
        stands_for="ConfigSource: ads or api_config_source GRPC, REST, or path_config_source",
        source="Istio serves ADS (bootstrap cds_config.ads)",
    )
    protocol: Annotated[Literal["delta", "sotw"], Choice(("delta", "sotw"))] = setting(
        "State of the world or delta; matters to push only",
        "delta",
        stands_for="ApiConfigSource.api_type GRPC or DELTA_GRPC; ISTIO_DELTA_XDS",
        source="ISTIO_DELTA_XDS is true since Istio 1.22",
    )
    streams: Annotated[Literal["ads", "separate"], Choice(("ads", "separate"))] = setting(
        "One aggregated stream or one per subscription; matters to push only",
        "ads",
        stands_for="ConfigSource.ads or api_config_source",
        source="Istio bootstrap: ads_config",
    )
    refresh_delay: PositiveDurationNs = setting(
        "Poll: the next request follows refresh_delay x U[1, 2) after an answer",
        30 * S,
        stands_for="ApiConfigSource.refresh_delay",
        assumption="Envoy requires a value and has no default; 30s, as Envoy's v1 examples had it",
    )
    request_timeout: PositiveDurationNs = setting(
        "Poll: how long one request may take; long-poll: how long beyond wait x 17/16",
        1 * S,
        stands_for="ApiConfigSource.request_timeout",
        source="source/common/config/utility.cc:apiConfigSourceRequestTimeout (1000 ms)",
    )
    wait: PositiveDurationNs = setting(
        "Long-poll: how long a request is held when nothing changes; the next one follows at once",
        60 * S,
        stands_for="the wait parameter of Consul's blocking queries; Envoy has no such client",
        assumption="one minute; Consul's own default is five (developer.hashicorp.com/consul/api-docs)",
    )
    sync_period: PositiveDurationNs = setting(
        "File: how often a kubelet looks after the volumes of a pod",
        60 * S,
        stands_for="syncFrequency of the kubelet",
        source="KubeletConfiguration v1beta1 syncFrequency (1m)",
    )
    backoff: Backoff = setting(
        "Waits between attempts to connect a stream",
        Backoff(),
        stands_for="RetryPolicy.retry_back_off",
        source="envoy/config/subscription_factory.h; measured rule D2",
    )
    watch: Annotated[Literal["path", "directory"], Choice(("path", "directory"))] = setting(
        "File, scripted: watch each file (replaced by renaming), or a directory (swapped by symbolic link)",
        "path",
        stands_for="PathConfigSource.path or watched_directory",
        source="watched_directory is optional (config_source.proto); measured rule F1",
    )
    server: Server = setting(
        "Poll: the server", Server(), stands_for="the REST management server", source=FORMAT
    )
