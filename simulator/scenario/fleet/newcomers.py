"""Pods that come in the run and stay: known before it begins, so that they can become rows of arrays.

A Deployment names its pods by the generation of its template and a number, so which pods of the last
generation there will be follows from the timeline (workload/deployment.py). Those that a later rollout
deletes are left out, and all where somebody may be chosen of whom that is only known in the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulator.engine.draws import Draws
from simulator.mesh.services import Service, pod_id
from simulator.scenario.fleet.touched import service_of
from simulator.scenario.mesh_start import PodsAtStart
from simulator.workload.entries import (
    MigrateRevisionEntry,
    PartitionEntry,
    RestartEntry,
    RolloutEntry,
    ScaleUpEntry,
    SlowReaderEntry,
)
from simulator.workload.pods import name_of
from simulator.workload.timeline import Happening


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A pod that comes, if its Deployment gets so far.

    Attributes:
        id: Of its proxy.
        service: Whose pod it is.
        zone: Its zone.
        since_ns: It does not come before.
    """

    id: int
    service: Service
    zone: int
    since_ns: int


@dataclass(slots=True)
class _Template:
    """The last template of a service."""

    pods: int
    generation: int = 0
    since_ns: int = 0


def newcomers(
    timeline: Sequence[Happening], pods: PodsAtStart, services: Sequence[Service], draws: Draws
) -> list[Newcomer]:
    """Those that come and stay, by id.

    Args:
        timeline: In order of time.
        pods: Of the services at the start.
        services: All of them.
        draws: Of the run.
    """
    if any(_may_touch_them(happening) for happening in timeline):
        return []
    templates: dict[Service, _Template] = {}
    for happening in timeline:
        entry = happening.entry
        if not isinstance(entry, RolloutEntry | ScaleUpEntry):
            continue
        service = service_of(happening, entry, services, draws)
        if service is None:
            continue
        template = templates.setdefault(service, _Template(len(pods.of(service)), since_ns=happening.t_ns))
        if isinstance(entry, ScaleUpEntry):
            template.pods += entry.count
        else:
            template.generation, template.since_ns = template.generation + 1, happening.t_ns
    found = [pod for service, template in templates.items() for pod in _of(service, template, pods)]
    return sorted(found, key=lambda pod: pod.id)


def _of(service: Service, template: _Template, pods: PodsAtStart) -> Iterator[Newcomer]:
    first = pods.of(service)
    for number in range(0 if template.generation else len(first), template.pods):
        if number >= len(first) or first[number].has_proxy:
            name = name_of(service, template.generation, number)
            zone = first[number % len(first)].zone if first else 0
            yield Newcomer(pod_id(name), service, zone, template.since_ns)


def _may_touch_them(happening: Happening) -> bool:
    """Whether it may befall pods of which that is only known in the run."""
    entry = happening.entry
    if isinstance(entry, RestartEntry | PartitionEntry | SlowReaderEntry):
        return entry.proxies.proxies is None
    return isinstance(entry, MigrateRevisionEntry)
