"""Joins a mesh whose proxies poll istiod and, the many of them, are rows of arrays.

Played by messages are one sidecar of each visibility class and zone, whose start shows what all of them
subscribe and hold, and gateways; they stand in the same queue at istiod.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settled import SettledCosts
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.loops import LoopSettings
from simulator.fleet.parted import delivery_parts
from simulator.fleet.polls import PollingSettings, Polls
from simulator.fleet.streams import StatsFlushes
from simulator.fleet.updates import Updates, UpdateSettings
from simulator.mesh.content import ConfigChange
from simulator.mesh.services import Service
from simulator.propagation.http_loop import HttpSubscriptions
from simulator.recording.ledger import Change
from simulator.scenario import mesh_sources
from simulator.scenario.build_fleet import FleetWorld
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet_publications import AnswerSteps, Publications
from simulator.xds.messages import ENVELOPE_BYTES
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


class PublishingReplica(Replica):
    """A replica that says when it has published.

    Attributes:
        on_published: Told that its PushContext is a new one.
    """

    on_published: Callable[[], None] | None = None

    def enqueue_all(self, request: PushRequest, push: int) -> None:
        """Nobody has a stream; who polls sees the new PushContext from here on."""
        super().enqueue_all(request, push)
        if self.on_published is not None:
            self.on_published()

    def _nothing_new(self, service: Service, key: str, changes: tuple[ConfigChange, ...]) -> None:
        if not self.pushes.batch.has(key):
            raise CannotTakeFleet("endpoints that leave and are back before istiod looked")
        super()._nothing_new(service, key, changes)


class PolledFleetWorld(FleetWorld):
    """A mesh in arrays that polls; see the module."""

    _has_streams = False
    _polls: Polls | None = None

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        return PublishingReplica(number, deployment, is_synced=True)

    def _ahead(self, horizon_ns: int) -> None:
        polls = self._polls or self._begin_polling()
        polls.ahead(horizon_ns)

    def _begin_once(self) -> None:
        if self._polls is None:
            self._begin_polling()

    # --- the beginning of the run

    def _begin_polling(self) -> Polls:
        """What was configured before the run shows what every row is configured with, and asks for."""
        replica = self._deployment.replicas[0]
        assert isinstance(replica, PublishingReplica)
        entity, group = self._sidecars.entity, self._sidecars.group
        shown = self._sidecars.shown
        subscribed = [self._subscribed(proxy) for proxy in shown]
        self._publications = Publications(replica, shown, subscribed, group)
        subscriptions = self._publications.subscriptions
        self._members = [np.flatnonzero(group == number) for number in range(len(shown))]
        rank = np.zeros(len(entity), np.int64)
        for places in self._members:
            rank[places] = np.arange(len(places))
        self._updates = self._make_updates(rank)
        scenario, latency = self._scenario, self._scenario.network.latency
        propagation = scenario.propagation
        source = self._sources
        assert isinstance(source, mesh_sources.Polls)
        self._polls = Polls(
            PollingSettings(
                LoopSettings(
                    propagation.refresh_delay,
                    propagation.request_timeout,
                    self._calibration.loopback if latency is None else latency,
                ),
                scenario.network.bandwidth,
                propagation.server.service_time,
                ENVELOPE_BYTES,
                scenario.duration,
            ),
            self._clock,
            self._draws,
            subscriptions,
            self._updates,
            source.at_a_time,
            entity,
        )
        source.share(self._polls)
        replica.on_published = self._on_published
        return self._polls

    def _make_updates(self, rank: NDArray[np.int64]) -> Updates:
        envoy, group = envoy_settings(self._scenario, self._calibration), self._sidecars.group
        costs = SettledCosts(envoy.costs)
        clusters = [self._servers[p].clusters.cluster_count() for p in self._sidecars.shown]
        return Updates(
            UpdateSettings(
                costs.ns("rest_update"),
                envoy.initial_fetch_timeout_ns["eds"],
                self._scenario.duration,
            ),
            self._publications.subscriptions,
            AnswerSteps(costs),
            StatsFlushes(self._stream_settings(envoy), self._draws, self._sidecars.entity),
            rank,
            np.array(clusters, np.int64)[group],
        )

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._servers[proxy].source
        assert isinstance(source, HttpSubscriptions)
        return [(loop.type, loop.names, loop.sent) for loop in source.loops()]

    # --- changes and publications

    def _on_published(self) -> None:
        assert self._polls is not None
        self._polls.before_publication()
        self._publications.publish()
        self._polls.after_publication()

    def _announce_to_rows(self, change: Change[Names], concerned: list[tuple[int, dict[str, Names]]]) -> None:
        self._publications.announce(change, concerned)

    # --- the end of the run

    def _finish(self) -> None:
        """The rows become tables."""
        polls = self._polls
        if polls is None:
            return
        polls.finish()
        self._updates.check_fetches()
        recorder, end_ns = self._recorder, self._scenario.duration
        recorder.xds_messages += polls.messages
        recorder.xds_bytes += polls.bytes
        announced = self._publications.announced
        if announced:
            recorder.delivery_parts = partial(
                delivery_parts, announced, self._sidecars.entity, self._members, "poll"
            )
        busy_ns = int(self._updates.main_thread_busy_ns.max(initial=0))
        recorder.utilisation["main thread"] = min(1.0, busy_ns / end_ns)
