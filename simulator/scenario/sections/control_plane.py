"""Section `control_plane`: Istio's, of whichever architecture, or a scripted one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, model_serializer, model_validator

from simulator.calibration.istiod_costs import ISTIOD_SHIPPED
from simulator.control_plane.components import versions as components_versions
from simulator.control_plane.istiod.versions import FIRST_ISTIOD, SUPPORTED, behaviour
from simulator.control_plane.rest_v1 import settings as rest_v1_versions
from simulator.engine.clock import S
from simulator.scenario.costs import (
    Costs,
    CostsValue,
    check_costs,
    check_scripted_costs,
    istiod_calibration_problem,
    read_istiod_calibration,
)
from simulator.scenario.durations import Duration, DurationNs, PositiveDurationNs
from simulator.scenario.kubernetes_quantities import Auto, Cpu, IstioVersion, Number
from simulator.scenario.problems import Location, refusals
from simulator.scenario.quantities import (
    Choice,
    OneOrMany,
    OrNone,
    Switch,
    Text,
    Whole,
)
from simulator.scenario.sections.architectures import Components, EventRate, Galley, Mcp
from simulator.scenario.sections.istiod import (
    AutoSwitch,
    Cache,
    Debounce,
    Keepalive,
    KubernetesClient,
    ReadinessProbe,
    Registry,
)
from simulator.scenario.sections.resources import Resources
from simulator.scenario.sections.scripted import Answer, Connect, Push, ResourceTypeName
from simulator.scenario.settings import FORMAT, Settings, setting

VERSIONS: dict[str, tuple[str, ...]] = {
    "istiod": SUPPORTED[FIRST_ISTIOD:],
    "components": components_versions.SUPPORTED,
    "rest-v1": rest_v1_versions.SUPPORTED,
}
"""Kind of control plane -> the Istio versions that it is."""

_PILOTS = ("istiod", "components")
OWNERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("connect", "resources", "answers", "pushes"), ("scripted",)),
    **dict.fromkeys(
        ("version", "replicas", "cpu", "start", "registry", "readiness", "calibration"), tuple(VERSIONS)
    ),
    **dict.fromkeys(
        (
            "debounce",
            "push_throttle",
            "max_connection_age",
            "max_connection_age_grace",
            "keepalive",
            "kubernetes_client",
        ),
        _PILOTS,
    ),
    **dict.fromkeys(
        (
            "max_requests_per_second",
            "cache",
            "flow_control",
            "flow_control_timeout",
            "send_timeout",
            "lazy_sidecar_scopes",
            "send_unhealthy_endpoints",
        ),
        ("istiod",),
    ),
    **dict.fromkeys(("galley", "mcp", "components"), ("components",)),
    **dict.fromkeys(("cache_squash", "events_per_second"), ("rest-v1",)),
}
"""Keys that mean something to some kinds only; without a control plane the scripted ones are idle."""

_TUNING = "pilot/pkg/features/tuning.go"


class ControlPlane(Settings):
    """The control plane that the Envoys talk to."""

    kind: Annotated[
        Literal["istiod", "components", "rest-v1", "scripted", "none"],
        Choice(("istiod", "components", "rest-v1", "scripted", "none")),
    ] = setting(
        "istiod: Istio's; components: Galley, Pilot, Citadel and the injector of Istio 1.0 to 1.4; rest-v1: "
        "Pilot of 0.2 to 0.7, which Envoys poll; scripted: answers and pushes as told; none: Envoy has a "
        "static bootstrap only",
        "scripted",
        stands_for="the management server",
        source=FORMAT,
    )
    start: Annotated[Literal["running", "cold"], Choice(("running", "cold"))] = setting(
        "running: since long ago; cold: installed at 0s, every process at once",
        "running",
        stands_for="the age of the control plane",
        source=FORMAT,
    )
    version: IstioVersion = setting(
        "Istio version, quoted; it selects what changed from one version to the next. istiod: 1.5 to 1.32; "
        "components: 1.0 to 1.4, absent = 1.4; rest-v1: 0.2 to 0.7, absent = 0.7",
        "1.32",
        stands_for="the istiod image",
        source="the newest version whose source was read",
    )
    replicas: Annotated[int, Whole(1, 1000)] = setting(
        "How many istiods; each connection goes to one at random",
        1,
        stands_for="Deployment istiod spec.replicas",
        source="istio-discovery chart, values.yaml (replicaCount 1, autoscaleMin 1)",
    )
    cpu: Annotated[float, Cpu()] = setting(
        "Cores of each replica: 2 or 500m; a started core works in full",
        2.0,
        stands_for="GOMAXPROCS of istiod",
        assumption="the chart sets no limit, so that it is the node's cores; two are assumed",
    )
    debounce: Debounce = setting(
        "How changes are gathered into pushes", Debounce(), stands_for="PILOT_DEBOUNCE_*", source=_TUNING
    )
    push_throttle: Annotated[int | Literal["auto"], Auto(Whole(1, 1_000_000))] = setting(
        "Proxies pushed to at the same time; auto: min(15 + 5 x cpu, 100), up to Istio 1.20 100",
        "auto",
        stands_for="PILOT_PUSH_THROTTLE",
        source=f"{_TUNING}:PushThrottle (0 = auto); istio/istio#48438",
    )
    max_requests_per_second: Annotated[float | Literal["auto"] | None, Auto(Number(1e9), nothing=True)] = (
        setting(
            "New streams a second and replica; auto: min(15 + 5 x cpu, 100), in Istio 1.13 to 1.20 25, "
            "in 1.12 100, none before",
            "auto",
            stands_for="PILOT_MAX_REQUESTS_PER_SECOND",
            source=f"{_TUNING}:RequestLimit (0 = auto); istio/istio#35046, #37094, #48438",
        )
    )
    max_connection_age: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "Age at which a connection is closed, 10 % more or less; none = never",
        1800 * S,
        stands_for="--keepaliveMaxServerConnectionAge",
        source="istio-discovery chart, values.yaml (30m); grpc-go http2_server.go (the 10 %)",
    )
    max_connection_age_grace: DurationNs = setting(
        "From the notice that it will be closed until the connection is closed",
        10 * S,
        stands_for="keepalive.ServerParameters.MaxConnectionAgeGrace",
        source="pkg/keepalive/options.go (10s)",
    )
    keepalive: Keepalive = setting(
        "Detection of dead peers",
        Keepalive(),
        stands_for="GRPC_KEEPALIVE_*",
        source="pkg/keepalive/options.go",
    )
    kubernetes_client: KubernetesClient = setting(
        "Rate limit of istiod's calls to the API server",
        KubernetesClient(),
        stands_for="--kubernetesApiQPS, --kubernetesApiBurst",
        source="pilot/cmd/pilot-discovery/app/cmd.go",
    )
    cache: Cache = setting(
        "Caches of generated resources",
        Cache(),
        stands_for="PILOT_ENABLE_XDS_CACHE and its kin",
        source=_TUNING,
    )
    flow_control: Switch = setting(
        "Whether the next push of a type waits for the ACK of the last; Istio 1.9 to 1.14 have it",
        False,
        stands_for="PILOT_ENABLE_FLOW_CONTROL",
        source="pilot/pkg/features/pilot.go at 1.10 (false); removed by istio/istio#37916",
    )
    flow_control_timeout: PositiveDurationNs = setting(
        "How long it waits at most",
        15 * S,
        stands_for="PILOT_FLOW_CONTROL_TIMEOUT",
        source="pilot/pkg/features/pilot.go at 1.10 (15s)",
    )
    send_timeout: Annotated[int | Literal["auto"], Auto(Duration())] = setting(
        "A stream that blocks for so long is torn down; 0s = never; auto: 5s up to Istio 1.10, never since; "
        "Istio 1.22 and later cannot set it",
        "auto",
        stands_for="PILOT_XDS_SEND_TIMEOUT",
        source="pilot/pkg/features at 1.8 to 1.22",
    )
    lazy_sidecar_scopes: AutoSwitch = setting(
        "Whether scopes are computed when a proxy first needs them; false: with every PushContext; "
        "auto: from Istio 1.27 on",
        "auto",
        stands_for="ENABLE_LAZY_SIDECAR_EVALUATION",
        source="pilot/pkg/features/pilot.go; releasenotes/notes/lazy-sidecar-init.yaml",
    )
    send_unhealthy_endpoints: AutoSwitch = setting(
        "Whether endpoints that are not ready are sent, marked as such; auto: from Istio 1.31 on",
        "auto",
        stands_for="PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS, PILOT_SEND_UNHEALTHY_ENDPOINTS",
        source="pilot/pkg/features/experimental.go; releasenotes/notes/60690.yaml",
    )
    registry: Registry = setting(
        "The queue of the service registry",
        Registry(),
        stands_for="serviceregistry/kube/controller",
        source="pkg/queue/instance.go",
    )
    readiness: ReadinessProbe = setting(
        "When a starting replica receives connections",
        ReadinessProbe(),
        stands_for="readinessProbe of istiod",
        source="istio-discovery chart, templates/deployment.yaml",
    )
    galley: Galley = setting(
        "Components, from 1.1 on: Galley's debounce",
        Galley(),
        stands_for="Galley's snapshot strategy",
        source="galley/pkg at 1.1 and 1.4.10",
    )
    mcp: Mcp = setting(
        "Components, from 1.1 on: how configuration gets from Galley to Pilot",
        Mcp(),
        stands_for="the Mesh Configuration Protocol",
        source="pkg/mcp; pilot/pkg/bootstrap/server.go at 1.4.10",
    )
    components: Components = setting(
        "Components: the processes beside Pilot",
        Components(),
        stands_for="Galley, Citadel, the injector",
        source="install/kubernetes/helm at 1.4.10",
    )
    cache_squash: DurationNs = setting(
        "rest-v1: the caches are cleared at most once in this time",
        1 * S,
        stands_for="PILOT_CACHE_SQUASH",
        source="pilot/pkg/proxy/envoy/v1/discovery.go at 0.7.1 (1)",
    )
    events_per_second: EventRate = setting(
        "rest-v1: rate limit of the queue of Kubernetes events; auto: 10, from Istio 0.6 on 100",
        "auto",
        stands_for="the rate limiter of the queue in pilot/pkg/serviceregistry/kube",
        source="istio/istio#3508, #3359",
    )
    connect: Connect = setting(
        "Scripted: accept, refuse, close or {refuse_until: 5s}",
        Connect(kind="accept"),
        stands_for="the management server's socket",
        source=FORMAT,
    )
    resources: Resources = setting(
        "Scripted: what it serves", Resources(), stands_for="the resources served", source=FORMAT
    )
    answers: dict[
        ResourceTypeName, Annotated[tuple[Answer, ...], OneOrMany("answer", may_be_empty=False)]
    ] = setting(
        "Scripted: per type one answer, or a list used in turn by successive subscription requests; "
        "the last repeats",
        {},
        stands_for="the responses to subscription requests",
        source=FORMAT,
    )
    pushes: tuple[Push, ...] = setting(
        "Scripted: what it sends without being asked",
        (),
        stands_for="pushes of a control plane",
        source=FORMAT,
    )
    calibration: Annotated[
        str, Text(1000, r".*\S.*", "the name of a shipped calibration, such as istiod-1.32, or a path")
    ] = setting(
        "Costs of istiod: the name of a shipped file, or the path of one beside the scenario",
        ISTIOD_SHIPPED,
        stands_for="the machine, the cluster and the version that istiod runs on",
        source="simulator/calibration/istiod-1.32.yaml",
    )
    costs: Annotated[Costs, CostsValue()] = setting(
        "zero, or a mapping from cost to what replaces the calibration's value; scripted: {answer: 1ms}, "
        "from reading a request to writing its answer, on top of the answer's own `after`",
        Costs(),
        stands_for="the management server's time for each piece of work",
        source="the calibration file of istiod; scripted: Envoy's, control_plane.answer",
    )

    @property
    def has_galley(self) -> bool:
        """Whether Galley hands over the configuration."""
        return self.kind == "components" and self.version != "1.0"

    @property
    def procs(self) -> int:
        """GOMAXPROCS: whole cores, at least one."""
        return max(1, math.ceil(self.cpu))

    def answers_to(self, type_name: str) -> tuple[Answer, ...]:
        """The answers for a resource type, in turn; at least one."""
        return self.answers.get(type_name, _AT_ONCE)

    @classmethod
    def foreign_keys(cls, kind: str) -> dict[str, str]:
        """Keys that mean nothing to a control plane of that kind, and the kinds they belong to."""
        served = "scripted" if kind == "none" else kind
        return {key: _either(owners) for key, owners in OWNERS.items() if served not in owners}

    @model_validator(mode="after")
    def _of_its_kind(self, info: ValidationInfo) -> ControlPlane:
        if self._is_unread("kind", info):
            return self  # what goes with a kind that there is not, nobody knows
        default = "" if "kind" in self.model_fields_set else " (the default)"
        found: list[tuple[Location, str]] = [
            ((key,), f"goes with kind: {owner}, and kind is {self.kind}{default}")
            for key, owner in self.foreign_keys(self.kind).items()
            if key in self.model_fields_set
        ]
        if self.kind in VERSIONS:
            if not self._is_unread("version", info):
                found += self._unknown_to_version()
            found += self._unusable_costs(getattr(info.context, "directory", None) or Path())
        else:
            found += _within(("costs",), check_scripted_costs(self.costs))
        if found:
            raise refusals(found)
        return self

    def _is_unread(self, key: str, info: ValidationInfo) -> bool:
        """Whether the key was written and cannot be meant, so that the default stands in its place."""
        tree = getattr(info.context, "tree", None)
        written = tree.child("control_plane") if tree is not None else None
        is_written = written is not None and written.child(key) is not None
        return is_written and key not in self.model_fields_set

    def _unknown_to_version(self) -> list[tuple[Location, str]]:
        versions = VERSIONS[self.kind]
        if self.version not in versions:
            return [
                (("version",), f"{self.kind} is Istio {versions[0]} to {versions[-1]}, not {self.version}")
            ]
        if self.kind == "rest-v1":
            return []
        known = behaviour(self.version)
        found: list[tuple[Location, str]] = []
        if self.kind == "components" and not self.has_galley:
            said = f"goes with Istio 1.1 to 1.4: Pilot of {self.version} reads configuration itself"
            found += [((key,), said) for key in ("galley", "mcp") if key in self.model_fields_set]
        if self.flow_control and not known.has_flow_control:
            found.append(
                (("flow_control",), f"Istio has it in 1.9 to 1.14 only, and version is {self.version}")
            )
        if self.send_timeout not in ("auto", 0) and not known.has_send_timeout:
            found.append(
                (("send_timeout",), f"Istio has it in 1.8 to 1.21 only, and version is {self.version}")
            )
        return found

    def _unusable_costs(self, directory: Path) -> list[tuple[Location, str]]:
        unusable = istiod_calibration_problem(self.calibration, directory)
        if unusable is not None:
            return [(("calibration",), unusable)]
        if not self.costs.given:
            return []
        laws = read_istiod_calibration(self.calibration, directory).costs
        return _within(("costs",), check_costs(self.costs, laws))

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        foreign = self.foreign_keys(self.kind)
        return {key: value for key, value in dump(self).items() if key not in foreign}


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _within(place: Location, found: list[tuple[Location, str]]) -> list[tuple[Location, str]]:
    return [((*place, *inner), message) for inner, message in found]


_AT_ONCE = (Answer(),)
