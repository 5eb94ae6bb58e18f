"""Joins a mesh whose many proxies are rows of arrays that come for what istiod has published.

Played by messages are one sidecar of each visibility class and zone, whose start shows what all of them
subscribe and hold, and gateways.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.agent.secret_discovery import SecretDiscovery
from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settled import SettledCosts
from simulator.fleet.parted import delivery_parts
from simulator.fleet.streams import StatsFlushes
from simulator.fleet.updates import Updates, UpdateSettings
from simulator.fleet.views import HeldViews, Views
from simulator.mesh.services import Service
from simulator.recording.ledger import Change
from simulator.scenario.build_fleet import FleetWorld
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet_publications import AnswerSteps, Publications
from simulator.wire.contract import ConfigSource
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


class PublishingReplica(Replica):
    """A replica that says when it has published.

    Attributes:
        on_published: Told that its PushContext is a new one.
        on_nothing_new: Told which changes it learned of without anything to publish.
    """

    on_published: Callable[[], None] | None = None
    on_nothing_new: Callable[[list[int]], None] | None = None

    def enqueue_all(self, request: PushRequest, push: int) -> None:
        """Nobody has a stream; who polls sees the new PushContext from here on."""
        super().enqueue_all(request, push)
        if self.on_published is not None:
            self.on_published()

    def _tell_nothing_new(self, service: Service, changes: list[int]) -> None:
        super()._tell_nothing_new(service, changes)
        if self.on_nothing_new is not None:
            self.on_nothing_new(changes)


class Coming(Protocol):
    """The rows as they come for what is published."""

    def ahead(self, horizon_ns: int) -> None:
        """Everything before the horizon that somebody on the clock waits for happens."""

    def before_publication(self) -> None:
        """What is published changes now."""

    def after_publication(self) -> None:
        """It has changed."""

    def work_off(self) -> None:
        """What proxies were told before now is done with, as far as it is by now."""

    def finish(self) -> None:
        """The run is over."""


class PublishedFleetWorld(FleetWorld):
    """A mesh in arrays that comes for its configuration; see the module."""

    _has_streams = False
    _coming: Coming | None = None
    _views: Views | None = None
    carried_by: str
    """What carries changes, in the table of deliveries."""
    way_cost: str
    """Key of the cost of the way an update came."""

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        return PublishingReplica(number, deployment, is_synced=True)

    def _ahead(self, horizon_ns: int, rank: int) -> bool:
        self._begun().ahead(horizon_ns)
        return False

    def _begin(self) -> None:
        self._begun()

    # --- the beginning of the run

    def _begun(self) -> Coming:
        """What was configured before the run shows what every row is configured with, and comes for."""
        if self._coming is not None:
            return self._coming
        replica = self._deployment.replicas[0]
        assert isinstance(replica, PublishingReplica)
        group, shown = self._sidecars.group, self._sidecars.shown
        subscribed = [self._subscribed(proxy) for proxy in shown]
        self._publications = Publications(replica, shown, subscribed, group)
        self._members = [np.flatnonzero(group == number) for number in range(len(shown))]
        rank = np.zeros(len(group), np.int64)
        for places in self._members:
            rank[places] = np.arange(len(places))
        self._updates = self._make_updates(rank)
        self._coming = self._make_coming(replica)
        replica.on_published = self._on_published
        replica.on_nothing_new = self._on_nothing_new
        return self._coming

    @abstractmethod
    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        """Type, name and requests so far of each subscription of a proxy, in order."""

    def _source(self, proxy: int) -> ConfigSource:
        """Where its Envoy has everything from but what its agent answers."""
        source = self._servers[proxy].source
        return source.others if isinstance(source, SecretDiscovery) else source

    @abstractmethod
    def _make_coming(self, replica: PublishingReplica) -> Coming:
        """The rows."""

    def _make_updates(self, rank: NDArray[np.int64]) -> Updates:
        envoy, group = envoy_settings(self._scenario, self._calibration), self._sidecars.group
        costs, views = SettledCosts(envoy.costs), self._make_views()
        clusters = [self._servers[p].clusters.cluster_count() for p in self._sidecars.shown]
        return Updates(
            UpdateSettings(
                costs.ns(self.way_cost),
                envoy.initial_fetch_timeout_ns["eds"],
                self._scenario.duration,
            ),
            self._publications.subscriptions,
            AnswerSteps(costs),
            StatsFlushes(self._stream_settings(envoy), self._draws, self._sidecars.entity),
            rank,
            np.array(clusters, np.int64)[group],
            views,
        )

    def _make_views(self) -> HeldViews | None:
        """What requests meet at the rows, if anybody sends some."""
        self._begin_traffic()
        requests = self._requests
        if requests is None:
            return None
        settled = [self._settled(proxy) for proxy in self._sidecars.shown]
        publications, subscriptions = self._publications, self._publications.subscriptions
        deciding = []
        for group, envoy in enumerate(settled):
            clusters, tables = requests.decided_by(group, envoy)
            wanted = [*(("eds", name) for name in clusters), *(("rds", name) for name in tables)]
            known = publications.by_group[group]
            deciding.append([known[key] for key in wanted if key in known])

        def number(group: int, contents: tuple[int, ...]) -> int:
            envoy = settled[group]
            for sub, content in zip(deciding[group], contents, strict=True):
                held = subscriptions.contents[sub][content]
                of = "hosts" if subscriptions.all[sub].type_name == "eds" else "routes"
                envoy = replace(envoy, **{of: getattr(envoy, of).updated(held)})
            return requests.view(group, envoy)

        shown = np.array([requests.view(n, envoy) for n, envoy in enumerate(settled)], np.int32)
        self._views = Views(shown[self._sidecars.group], self._scenario.duration)
        return HeldViews(self._views, subscriptions.layout, deciding, number)

    # --- changes and publications

    def _on_published(self) -> None:
        coming = self._begun()
        coming.before_publication()
        self._publications.publish()
        coming.after_publication()

    def _on_nothing_new(self, changes: list[int]) -> None:
        self._begun().work_off()
        self._publications.come_to_nothing(changes, self._clock.now_ns)

    def _announce_to_rows(self, change: Change[Names], concerned: list[tuple[int, dict[str, Names]]]) -> None:
        self._publications.announce(change, concerned)

    def _announce_in_vain(self, change: Change[Names]) -> None:
        self._begun()
        self._publications.announce_in_vain(change)

    # --- the end of the run

    def _finish(self) -> None:
        """The rows become tables."""
        if self._coming is None:
            return
        self._coming.finish()
        self._updates.check_fetches()
        self._write_traffic(self._sidecars.entity, self._sidecars.group, self._views)
        announced, recorder = self._publications.announced, self._recorder
        if announced:
            recorder.delivery_parts = partial(
                delivery_parts, announced, self._sidecars.entity, self._members, self.carried_by
            )
        busy_ns = int(self._updates.main_thread_busy_ns.max(initial=0))
        recorder.utilisation["main thread"] = min(1.0, busy_ns / self._scenario.duration)
