"""Settings of istiod, stage by stage, with what its version decides filled in."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.control_plane.istiod.debounce import DebounceSettings
from simulator.control_plane.istiod.registry import RegistrySettings
from simulator.control_plane.istiod.xds_cache import CacheSettings
from simulator.engine.clock import S


@dataclass(frozen=True, slots=True)
class IstiodSettings:
    """One istiod.

    Attributes:
        version: As ``pilot_xds`` labels it.
        procs: GOMAXPROCS: CPU cores its jobs share.
        debounce: PILOT_DEBOUNCE_*.
        registry: The queue of the service registry.
        cache: The XDS caches.
        push_throttle: PILOT_PUSH_THROTTLE, resolved.
        requests_per_second: PILOT_MAX_REQUESTS_PER_SECOND, resolved; None where there is no limit.
        max_connection_age_ns: ``--keepaliveMaxServerConnectionAge``; None for infinity.
        max_connection_age_grace_ns: MaxServerConnectionAgeGrace.
        is_lazy: Sidecar scopes are computed when a proxy first needs them (ENABLE_LAZY_SIDECAR_EVALUATION, or
            the version's way with namespaces that have no Sidecar resource), not with every PushContext.
        endpoints_build_context: An endpoint-only push has a PushContext of its own (from 1.31).
        sends_unhealthy: PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS.
        flow_control_timeout_ns: PILOT_FLOW_CONTROL_TIMEOUT; 0 where PILOT_ENABLE_FLOW_CONTROL is off.
        send_timeout_ns: PILOT_XDS_SEND_TIMEOUT; 0 for none.
        has_free_gate: No push begins while another is being built (from 1.3).
        pushes_in_full: Everything but endpoints is pushed to everybody, in all types (before istiod).
        client_qps: ``--kubernetesApiQPS``, of TokenReviews.
        client_burst: ``--kubernetesApiBurst``.
    """

    version: str = "1.32"
    procs: int = 2
    debounce: DebounceSettings = field(default_factory=DebounceSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    push_throttle: int = 25
    requests_per_second: float | None = 25
    max_connection_age_ns: int | None = 1800 * S
    max_connection_age_grace_ns: int = 10 * S
    is_lazy: bool = True
    endpoints_build_context: bool = True
    sends_unhealthy: bool = True
    flow_control_timeout_ns: int = 0
    send_timeout_ns: int = 0
    has_free_gate: bool = True
    pushes_in_full: bool = False
    client_qps: float = 80
    client_burst: int = 160
