"""Names in a scenario with istiod that must exist: services, namespaces, proxies and replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from simulator.mesh.services import ROOT_NAMESPACE, Service
from simulator.scenario.explain import is_known
from simulator.scenario.problems import Location, suggestion
from simulator.scenario.sections.control_plane import ControlPlane
from simulator.scenario.sections.mesh import Mesh
from simulator.scenario.sections.timing import Timed
from simulator.scenario.sections.workload import (
    ANY,
    AddIstiodEntry,
    EditEntry,
    EndpointsEntry,
    MigrateRevisionEntry,
    PartitionEntry,
    ProxyChoice,
    RestartEntry,
    RestartIstiodEntry,
    RolloutEntry,
    ScaleUpEntry,
    SlowReaderEntry,
    TrafficEntry,
    UnhealthyEntry,
)
from simulator.scenario.sections.workload_entries import WorkloadEntry

Found = Iterator[tuple[Location, str]]

MOST_HAPPENINGS = 1_000_000
"""An entry expected to happen more often than this in one run is taken for a mistake."""


class Checked(Protocol):
    """The sections of a scenario that refer to each other's names."""

    @property
    def duration(self) -> int:
        """Simulated time in ns."""

    @property
    def mesh(self) -> Mesh:
        """Section `mesh`."""

    @property
    def control_plane(self) -> ControlPlane:
        """Section `control_plane`."""

    @property
    def workload(self) -> tuple[WorkloadEntry, ...]:
        """Section `workload`."""


def unknown_in_mesh(scenario: Checked, doubts: Sequence[Location] = ()) -> Found:
    """Every name in the workload that the mesh does not have, and entries that happen beyond measure.

    What would follow from what is in doubt is left out.
    """
    mesh, workload, replicas = scenario.mesh, scenario.workload, scenario.control_plane.replicas
    added = sum(entry.add_istiod for entry in workload if isinstance(entry, AddIstiodEntry))
    migrations = [entry.migrate_revision for entry in workload if isinstance(entry, MigrateRevisionEntry)]
    installed = {migration.to: migration.replicas for migration in reversed(migrations)}
    added += sum(count for revision, count in installed.items() if revision != "default")
    knows_duration = is_known(doubts, "duration")
    knows_services = is_known(doubts, "mesh", "services") and is_known(doubts, "mesh", "namespaces")
    knows_proxies = is_known(doubts, "mesh", "proxies")
    # Other entries add replicas.
    knows_replicas = is_known(doubts, "control_plane", "replicas") and is_known(doubts, "workload")
    for position, entry in enumerate(workload):
        place: Location = ("workload", position)
        if (
            knows_duration
            and isinstance(entry, Timed)
            and entry.expected(scenario.duration) > MOST_HAPPENINGS
        ):
            yield place, f"would happen more than {MOST_HAPPENINGS} times in the run"
        if knows_services:
            misplaced = list(_namespaces(mesh, entry, place))
            yield from misplaced or _services(mesh, entry, place)
        if knows_proxies:
            yield from _proxies(mesh, entry, place)
        if knows_replicas and isinstance(entry, RestartIstiodEntry):
            yield from _replica(entry, replicas, added, place)


def _replica(entry: RestartIstiodEntry, replicas: int, added: int, place: Location) -> Found:
    number = entry.restart_istiod
    if number >= replicas + added:
        later = f", and {added} more come" if added else ""
        told = f"there is no replica {number}: control_plane.replicas is {replicas}, counted from 0{later}"
        yield (*place, "restart_istiod"), told


def _namespaces(mesh: Mesh, entry: WorkloadEntry, place: Location) -> Found:
    namespace = getattr(entry, "namespace", None)
    known = [*mesh.namespaces, *([ROOT_NAMESPACE] if isinstance(entry, EditEntry) else [])]
    if namespace is not None and namespace not in known:
        yield (*place, "namespace"), f"no namespace is called {namespace!r}; {suggestion(namespace, known)}"


def _services(mesh: Mesh, entry: WorkloadEntry, place: Location) -> Found:
    namespace: str | None = None
    named: list[tuple[Location, str | None]] = []
    match entry:
        case EditEntry() | ScaleUpEntry():
            named, namespace = [(("service",), entry.service)], entry.namespace
        case EndpointsEntry():
            named, namespace = [(("endpoints",), entry.endpoints)], entry.namespace
        case RolloutEntry():
            named, namespace = [(("rollout",), entry.rollout)], entry.namespace
        case TrafficEntry():
            named = [(("traffic", "from"), entry.traffic.source), (("traffic", "to"), entry.traffic.to)]
    for within, text in named:
        if text is None or (text == ANY and within[-1] not in ("service", "to")):
            continue
        problem = _service_problem(mesh, text, namespace)
        if problem is not None:
            yield (*place, *within), problem


def _service_problem(mesh: Mesh, text: str, namespace: str | None) -> str | None:
    """What is wrong with the name of a service, if anything."""
    found = mesh.services_called(text, namespace)
    if len(found) == 1:
        return None
    if found:
        return f"several services are called {text!r}: write {_labels(found)}"
    elsewhere = mesh.services_called(text.rpartition("/")[2])
    if elsewhere:
        where = text.rpartition("/")[0] or namespace
        return f"namespace {where!r} has no service of this name: write {_labels(elsewhere)}"
    if isinstance(mesh.services, int):
        known = f"they are s0 to s{mesh.services - 1}" if mesh.services else "there are none"
        return f"no service is called {text!r}; {known}"
    return f"no service is called {text!r}; {suggestion(text, [one.name for one in mesh.services])}"


def _labels(services: tuple[Service, ...]) -> str:
    return " or ".join(service.label for service in services[:5])


def _vms(mesh: Mesh, entry: UnhealthyEntry, place: Location) -> Found:
    choice, count = entry.unhealthy.proxies, mesh.proxies.vms
    where: Location = (*place, entry.KIND, "proxies")
    if count == 0:
        yield where, "there are no virtual machines: mesh.proxies.vms is 0"
        return
    if choice.portion is not None and (choice.portion.count or 0) > count:
        yield where, f"must be at most {count}, as many virtual machines as there are"
    for index, name in enumerate(choice.names):
        if not (name.startswith("vm") and mesh.proxies.has(name)):
            yield (*where, index), f"no virtual machine is called {name!r}; they are vm0 to vm{count - 1}"


def _proxies(mesh: Mesh, entry: WorkloadEntry, place: Location) -> Found:
    choice: ProxyChoice | None = None
    match entry:
        case RestartEntry():
            choice = entry.restart.proxies
        case PartitionEntry():
            choice = entry.partition.proxies
        case SlowReaderEntry():
            choice = entry.slow_reader.proxies
        case UnhealthyEntry():
            yield from _vms(mesh, entry, place)
    if choice is None:
        return
    where: Location = (*place, entry.KIND, "proxies")
    if choice.portion is not None and (choice.portion.count or 0) > mesh.proxies.total:
        yield where, f"must be at most {mesh.proxies.total}, as there are, not {choice.portion.count}"
    for index, name in enumerate(choice.names):
        if not mesh.proxies.has(name):
            yield (*where, index), f"no proxy is called {name!r}; {_numbered(mesh)}"


def _numbered(mesh: Mesh) -> str:
    kinds = (("p", mesh.proxies.sidecars), ("gw", mesh.proxies.gateways), ("vm", mesh.proxies.vms))
    ranges = [f"{prefix}0 to {prefix}{count - 1}" for prefix, count in kinds if count]
    return f"they are {', '.join(ranges)}" if ranges else "there are none"
