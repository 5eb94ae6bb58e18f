"""To which proxies of the start more happens than pushes: known before the run begins.

The timeline is drawn beforehand, and the lots by which happenings choose are keyed, so whom they choose
follows from numbers. Where it depends on who exists by then (a restart of a share of the proxies, in the
middle of a rollout), whoever may be chosen is in the answer: it may be too large, never too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws
from simulator.mesh.services import Service
from simulator.scenario.mesh_start import PodsAtStart, Proxies
from simulator.workload.entries import (
    MigrateRevisionEntry,
    PartitionEntry,
    RestartEntry,
    RolloutEntry,
    ScaleUpEntry,
    Selection,
    SlowReaderEntry,
    UnhealthyEntry,
)
from simulator.workload.selection import drawn_service
from simulator.workload.timeline import Happening

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """Who is played message by message because of the workload.

    Attributes:
        proxies: Of those of the start, ascending.
        to_come: No more pods than this are created in the run.
    """

    proxies: Ids
    to_come: int


def touched_by(
    timeline: Sequence[Happening],
    proxies: Proxies,
    pods: PodsAtStart,
    services: Sequence[Service],
    draws: Draws,
    end_ns: int,
    started_ns: Callable[[Ids], Ids] | None = None,
) -> Touched:
    """Whom the happenings may touch.

    Args:
        timeline: In order of time.
        proxies: Of the start.
        pods: Of the services at the start.
        services: All of them.
        draws: Of the run.
        end_ns: Its end.
        started_ns: When each of these proxies starts; None where all are there from the beginning.
    """
    return _Reading(timeline, proxies, pods, services, draws, end_ns, started_ns).touched()


class _Reading:
    """One timeline, read from its beginning."""

    def __init__(
        self,
        timeline: Sequence[Happening],
        proxies: Proxies,
        pods: PodsAtStart,
        services: Sequence[Service],
        draws: Draws,
        end_ns: int,
        started_ns: Callable[[Ids], Ids] | None,
    ) -> None:
        self._timeline, self._draws, self._end_ns = timeline, draws, end_ns
        self._pods, self._services = pods, services
        kinds = (proxies.sidecars, proxies.gateways, proxies.vms)
        self._all: Ids = np.concatenate([np.arange(r.start, r.stop, dtype=np.int64) for r in kinds])
        self._vms: Ids = np.arange(proxies.vms.start, proxies.vms.stop, dtype=np.int64)
        self._gateways: Ids = np.arange(proxies.gateways.start, proxies.gateways.stop, dtype=np.int64)
        self._started_ns = None if started_ns is None else started_ns(self._all)
        self._replicas: dict[Service, int] = {}
        self._touched: list[Ids] = []
        self._may_be_missing: list[Ids] = []
        self._to_come = 0

    def touched(self) -> Touched:
        for happening in self._timeline:
            match happening.entry:
                case RolloutEntry() as entry:
                    self._roll(self._service(happening, entry))
                case MigrateRevisionEntry() as entry:
                    self._migrate(happening, entry)
                case ScaleUpEntry() as entry:
                    self._scale_up(happening, entry)
                case RestartEntry() as entry:
                    chosen = self._choose(happening, entry.proxies)
                    self._touched.append(chosen)
                    # While its Envoy starts anew it is not there to be chosen.
                    self._may_be_missing.append(chosen)
                case UnhealthyEntry():
                    self._touched.append(self._vms)
                case PartitionEntry() | SlowReaderEntry() as entry:
                    self._touched.append(self._choose(happening, entry.proxies))
        return Touched(_together(self._touched), self._to_come)

    def _migrate(self, happening: Happening, entry: MigrateRevisionEntry) -> None:
        """As `workload.revisions` moves namespaces, if the control plane that they move to is there at
        once."""
        namespaces = list(dict.fromkeys(service.namespace for service in self._services))
        moved = [
            namespace
            for number, namespace in enumerate(namespaces)
            if happening.t_ns + number * entry.every_ns <= self._end_ns
        ]
        for service in self._services:
            if service.namespace in moved:
                self._roll(service)
        self._may_be_missing.append(self._gateways)

    def _roll(self, service: Service | None) -> None:
        if service is not None:
            self._to_come += self._replicas_of(service)
            # Some of them may still be there at the end of the run.
            leave = np.array([pod.id for pod in self._pods.of(service) if pod.has_proxy], np.int64)
            self._touched.append(leave)
            self._may_be_missing.append(leave)

    def _scale_up(self, happening: Happening, entry: ScaleUpEntry) -> None:
        service = self._service(happening, entry)
        if service is not None:
            self._to_come += entry.count
            self._replicas[service] = self._replicas_of(service) + entry.count

    def _replicas_of(self, service: Service) -> int:
        found = self._replicas.get(service)
        if found is None:
            found = self._replicas[service] = len(self._pods.of(service))
        return found

    def _service(self, happening: Happening, entry: RolloutEntry | ScaleUpEntry) -> Service | None:
        return service_of(happening, entry, self._services, self._draws)

    def _here(self, happening: Happening) -> Ids:
        """Those that have started by then."""
        return self._all if self._started_ns is None else self._all[self._started_ns <= happening.t_ns]

    def _starting_then(self, happening: Happening) -> list[Ids]:
        """Those that start at that instant: some stand before it, some behind."""
        return [] if self._started_ns is None else [self._all[self._started_ns == happening.t_ns]]

    def _choose(self, happening: Happening, selection: Selection) -> Ids:
        """Whom `workload.selection` may choose: so many with the smallest lots among those that exist.

        Among all of the start nobody's place is later than among those that exist by as many as are missing;
        and pods that came can only take places away.
        """
        if selection.proxies is not None:
            return np.array(selection.proxies, np.int64)
        here, wanted = self._here(happening), selection.count
        if wanted is None:
            most = len(here) + self._to_come
            wanted = math.floor((selection.share or 0) * most + Fraction(1, 2))
        wanted += len(_together([*self._may_be_missing, *self._starting_then(happening)]))
        if wanted >= len(here):
            return here
        lots = self._draws.uniform_array(f"{happening.label}.proxies", here, happening.index)
        return here[np.argsort(lots, kind="stable")[:wanted]]


def service_of(
    happening: Happening, entry: RolloutEntry | ScaleUpEntry, services: Sequence[Service], draws: Draws
) -> Service | None:
    """The service of a happening, as `workload.rollouts` chooses it."""
    if entry.service is not None:
        return entry.service
    those = [s for s in services if entry.namespace in (None, s.namespace)]
    return drawn_service(those, draws, happening.label, happening.index) if those else None


def _together(parts: Sequence[Ids]) -> Ids:
    together: Ids = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
    return together
