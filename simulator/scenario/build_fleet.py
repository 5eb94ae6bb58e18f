"""Joins a mesh under istiod whose many proxies are rows of arrays.

Played by messages, with an agent, a stream and an Envoy of their own, are: one sidecar of each visibility
class and zone at each replica, whose start shows what all of them subscribe and fills its caches; gateways;
and proxies whose connection reaches its maximum age within the run. All others are rows (`simulator.fleet`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.deployment import Deployment, first_backends
from simulator.control_plane.istiod.doorway import ends_of_first_connections
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settings import EnvoySettings
from simulator.envoy.settled import SettledCosts, SettledEnvoy
from simulator.fleet.deliveries import Announced
from simulator.fleet.line import PushLine
from simulator.fleet.streams import Streams, StreamSettings
from simulator.mesh.services import Proxy
from simulator.mesh.visibility import VisibilityClass
from simulator.recording.ledger import Change
from simulator.scenario.build_mesh import BEFORE_NS, MeshWorld
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet_moves import ConcerningChange, Moves
from simulator.scenario.fleet_replica import FleetReplica, GroupConnection, GroupMaking
from simulator.scenario.fleet_rows import ReplicaRows
from simulator.scenario.istiod import istiod_settings
from simulator.scenario.mesh_start import ProxyNames
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.workload import EditEntry
from simulator.scenario.world import World
from simulator.xds.resource_types import RESOURCE_TYPES, resource_type
from simulator.xds.resources import Names


@dataclass(frozen=True, slots=True, eq=False)
class _Sidecars:
    """The sidecars of the start.

    Attributes:
        groups: Class of each group, in order of their first proxies: those of one class and zone that one
            replica took.
        shown: These first proxies.
        entity: Proxies that are rows, by place, ascending.
        group: Their groups.
        replica: Which one holds their streams.
        others: Those that are not.
    """

    groups: list[int]
    shown: list[int]
    entity: NDArray[np.int64]
    group: NDArray[np.int32]
    replica: NDArray[np.int64]
    others: list[int]


def build_fleet(scenario: Scenario, seed: int, replication: int) -> World:
    """A fresh world whose many proxies are rows of arrays."""
    return FleetWorld(scenario, seed, replication).world()


class FleetWorld(MeshWorld):
    """A mesh in arrays; see the module."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        super().__init__(scenario, seed, replication)
        self._recorder.counts_all = False
        self._rows: list[ReplicaRows] = []
        """Of each replica, from the beginning of the run on."""
        self._announced: list[Announced] = []

    @property
    def _is_delta(self) -> bool:
        return self._scenario.propagation.protocol == "delta"

    @property
    def _answers_differ(self) -> bool:
        """Which answer acknowledges what is then known at the end of the run only."""
        entries = self._scenario.workload
        return not self._is_delta or any(isinstance(e, EditEntry) and e.rejected_by_envoy for e in entries)

    # --- who is a row, who is not

    def _proxy_names(self) -> Mapping[int, str]:
        return ProxyNames(self._proxies)

    @cached_property
    def _sidecars(self) -> _Sidecars:
        """Who is in which group, and who is a row."""
        proxies, settings = self._proxies, istiod_settings(self._scenario)
        id_ = np.concatenate([np.arange(r.start, r.stop) for r in (proxies.sidecars, proxies.vms)])
        own = np.concatenate([np.arange(len(r)) for r in (proxies.sidecars, proxies.vms)])
        each, zones = max(1, len(self._services)), self._scenario.mesh.zones
        seen = max(len(proxies.sidecars), len(proxies.vms))
        either = proxies.sidecars if len(proxies.sidecars) == seen else proxies.vms
        class_ = np.array([self._visibility.of(proxies[p]).index for p in either[:each]], np.int64)
        replica = first_backends(self._draws, id_, self._scenario.control_plane.replicas)
        of_class = class_[own % each]
        key = (replica * (int(class_.max(initial=0)) + 1) + of_class) * zones + own % zones
        found, first, which = np.unique(key, return_index=True, return_inverse=True)
        in_order = np.argsort(first)
        number = np.empty(len(found), np.int32)
        number[in_order] = np.arange(len(found), dtype=np.int32)
        is_row = np.ones(len(id_), bool)
        is_row[first] = False
        if settings.max_connection_age_ns is not None:
            ends_ns = ends_of_first_connections(
                self._draws,
                id_,
                settings.max_connection_age_ns,
                settings.max_connection_age_grace_ns,
                BEFORE_NS,
            )
            is_row &= ends_ns > self._scenario.duration
        shown = first[in_order]
        return _Sidecars(
            of_class[shown].tolist(),
            id_[shown].tolist(),
            id_[is_row],
            number[which[is_row]],
            replica[is_row],
            id_[~is_row].tolist(),
        )

    def _played(self) -> list[Proxy]:
        """See the module."""
        return [self._proxies[p] for p in (*self._sidecars.others, *self._proxies.gateways)]

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        return FleetReplica(number, deployment, is_synced=True)

    # --- the beginning of the run

    def world(self) -> World:
        """Everything in place."""
        world = super().world()
        world.ahead = self._ahead
        world.at_end.insert(0, self._finish)
        return world

    def _ahead(self, horizon_ns: int) -> None:
        if not self._rows:
            self._begin()
        # What one replica does to another goes through events that are on the clock by then: each is
        # advanced as if it were alone.
        for rows in self._rows:
            rows.line.advance(horizon_ns)

    def _begin(self) -> None:
        """What was configured before the run shows what every row is configured with."""
        self._concerning: list[list[ConcerningChange]] = [[] for _ in self._sidecars.groups]
        settled = [self._settled(proxy) for proxy in self._sidecars.shown]
        for number, replica in sorted(self._deployment.replicas.items()):
            assert isinstance(replica, FleetReplica)
            its = self._sidecars.replica == number
            self._rows.append(
                self._rows_of(replica, self._sidecars.entity[its], self._sidecars.group[its], settled)
            )

    def _rows_of(
        self,
        replica: FleetReplica,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        settled: list[SettledEnvoy],
    ) -> ReplicaRows:
        connections = {c.proxy: c for r in self._deployment.replicas.values() for c in r.connections}
        types = [resource_type(name) for name in RESOURCE_TYPES]
        making = GroupMaking(
            replica, [GroupConnection.of(connections[p], types) for p in self._sidecars.shown]
        )
        envoy = envoy_settings(self._scenario, self._calibration)
        moves = Moves(making.made, making.groups, SettledCosts(envoy.costs), replica.known, self._concerning)
        states = np.array([moves.begin(n, envoy_) for n, envoy_ in enumerate(settled)], np.int32)
        streams = Streams(self._stream_settings(envoy), self._draws, entity, states[group], moves)
        limits = istiod_settings(self._scenario)
        rows = ReplicaRows(replica, entity, group, making, streams, self._scenario.duration)
        rows.line = PushLine(
            self._clock,
            entity,
            group,
            most_others=4 * (len(self._sidecars.others) + len(self._proxies.gateways) + 16),
            limit=limits.push_throttle,
            cores=limits.procs,
            making=making,
            taker=rows,
            start_push=replica._start_push,
        )
        replica.take_line(rows.line, entity)
        return rows

    def _stream_settings(self, envoy: EnvoySettings) -> StreamSettings:
        scenario, latency = self._scenario, self._scenario.network.latency
        flush = envoy.costs["stats_flush_per_cluster"]
        return StreamSettings(
            self._calibration.loopback if latency is None else latency,
            scenario.agent.hop,
            scenario.network.bandwidth,
            scenario.agent.window_bytes,
            envoy.stats_flush_interval_ns,
            flush,  # type: ignore[arg-type]  # a law, not a formula
            scenario.duration,
            answers_differ=self._answers_differ,
            eds_timeout_ns=envoy.initial_fetch_timeout_ns["eds"],
        )

    def _settled(self, proxy: int) -> SettledEnvoy:
        server = self._servers[proxy]
        clusters = server.clusters
        assert not clusters.warming, "a proxy that starts connected is configured"
        held = clusters.known_resources
        return SettledEnvoy(
            held,
            clusters.hosts,
            server.listeners.known_resources,
            server.routes.content,
            clusters.cluster_count() - len(held),
        )

    # --- changes

    def _record(
        self,
        kind_name: str,
        label: str,
        objects: Names,
        now_ns: int,
        concerned: list[tuple[VisibilityClass, dict[str, Names]]],
        elsewhere: int = 0,
    ) -> Change[Names]:
        if not self._rows:
            self._begin()
        parts = {class_.index: parts for class_, parts in concerned}
        classes = self._sidecars.groups
        groups = [n for n, class_ in enumerate(classes) if class_ in parts]
        counts = np.bincount(self._sidecars.group, minlength=len(classes))
        rows = int(counts[groups].sum()) if groups else 0
        change = super()._record(kind_name, label, objects, now_ns, concerned, rows)
        if groups:
            self._announced.append(Announced(change.id, now_ns, tuple(groups)))
        for number, class_ in enumerate(classes):
            if class_ in parts:
                self._concerning[number].append(ConcerningChange(change, parts[class_]))
        if self._recorder.folds and not self._answers_differ:
            for one in self._rows:
                one.fold(self._recorder)
        return change

    # --- the end of the run

    def _finish(self) -> None:
        """The rows become tables."""
        recorder, end_ns = self._recorder, self._scenario.duration
        for rows in self._rows:
            rows.close(recorder)
        if any(rows.streams.log.place for rows in self._rows):
            pushes = [rows.proxy_pushes() for rows in self._rows]
            recorder.proxy_push_columns = {
                name: np.concatenate([columns[name] for columns in pushes]) for name in pushes[0]
            }
        if self._announced:
            parts = [rows.deliveries(self._announced, is_delta=self._is_delta) for rows in self._rows]
            recorder.delivery_parts = lambda: chain.from_iterable(part() for part in parts)
        busy_ns = max((int(r.streams.main_thread_busy_ns.max(initial=0)) for r in self._rows), default=0)
        recorder.utilisation["main thread"] = min(1.0, busy_ns / end_ns)
