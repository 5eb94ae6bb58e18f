"""Who of a mesh under istiod is a row of arrays, and who is played by messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.agent.certificates import first_rotations_ns
from simulator.control_plane.istiod.deployment import first_backends
from simulator.control_plane.istiod.doorway import ends_of_first_connections
from simulator.fleet.streams import NEVER
from simulator.mesh.services import Proxy
from simulator.scenario.build_mesh import MeshWorld
from simulator.scenario.certificate_references import has_certificates
from simulator.scenario.certificates import certificate_settings
from simulator.scenario.fleet.touched import Ids, Touched, touched_by
from simulator.scenario.istiod import istiod_settings
from simulator.scenario.istiod_lives import IstiodLives
from simulator.scenario.mesh_parts import BEFORE_NS
from simulator.scenario.mesh_start import ProxyNames


@dataclass(frozen=True, slots=True, eq=False)
class Sidecars:
    """The sidecars of the start.

    Attributes:
        groups: Class of each group, in order of their first proxies: those of one class and zone that one
            replica took.
        shown: These first proxies.
        entity: Proxies that are rows, by place, ascending.
        group: Their groups.
        replica: Which one holds their streams.
        others: Those that are not.
        to_come: No more pods than this will follow.
        coming: So many rows, the last ones, are pods of them.
    """

    groups: list[int]
    shown: list[int]
    entity: NDArray[np.int64]
    group: NDArray[np.int32]
    replica: NDArray[np.int64]
    others: list[int]
    to_come: int
    coming: int = 0


class SidecarsWorld(MeshWorld):
    """A mesh, and who of it is a row."""

    _by_messages: Sequence[int] | NDArray[np.int64]
    """Proxies that are no rows, for reasons that an earlier run showed."""
    _has_streams = True
    """Its connections reach an age; who polls or reads files has none."""

    def _proxy_names(self) -> Mapping[int, str]:
        return ProxyNames(self._proxies)

    @cached_property
    def _sidecars(self) -> Sidecars:
        """Who is in which group, and who is a row."""
        proxies, id_ = self._proxies, self._ids
        each, zones = max(1, len(self._services)), self._scenario.mesh.zones
        seen = max(len(proxies.sidecars), len(proxies.vms))
        either = proxies.sidecars if len(proxies.sidecars) == seen else proxies.vms
        class_ = np.array([self._visibility.of(proxies[p]).index for p in either[:each]], np.int64)
        replica = self._first_replicas(id_)
        kinds = proxies.sidecars, proxies.vms
        of_class, zone = (
            np.concatenate([np.resize(cycle, len(kind)) for kind in kinds])
            for cycle in (class_, np.arange(zones))
        )
        key = (replica * (int(class_.max(initial=0)) + 1) + of_class) * zones + zone
        which, shown = by_first(key)
        is_row = np.ones(len(id_), bool)
        is_row[shown] = False
        if has_certificates(self._scenario):
            renewed_ns = first_rotations_ns(self._draws, id_, certificate_settings(self._scenario))
            is_row &= renewed_ns > self._scenario.duration
        touched = self._touched()
        for by_messages in (touched.proxies, self._by_messages):
            is_row[places(id_, by_messages)] = False
        # Whoever has a health of its own registers anew with each stream.
        comes_back = (np.arange(len(id_)) < len(proxies.sidecars)) & self._come_back
        is_row &= comes_back | ~self._is_cut_off
        return Sidecars(
            of_class[shown].tolist(),
            id_[shown].tolist(),
            id_[is_row],
            which[is_row],
            replica[is_row],
            id_[~is_row].tolist(),
            touched.to_come,
        )

    def _touched(self, started_ns: Callable[[Ids], Ids] | None = None) -> Touched:
        """Whom the workload may touch; `started_ns` says when proxies start, where some do in the run."""
        return touched_by(
            self._timeline,
            self._proxies,
            self._pods_at_start,
            list(self._services.values()),
            self._draws,
            self._scenario.duration,
            started_ns,
        )

    @cached_property
    def _ids(self) -> NDArray[np.int64]:
        """The sidecars of the start, VMs last: ascending."""
        both = self._proxies.sidecars, self._proxies.vms
        return np.concatenate([np.arange(those.start, those.stop) for those in both])

    @cached_property
    def _ages_ns(self) -> NDArray[np.int64]:
        """When the streams that these have had since before t = 0 are old enough to end."""
        settings = istiod_settings(self._scenario)
        if not self._has_streams or settings.max_connection_age_ns is None:
            return np.broadcast_to(np.int64(NEVER), len(self._ids))
        return ends_of_first_connections(
            self._draws,
            self._ids,
            settings.max_connection_age_ns,
            settings.max_connection_age_grace_ns,
            BEFORE_NS,
        )

    @cached_property
    def _come_back(self) -> bool:
        """Whether rows lose their streams, with an istiod or by age, and come back."""
        return self._has_streams and not np.isin(self._cut_off, self._by_messages).all()

    @property
    def _cut_off(self) -> NDArray[np.int64]:
        """Sidecars of the start that are cut off within the run."""
        those = slice(len(self._proxies.sidecars))
        cut_off: NDArray[np.int64] = self._ids[those][self._is_cut_off[those]]
        return cut_off

    @cached_property
    def _is_cut_off(self) -> NDArray[np.bool_]:
        """Of the sidecars of the start: whose istiod ends within the run, or whose connection to it is old
        enough."""
        is_aged: NDArray[np.bool_] = self._ages_ns <= self._scenario.duration
        ending = list(self._ends_of_istiods_ns)
        return is_aged | np.isin(self._first_replicas(self._ids), ending) if ending else is_aged

    @property
    def _ends_of_istiods_ns(self) -> Mapping[int, Sequence[int]]:
        return self._lives_of_istiods.ends_ns

    @cached_property
    def _lives_of_istiods(self) -> IstiodLives:
        scenario, cache_sync = self._scenario, self._laws["cache_sync"]
        assert not isinstance(cache_sync, Mapping), "costs.cache_sync is a formula"
        replicas, settings = scenario.control_plane.replicas, self._istiod_pod_settings()
        return IstiodLives(
            self._timeline,
            self._draws,
            settings,
            cache_sync,
            replicas,
            scenario.duration,
            are_running=scenario.control_plane.start == "running",
        )

    def _first_replicas(self, proxies: NDArray[np.int64]) -> NDArray[np.int64]:
        """The replica that each of these is connected to from the start."""
        return first_backends(self._draws, proxies, self._scenario.control_plane.replicas)

    @property
    def rows(self) -> int:
        """How many sidecars are rows, or pods to come."""
        return len(self._sidecars.entity)

    @property
    def rows_of_start(self) -> int:
        """How many sidecars of the start are rows."""
        return self.rows - self._sidecars.coming

    def _is_row(self, proxy: int) -> bool:
        entity = self._sidecars.entity
        place = int(np.searchsorted(entity, proxy))
        return place < len(entity) and int(entity[place]) == proxy

    def _played(self) -> list[Proxy]:
        """See the module."""
        return [self._proxies[p] for p in (*self._sidecars.others, *self._proxies.gateways)]


def by_first(key: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Of each position the number of its key, and where each key is first, in this order. Keys are small, and
    many are equal."""
    last = len(key) - 1
    first = np.full(int(key.max(initial=-1)) + 1, last + 1, np.int64)
    first[key[::-1]] = np.arange(last, -1, -1)  # of equal ones the last counts: the first in their order
    in_order = np.argsort(first)[: np.count_nonzero(first <= last)]
    number = np.empty(len(first), np.int32)
    number[in_order] = np.arange(len(in_order), dtype=np.int32)
    return number[key], first[in_order]


def places(ids: NDArray[np.int64], of: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where these are among ascending ids; whoever is not among them is left out."""
    wanted = np.asarray(of, np.int64)
    places = np.searchsorted(ids, wanted)
    is_there = places < len(ids)
    is_there[is_there] = ids[places[is_there]] == wanted[is_there]
    found: NDArray[np.int64] = places[is_there]
    return found
