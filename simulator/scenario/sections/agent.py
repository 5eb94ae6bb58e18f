"""Section `agent`: the istio-agent in each pod, and the kubelet beside it."""

from __future__ import annotations

from typing import Annotated, Literal

from simulator.engine.clock import MS, US, S
from simulator.engine.delays import Constant
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import DurationNs, PositiveDurationNs
from simulator.scenario.kubernetes_quantities import Bytes, ProbabilityField
from simulator.scenario.quantities import Flag, Switch, Whole
from simulator.scenario.sections.certificates import Certificates
from simulator.scenario.settings import Settings, setting

_CHART = "manifests/charts/istio-control/istio-discovery (values.yaml, files/injection-template.yaml)"
_WASM = "pkg/wasm/options.go, httpfetcher.go"
_HOUR = 3600 * S


class AgentProbe(Settings):
    """A probe of the proxy's container."""

    enabled: Switch = setting(
        "Whether the container has it",
        True,
        stands_for="the probe in the injected container",
        source=f"{_CHART}; the startup probe since Istio 1.20",
    )
    period: PositiveDurationNs = setting(
        "Time between probes; startup 1s, readiness 15s (2s before Istio 1.20)",
        1 * S,
        stands_for="periodSeconds",
        source=_CHART,
    )
    initial_delay: DurationNs = setting(
        "Wait before the first; 1s for readiness before Istio 1.20",
        0,
        stands_for="initialDelaySeconds",
        source=_CHART,
    )
    failure_threshold: Annotated[int, Whole(1, 1_000_000)] = setting(
        "Failures in a row that count; startup 600, readiness 4 (30 before Istio 1.20)",
        600,
        stands_for="failureThreshold",
        source=_CHART,
    )


class Wasm(Settings):
    """How the agent fetches Wasm modules before it hands their filters (ECDS) to Envoy."""

    fetch: DelayField = setting(
        "Time one download takes",
        Constant(500 * MS),
        stands_for="the registry of the modules",
        assumption="up to the registry; half a second for some megabytes within a cloud region",
    )
    failure_rate: ProbabilityField = setting(
        "Share of downloads that fail",
        0.0,
        stands_for="errors of the registry",
        assumption="a registry at work",
    )
    request_timeout: PositiveDurationNs = setting(
        "How long one download may take", 15 * S, stands_for="--wasm-http-request-timeout", source=_WASM
    )
    max_retries: Annotated[int, Whole(1, 1000)] = setting(
        "Downloads tried, the first included", 5, stands_for="--wasm-http-request-max-retries", source=_WASM
    )
    fetch_timeout: PositiveDurationNs = setting(
        "How long all tries together may take",
        30 * S,
        stands_for="http_uri.timeout of the filter's module",
        source="pilot/pkg/model/extensions.go (30s)",
    )
    backoff: PositiveDurationNs = setting(
        "First wait between tries; it grows by half, and is spread by half both ways",
        500 * MS,
        stands_for="cenkalti/backoff InitialInterval",
        source="pkg/backoff/exponential.go",
    )
    max_backoff: PositiveDurationNs = setting(
        "Longest wait before it is spread",
        60 * S,
        stands_for="cenkalti/backoff MaxInterval",
        source="pkg/backoff/exponential.go",
    )
    module_expiry: PositiveDurationNs = setting(
        "A module not used for longer leaves the agent's cache",
        24 * _HOUR,
        stands_for="--wasm-module-expiry",
        source=_WASM,
    )
    purge_interval: PositiveDurationNs = setting(
        "How often the cache is looked through", _HOUR, stands_for="--wasm-purge-interval", source=_WASM
    )
    fail_open: Switch = setting(
        "What stands in for a module that cannot be fetched lets everything pass; else it denies everything",
        False,
        stands_for="WasmPlugin failStrategy: FAIL_OPEN",
        source="extensions/v1alpha1 WasmPlugin.failStrategy (FAIL_CLOSE)",
    )


class Agent(Settings):
    """The istio-agent in each pod, and what the kubelet does for the proxy."""

    hop: DelayField = setting(
        "Time a message spends in the agent on its way, either way",
        Constant(100 * US),
        stands_for="pkg/istio-agent/xds_proxy.go",
        assumption="two copies over a unix socket; nothing is published",
    )
    init: DelayField = setting(
        "From a pod's arrival at its node until its proxy container starts, images present",
        Constant(1 * S),
        stands_for="sandbox, network and istio-init",
        assumption="with bootstrap and app_start below the mean pod start of 4.9s (istio/istio#47207)",
    )
    bootstrap: DelayField = setting(
        "From the start of the proxy container until Envoy is executed",
        Constant(300 * MS),
        stands_for="pkg/istio-agent/agent.go:Run",
        assumption="process start and the written bootstrap; nothing is published",
    )
    app_start: DelayField = setting(
        "From the start of the application's containers until they are ready",
        Constant(1 * S),
        stands_for="the application",
        assumption="a small service; rollout and scale_up say their own with ready_after",
    )
    dns_capture: Switch = setting(
        "Whether the agent answers DNS, and is not ready without its name table",
        False,
        stands_for="ISTIO_META_DNS_CAPTURE",
        source="pilot/cmd/pilot-agent/options (false)",
    )
    proxy_config_xds_agent: Switch = setting(
        "Whether the agent subscribes to proxy configuration (PCDS), which istiod leaves unanswered",
        False,
        stands_for="PROXY_CONFIG_XDS_AGENT",
        source="pilot/cmd/pilot-agent/options (false)",
    )
    hold_application_until_proxy_starts: Switch = setting(
        "Whether the application starts only after the proxy is ready",
        False,
        stands_for="holdApplicationUntilProxyStarts",
        source="pkg/config/mesh/mesh.go (false)",
    )
    wait_period: PositiveDurationNs = setting(
        "How often it then asks",
        500 * MS,
        stands_for="pilot-agent wait --periodMillis",
        source="app/wait.go (500)",
    )
    wait_timeout: PositiveDurationNs = setting(
        "When it gives up and lets the application start",
        60 * S,
        stands_for="pilot-agent wait --timeoutSeconds",
        source="app/wait.go (60)",
    )
    startup_probe: AgentProbe = setting(
        "Probe until the proxy is up for the first time",
        AgentProbe(),
        stands_for="global.proxy.startupProbe",
        source=f"{_CHART}: 1s, 600 failures; none before Istio 1.20 (istio/istio#47207)",
    )
    readiness_probe: AgentProbe = setting(
        "Probe that makes the pod Ready",
        AgentProbe.model_validate({"period": "15s", "failure_threshold": 4}),
        stands_for="global.proxy.readinessPeriodSeconds and its kin",
        source=f"{_CHART}: 15s, 4 failures; before Istio 1.20 every 2s after 1s, 30 failures",
    )
    certificates: Certificates = setting(
        "Certificates of the workloads",
        Certificates(),
        stands_for="security/pkg/nodeagent",
        source="security/pkg/nodeagent/cache/secretcache.go",
    )
    wasm: Wasm = setting("Wasm modules", Wasm(), stands_for="pkg/wasm", source=_WASM)
    native_sidecars: Annotated[bool | Literal["auto"], Flag(("auto",))] = setting(
        "Whether the proxy is an init container that outlives the application; auto: from Istio 1.27 on",
        "auto",
        stands_for="ENABLE_NATIVE_SIDECARS",
        source="pilot/pkg/features/pilot.go (auto since 1.27, where Kubernetes has them)",
    )
    termination_drain: DurationNs = setting(
        "How long a deleted pod's proxy goes on when it is no native sidecar",
        5 * S,
        stands_for="proxyConfig.terminationDrainDuration",
        source="pkg/config/mesh/mesh.go (5s)",
    )
    exit_on_zero_active_connections: Switch = setting(
        "Whether it goes on until its connections are gone instead",
        False,
        stands_for="EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
        source="pilot/cmd/pilot-agent/options (false)",
    )
    minimum_drain: DurationNs = setting(
        "How long it then goes on at least",
        5 * S,
        stands_for="MINIMUM_DRAIN_DURATION",
        source="pilot/cmd/pilot-agent/options (5s)",
    )
    buffered_responses: Annotated[int, Whole(0, 1_000_000)] = setting(
        "Responses the agent holds besides the one in hand",
        1,
        stands_for="capacity of responsesChan",
        source="pkg/istio-agent/xds_proxy.go (1)",
    )
    window_bytes: Annotated[int, Bytes()] = setting(
        "HTTP/2 window towards istiod: what may be under way unread",
        2**20,
        stands_for="defaultInitialWindowSize",
        source="pilot/pkg/grpc/grpc.go (1 MiB)",
    )
