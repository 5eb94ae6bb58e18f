"""Section `workload`: what happens to the mesh. One class for each kind of entry."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import model_validator

from simulator.engine.clock import S
from simulator.mesh.kinds import KINDS
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import DurationNs
from simulator.scenario.kubernetes_quantities import PortionField, SurgeField
from simulator.scenario.problems import refusal
from simulator.scenario.quantities import ANY, Choice, OrNone, Switch, Text, Whole
from simulator.scenario.sections.operations import (
    CaOutageEntry,
    HotRestartEntry,
    MigrateRevisionEntry,
    RootRotationEntry,
    RuntimeFlagEntry,
)
from simulator.scenario.sections.proxy_choice import ChosenProxies, ProxyChoice
from simulator.scenario.sections.timing import Lasting, Timed, TraceValue
from simulator.scenario.sections.traffic import Traffic, TrafficEntry
from simulator.scenario.settings import FORMAT, Settings, setting
from simulator.workload.entries import Portion, TraceRow

__all__ = [
    "ANY",
    "EDITED_KINDS",
    "AddIstiodEntry",
    "CaOutageEntry",
    "EditEntry",
    "EndpointsEntry",
    "HotRestartEntry",
    "Lasting",
    "MigrateRevisionEntry",
    "PartitionEntry",
    "ProxyChoice",
    "RestartComponentEntry",
    "RestartEntry",
    "RestartIstiodEntry",
    "RolloutEntry",
    "RolloutIstiodEntry",
    "RootRotationEntry",
    "RuntimeFlagEntry",
    "ScaleUpEntry",
    "SlowReaderEntry",
    "TimedEntry",
    "Traffic",
    "TrafficEntry",
]

EDITED_KINDS = tuple(kind for kind in KINDS if kind not in ("Endpoints", "DNSName"))
"""Kinds of objects that people write; endpoints change with `endpoints`, `rollout` and `scale_up`."""

_DEPLOYMENT = "Kubernetes apps/v1 Deployment"
_POD = "Kubernetes core/v1 PodSpec"

ObjectName = Annotated[str, Text(253, r"\S+", "the name of a Kubernetes object")]
ServiceName = Annotated[
    str,
    Text(127, r"[a-z0-9][-a-z0-9]*(/[a-z0-9][-a-z0-9]*)?", "the name of a service: reviews or shop/reviews"),
]
Namespace = Annotated[
    str, Text(63, r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "the name of a namespace, in small letters")
]


def _service() -> Any:
    return setting(
        "Service it is about; absent = drawn", None, stands_for="Service metadata.name", source=FORMAT
    )


def _namespace(meaning: str = "Namespace it is in, or where a service is drawn from; absent = any") -> Any:
    return setting(meaning, None, stands_for="metadata.namespace", source=FORMAT)


class EditEntry(Timed):
    """Configuration objects are written."""

    KIND = "edit"
    RULES = (*Timed.RULES, "trace")

    edit: Annotated[str, Choice((*EDITED_KINDS, ANY))] = setting(
        "Kind of the object; any goes with a trace only",
        ANY,
        stands_for="kind of the object",
        source=FORMAT,
    )
    name: Annotated[ObjectName | None, OrNone()] = setting(
        "Name of the object; absent = another object each time, so that no edit supersedes one before",
        None,
        stands_for="metadata.name",
        source=FORMAT,
    )
    namespace: Annotated[Namespace | None, OrNone()] = _namespace(
        "Its namespace; absent = that of the service; istio-system is the root namespace"
    )
    service: Annotated[ServiceName | None, OrNone()] = _service()
    trace: Annotated[Annotated[tuple[TraceRow, ...], TraceValue(EDITED_KINDS)] | None, OrNone()] = setting(
        "As recorded in a CSV file with the columns t, kind, namespace, name; rows of other kinds are left "
        "out, unless edit is any",
        None,
        stands_for="an audit log",
        source=FORMAT,
    )
    rejected_by_envoy: Switch = setting(
        "Whether Envoy refuses what comes of it (NACK)",
        False,
        stands_for="an invalid resource",
        source=FORMAT,
    )

    @property
    def rows(self) -> tuple[TraceRow, ...]:
        """The recorded rows that are played, in order of time."""
        return tuple(row for row in self.trace or () if self.edit == ANY or row.kind in (None, self.edit))

    @model_validator(mode="after")
    def _playable(self) -> EditEntry:
        if self.trace is None and self.edit == ANY:
            raise refusal("must name a kind: any goes with a trace only", "edit")
        if self.trace is not None and self.edit == ANY and any(row.kind is None for row in self.trace):
            raise refusal("has rows without a kind: name one with edit", "trace")
        if self.trace is not None and not self.rows:
            raise refusal(f"has no row of kind {self.edit}", "trace")
        return self


class EndpointsEntry(Timed):
    """Endpoints of a service leave and come back, each time another one."""

    KIND = "endpoints"

    endpoints: ServiceName = setting(
        "Service, or any: another one each time", stands_for="EndpointSlice", source=FORMAT
    )
    namespace: Annotated[Namespace | None, OrNone()] = _namespace()


def _ready_after() -> Any:
    return setting(
        "From the start of a new pod's application until it is ready; absent = agent.app_start",
        None,
        stands_for="the application and its readinessProbe",
        source=FORMAT,
    )


class RolloutEntry(Timed):
    """A Deployment's pods are replaced by new ones."""

    KIND = "rollout"

    rollout: ServiceName = setting(
        "Service whose Deployment gets a new template, or any: one that is drawn",
        stands_for="a changed pod template",
        source=FORMAT,
    )
    namespace: Annotated[Namespace | None, OrNone()] = _namespace()
    max_surge: SurgeField = setting(
        "Pods above the wanted number: a count, or a percentage rounded up",
        Portion(share=Fraction(1, 4)),
        stands_for="rollingUpdate.maxSurge",
        source=f"{_DEPLOYMENT} (25%)",
    )
    max_unavailable: PortionField = setting(
        "Pods below it: a count, or a percentage rounded down",
        Portion(share=Fraction(1, 4)),
        stands_for="rollingUpdate.maxUnavailable",
        source=f"{_DEPLOYMENT} (25%)",
    )
    ready_after: Annotated[DelayField | None, OrNone()] = _ready_after()
    min_ready_seconds: DurationNs = setting(
        "How long a pod must be Ready to count as available",
        0,
        stands_for="spec.minReadySeconds",
        source=f"{_DEPLOYMENT} (0)",
    )
    pre_stop: DurationNs = setting(
        "Duration of the application's preStop hook",
        0,
        stands_for="lifecycle.preStop",
        source=f"{_POD} (none)",
    )
    termination_grace: DurationNs = setting(
        "From the deletion of a pod until everything in it is killed",
        30 * S,
        stands_for="terminationGracePeriodSeconds",
        source=f"{_POD} (30)",
    )
    native_sidecar: Annotated[Switch | None, OrNone()] = setting(
        "Whether the proxy outlives the application; absent = agent.native_sidecars",
        None,
        stands_for="ENABLE_NATIVE_SIDECARS",
        source=FORMAT,
    )
    termination_drain: Annotated[DurationNs | None, OrNone()] = setting(
        "How long the proxy goes on otherwise; absent = agent.termination_drain",
        None,
        stands_for="proxyConfig.terminationDrainDuration",
        source=FORMAT,
    )
    exit_on_zero: Annotated[Switch | None, OrNone()] = setting(
        "Whether it goes on until its connections are gone; absent = agent.exit_on_zero_active_connections",
        None,
        stands_for="EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
        source=FORMAT,
    )
    new_service_account: Switch = setting(
        "Whether the new pods have an identity of their own, which makes the first of them a full push",
        False,
        stands_for="spec.serviceAccountName",
        source=FORMAT,
    )

    @model_validator(mode="after")
    def _moves(self) -> RolloutEntry:
        if not any(one.count or one.share for one in (self.max_surge, self.max_unavailable)):
            raise refusal("must not be 0 when max_surge is 0: no pod could be replaced", "max_unavailable")
        return self


class Pods(Settings):
    """How many pods."""

    pods: Annotated[int, Whole(1, 1_000_000)] = setting(
        "Pods more, each with a sidecar", stands_for="spec.replicas", source=FORMAT
    )


class ScaleUpEntry(Timed):
    """A Deployment gets more pods."""

    KIND = "scale_up"

    scale_up: Pods = setting("How many: {pods: 200}", stands_for="spec.replicas", source=FORMAT)
    service: Annotated[ServiceName | None, OrNone()] = _service()
    namespace: Annotated[Namespace | None, OrNone()] = _namespace()
    ready_after: Annotated[DelayField | None, OrNone()] = _ready_after()


class RestartEntry(Timed):
    """Proxies are killed and start anew in place."""

    KIND = "restart"

    restart: ChosenProxies = setting("Which: {proxies: 10%}", stands_for="a container restart", source=FORMAT)


class RestartIstiodEntry(Timed):
    """One replica of istiod is terminated and starts again in place."""

    KIND = "restart_istiod"

    restart_istiod: Annotated[int, Whole(0, 1_000_000)] = setting(
        "Number of the replica, from 0", stands_for="a container restart", source=FORMAT
    )
    down_for: DurationNs = setting(
        "From its termination until the new process begins to start",
        10 * S,
        stands_for="--shutdownDuration and the kubelet's restart",
        assumption="istiod's --shutdownDuration (10s) is used up, and the kubelet restarts it at once",
    )


class RestartComponentEntry(Timed):
    """A component of Istio 1.0 to 1.4 ends and starts again."""

    KIND = "restart_component"
    GOES_WITH = ("components",)

    restart_component: Annotated[
        Literal["citadel", "galley", "injector", "node-agent", "all"],
        Choice(("citadel", "galley", "injector", "node-agent", "all")),
    ] = setting(
        "Which; all: Citadel, Galley, the injector and every replica of Pilot, together (Pilot alone: "
        "restart_istiod)",
        stands_for="a container restart",
        source=FORMAT,
    )
    node: Annotated[Annotated[int, Whole(0, 1_000_000)] | None, OrNone()] = setting(
        "With node-agent: the number of the node, from 0; absent = every node",
        None,
        stands_for="a pod of the DaemonSet",
        source=FORMAT,
    )
    down_for: DurationNs = setting(
        "From its end until the new process begins to start",
        0,
        stands_for="the kubelet's restart",
        assumption="the kubelet restarts the container at once",
    )


class AddIstiodEntry(Timed):
    """Replicas of istiod are added."""

    KIND = "add_istiod"

    add_istiod: Annotated[int, Whole(1, 1000)] = setting(
        "How many", stands_for="HorizontalPodAutoscaler or spec.replicas", source=FORMAT
    )


class IstiodRollout(Settings):
    """How replicas of istiod are replaced."""

    max_surge: SurgeField = setting(
        "Pods above the number of replicas",
        Portion(share=Fraction(1)),
        stands_for="rollingMaxSurge",
        source="istio-discovery chart, values.yaml (100%)",
    )
    max_unavailable: PortionField = setting(
        "Pods below it",
        Portion(share=Fraction(1, 4)),
        stands_for="rollingMaxUnavailable",
        source="istio-discovery chart, values.yaml (25%)",
    )


class RolloutIstiodEntry(Timed):
    """All replicas of istiod are replaced by new pods."""

    KIND = "rollout_istiod"

    rollout_istiod: IstiodRollout = setting(
        "{} or {max_surge: 100%, max_unavailable: 25%}", stands_for="an upgrade of istiod", source=FORMAT
    )


class PartitionEntry(Lasting):
    """Proxies are cut off from the control plane."""

    KIND = "partition"

    partition: ChosenProxies = setting(
        "Which: {proxies: 10%}", stands_for="a network partition", source=FORMAT
    )


class SlowReaderEntry(Lasting):
    """Proxies stop reading what they are sent."""

    KIND = "slow_reader"

    slow_reader: ChosenProxies = setting(
        "Which: {proxies: 3}", stands_for="a starved agent or node", source=FORMAT
    )


class UnhealthyEntry(Lasting):
    """The workloads of virtual machines answer nobody, their agents' probes included."""

    KIND = "unhealthy"
    GOES_WITH = ("istiod",)

    unhealthy: ChosenProxies = setting(
        "Which virtual machines: {proxies: [vm0]}; a number or a share is of them alone",
        stands_for="a workload that fails the readinessProbe of its WorkloadGroup",
        source=FORMAT,
    )


TimedEntry = (
    EditEntry
    | EndpointsEntry
    | RolloutEntry
    | ScaleUpEntry
    | RestartEntry
    | RestartIstiodEntry
    | RestartComponentEntry
    | AddIstiodEntry
    | RolloutIstiodEntry
    | PartitionEntry
    | SlowReaderEntry
    | UnhealthyEntry
    | CaOutageEntry
    | RootRotationEntry
    | HotRestartEntry
    | RuntimeFlagEntry
    | MigrateRevisionEntry
)
"""An entry of the timeline."""
