"""When a kubelet synchronizes a pod: its volumes then hold what their ConfigMaps and Secrets say.

Every pod has a rhythm and a phase of its own. The kubelet knows of a changed object at once (its default is
to watch) and writes it with the next synchronization.
Source: kubernetes pkg/kubelet/pod_workers.go, pkg/kubelet/config (syncFrequency 1m).
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.engine.clock import S
from simulator.engine.delays import Uniform
from simulator.engine.draws import Draws


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """How often a kubelet synchronizes a pod: every ``syncFrequency`` x U[1, 1 + jitter).

    Attributes:
        sync_period_ns: ``syncFrequency`` (KubeletConfiguration, 1m).
        jitter: workerResyncIntervalJitterFactor (pkg/kubelet/pod_workers.go, 0.5).
    """

    sync_period_ns: int = 60 * S
    jitter: float = 0.5

    @property
    def interval(self) -> Uniform:
        """Between two synchronizations of one pod."""
        return Uniform(self.sync_period_ns, self.sync_period_ns * (1 + self.jitter))


class KubeletRhythm:
    """The instants at which one pod is synchronized.

    A pod that is there before t = 0 is met at a random point of its rhythm; one created later is first
    synchronized a whole interval after that.

    Args:
        draws: Random numbers of the run.
        pod: Whose; keys the draws.
        interval: Between two synchronizations.
        now_ns: When the pod is created.

    Attributes:
        next_ns: The next one.
    """

    __slots__ = ("_draws", "_interval", "_pod", "_syncs", "next_ns")

    def __init__(self, draws: Draws, pod: int, interval: Uniform, now_ns: int) -> None:
        self._draws = draws
        self._pod = pod
        self._interval = interval
        self._syncs = 0
        u = draws.uniform("kubelet.sync", pod, 0)
        self.next_ns = interval.residual_ns(u) if now_ns < 0 else now_ns + interval.ns(u)

    def advance(self) -> None:
        """The synchronization of `next_ns` is over."""
        self._syncs += 1
        u = self._draws.uniform("kubelet.sync", self._pod, self._syncs)
        self.next_ns += max(1, self._interval.ns(u))

    def skip_to(self, now_ns: int) -> int:
        """Passes over what lies before `now_ns`, in which nothing was to be written; the next one then."""
        while self.next_ns < now_ns:
            self.advance()
        return self.next_ns
