"""Whether virtual machines register themselves, and happenings that need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from simulator.scenario.problems import Location
from simulator.scenario.sections.control_plane import ControlPlane
from simulator.scenario.sections.mesh import Mesh
from simulator.scenario.sections.propagation import Propagation
from simulator.scenario.sections.workload import UnhealthyEntry
from simulator.scenario.sections.workload_entries import WorkloadEntry

FIRST_AUTO_REGISTRATION = 11
"""Istio 1.11, where ``auto`` begins (assumption)."""


class Checked(Protocol):
    """The sections of a scenario that virtual machines concern."""

    @property
    def mesh(self) -> Mesh:
        """Section `mesh`."""

    @property
    def control_plane(self) -> ControlPlane:
        """Section `control_plane`."""

    @property
    def propagation(self) -> Propagation:
        """Section `propagation`."""

    @property
    def workload(self) -> tuple[WorkloadEntry, ...]:
        """Section `workload`."""


def registers_vms(scenario: Checked) -> bool:
    """Whether VMs come and go as endpoints with their connections."""
    told, plane = scenario.mesh.workload_group.auto_registration, scenario.control_plane
    if scenario.mesh.proxies.vms == 0 or not _can_register(scenario):
        return False
    if told == "auto":
        return int(plane.version.split(".")[1]) >= FIRST_AUTO_REGISTRATION
    return bool(told)


def _can_register(scenario: Checked) -> bool:
    return scenario.control_plane.kind == "istiod" and scenario.propagation.strategy == "push"


def unusable_vms(scenario: Checked) -> Iterator[tuple[Location, str]]:
    """A registration that nobody does, and health that nobody reports."""
    if scenario.mesh.workload_group.auto_registration is True and not _can_register(scenario):
        told = "needs control_plane.kind: istiod and propagation.strategy: push"
        yield ("mesh", "workload_group", "auto_registration"), told
    for position, entry in enumerate(scenario.workload):
        if isinstance(entry, UnhealthyEntry) and scenario.mesh.proxies.vms and not registers_vms(scenario):
            told = "needs VMs that register: mesh.workload_group.auto_registration: true, and push"
            yield ("workload", position, entry.KIND), told
