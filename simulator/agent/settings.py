"""What one istio-agent, and the kubelet beside it, is told. Frozen; shared by all pods of a scenario.

Defaults are those of Istio 1.32 (manifests/charts, files/injection-template.yaml, pilot/cmd/pilot-agent/
options, pkg/wasm/options.go) unless they are said to be assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.engine.clock import MS, US, S
from simulator.engine.delays import Constant, Delay

_HOUR = 3600 * S

# Nobody has published these; orders of magnitude, to be measured where they matter.
_HOP = Constant(100 * US)
_INIT = Constant(S)
_BOOTSTRAP = Constant(300 * MS)
_APP_START = Constant(S)
_FETCH = Constant(500 * MS)


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """A probe of the kubelet.

    Attributes:
        period_ns: ``periodSeconds``.
        failure_threshold: ``failureThreshold``: so many failures in a row count.
        initial_delay_ns: ``initialDelaySeconds``, from the start of the container.
        enabled: Whether the container has the probe.
    """

    period_ns: int
    failure_threshold: int
    initial_delay_ns: int = 0
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class WasmSettings:
    """How the agent fetches Wasm modules (pkg/wasm/options.go, httpfetcher.go, cache.go).

    Attributes:
        fetch: Time one download takes (assumption: nothing is published; it is up to the registry).
        failure_rate: Share of downloads that the registry answers with an error.
        request_timeout_ns: ``--wasm-http-request-timeout``, for one download.
        max_retries: ``--wasm-http-request-max-retries``: downloads tried, the first included.
        fetch_timeout_ns: For all tries together: the ``http_uri.timeout`` that istiod writes
            (pilot/pkg/model/extensions.go).
        backoff_ns: First wait between tries; it grows by half, and each wait is spread by half both ways
            (cenkalti/backoff).
        max_backoff_ns: Longest wait before it is spread.
        module_expiry_ns: ``--wasm-module-expiry``: a module not used for longer is purged.
        purge_interval_ns: ``--wasm-purge-interval``.
        fail_open: ``failStrategy: FAIL_OPEN`` of the WasmPlugin: what stands in for a module that cannot be
            fetched lets everything pass, else it denies everything.
    """

    fetch: Delay = _FETCH
    failure_rate: float = 0.0
    request_timeout_ns: int = 15 * S
    max_retries: int = 5
    fetch_timeout_ns: int = 30 * S
    backoff_ns: int = 500 * MS
    max_backoff_ns: int = 60 * S
    module_expiry_ns: int = 24 * _HOUR
    purge_interval_ns: int = _HOUR
    fail_open: bool = False


@dataclass(frozen=True, slots=True)
class TerminationSettings:
    """How the proxy of a deleted pod ends (pkg/envoy/agent.go).

    Attributes:
        native_sidecars: ``ENABLE_NATIVE_SIDECARS``: the proxy is a restartable init container.
        termination_drain_ns: ``terminationDrainDuration``.
        exit_on_zero_active_connections: ``EXIT_ON_ZERO_ACTIVE_CONNECTIONS``.
        minimum_drain_ns: ``MINIMUM_DRAIN_DURATION``.
    """

    native_sidecars: bool = False
    termination_drain_ns: int = 5 * S
    exit_on_zero_active_connections: bool = False
    minimum_drain_ns: int = 5 * S


STARTUP_PROBE = ProbeSettings(period_ns=S, failure_threshold=600)
READINESS_PROBE = ProbeSettings(period_ns=15 * S, failure_threshold=4)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent.

    Attributes:
        hop: Time a message spends in the agent on its way through, either way (assumption).
        init: From a pod's arrival at its node until the proxy's container starts: sandbox, istio-init, images
            present (assumption).
        bootstrap: From the start of the proxy's container until Envoy is executed (assumption).
        app_start: From the start of the application's containers until they are ready (assumption).
        dns_capture: ``ISTIO_META_DNS_CAPTURE``: the agent subscribes to the name table (NDS) and is not ready
            without it.
        proxy_config_xds_agent: ``PROXY_CONFIG_XDS_AGENT``: the agent subscribes to PCDS.
        hold_application_until_proxy_starts: ``holdApplicationUntilProxyStarts``.
        wait_period_ns: How often ``pilot-agent wait`` asks (pilot/cmd/pilot-agent/app/wait.go).
        wait_timeout_ns: When it gives up.
        startup_probe: Of the proxy's container.
        readiness_probe: Of the proxy's container.
        wasm: How Wasm modules are fetched.
        termination: How the proxy ends.
        buffered_responses: Responses held besides the one in hand (pkg/istio-agent/xds_proxy.go:
            ``responsesChan``).
        window_bytes: HTTP/2 window of the stream towards istiod (pilot/pkg/grpc/grpc.go:
            ``defaultInitialWindowSize``).
    """

    hop: Delay = _HOP
    init: Delay = _INIT
    bootstrap: Delay = _BOOTSTRAP
    app_start: Delay = _APP_START
    dns_capture: bool = False
    proxy_config_xds_agent: bool = False
    hold_application_until_proxy_starts: bool = False
    wait_period_ns: int = 500 * MS
    wait_timeout_ns: int = 60 * S
    startup_probe: ProbeSettings = STARTUP_PROBE
    readiness_probe: ProbeSettings = READINESS_PROBE
    wasm: WasmSettings = WasmSettings()
    termination: TerminationSettings = TerminationSettings()
    buffered_responses: int = 1
    window_bytes: int = 2**20


def native_sidecars_by_default(version: str) -> bool:
    """What ``ENABLE_NATIVE_SIDECARS: auto`` means for that Istio: on since 1.27, where Kubernetes has them
    (assumed)."""
    return _numbers(version) >= (1, 27)


def startup_probe_by_default(version: str) -> ProbeSettings:
    """The proxy's startup probe that this Istio injects: none before 1.20 (istio/istio#47207)."""
    if _numbers(version) >= (1, 20):
        return STARTUP_PROBE
    return ProbeSettings(STARTUP_PROBE.period_ns, STARTUP_PROBE.failure_threshold, enabled=False)


def readiness_probe_by_default(version: str) -> ProbeSettings:
    """The proxy's readiness probe that this Istio injects: more often where nothing probes the start."""
    if _numbers(version) >= (1, 20):
        return READINESS_PROBE
    return ProbeSettings(period_ns=2 * S, failure_threshold=30, initial_delay_ns=S)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def certificate_jitter_by_default(version: str) -> float:
    """How much the renewal of certificates varies in that Istio: not at all before 1.24 (2024-07)."""
    return 0.01 if _numbers(version) >= (1, 24) else 0.0
