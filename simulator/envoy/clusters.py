"""What "cluster initialized" means: discovery, then secrets, then one health-check round, strictly in this
order.

A `ClusterBatch` stands for cluster objects of equal configuration that came in one update and stand in the
same state. It is split when they part (one of them got its assignment, another was replaced), so an Envoy of
a thousand clusters has a handful of batches, not a thousand objects.
Source: source/common/upstream/upstream_impl.cc (ClusterImplBase::initialize, onPreInitComplete,
onInitDone, finishInitialization); rules W1 to W7, "Health checks, DNS".
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from simulator.engine.delays import Constant, Delay, draw_ns
from simulator.engine.events import Band
from simulator.engine.machine import Machine, bind
from simulator.mesh.configuration import Cluster, ClusterLoadAssignment, HealthCheck
from simulator.xds.resources import NO_RESOURCES, Names, Resource, Resources

if TYPE_CHECKING:
    from simulator.envoy.process import Process
    from simulator.envoy.providers import Providers
    from simulator.envoy.subscription import Subscription


class ClusterDiscovery(Protocol):
    """What a cluster object asks of EDS."""

    def start(self, batch: ClusterBatch) -> None:
        """Starts the EDS subscriptions of new cluster objects."""


class ClusterOwner(Protocol):
    """What a cluster object asks of the cluster manager."""

    process: Process
    secrets: Providers
    warming: list[ClusterBatch]

    @property
    def eds(self) -> ClusterDiscovery:
        """EDS."""

    @property
    def has_path_source(self) -> bool:
        """Configuration comes from files, so that EDS clusters are primary."""

    def without_hosts(self, batch: ClusterBatch) -> Names:
        """Clusters of the batch that have no endpoint to check."""

    def track(self, batch: ClusterBatch) -> None:
        """A part was split off."""

    def activate(self, batch: ClusterBatch) -> None:
        """They are initialized."""


class ClusterState(Enum):
    """A cluster object's way into service."""

    CREATED = "CREATED"
    PREINIT = "PREINIT"
    SECRETS = "SECRETS"
    HEALTH = "HEALTH"
    ACTIVE = "ACTIVE"
    GONE = "GONE"


class ClusterSignal(Enum):
    """What happens to a cluster object."""

    INITIALIZE = "initialize"
    PRE_INIT_COMPLETE = "pre_init_complete"
    SECRETS_READY = "secrets_ready"
    HEALTH_CHECKED = "health_checked"
    REMOVED = "removed"


_S, _G = ClusterState, ClusterSignal
CLUSTER = {
    (_S.CREATED, _G.INITIALIZE): (_S.PREINIT, "start_pre_init"),
    (_S.PREINIT, _G.PRE_INIT_COMPLETE): (_S.SECRETS, "start_secrets"),
    (_S.SECRETS, _G.SECRETS_READY): (_S.HEALTH, "await_health_checks"),
    (_S.HEALTH, _G.HEALTH_CHECKED): (_S.ACTIVE, "finish_initialization"),
    (_S.CREATED, _G.REMOVED): (_S.GONE, None),
    (_S.PREINIT, _G.REMOVED): (_S.GONE, None),
    (_S.SECRETS, _G.REMOVED): (_S.GONE, None),
    (_S.HEALTH, _G.REMOVED): (_S.GONE, None),
}
# An active object is no batch any more: the cluster manager holds it in its map of active clusters.


def cluster_of(resource: Resource[object]) -> Cluster:
    """The body of a cluster resource."""
    assert isinstance(resource.body, Cluster)
    return resource.body


def assignment_of(resource: Resource[object]) -> ClusterLoadAssignment:
    """The body of an assignment resource."""
    assert isinstance(resource.body, ClusterLoadAssignment)
    return resource.body


def _check_delay(check: HealthCheck) -> Delay | int | None:
    """How long one check takes: a law, a constant, or None for the usual round trip."""
    if check.answers == "never":
        return check.timeout_ns
    return check.after


class ClusterBatch:
    """Cluster objects of equal configuration in one state.

    Attributes:
        configs: The clusters.
        hosts: Assignments received so far (EDS).
        is_primary: Initialized in the primary phase: everything but EDS from an API source.
        counts_at_startup: The init helper waits for it.
        is_static: From the bootstrap.
    """

    __slots__ = (
        "_machine",
        "_manager",
        "configs",
        "counts_at_startup",
        "hosts",
        "is_primary",
        "is_static",
        "names",
        "sample",
        "subscription",
    )

    def __init__(self, manager: ClusterOwner, configs: Resources, *, is_static: bool) -> None:
        self._manager = manager
        self.configs = configs
        self.names = configs.names
        self.sample = cluster_of(next(iter(configs)))
        self.hosts = NO_RESOURCES
        self.is_static = is_static
        self.is_primary = self.sample.kind != "eds" or manager.has_path_source
        self.counts_at_startup = False
        self.subscription: Subscription | None = None
        self._machine = Machine(_S.CREATED, _ROWS, self, ClusterBatch._entered)

    def __repr__(self) -> str:
        return f"cluster {self.names}"

    def _entered(self, _before: ClusterState, after: ClusterState) -> None:
        process = self._manager.process
        shown = after.value if after in (_S.ACTIVE, _S.GONE) else "WARMING"
        process.enter("cluster", self.names, shown, "" if shown == after.value else after.value)

    @property
    def state(self) -> ClusterState:
        """Present state of all of them."""
        return self._machine.state

    def fire(self, signal: ClusterSignal) -> None:
        """Something happened to all of them."""
        self._machine.fire(signal)

    def split(self, names: Names) -> ClusterBatch:
        """Those of ``names`` as a batch of their own in the same state; this one keeps the rest.

        The whole batch is returned where all are meant. The fetch timer stays with those that still wait.
        """
        names = self.names.intersect(names)
        if len(names) == len(self.names):
            return self
        part = ClusterBatch(self._manager, self.configs.only(names), is_static=self.is_static)
        part.hosts = self.hosts.only(names)
        part.counts_at_startup = self.counts_at_startup
        part._machine.state = self._machine.state
        self.configs = self.configs.without(names)
        self.names = self.configs.names
        self.hosts = self.hosts.without(names)
        self._manager.track(part)
        return part

    # --- actions

    def start_pre_init(self) -> None:
        """Type-specific discovery: STATIC at once, STRICT_DNS with its first resolution (at once if it
        has no names to resolve), EDS with its first outcome."""
        if self.sample.kind == "eds":
            self._manager.eds.start(self)
        elif self.sample.kind == "strict_dns" and self.sample.endpoints > 0:
            self._resolve()
        else:
            self.fire(_G.PRE_INIT_COMPLETE)

    def start_secrets(self) -> None:
        """SDS subscriptions start only now, after the discovery outcome."""
        secret = self.sample.secret
        if secret is not None:
            self._manager.secrets.require(Names((secret,)))
        self.check_secrets()

    def check_secrets(self) -> None:
        """Goes on if nothing is missing."""
        secret = self.sample.secret
        if secret is None or secret in self._manager.secrets.released:
            self.fire(_G.SECRETS_READY)

    def await_health_checks(self) -> None:
        """One round of checks, whatever its result; none without a checker or without hosts."""
        check = self.sample.health_check
        if check is None:
            self.fire(_G.HEALTH_CHECKED)
            return
        hostless = self._manager.without_hosts(self)
        if hostless:
            part = self.split(hostless)
            part.fire(_G.HEALTH_CHECKED)
            if part is self:
                return
        self._await_round(check)

    def finish_initialization(self) -> None:
        """Warming map to active map, and to the workers."""
        self._manager.activate(self)

    # --- waiting

    def _resolve(self) -> None:
        resolver = self.sample.resolver
        costs = self._manager.process.costs
        if resolver is None or (resolver.after is None and not resolver.never):
            law, purpose = costs.law("dns_resolution"), "envoy.dns_resolution"
        elif resolver.never:
            law, purpose = costs.law("dns_failure"), "envoy.dns_failure"
        else:
            assert resolver.after is not None
            law, purpose = resolver.after, "envoy.dns_resolution"
        self._after_each(law, purpose, _S.PREINIT, _G.PRE_INIT_COMPLETE)

    def _await_round(self, check: HealthCheck) -> None:
        law = _check_delay(check)
        if law is None:
            law = self._manager.process.costs.law("health_check")
        self._after_each(law, "envoy.health_check", _S.HEALTH, _G.HEALTH_CHECKED, check.timeout_ns)

    def _after_each(
        self,
        law: Delay | int,
        purpose: str,
        state: ClusterState,
        signal: ClusterSignal,
        at_most_ns: int | None = None,
    ) -> None:
        """Fires the signal for each cluster after its own delay; equal delays share one timer."""
        process = self._manager.process
        delays: dict[int, Names]
        if isinstance(law, int):
            delays = {law: self.names}
        elif isinstance(law, Constant):
            delays = {law.value_ns: self.names}
        else:
            by_delay: dict[int, list[str]] = {}
            for name in self.names:
                by_delay.setdefault(self._slowest_ns(law, f"{purpose}.{name}", name), []).append(name)
            delays = {delay_ns: Names(names) for delay_ns, names in by_delay.items()}
        for delay_ns, names in delays.items():
            bounded_ns = delay_ns if at_most_ns is None else min(delay_ns, at_most_ns)
            wake = self._waker(names, self.configs.only(names), state, signal)
            process.clock.after(bounded_ns, wake, band=Band.TIMER, entity=process.proxy)

    def _slowest_ns(self, law: Delay, purpose: str, name: str) -> int:
        """The longest of the cluster's checks (one for each host), or its one resolution."""
        process = self._manager.process
        hosts = self.sample.endpoints if name not in self.hosts else assignment_of(self.hosts[name]).endpoints
        draws = hosts if self.state is _S.HEALTH else 1
        return max(draw_ns(law, process.draws, purpose, process.proxy, i) for i in range(max(1, draws)))

    def _waker(
        self, names: Names, configs: Resources, state: ClusterState, signal: ClusterSignal
    ) -> Callable[[], None]:
        manager = self._manager

        def on_main_thread() -> None:
            for batch in list(manager.warming):
                # The object, not the name: a cluster replaced meanwhile has a delay of its own.
                same = names.intersect(batch.names)
                if same and batch.state is state and all(batch.configs[n] is configs[n] for n in same):
                    batch.split(same).fire(signal)

        return lambda: manager.process.main_thread.submit(0, on_main_thread)


_ROWS = bind(CLUSTER, ClusterBatch)
TABLES = {"cluster": (CLUSTER, _S.CREATED, (_S.ACTIVE, _S.GONE))}
