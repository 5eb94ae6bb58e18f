"""When an agent calls itself ready, and when the kubelet sees it.

``/healthz/ready`` answers 200 once all conditions were met; losing istiod later does not change that.
Source: pilot/cmd/pilot-agent/status/ready/probe.go, status/util/stats.go, pkg/istio-agent/agent.go (Check);
Kubernetes pkg/kubelet/prober/worker.go, prober_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.agent.settings import ProbeSettings


class Condition(Enum):
    """What readiness asks for."""

    CDS = "cluster_manager.cds.update_success"
    LDS = "listener_manager.lds.update_success"
    LIVE = "server.state LIVE and listener_manager.workers_started"
    NAME_TABLE = "name table received"


class Readiness:
    """The conditions of one start of an Envoy.

    Args:
        needs_name_table: DNS is captured, so the name table counts too.
        on_ready: Called once, when the last condition is met.
    """

    __slots__ = ("_missing", "_on_ready")

    def __init__(self, needs_name_table: bool, on_ready: Callable[[], None]) -> None:
        self._missing = dict.fromkeys((Condition.CDS, Condition.LDS, Condition.LIVE))
        if needs_name_table:
            self._missing[Condition.NAME_TABLE] = None
        self._on_ready = on_ready

    @property
    def is_ready(self) -> bool:
        """Whether ``/healthz/ready`` answers 200."""
        return not self._missing

    @property
    def missing(self) -> tuple[Condition, ...]:
        """Conditions still open."""
        return tuple(self._missing)

    def met(self, condition: Condition) -> None:
        """A condition holds from now on; one that nobody asks for is ignored."""
        if condition in self._missing:
            del self._missing[condition]
            if not self._missing:
                self._on_ready()


def passing_probe_ns(probe: ProbeSettings, phase_ns: int, from_ns: int, ready_ns: int) -> int:
    """The first probe that succeeds.

    A prober ticks from the moment the kubelet learns of the pod, whatever its containers do, so each pod has
    a phase of its own: ticks come at ``phase_ns`` plus multiples of the period.

    Args:
        probe: The probe.
        phase_ns: One of its ticks.
        from_ns: Since when the container is probed: it runs, and its initial delay is over.
        ready_ns: Since when it answers 200.
    """
    t_ns = max(from_ns, ready_ns)
    return t_ns + (phase_ns - t_ns) % probe.period_ns


def failing_probe_ns(probe: ProbeSettings, phase_ns: int, from_ns: int) -> int:
    """The probe whose failure is one too many, of a container that never answers 200."""
    first_ns = passing_probe_ns(probe, phase_ns, from_ns, from_ns)
    return first_ns + (probe.failure_threshold - 1) * probe.period_ns
