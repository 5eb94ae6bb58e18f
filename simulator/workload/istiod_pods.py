"""The pods of istiod: restarts in place, added replicas, rollouts, and when clients are sent to each.

A replica takes connections once the kubelet's readiness probe passed, the EndpointSlice of the Service
``istiod`` says so and the nodes' kube-proxies follow it; and clients are sent to a replica that is down until
they follow again. All nodes follow at one instant.
Sources: manifests/charts/istio-control/istio-discovery/templates/deployment.yaml (readinessProbe; no preStop
hook); pilot/pkg/bootstrap/server.go (SIGTERM stops the discovery server at once).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind
from simulator.workload.contract import IstiodActions
from simulator.workload.deployment import Deployment, RollingUpdate
from simulator.workload.entries import Portion

AT_ONCE: Delay = Constant(0)


@dataclass(frozen=True, slots=True)
class IstiodPodSettings:
    """What stands between a replica that is up and its clients.

    Attributes:
        initial_delay_ns: ``readinessProbe.initialDelaySeconds``.
        period_ns: ``readinessProbe.periodSeconds``.
        endpoint_slice_delay: As for any Service.
        kube_proxy_delay: From the slice to the nodes' rules.
    """

    initial_delay_ns: int = 1 * S
    period_ns: int = 3 * S
    endpoint_slice_delay: Delay = AT_ONCE
    kube_proxy_delay: Delay = AT_ONCE


class IstiodPhase(Enum):
    """Where a replica stands."""

    STARTING = "Starting"
    SYNCED = "Synced"
    READY = "Ready"
    DOWN = "Down"
    DELETED = "Deleted"


class IstiodSignal(Enum):
    """What happens to it."""

    SYNCED = "synced"
    PROBED = "probed"
    TERMINATED = "terminated"
    RESTARTED = "restarted"
    DELETED = "deleted"


_S, _G = IstiodPhase, IstiodSignal
ISTIOD_POD = {
    (_S.STARTING, _G.SYNCED): (_S.SYNCED, "await_probe"),
    (_S.SYNCED, _G.PROBED): (_S.READY, "tell_ready"),
    (_S.STARTING, _G.TERMINATED): (_S.DOWN, "stop"),
    (_S.SYNCED, _G.TERMINATED): (_S.DOWN, "stop"),
    (_S.READY, _G.TERMINATED): (_S.DOWN, "leave_and_stop"),
    (_S.DOWN, _G.TERMINATED): (_S.DOWN, None),
    (_S.DOWN, _G.RESTARTED): (_S.STARTING, "start"),
    (_S.STARTING, _G.RESTARTED): (_S.STARTING, None),
    (_S.SYNCED, _G.RESTARTED): (_S.SYNCED, None),
    (_S.READY, _G.RESTARTED): (_S.READY, None),
    (_S.DELETED, _G.RESTARTED): (_S.DELETED, None),
    (_S.STARTING, _G.DELETED): (_S.DELETED, "stop"),
    (_S.SYNCED, _G.DELETED): (_S.DELETED, "stop"),
    (_S.READY, _G.DELETED): (_S.DELETED, "leave_and_stop"),
    (_S.DOWN, _G.DELETED): (_S.DELETED, None),
}


class _Replica:
    """One pod of istiod."""

    __slots__ = ("_machine", "_pods", "_probe", "_started_ns", "_starts", "follows", "follows_ns", "number")

    def __init__(self, pods: IstiodPods, number: int, phase: IstiodPhase) -> None:
        self._pods = pods
        self._machine = Machine(phase, _ROWS, self, _Replica._entered)
        self._probe: After | None = None
        self._started_ns = 0
        self._starts = 0
        self.number = number
        self.follows = 0
        self.follows_ns = 0

    def _entered(self, _before: IstiodPhase, after: IstiodPhase) -> None:
        self._pods.on_phase(self.number, after)

    @property
    def exists(self) -> bool:
        """Whether the pod is not deleted."""
        return self._machine.state is not _S.DELETED

    def fire(self, signal: IstiodSignal) -> None:
        """Something happened to it."""
        self._machine.fire(signal)

    def start(self) -> None:
        """The process starts."""
        clock = self._pods.clock
        self._started_ns = clock.now_ns
        self._starts += 1
        start = self._starts

        def synced() -> None:
            if start == self._starts and self._machine.state is _S.STARTING:
                self.fire(_G.SYNCED)

        self._pods.actions.start_istiod(self.number, synced)

    def await_probe(self) -> None:
        """The kubelet probes at the initial delay after the start, then every period."""
        settings, clock = self._pods.settings, self._pods.clock
        first_ns = self._started_ns + settings.initial_delay_ns
        late_ns = max(0, clock.now_ns - first_ns)
        probe_ns = first_ns + -(-late_ns // settings.period_ns) * settings.period_ns
        self._probe = clock.at(probe_ns, lambda: self.fire(_G.PROBED), band=Band.WORKLOAD, entity=self.number)

    def tell_ready(self) -> None:
        """Its Ready condition is true: the Service will have it."""
        self._probe = None
        self._pods.became_ready(self)

    def leave_and_stop(self) -> None:
        """The Service will have it no more; meanwhile clients are still sent to it."""
        self._pods.follow(self, is_in=False)
        self.stop()

    def stop(self) -> None:
        """The process ends."""
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        self._pods.actions.stop_istiod(self.number)


_ROWS = bind(ISTIOD_POD, _Replica)
TABLES = {"istiod_pod": (ISTIOD_POD, _S.STARTING, {_S.DELETED}, _Replica)}


class IstiodPods:
    """All replicas of istiod (a `PodDriver` of their Deployment).

    Args:
        clock: Whose time passes.
        draws: Random numbers, keyed by replica.
        settings: Probes and delays.
        actions: Start and stop the processes.
        replicas: How many there are at the start.
        are_running: They are ready and in the Service; else they start when `begin` is called.
        on_phase: Told what a replica enters.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        settings: IstiodPodSettings,
        actions: IstiodActions,
        replicas: int,
        *,
        are_running: bool = True,
        on_phase: Callable[[int, IstiodPhase], None] = lambda _replica, _phase: None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.actions = actions
        self._draws = draws
        self.on_phase = on_phase
        phase = _S.READY if are_running else _S.DOWN
        self._replicas = [_Replica(self, number, phase) for number in range(replicas)]
        self._on_ready: dict[int, Callable[[], None]] = {}
        self._on_in_service: dict[int, Callable[[], None]] = {}
        self.deployment: Deployment[int] = Deployment(clock, self, range(replicas))

    @property
    def count(self) -> int:
        """Pods there have been so far."""
        return len(self._replicas)

    def begin(self, replica: int) -> None:
        """The container of a pod that did not run starts."""
        self._replicas[replica].fire(_G.RESTARTED)

    def restart(self, replica: int, down_for_ns: int) -> None:
        """Terminates a replica's process; it starts again in place. Without effect on a pod that is gone."""
        if replica >= len(self._replicas) or not self._replicas[replica].exists:
            return
        pod = self._replicas[replica]
        pod.fire(_G.TERMINATED)
        self.clock.after(down_for_ns, lambda: pod.fire(_G.RESTARTED), band=Band.WORKLOAD, entity=replica)

    def add(self, count: int) -> None:
        """So many replicas more."""
        self.deployment.scale_up(count)

    def install(self, revision: str, count: int, on_in_service: Callable[[], None]) -> None:
        """A whole second control plane beside the first: it watches and processes everything as that does.

        Args:
            revision: Its name.
            count: Its replicas.
            on_in_service: Told when proxies can connect to all of them.
        """
        awaited = dict.fromkeys(self.create(0, number) for number in range(count))

        def arrived(pod: int) -> None:
            awaited.pop(pod)
            if not awaited:
                on_in_service()

        for pod in list(awaited):
            self.actions.assign_revision(pod, revision)
            self._on_in_service[pod] = partial(arrived, pod)
            self._replicas[pod].start()

    def rollout(self, max_surge: Portion, max_unavailable: Portion) -> None:
        """Replaces all pods."""
        self.deployment.roll(RollingUpdate(max_surge, max_unavailable))

    def create(self, generation: int, number: int) -> int:
        """A new pod gets the next replica number."""
        self._replicas.append(_Replica(self, len(self._replicas), _S.STARTING))
        return len(self._replicas) - 1

    def start(self, pod: int, on_ready: Callable[[], None]) -> None:
        """Its process starts."""
        self._on_ready[pod] = on_ready
        self._replicas[pod].start()

    def ready(self, pod: int) -> None:
        """Its Deployment knows it; the Service does as well."""

    def became_ready(self, replica: _Replica) -> None:
        """A replica's Ready condition turned true; its Deployment asks for the first time only."""
        self.follow(replica, is_in=True)
        on_ready = self._on_ready.pop(replica.number, None)
        if on_ready is not None:
            on_ready()

    def delete(self, pod: int) -> None:
        """SIGTERM at once: the pod has no preStop hook."""
        self._replicas[pod].fire(_G.DELETED)

    def follow(self, replica: _Replica, *, is_in: bool) -> None:
        """Clients are sent to the replica, or no more, once the slice and the nodes follow; in order."""
        delay_ns = sum(
            draw_ns(delay, self._draws, f"istiod.{name}", replica.number, replica.follows)
            for name, delay in (
                ("endpoint_slice_delay", self.settings.endpoint_slice_delay),
                ("kube_proxy_delay", self.settings.kube_proxy_delay),
            )
        )
        replica.follows += 1
        replica.follows_ns = max(replica.follows_ns, self.clock.now_ns + delay_ns)

        def followed() -> None:
            self.actions.istiod_in_service(replica.number, is_in)
            told = self._on_in_service.pop(replica.number, None) if is_in else None
            if told is not None:
                told()

        self.clock.at(replica.follows_ns, followed, band=Band.WORKLOAD, entity=replica.number)
