"""A Deployment: how many pods there are of which template, and the RollingUpdate that replaces them.

The arithmetic is the Deployment controller's: scale the new ReplicaSet up as far as the surge allows; scale
the old ones down as far as enough pods stay available, unready ones first. Pods being deleted count no more.
The controller acts at the instant of whatever it learns.
Source: kubernetes pkg/controller/deployment/rolling.go and util/deployment_util.go (ResolveFenceposts,
NewRSNewReplicas).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from simulator.engine.events import Band, Clock
from simulator.engine.machine import Machine, bind
from simulator.workload.entries import Portion

P = TypeVar("P")
NONE = Portion(count=0)


class PodPhase(Enum):
    """How far a pod of a Deployment is."""

    CREATED = "Created"
    READY = "Ready"
    AVAILABLE = "Available"
    DELETED = "Deleted"


class PodSignal(Enum):
    """What happens to it."""

    READY = "ready"
    MIN_READY_PASSED = "min_ready_passed"
    DELETED = "deleted"


_S, _G = PodPhase, PodSignal
DEPLOYMENT_POD = {
    (_S.CREATED, _G.READY): (_S.READY, "await_availability"),
    (_S.READY, _G.MIN_READY_PASSED): (_S.AVAILABLE, None),
    (_S.CREATED, _G.DELETED): (_S.DELETED, None),
    (_S.READY, _G.DELETED): (_S.DELETED, None),
    (_S.AVAILABLE, _G.DELETED): (_S.DELETED, None),
}


class PodDriver(Protocol[P]):
    """How pods come and go; what a Deployment steers."""

    def create(self, generation: int, number: int) -> P:
        """A new pod of a template, counted from 0 within it."""

    def start(self, pod: P, on_ready: Callable[[], None]) -> None:
        """Starts it; `on_ready` is called once, when it is Ready."""

    def ready(self, pod: P) -> None:
        """It is Ready and was not deleted before."""

    def delete(self, pod: P) -> None:
        """Deletes it, ready or not."""


class _Member(Generic[P]):
    """One pod of a Deployment that is not deleted."""

    __slots__ = ("_deployment", "_machine", "generation", "pod")

    def __init__(self, deployment: Deployment[P], pod: P, generation: int, phase: PodPhase) -> None:
        self._deployment = deployment
        self._machine = Machine(phase, _ROWS, self, _Member._entered)
        self.pod = pod
        self.generation = generation

    def _entered(self, _before: PodPhase, _after: PodPhase) -> None:
        """Nothing of it is recorded: what the pod's proxy does is."""

    @property
    def is_available(self) -> bool:
        """Whether the controller counts it as available."""
        return self._machine.state is _S.AVAILABLE

    @property
    def is_created(self) -> bool:
        """Whether it exists and was never Ready."""
        return self._machine.state is _S.CREATED

    @property
    def is_deleted(self) -> bool:
        """Whether it counts no more."""
        return self._machine.state is _S.DELETED

    def fire(self, signal: PodSignal) -> None:
        """Something happened to it."""
        self._machine.fire(signal)

    def await_availability(self) -> None:
        """Ready for ``minReadySeconds`` is available."""
        self._deployment.await_availability(self)


_ROWS = bind(DEPLOYMENT_POD, _Member)
TABLES = {"deployment_pod": (DEPLOYMENT_POD, _S.CREATED, {_S.DELETED}, _Member)}


@dataclass(frozen=True, slots=True)
class RollingUpdate:
    """Strategy of a Deployment.

    Attributes:
        max_surge: Pods above the wanted number, rounded up.
        max_unavailable: Pods below it, rounded down; 1 where both are 0, or nothing could move.
        min_ready_ns: ``minReadySeconds``.
    """

    max_surge: Portion = NONE
    max_unavailable: Portion = NONE
    min_ready_ns: int = 0

    def fenceposts(self, replicas: int) -> tuple[int, int]:
        """Surge and unavailable pods for so many replicas (ResolveFenceposts)."""
        surge = self.max_surge.of(replicas, rounds_up=True)
        unavailable = self.max_unavailable.of(replicas, rounds_up=False)
        return surge, 1 if surge == 0 and unavailable == 0 else min(unavailable, replicas)


class Deployment(Generic[P]):
    """The pods of one workload.

    Args:
        clock: Whose time passes.
        driver: Makes and ends pods.
        pods: Those there are at the start, all available.
        entity: Settles ties among timers of one instant.
    """

    def __init__(self, clock: Clock, driver: PodDriver[P], pods: Sequence[P], entity: int = 0) -> None:
        self._clock = clock
        self._driver = driver
        self._entity = entity
        self._strategy = RollingUpdate()
        self._created = len(pods)
        self._is_reconciling = False
        self._members = [_Member(self, pod, 0, _S.AVAILABLE) for pod in pods]
        self.replicas = len(pods)
        self.generation = 0

    @property
    def pods(self) -> tuple[P, ...]:
        """All pods that are not deleted, in order of creation."""
        return tuple(member.pod for member in self._members)

    @property
    def is_complete(self) -> bool:
        """Whether all pods are of the newest template and available."""
        current = [m for m in self._members if m.generation == self.generation and m.is_available]
        return len(current) == len(self._members) == self.replicas

    def roll(self, strategy: RollingUpdate) -> None:
        """A new template: all pods are to be replaced, those of an unfinished roll as well."""
        self._strategy = strategy
        self.generation += 1
        self._created = 0
        self._reconcile()

    def scale_up(self, count: int, min_ready_ns: int = 0) -> None:
        """So many pods more."""
        if self.is_complete:
            self._strategy = RollingUpdate(min_ready_ns=min_ready_ns)
        self.replicas += count
        self._reconcile()

    def await_availability(self, member: _Member[P]) -> None:
        """Called by a member that turned Ready."""
        min_ready_ns = self._strategy.min_ready_ns
        if min_ready_ns == 0:
            self._available(member)
        else:
            self._clock.after(
                min_ready_ns, lambda: self._available(member), band=Band.WORKLOAD, entity=self._entity
            )

    def _available(self, member: _Member[P]) -> None:
        if not member.is_deleted:
            member.fire(_G.MIN_READY_PASSED)
            self._reconcile()

    def _ready(self, member: _Member[P]) -> None:
        # Not one that was deleted before, nor one whose container was restarted and that is Ready again.
        if member.is_created:
            self._driver.ready(member.pod)
            member.fire(_G.READY)

    def _reconcile(self) -> None:
        """Acts until nothing is left to do now. What that brings about meanwhile is seen by the loop."""
        if self._is_reconciling:
            return
        self._is_reconciling = True
        while self._scale_new() or self._scale_old():
            pass
        self._is_reconciling = False

    def _scale_new(self) -> bool:
        surge, _ = self._strategy.fenceposts(self.replicas)
        new = sum(m.generation == self.generation for m in self._members)
        room = self.replicas + surge - len(self._members)
        count = min(room, self.replicas - new)
        for _ in range(count):
            pod = self._driver.create(self.generation, self._created)
            self._created += 1
            member = _Member(self, pod, self.generation, _S.CREATED)
            self._members.append(member)
            self._start(member)
        return count > 0

    def _start(self, member: _Member[P]) -> None:
        self._driver.start(member.pod, lambda: self._ready(member))

    def _scale_old(self) -> bool:
        _, unavailable = self._strategy.fenceposts(self.replicas)
        min_available = self.replicas - unavailable
        old = [m for m in self._members if m.generation != self.generation]
        new_unavailable = sum(m.generation == self.generation and not m.is_available for m in self._members)
        limit = len(self._members) - min_available - new_unavailable
        if not old or limit <= 0:
            return False
        unready = [m for m in old if not m.is_available][:limit]
        for member in unready:
            self._delete(member)
        available = [m for m in old if m.is_available]
        spare = sum(m.is_available for m in self._members) - min_available
        doomed = available[: max(0, spare)]
        for member in doomed:
            self._delete(member)
        return bool(unready or doomed)

    def _delete(self, member: _Member[P]) -> None:
        member.fire(_G.DELETED)
        self._members.remove(member)
        self._driver.delete(member.pod)
