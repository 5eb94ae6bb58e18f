"""Joins what the rows of a replica need: its push line, what it makes for them, and the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.costs import Calibration
from simulator.control_plane.istiod.connection import Connection
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.settings import EnvoySettings
from simulator.envoy.settled import SettledCosts, SettledEnvoy
from simulator.envoy.startup import Server
from simulator.fleet.line import PushLine
from simulator.fleet.stream_settings import StreamSettings
from simulator.fleet.streams import Streams
from simulator.fleet.views import Views
from simulator.mesh.visibility import VisibilityClass
from simulator.scenario.architectures import hop_of
from simulator.scenario.fleet.moves import ConcerningChange, Moves
from simulator.scenario.fleet.replica import FleetReplica, GroupConnection, GroupMaking, Made
from simulator.scenario.fleet.rows import ReplicaRows
from simulator.scenario.fleet.traffic import FleetTraffic
from simulator.scenario.istiod import istiod_settings
from simulator.scenario.schema import Scenario
from simulator.xds.resource_types import RESOURCE_TYPES, resource_type


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """What leads to proxies that are connected later.

    Attributes:
        entity: These, by place.
        group: Their groups.
        groups: As connections, from the first istiod on.
        made: What was made so far.
        moves: What becomes of them.
        streams: The way.
    """

    entity: NDArray[np.int64]
    group: NDArray[np.int32]
    groups: list[GroupConnection]
    made: list[Made]
    moves: Moves
    streams: Streams


@dataclass(frozen=True, slots=True, eq=False)
class JoinsRows:
    """Makes the rows of each replica.

    Attributes:
        scenario: What is simulated.
        clock: Time.
        draws: Random numbers.
        envoy: Settings of every Envoy.
        settings: Of the way to the rows.
        concerning: By group the changes that concern it; grow.
        requests: What proxies send to each other; None for nothing.
        most_others: So many connections and jobs of others there may be at a replica at once.
    """

    scenario: Scenario
    clock: Clock
    draws: Draws
    envoy: EnvoySettings
    settings: StreamSettings
    concerning: Sequence[Sequence[ConcerningChange]]
    requests: FleetTraffic | None
    most_others: int

    def make(
        self,
        replica: FleetReplica,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        shown: Sequence[Connection],
        settled: Sequence[SettledEnvoy],
        connected: NDArray[np.bool_] | None = None,
    ) -> ReplicaRows:
        """The rows of a replica of the start.

        Args:
            replica: It.
            entity: The proxies, by place.
            group: Their groups.
            shown: By group the connection of a proxy that is played by messages.
            settled: By group what an Envoy holds.
            connected: Which of the proxies it holds the streams of; None for all.
        """
        types = [resource_type(name) for name in RESOURCE_TYPES]
        groups = [GroupConnection.of(connection, types).anew(replica.context) for connection in shown]
        making, requests = GroupMaking(replica, groups, []), self.requests
        moves = Moves(
            making.made,
            groups,
            SettledCosts(self.envoy.costs),
            self.concerning,
            None if requests is None else requests.view,
        )
        views = None
        if requests is not None:
            meets = np.array([requests.view(n, envoy) for n, envoy in enumerate(settled)], np.int32)
            views = Views(meets[group], self.scenario.duration)
        states = np.array([moves.begin(n, envoy) for n, envoy in enumerate(settled)], np.int32)
        streams = Streams(self.settings, self.draws, entity, states[group], moves, views)
        rows = self._joined(replica, entity, group, making, streams)
        if connected is not None:
            rows.line.begin_with(connected)
        replica.take_line(rows.line, entity)
        return rows

    def without_istiod(self, entity: NDArray[np.int64], group: NDArray[np.int32]) -> Ways:
        """The ways to proxies that connect later, to istiods that there need not be yet."""
        groups: list[GroupConnection] = []
        made: list[Made] = []
        requests, nobody = self.requests, np.zeros(len(entity), np.int32)
        moves = Moves(
            made,
            groups,
            SettledCosts(self.envoy.costs),
            self.concerning,
            None if requests is None else requests.view,
        )
        views = None if requests is None else Views(nobody + requests.nothing, self.scenario.duration)
        streams = Streams(self.settings, self.draws, entity, nobody, moves, views)
        return Ways(entity, group, groups, made, moves, streams)

    def first(
        self, replica: FleetReplica, ways: Ways, kinds: Sequence[tuple[VisibilityClass, int]]
    ) -> ReplicaRows:
        """The rows of the first istiod that any of these may connect to: nobody is connected yet.

        Args:
            replica: It.
            ways: To them.
            kinds: By group the class and zone of its proxies.
        """
        is_delta = self.scenario.propagation.protocol == "delta"
        ways.groups.extend(GroupConnection(c, zone, replica.context, {}, {}, is_delta) for c, zone in kinds)
        making = GroupMaking(replica, ways.groups, ways.made)
        rows = self._joined(replica, ways.entity, ways.group, making, ways.streams)
        rows.line.begin_with(np.zeros(len(ways.entity), bool))
        replica.take_line(rows.line, ways.entity)
        return rows

    def follow(self, replica: FleetReplica, last: ReplicaRows, connected: NDArray[np.bool_]) -> ReplicaRows:
        """The rows of one more replica that those of another may connect to.

        Args:
            replica: It.
            last: The rows of the replica that came before it.
            connected: Whose streams it holds at first.
        """
        groups = [group.anew(replica.context) for group in last.making.groups]
        making = GroupMaking(replica, groups, last.making.made)
        rows = self._joined(replica, last.entity, last.group, making, last.streams)
        rows.follow(last)
        rows.line.begin_with(connected)
        replica.take_line(rows.line, last.entity)
        return rows

    def _joined(
        self,
        replica: FleetReplica,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        making: GroupMaking,
        streams: Streams,
    ) -> ReplicaRows:
        limits = istiod_settings(self.scenario)
        is_delta = self.scenario.propagation.protocol == "delta"
        rows = ReplicaRows(replica, entity, group, making, streams, self.scenario.duration, is_delta=is_delta)
        rows.line = PushLine(
            self.clock,
            entity,
            group,
            most_others=self.most_others,
            number=replica.number,
            limit=limits.push_throttle,
            cores=limits.procs,
            making=making,
            taker=rows,
            start_push=replica._start_push,
        )
        replica.learns_of_nothing = rows.forget_moves
        return rows


def stream_settings(
    scenario: Scenario, calibration: Calibration, envoy: EnvoySettings, *, answers_differ: bool
) -> StreamSettings:
    """What the ways to all rows have in common."""
    latency, flush = scenario.network.latency, envoy.costs["stats_flush_per_cluster"]
    return StreamSettings(
        calibration.loopback if latency is None else latency,
        hop_of(scenario),
        scenario.network.bandwidth,
        scenario.agent.window_bytes,
        envoy.stats_flush_interval_ns,
        flush,  # type: ignore[arg-type]  # a law, not a formula
        scenario.duration,
        answers_differ=answers_differ,
        eds_timeout_ns=envoy.initial_fetch_timeout_ns["eds"],
    )


def settled_envoy(server: Server) -> SettledEnvoy:
    """What an Envoy of the start holds."""
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
