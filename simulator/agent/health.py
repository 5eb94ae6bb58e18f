"""Health of a VM's workload: the agent probes it, and tells istiod when the answer changes.

The probe of the WorkloadGroup has a period and thresholds; only changes are sent, as a request of type
HealthInformation on the ADS stream, and the last report again on each new stream. The first one waits for
Envoy to be ready.
Left out: the probe's time-out, which counts as an answer at once.
Source: pkg/istio-agent/health/health_check.go; pilot/cmd/pilot-agent (defaults: period 10 s, success 1,
failure 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.clock import S
from simulator.engine.events import After, Band, Clock

if TYPE_CHECKING:
    from simulator.engine.draws import Draws


@dataclass(frozen=True, slots=True)
class HealthProbeSettings:
    """``readinessProbe`` of a WorkloadGroup.

    Attributes:
        period_ns: ``periodSeconds``.
        success_threshold: ``successThreshold``.
        failure_threshold: ``failureThreshold``.
    """

    period_ns: int = 10 * S
    success_threshold: int = 1
    failure_threshold: int = 1


class HealthProbe:
    """The agent of one VM and the workload beside it.

    Args:
        clock: Time.
        draws: Random numbers: the phase of the probe.
        vm: Whose.
        settings: Of the probe.
        send: Sends a report: healthy or not.
        is_healthy: What it reported last; None where it reported nothing yet.
    """

    __slots__ = (
        "_clock",
        "_phase_ns",
        "_send",
        "_settings",
        "_timer",
        "_vm",
        "answers",
        "is_ready",
        "reported",
    )

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        vm: int,
        settings: HealthProbeSettings,
        send: Callable[[bool], None],
        is_healthy: bool | None,
    ) -> None:
        self._clock = clock
        self._vm = vm
        self._settings = settings
        self._send = send
        self._phase_ns = int(draws.uniform("agent.health_probe", vm) * settings.period_ns)
        self._timer: After | None = None
        self.answers = True
        """Whether the workload answers its probe."""
        self.is_ready = is_healthy is not None
        """Whether Envoy was ready once."""
        self.reported = is_healthy

    def envoy_ready(self) -> None:
        """Envoy is ready: from now on the workload is probed."""
        self.is_ready = True
        self._await_verdict()

    def set(self, answers: bool) -> None:
        """The workload answers its probe from now on, or does not."""
        self.answers = answers
        self._await_verdict()

    def connected(self) -> None:
        """A new stream: the last report goes along."""
        if self.reported is not None:
            self._send(self.reported)

    def _await_verdict(self) -> None:
        """So many probes in a row must say what the last report does not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_ready or self.answers == self.reported:
            return
        settings, now_ns = self._settings, self._clock.now_ns
        needed = settings.success_threshold if self.answers else settings.failure_threshold
        first_ns = now_ns + (self._phase_ns - now_ns) % settings.period_ns
        verdict_ns = first_ns + (needed - 1) * settings.period_ns
        self._timer = self._clock.at(verdict_ns, self._report, band=Band.TIMER, entity=self._vm)

    def _report(self) -> None:
        self._timer = None
        self.reported = self.answers
        self._send(self.answers)
