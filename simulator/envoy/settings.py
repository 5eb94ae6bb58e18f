"""What one Envoy is told by its bootstrap and command line. Frozen; shared by all Envoys of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.calibration.costs import Law
from simulator.wire.backoff import BackoffSettings
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names, Resources


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """``rate_limit_settings`` of a gRPC config source: a bucket and the interval in which one token
    arrives."""

    max_tokens: int
    fill_interval_ns: int


@dataclass(frozen=True, slots=True)
class RuntimeLayerSettings:
    """One layer of the runtime.

    Attributes:
        name: Of the layer.
        rtds_name: Of its resource, where it is fetched by RTDS.
        values: What a static layer holds: shares from 0 to 1, by key.
    """

    name: str
    rtds_name: str | None = None
    values: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EnvoySettings:
    """Bootstrap and command line.

    Attributes:
        has_xds: CDS and LDS are configured; otherwise the bootstrap is static.
        readiness_needs: Types that must have been accepted once besides the server being live: CDS and LDS
            for the istio-agent, and its name table.
        initial_fetch_timeout_ns: By type name; 0 waits for ever.
        static_clusters: Clusters in the bootstrap.
        static_listeners: Listeners in the bootstrap.
        rtds_layers: Names of the RTDS layers.
        runtime_layers: All layers of the runtime, the later over the earlier ones.
        agent_secrets: Secrets that the istio-agent serves: Istio gives them no fetch timeout.
        drain_time_ns: ``--drain-time-s``.
        parent_shutdown_ns: ``--parent-shutdown-time-s``.
        drain_is_gradual: ``--drain-strategy gradual``.
        eds_cache: A cluster whose EDS is not re-sent uses the cached assignment when its fetch times out
        (ADS only).
        stats_flush_interval_ns: ``stats_flush_interval``; 0 for none.
        concurrency: Workers.
        backoff: Reconnect back-off of xDS streams.
        rate_limit: None without ``rate_limit_settings``.
        removal_order: Clusters in the order of Envoy's hash map (`lab.removal_order`).
        costs: Cost key to law (see the calibration file).
    """

    has_xds: bool
    readiness_needs: tuple[str, ...]
    initial_fetch_timeout_ns: Mapping[str, int]
    costs: Mapping[str, Law]
    backoff: BackoffSettings
    static_clusters: Resources = NO_RESOURCES
    static_listeners: Resources = NO_RESOURCES
    rtds_layers: Names = NO_NAMES
    runtime_layers: tuple[RuntimeLayerSettings, ...] = ()
    agent_secrets: Names = NO_NAMES
    drain_time_ns: int = 600 * 10**9
    parent_shutdown_ns: int = 900 * 10**9
    drain_is_gradual: bool = True
    eds_cache: bool = True
    stats_flush_interval_ns: int = 5 * 10**9
    concurrency: int = 1
    rate_limit: RateLimitSettings | None = None
    removal_order: Names = NO_NAMES
