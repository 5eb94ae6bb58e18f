"""Parts of section `control_plane` that only istiod has."""

from __future__ import annotations

from typing import Annotated, Literal

from simulator.engine.clock import MS, S
from simulator.scenario.durations import DurationNs, PositiveDurationNs
from simulator.scenario.kubernetes_quantities import Auto, Number, ProbabilityField
from simulator.scenario.quantities import Flag, Switch, Whole
from simulator.scenario.settings import Settings, setting

AutoSwitch = Annotated[bool | Literal["auto"], Flag(("auto",))]

_CACHES = "pilot/pkg/features/xds.go, tuning.go; model/xds_cache.go"


class Debounce(Settings):
    """How long changes are gathered before they are pushed together."""

    after: DurationNs = setting(
        "Quiet time after which a batch is pushed",
        100 * MS,
        stands_for="PILOT_DEBOUNCE_AFTER",
        source="pilot/pkg/features/tuning.go (100ms since Istio 1.1)",
    )
    max: DurationNs = setting(
        "Age at which a batch is pushed although it is not quiet, once the timer fires or a push ends",
        10 * S,
        stands_for="PILOT_DEBOUNCE_MAX",
        source="pilot/pkg/features/tuning.go (10s since Istio 1.1)",
    )
    endpoints: Switch = setting(
        "Whether changes of endpoints are gathered as well; false: each is pushed at once",
        True,
        stands_for="PILOT_ENABLE_EDS_DEBOUNCE",
        source="pilot/pkg/features/tuning.go (true)",
    )


class Keepalive(Settings):
    """Pings on the connections to the proxies, by which a silently dead peer is noticed."""

    interval: PositiveDurationNs = setting(
        "Idle time before a ping",
        30 * S,
        stands_for="GRPC_KEEPALIVE_INTERVAL",
        source="pkg/keepalive/options.go (30s)",
    )
    timeout: PositiveDurationNs = setting(
        "Wait for the answer before the connection is closed",
        10 * S,
        stands_for="GRPC_KEEPALIVE_TIMEOUT",
        source="pkg/keepalive/options.go (10s)",
    )


class KubernetesClient(Settings):
    """The rate limit of istiod's calls to the API server: a TokenReview for each new stream and each CSR."""

    qps: Annotated[float, Number(1e9)] = setting(
        "Calls a second, over time",
        80.0,
        stands_for="--kubernetesApiQPS",
        source="pilot/cmd/pilot-discovery/app/cmd.go (80)",
    )
    burst: Annotated[int, Whole(1, 10**9)] = setting(
        "Calls that need not wait after a pause",
        160,
        stands_for="--kubernetesApiBurst",
        source="pilot/cmd/pilot-discovery/app/cmd.go (160)",
    )


class Cache(Settings):
    """The caches of generated resources; LDS, NDS and ECDS have none."""

    size: Annotated[int | Literal["auto"], Auto(Whole(0, 10**9))] = setting(
        "Entries of each cache; auto: 60000, up to Istio 1.10 20000",
        "auto",
        stands_for="PILOT_XDS_CACHE_SIZE",
        source="pilot/pkg/features/tuning.go at 1.10 and 1.32",
    )
    cds: AutoSwitch = setting(
        "Whether clusters are cached; auto: from Istio 1.12 on",
        "auto",
        stands_for="PILOT_ENABLE_CDS_CACHE",
        source=f"{_CACHES}; false at 1.11.8, true at 1.12.9 (istio/istio#33338)",
    )
    eds: Switch = setting(
        "Whether assignments are cached",
        True,
        stands_for="PILOT_ENABLE_XDS_CACHE",
        source=f"{_CACHES}; since Istio 1.8 (istio/istio#26024)",
    )
    rds: Switch = setting(
        "Whether route configurations are cached", True, stands_for="PILOT_ENABLE_RDS_CACHE", source=_CACHES
    )
    sds: Switch = setting(
        "Whether secrets are cached", True, stands_for="PILOT_ENABLE_XDS_CACHE", source=_CACHES
    )


class Registry(Settings):
    """The queue through which Services, EndpointSlices and Pods reach istiod: one worker for a cluster."""

    retry: DurationNs = setting(
        "When a failed task is queued again",
        1 * S,
        stands_for="the delay in pkg/queue/instance.go",
        source="pkg/queue/instance.go (1s, fixed)",
    )
    failure_rate: ProbabilityField = setting(
        "Share of tasks that fail",
        0.0,
        stands_for="errors of the handlers in serviceregistry/kube/controller",
        assumption="tasks fail where the informer's cache and the API server disagree: not modelled",
    )


class ReadinessProbe(Settings):
    """How Kubernetes finds out that a replica is ready and begins to send it connections."""

    initial_delay: DurationNs = setting(
        "Wait before the first probe",
        1 * S,
        stands_for="readinessProbe.initialDelaySeconds of istiod",
        source="istio-discovery chart, templates/deployment.yaml (1)",
    )
    period: PositiveDurationNs = setting(
        "Time between probes",
        3 * S,
        stands_for="readinessProbe.periodSeconds of istiod",
        source="istio-discovery chart, templates/deployment.yaml (3)",
    )
