"""What shall happen to the mesh: one frozen class for each kind of happening. Durations in ns.

Defaults of Kubernetes are those of its API (apps/v1 Deployment, core/v1 PodSpec); Istio's are those of its
charts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay
from simulator.mesh.services import Service

AT_ONCE: Delay = Constant(0)


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One recorded happening; what is None is taken from the entry."""

    t_ns: int
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Bursts:
    """Groups of ``size`` happenings, ``spacing_ns`` apart; groups come regularly or at random.

    Attributes:
        size: Happenings in a group.
        spacing_ns: Time between two of them.
        at: Beginnings of the groups; or
        every_ns: time between the beginnings of two of them; or
        poisson_per_second: rate of groups that come independently.
    """

    size: int
    spacing_ns: int = 0
    at: tuple[int, ...] = ()
    every_ns: int | None = None
    poisson_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When an entry happens: exactly one of the first five is given.

    Attributes:
        at: At these instants.
        every_ns: Regularly, first at ``from_ns``.
        poisson_per_second: At random, independently, from ``from_ns`` on.
        bursts: In groups, from ``from_ns`` on.
        trace: As recorded, as far as it lies between ``from_ns`` and ``until_ns``.
        from_ns: Begin, included.
        until_ns: End, not included; None for the end of the run.
    """

    at: tuple[int, ...] = ()
    every_ns: int | None = None
    poisson_per_second: float | None = None
    bursts: Bursts | None = None
    trace: tuple[TraceRow, ...] = ()
    from_ns: int = 0
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """A number of pods, or a share of them, as Kubernetes's IntOrString has it.

    Attributes:
        count: The number; or
        share: the share, 1/4 for 25 %: a fraction, since 29 % of 100 is 29 and 0.29 * 100 is not.
    """

    count: int | None = None
    share: Fraction | None = None

    def of(self, pods: int, *, rounds_up: bool) -> int:
        """How many of ``pods`` it is (intstr.GetScaledValueFromIntOrPercent)."""
        if self.count is not None:
            return self.count
        exact = (self.share or 0) * pods
        return math.ceil(exact) if rounds_up else math.floor(exact)


@dataclass(frozen=True, slots=True)
class Selection:
    """Some proxies: a number, a share, or these.

    A number or a share of those that exist at the time is chosen by lot.
    """

    count: int | None = None
    share: Fraction | None = None
    proxies: tuple[int, ...] | None = None


ALL_PROXIES = Selection(share=Fraction(1))


@dataclass(frozen=True, slots=True)
class PodSettings:
    """How the pods of a deployment come and go.

    Attributes:
        ready_after: From the start of the application until it is ready; each pod's own.
        min_ready_ns: ``minReadySeconds``: Ready for so long counts as available.
        pre_stop_ns: Duration of the application's preStop hook; after it the application ends at once.
        termination_grace_ns: ``terminationGracePeriodSeconds``: everything is killed then.
        native_sidecar: Whether the proxy is a native sidecar (ENABLE_NATIVE_SIDECARS); None for the mesh's
            own setting, as in the two below.
        termination_drain_ns: proxyConfig.terminationDrainDuration.
        exit_on_zero: EXIT_ON_ZERO_ACTIVE_CONNECTIONS.
    """

    ready_after: Delay = AT_ONCE
    min_ready_ns: int = 0
    pre_stop_ns: int = 0
    termination_grace_ns: int = 30 * S
    native_sidecar: bool | None = None
    termination_drain_ns: int | None = None
    exit_on_zero: bool | None = None


@dataclass(frozen=True, slots=True)
class EditEntry:
    """Somebody writes a configuration object of ``kind``. What is None is chosen each time (see edits.py)."""

    kind: str
    arrivals: Arrivals
    name: str | None = None
    namespace: str | None = None
    service: Service | None = None
    rejected_by_envoy: bool = False


@dataclass(frozen=True, slots=True)
class EndpointsEntry:
    """Endpoints of a service leave and come back; of any service in turn if none is given."""

    arrivals: Arrivals
    service: Service | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class RolloutEntry:
    """A Deployment gets a new pod template: its pods are replaced (strategy RollingUpdate).

    Attributes:
        arrivals: When.
        service: The service whose pods they are; drawn if None.
        max_surge: Pods above the wanted number, rounded up.
        max_unavailable: Pods below it, rounded down.
        pods: How the new pods behave, and how the old ones end.
        new_service_account: The new pods have an identity of their own.
        namespace: Where a service is drawn from.
    """

    arrivals: Arrivals
    service: Service | None = None
    max_surge: Portion = Portion(share=Fraction(1, 4))
    max_unavailable: Portion = Portion(share=Fraction(1, 4))
    pods: PodSettings = field(default_factory=PodSettings)
    new_service_account: bool = False
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class ScaleUpEntry:
    """A Deployment gets ``count`` pods more, created at once; each is ready ``ready_after`` the start of its
    application."""

    arrivals: Arrivals
    count: int
    service: Service | None = None
    ready_after: Delay = AT_ONCE
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class RestartIstiodEntry:
    """The process of one replica is terminated, and starts again in place after ``down_for_ns``."""

    arrivals: Arrivals
    replica: int
    down_for_ns: int = 0


@dataclass(frozen=True, slots=True)
class RestartComponentEntry:
    """Citadel, Galley, the injector, or all components with every Pilot, end, or a node agent (None: every
    node's); each starts again after ``down_for_ns``."""

    arrivals: Arrivals
    component: str
    down_for_ns: int = 0
    node: int | None = None


@dataclass(frozen=True, slots=True)
class AddIstiodEntry:
    """So many replicas more, as an autoscaler adds them."""

    arrivals: Arrivals
    count: int


@dataclass(frozen=True, slots=True)
class RolloutIstiodEntry:
    """All replicas are replaced by new pods.

    Source of the defaults: manifests/charts/istio-control/istio-discovery/values.yaml (rollingMaxSurge,
    rollingMaxUnavailable).
    """

    arrivals: Arrivals
    max_surge: Portion = Portion(share=Fraction(1))
    max_unavailable: Portion = Portion(share=Fraction(1, 4))


@dataclass(frozen=True, slots=True)
class PartitionEntry:
    """Proxies are cut off from the control plane, for ``lasts_ns`` or (None) the rest of the run."""

    arrivals: Arrivals
    proxies: Selection = ALL_PROXIES
    lasts_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SlowReaderEntry:
    """Proxies stop reading what they are sent, for ``lasts_ns`` or (None) the rest of the run."""

    arrivals: Arrivals
    proxies: Selection = ALL_PROXIES
    lasts_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RestartEntry:
    """Envoys of proxies are killed and start anew."""

    arrivals: Arrivals
    proxies: Selection = ALL_PROXIES


@dataclass(frozen=True, slots=True)
class CaOutageEntry:
    """The CA refuses CSRs, or (with a delay) takes so much longer, for ``lasts_ns`` or (None) the rest of the
    run."""

    arrivals: Arrivals
    delay: Delay | None = None
    lasts_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RootRotationEntry:
    """The CA goes over to a new root certificate."""

    arrivals: Arrivals


@dataclass(frozen=True, slots=True)
class UnhealthyEntry:
    """The workloads of virtual machines answer nobody for a while; for good where it does not last."""

    arrivals: Arrivals
    vms: Selection = ALL_PROXIES
    lasts_ns: int | None = None


@dataclass(frozen=True, slots=True)
class HotRestartEntry:
    """New Envoys take over from those that run."""

    arrivals: Arrivals
    proxies: Selection = ALL_PROXIES


@dataclass(frozen=True, slots=True)
class RuntimeFlagEntry:
    """A feature flag gets another share in a layer of the runtime (None: the last that can be written)."""

    arrivals: Arrivals
    key: str
    value: float
    layer: str | None = None
    admin_call: Delay = AT_ONCE


@dataclass(frozen=True, slots=True)
class MigrateRevisionEntry:
    """All proxies move to the control plane of a revision, one namespace every ``every_ns``.

    Attributes:
        arrivals: When it begins.
        to: Name of the revision; ``default`` is the one there from the start.
        every_ns: Between two namespaces.
        replicas: Of a control plane that is not there yet.
        pods: How the new pods behave, and how the old ones end.
    """

    arrivals: Arrivals
    to: str
    every_ns: int
    replicas: int = 1
    pods: PodSettings = field(default_factory=PodSettings)


Entry: TypeAlias = (
    EditEntry
    | EndpointsEntry
    | RolloutEntry
    | ScaleUpEntry
    | RestartIstiodEntry
    | RestartComponentEntry
    | AddIstiodEntry
    | RolloutIstiodEntry
    | PartitionEntry
    | SlowReaderEntry
    | UnhealthyEntry
    | RestartEntry
    | CaOutageEntry
    | RootRotationEntry
    | HotRestartEntry
    | RuntimeFlagEntry
    | MigrateRevisionEntry
)
"""One entry of the workload, traffic aside."""
