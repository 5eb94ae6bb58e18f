"""Section `mesh.workload_group`: how virtual machines become endpoints, and what their health is."""

from __future__ import annotations

from typing import Annotated, Literal

from simulator.engine.clock import S
from simulator.scenario.durations import PositiveDurationNs
from simulator.scenario.quantities import Flag, Whole
from simulator.scenario.settings import Settings, setting

_PROBE = "networking/v1 WorkloadGroup.probe; pkg/istio-agent/health"


class WorkloadGroup(Settings):
    """The WorkloadGroup that all virtual machines name."""

    auto_registration: Annotated[bool | Literal["auto"], Flag(("auto",))] = setting(
        "Whether istiod writes the WorkloadEntry of a VM as it connects and removes it as it stays away; "
        "auto: with kind istiod from Istio 1.11 on, where configuration is pushed",
        "auto",
        stands_for="PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION",
        assumption="true in 1.32; that it is since 1.11 was not read",
    )
    grace_period: PositiveDurationNs = setting(
        "How long an entry outlives the VM's connection",
        10 * S,
        stands_for="PILOT_WORKLOAD_ENTRY_GRACE_PERIOD",
        source="pilot/pkg/features/pilot.go (10s)",
    )
    probe_period: PositiveDurationNs = setting(
        "Time between two probes of the workload by its agent",
        10 * S,
        stands_for="probe.periodSeconds",
        source=f"{_PROBE} (10)",
    )
    success_threshold: Annotated[int, Whole(1, 1000)] = setting(
        "Successes in a row that make it healthy",
        1,
        stands_for="probe.successThreshold",
        source=f"{_PROBE} (1)",
    )
    failure_threshold: Annotated[int, Whole(1, 1000)] = setting(
        "Failures in a row that make it unhealthy",
        1,
        stands_for="probe.failureThreshold",
        source=f"{_PROBE} (1)",
    )
