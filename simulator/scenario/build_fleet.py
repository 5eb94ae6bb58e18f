"""Joins a mesh under istiod whose many proxies are rows of arrays.

Played by messages, with an agent, a stream and an Envoy of their own, are: one sidecar of each visibility
class and zone, whose start shows what all of them subscribe; gateways; and proxies whose connection reaches
its maximum age within the run. All others are rows (`simulator.fleet`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.doorway import ends_of_first_connections
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settled import SettledCosts, SettledEnvoy
from simulator.fleet.deliveries import Announced, delivery_parts, read_acks
from simulator.fleet.folding import Folding
from simulator.fleet.line import PushLine
from simulator.fleet.streams import Ints, Small, Streams, StreamSettings
from simulator.mesh.services import Proxy
from simulator.mesh.visibility import VisibilityClass
from simulator.recording.ledger import Change
from simulator.recording.push_tally import PushTally
from simulator.scenario.build_mesh import BEFORE_NS, MeshWorld
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet_moves import ConcerningChange, Moves
from simulator.scenario.fleet_replica import FleetReplica, GroupConnection, GroupMaking
from simulator.scenario.istiod import istiod_settings
from simulator.scenario.mesh_start import ProxyNames
from simulator.scenario.schema import Scenario
from simulator.scenario.world import World
from simulator.xds.messages import ENVELOPE_BYTES
from simulator.xds.resource_types import RESOURCE_TYPES, resource_type
from simulator.xds.resources import Names


@dataclass(frozen=True, slots=True, eq=False)
class _Sidecars:
    """The sidecars of the start.

    Attributes:
        groups: Class and zone of each group, in order of their first proxies.
        shown: These first proxies.
        entity: Proxies that are rows, by place, ascending.
        group: Their groups.
        others: Those that are not.
    """

    groups: list[tuple[int, int]]
    shown: list[int]
    entity: NDArray[np.int64]
    group: NDArray[np.int32]
    others: list[int]


def build_fleet(scenario: Scenario, seed: int, replication: int) -> World:
    """A fresh world whose many proxies are rows of arrays."""
    return FleetWorld(scenario, seed, replication).world()


class FleetWorld(MeshWorld):
    """A mesh in arrays; see the module."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        super().__init__(scenario, seed, replication)
        self._recorder.counts_all = False
        self._streams: Streams | None = None
        self._announced: list[Announced] = []
        self._folding: Folding | None = None

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
        key = class_[own % each] * zones + own % zones
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
        keys = [divmod(int(k), zones) for k in found[in_order]]
        shown = id_[first[in_order]].tolist()
        return _Sidecars(keys, shown, id_[is_row], number[which[is_row]], id_[~is_row].tolist())

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
        if self._streams is None:
            self._begin()
        self._line.advance(horizon_ns)

    def _fold(self) -> None:
        """From here on deliveries are counted, not kept."""
        streams = self._streams
        assert streams is not None
        self._folding = folding = Folding(self._recorder, self._entity, self._group, self._scenario.duration)
        for batch in streams.batches:
            folding.take(batch)
        streams.batches.clear()
        streams.folding = folding
        if not self._recorder.keeps_proxy_pushes:
            tally = self._recorder.push_tally = PushTally()
            streams.log.count_into(tally, lambda n: self._line.requests[n].start_ns, self._making.sends)

    def _begin(self) -> None:
        """What was configured before the run shows what every row is configured with."""
        replica = self._deployment.replicas[0]
        assert isinstance(replica, FleetReplica)
        self._replica = replica
        entity, group = self._sidecars.entity, self._sidecars.group
        self._entity, self._group = entity, group
        connections = {c.proxy: c for c in replica.connections}
        first = self._sidecars.shown
        types = [resource_type(name) for name in RESOURCE_TYPES]
        making = GroupMaking(replica, [GroupConnection.of(connections[p], types) for p in first])
        self._making = making
        self._concerning: list[list[ConcerningChange]] = [[] for _ in first]
        envoy = envoy_settings(self._scenario, self._calibration)
        moves = Moves(making.made, SettledCosts(envoy.costs), replica.known, self._concerning)
        states = np.array([moves.begin(n, self._settled(p)) for n, p in enumerate(first)], np.int32)
        scenario, latency = self._scenario, self._scenario.network.latency
        flush = envoy.costs["stats_flush_per_cluster"]
        settings = StreamSettings(
            self._calibration.loopback if latency is None else latency,
            scenario.agent.hop,
            scenario.network.bandwidth,
            scenario.agent.window_bytes,
            ENVELOPE_BYTES,
            envoy.stats_flush_interval_ns,
            flush,  # type: ignore[arg-type]  # a law, not a formula
            scenario.duration,
        )
        self._streams = Streams(settings, self._draws, entity, states[group], moves)
        limits = istiod_settings(scenario)
        self._line = PushLine(
            self._clock,
            entity,
            group,
            most_others=4 * (len(self._sidecars.others) + len(self._proxies.gateways) + 16),
            limit=limits.push_throttle,
            cores=limits.procs,
            making=making,
            taker=self,
            start_push=replica._start_push,
        )
        replica.take_line(self._line, entity)

    def take(self, place: Small, request: Small, made: Small, dequeued_ns: Ints, sent_ns: Ints) -> None:
        """What the line did goes on its way (fleet/line.py: Taker)."""
        assert self._streams is not None
        self._streams.take(place, request, made, dequeued_ns, sent_ns)
        if self._folding is not None:
            self._folding.settle(int(sent_ns.max()), self._line.in_hand())

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
        if self._streams is None:
            self._begin()
        parts = {class_.index: parts for class_, parts in concerned}
        keys = self._sidecars.groups
        groups = [n for n, (class_, _) in enumerate(keys) if class_ in parts]
        rows = int(self._group_sizes[groups].sum()) if groups else 0
        change = super()._record(kind_name, label, objects, now_ns, concerned, rows)
        if groups:
            self._announced.append(Announced(change.id, now_ns, tuple(groups)))
        for number, (class_, _) in enumerate(keys):
            if class_ in parts:
                self._concerning[number].append(ConcerningChange(change, parts[class_]))
        if self._folding is None and self._recorder.folds:
            self._fold()
        return change

    @cached_property
    def _group_sizes(self) -> NDArray[np.int64]:
        """Rows by group."""
        return np.bincount(self._sidecars.group, minlength=len(self._sidecars.groups))

    # --- the end of the run

    def _finish(self) -> None:
        """The rows become tables."""
        streams = self._streams
        if streams is None:
            return
        self._line.hand_on()
        recorder, end_ns = self._recorder, self._scenario.duration
        self._write_last_sent(streams)
        recorder.xds_messages += streams.messages
        recorder.xds_bytes += streams.bytes
        if self._folding is not None:
            self._folding.finish(self._announced, self._line.in_hand())
            recorder.delivery_parts = partial(self._folding.rows, self._announced)
        elif self._announced:
            read_acks(streams.batches, len(self._entity), self._line.in_hand(), end_ns)
            recorder.delivery_parts = partial(
                delivery_parts, self._announced, streams.batches, self._entity, self._group, end_ns
            )
        busy_ns = int(streams.main_thread_busy_ns.max(initial=0))
        recorder.utilisation["main thread"] = min(1.0, busy_ns / end_ns)

    def _write_last_sent(self, streams: Streams) -> None:
        """When the last push of each round was sent, and what each push was."""
        log, making = streams.log, self._making
        for number, last_ns in log.last_sent_ns(making.sends).items():
            for push in self._line.requests[number].rounds:
                row = self._recorder.push_rows[push]
                row.t_last_sent_ns = max(row.t_last_sent_ns or 0, last_ns)
        if not log.place:
            return
        requests, sent = np.concatenate(log.request), np.concatenate(log.sent_ns)
        made = np.concatenate(log.made)
        sends = np.array([bool(m.responses) for m in making.made] + [False])[made] & (sent >= 0)
        place, dequeued = np.concatenate(log.place), np.concatenate(log.dequeued_ns)
        starts = np.array([r.start_ns for r in self._line.requests], np.int64)[requests]
        types = [[g.type.name for g in m.responses] for m in self._making.made]
        shown = np.empty(len(types) + 1, object)
        for seat, names in enumerate([*types, []]):
            shown[seat] = names
        self._recorder.proxy_push_columns = {
            "push_id": np.array([r.rounds[-1] for r in self._line.requests], np.int64)[requests],
            "proxy": self._entity[place],
            "replica": np.zeros(len(place), np.int64),
            "t_start_ns": starts,
            "t_enqueued_ns": starts,
            "t_dequeued_ns": dequeued,
            "t_sent_ns": np.where(sends, sent, -1),
            "types": shown[np.where(sends, made, -1)],
        }
