"""What a version of istiod, or of Pilot before it, does: every dated behaviour as rows of (first version,
value).

Values were read at the release tags; a row holds from its version up to the next row's. Where nothing is said
of the versions before 1.10 they are taken to do what 1.10 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from simulator.engine.clock import S

Value = TypeVar("Value")

OLDEST, NEWEST = 0, 32
SUPPORTED = tuple(f"1.{minor}" for minor in range(OLDEST, NEWEST + 1))
"""The versions there are rows for."""
FIRST_ISTIOD = 5
"""1.5: Pilot, Galley, Citadel and the injector became one process; before, they were apart."""


def auto_limit(processors: int) -> int:
    """min(15 + 5 x GOMAXPROCS, 100).

    Source: pilot/pkg/features/tuning.go:PushThrottle, RequestLimit.
    """
    return min(15 + 5 * processors, 100)


@dataclass(frozen=True, slots=True)
class Dated(Generic[Value]):
    """One behaviour through the versions.

    Attributes:
        rows: (minor version it holds from, value), the oldest first.
        source: Where the values were read.
    """

    rows: tuple[tuple[int, Value], ...]
    source: str

    def at(self, minor: int) -> Value:
        """The value in version 1.``minor``."""
        return [value for since, value in self.rows if since <= minor][-1]


AUTO = -1
"""A limit that follows the processors."""
_OFF = 0

PUSH_ENGINE = Dated(
    ((OLDEST, "rated loop"), (1, "patient loop"), (3, "queue")),
    "pilot/pkg/proxy/envoy/v2 at 1.0.9 and 1.1.17; the queue since istio/istio#15405",
)
HAS_FREE_GATE = Dated(
    ((OLDEST, False), (3, True)),
    "pilot/pkg/proxy/envoy/v2/discovery.go:debounce: absent at 1.1.17 and 1.2.10, present at 1.3.8; "
    "istio/istio#15810, #14782; 1.0 as 1.1 (an assumption)",
)
PUSHES_IN_FULL = Dated(
    ((OLDEST, True), (8, False)),
    "pilot/pkg/proxy/envoy/v2/ads.go at 1.4.10: all but endpoints goes to all in full; the engine of 1.5 to "
    "1.7 is the same; from 1.8 on as in 1.10 (an assumption: what a push holds was narrowed step by step)",
)
PUSH_THROTTLE = Dated(
    ((OLDEST, 100), (21, AUTO)),
    "PILOT_PUSH_THROTTLE, pilot/pkg/features/tuning.go; 100 in 1.3 to 1.20, istio/istio#48438; 1.1 and 1.2: "
    "10 in the code, 100 in the Helm chart; 1.0 has a rate in its place",
)
CONNECT_LIMIT = Dated(
    ((OLDEST, _OFF), (12, 100), (13, 25), (21, AUTO)),
    "PILOT_MAX_REQUESTS_PER_SECOND, pilot/pkg/features/tuning.go; istio/istio#35046, #37094, #48438",
)
LAZY_SIDECAR_SCOPES = Dated(
    ((OLDEST, False), (27, True)),
    "ENABLE_LAZY_SIDECAR_EVALUATION, pilot/pkg/features/pilot.go; releasenotes/notes/lazy-sidecar-init.yaml",
)
LAZY_SCOPES_WITHOUT_SIDECAR = Dated(
    ((OLDEST, False), (12, True)),
    "pilot/pkg/model/push_context.go:initSidecarScopes at 1.11.8 and 1.12.9; istio/istio#35144",
)
ENDPOINTS_ONLY_BUILDS_CONTEXT = Dated(
    ((OLDEST, False), (31, True)),
    "pilot/pkg/xds/discovery.go:Push; the boolean Full was removed by istio/istio#59808",
)
HAS_DELTA = Dated(
    ((OLDEST, False), (10, True)),
    "pilot/pkg/proxy/envoy/v2/ads.go: DeltaAggregatedResources is not implemented; 1.10 is the oldest "
    "version that was read with it",
)
DELTA_DEFAULT = Dated(
    ((OLDEST, False), (22, True)), "ISTIO_DELTA_XDS, pilot/pkg/features/experimental.go; istio/istio#47949"
)
SENDS_UNHEALTHY_ENDPOINTS = Dated(
    ((OLDEST, False), (31, True)),
    "PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS, pilot/pkg/features/experimental.go; releasenotes/notes/60690.yaml",
)
SEND_TIMEOUT = Dated(
    ((OLDEST, 5 * S), (11, 0)),
    "PILOT_XDS_SEND_TIMEOUT: 5 s up to 1.10 (fixed at 1.4.10 and 1.7.8), off in 1.11 to 1.21, then removed",
)
HAS_SEND_TIMEOUT = Dated(
    ((OLDEST, False), (8, True), (22, False)), "PILOT_XDS_SEND_TIMEOUT, seen at 1.8.6, removed in 1.22"
)
HAS_FLOW_CONTROL = Dated(
    ((OLDEST, False), (9, True), (15, False)),
    "PILOT_ENABLE_FLOW_CONTROL, false by default; 1.9 to 1.14, removed by istio/istio#37916",
)
FLOW_CONTROL_TIMEOUT = Dated(((OLDEST, 15 * S),), "PILOT_FLOW_CONTROL_TIMEOUT")
CACHE_SIZE = Dated(
    ((OLDEST, 20_000), (11, 60_000)), "PILOT_XDS_CACHE_SIZE, pilot/pkg/features/tuning.go; entries a cache"
)
CACHES_EDS = Dated(
    ((OLDEST, False), (8, True)), "the EDS cache came with 1.8 (istio/istio#26024); none at 1.4.10"
)
CACHES_OTHERS = Dated(
    ((OLDEST, False), (10, True)),
    "RDS and SDS: none at 1.4.10, taken as on in every version from 1.10 on (an assumption)",
)
IGNORES_CONNECTION_AGE = Dated(
    ((OLDEST, False), (FIRST_ISTIOD, True), (10, False)),
    "istio/istio#11181: gRPC served through ServeHTTP ignores it from 1.5 on; until when was not read: 1.10 "
    "is assumed to be free of it",
)
CACHES_CDS = Dated(
    ((OLDEST, False), (12, True)), "PILOT_ENABLE_CDS_CACHE: came in 1.11 switched off; istio/istio#33338"
)

DATED: Mapping[str, Dated[int] | Dated[bool] | Dated[str]] = {
    "push_engine": PUSH_ENGINE,
    "has_free_gate": HAS_FREE_GATE,
    "pushes_in_full": PUSHES_IN_FULL,
    "push_throttle": PUSH_THROTTLE,
    "connect_limit": CONNECT_LIMIT,
    "lazy_sidecar_scopes": LAZY_SIDECAR_SCOPES,
    "lazy_scopes_without_sidecar": LAZY_SCOPES_WITHOUT_SIDECAR,
    "endpoints_only_builds_context": ENDPOINTS_ONLY_BUILDS_CONTEXT,
    "has_delta": HAS_DELTA,
    "is_delta_default": DELTA_DEFAULT,
    "sends_unhealthy_endpoints": SENDS_UNHEALTHY_ENDPOINTS,
    "send_timeout_ns": SEND_TIMEOUT,
    "has_send_timeout": HAS_SEND_TIMEOUT,
    "has_flow_control": HAS_FLOW_CONTROL,
    "flow_control_timeout_ns": FLOW_CONTROL_TIMEOUT,
    "cache_size": CACHE_SIZE,
    "caches_cds": CACHES_CDS,
    "caches_eds": CACHES_EDS,
    "caches_rds_sds": CACHES_OTHERS,
    "ignores_connection_age": IGNORES_CONNECTION_AGE,
}
"""Every dated behaviour by the name it has in `Behaviour`."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one version does unless told otherwise.

    Attributes:
        version: Such as "1.27".
        push_engine: How connections come to be pushed to: ``queue`` (with merging), ``patient loop`` (each
            push goes through the connections and waits for those that are busy) or ``rated loop`` (so many
            a second).
        has_free_gate: No push begins while another is being built.
        pushes_in_full: Whatever changes but endpoints is pushed to everybody, in all types.
        has_delta: Whether it speaks delta xDS.
        lazy_sidecar_scopes: A Sidecar's scope is computed when a proxy first needs it, not with the
            PushContext.
        lazy_scopes_without_sidecar: The same, for namespaces that have no Sidecar.
        endpoints_only_builds_context: A push of endpoints alone makes a PushContext too, by copying pointers;
            before, it used the one there was.
        is_delta_default: Proxies speak delta xDS.
        sends_unhealthy_endpoints: Endpoints that are not ready are sent, marked as such; else left out.
        send_timeout_ns: After this long in Send the stream is torn down; 0 for never.
        has_send_timeout: Whether that can be set.
        has_flow_control: Whether a type's next response can be made to wait for the ACK of the last.
        flow_control_timeout_ns: How long that waits at most.
        cache_size: Entries of each of the four caches.
        caches: Which types are cached.
        ignores_connection_age: Connections are not closed at their maximum age.
    """

    version: str
    push_engine: str
    has_free_gate: bool
    pushes_in_full: bool
    has_delta: bool
    lazy_sidecar_scopes: bool
    lazy_scopes_without_sidecar: bool
    endpoints_only_builds_context: bool
    is_delta_default: bool
    sends_unhealthy_endpoints: bool
    send_timeout_ns: int
    has_send_timeout: bool
    has_flow_control: bool
    flow_control_timeout_ns: int
    cache_size: int
    caches: Mapping[str, bool]
    ignores_connection_age: bool
    _push_throttle: int
    _connect_limit: int

    def push_throttle(self, processors: int) -> int:
        """Concurrent pushes (PILOT_PUSH_THROTTLE) of an istiod with GOMAXPROCS ``processors``."""
        return auto_limit(processors) if self._push_throttle == AUTO else self._push_throttle

    def connect_limit(self, processors: int) -> int | None:
        """New streams a second (PILOT_MAX_REQUESTS_PER_SECOND); None where there is no limit."""
        if self._connect_limit == AUTO:
            return auto_limit(processors)
        return None if self._connect_limit == _OFF else self._connect_limit


def behaviour(version: str) -> Behaviour:
    """What a version such as "1.27" does.

    Raises:
        ValueError: The version is none of `SUPPORTED`.
    """
    if version not in SUPPORTED:
        raise ValueError(f"Istio {version} is not modelled: {SUPPORTED[0]} to {SUPPORTED[-1]} are")
    minor = int(version.removeprefix("1."))
    return Behaviour(
        version=version,
        push_engine=PUSH_ENGINE.at(minor),
        has_free_gate=HAS_FREE_GATE.at(minor),
        pushes_in_full=PUSHES_IN_FULL.at(minor),
        has_delta=HAS_DELTA.at(minor),
        lazy_sidecar_scopes=LAZY_SIDECAR_SCOPES.at(minor),
        lazy_scopes_without_sidecar=LAZY_SCOPES_WITHOUT_SIDECAR.at(minor),
        endpoints_only_builds_context=ENDPOINTS_ONLY_BUILDS_CONTEXT.at(minor),
        is_delta_default=DELTA_DEFAULT.at(minor),
        sends_unhealthy_endpoints=SENDS_UNHEALTHY_ENDPOINTS.at(minor),
        send_timeout_ns=SEND_TIMEOUT.at(minor),
        has_send_timeout=HAS_SEND_TIMEOUT.at(minor),
        has_flow_control=HAS_FLOW_CONTROL.at(minor),
        flow_control_timeout_ns=FLOW_CONTROL_TIMEOUT.at(minor),
        cache_size=CACHE_SIZE.at(minor),
        caches={
            "cds": CACHES_CDS.at(minor),
            "eds": CACHES_EDS.at(minor),
            "rds": CACHES_OTHERS.at(minor),
            "sds": CACHES_OTHERS.at(minor),
        },
        ignores_connection_age=IGNORES_CONNECTION_AGE.at(minor),
        _push_throttle=PUSH_THROTTLE.at(minor),
        _connect_limit=CONNECT_LIMIT.at(minor),
    )
