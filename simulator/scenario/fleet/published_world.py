"""Joins a mesh whose many proxies are rows of arrays that come for what istiods have published.

Played by messages are whoever `world` names but for what befalls streams alone.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from simulator.agent.secret_discovery import SecretDiscovery
from simulator.calibration.ways import WayCosts
from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settled import SettledCosts, SettledEnvoy
from simulator.fleet.errors import RowsTouched
from simulator.fleet.stats_flushes import StatsFlushes
from simulator.fleet.updates import Updates, UpdateSettings
from simulator.fleet.views import HeldViews
from simulator.recording.ledger import Change
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet.join_rows import settled_envoy
from simulator.scenario.fleet.publications import AnswerSteps, Publications
from simulator.scenario.fleet.published_rows import (
    Coming,
    PublishedRows,
    PublishingReplica,
    held_views,
    rank_in_group,
)
from simulator.scenario.fleet.world import FleetWorld
from simulator.scenario.istiod_processes import FollowedProcesses, IstiodProcesses
from simulator.scenario.mesh_parts import law_of
from simulator.wire.contract import ConfigSource
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


class PublishedFleetWorld(FleetWorld):
    """A mesh in arrays that comes for its configuration; see the module."""

    _has_streams = False
    _come: list[Coming] | None = None
    """The rows as they come, replica by replica; None before the run."""
    carried_by: str
    """What carries changes, in the table of deliveries."""
    way_costs: WayCosts
    """What it costs that configuration comes this way."""

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        return PublishingReplica(number, deployment, is_synced=True)

    def _ahead(self, horizon_ns: int, rank: int) -> bool:
        come = self._begun()
        if len(come) < 2 or not self._goes_in_step:
            for one in come:
                one.ahead(horizon_ns)
            return False
        # What happens at one replica may lead to a publication at another: none goes beyond the others.
        while True:
            due = sorted((one.next_ns, number) for number, one in enumerate(come))
            if due[0][0] >= horizon_ns:
                return False
            if come[due[0][1]].ahead(min(horizon_ns, due[1][0] + 1)):
                return True

    def _begin(self) -> None:
        self._begun()

    # --- istiods that end and start

    def _make_processes(self) -> IstiodProcesses:
        assert self._galley is None, "another control plane than istiod"
        cache_sync, end_ns = law_of(self._laws, "cache_sync"), self._scenario.duration
        return FollowedProcesses(
            self._clock,
            self._draws,
            cache_sync,
            self._deployment,
            self._sources,
            end_ns,
            before_end=self._before_end,
            changed=self._changed,
        )

    def _before_end(self, number: int) -> None:
        come = self._begun()
        for rows, coming in zip(self._published, come, strict=True):
            if rows.replica.number == number and rows.replica.is_serving:
                coming.before_end()

    def _changed(self) -> None:
        if self._come is not None:
            self._go_on()

    @abstractmethod
    def _go_on(self) -> None:
        """An istiod has ended or started: where the one that rows come to has ended, they go on with another
        that serves."""

    # --- the beginning of the run

    def _begun(self) -> list[Coming]:
        """What was configured before the run shows what every row is configured with, and comes for."""
        if self._come is None:
            self._come = []
            self._begin_traffic()
            self._published: list[PublishedRows] = []
            settled = [settled_envoy(self._servers[proxy]) for proxy in self._sidecars.shown]
            for number, replica in sorted(self._deployment.replicas.items()):
                its = self._sidecars.replica == number
                if its.any():
                    assert isinstance(replica, PublishingReplica)
                    rows = self._rows_published(
                        replica, self._sidecars.entity[its], self._sidecars.group[its], settled
                    )
                    self._published.append(rows)
                    self._come.append(self._make_coming(rows))
                    rows.follow(self._come[-1])
        return self._come

    def _rows_published(
        self,
        replica: PublishingReplica,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        settled: list[SettledEnvoy],
    ) -> PublishedRows:
        """Those that come to one replica."""
        shown = self._sidecars.shown
        is_own = np.bincount(group, minlength=len(shown)) > 0
        subscribed = [
            self._subscribed(proxy) if own else [] for proxy, own in zip(shown, is_own, strict=True)
        ]
        publications = Publications(replica, shown, subscribed, group)
        views, held = None, None
        if self._requests is not None:
            views, held = held_views(self._requests, settled, publications, group, self._scenario.duration)
        updates = self._make_updates(publications, entity, group, held)
        return PublishedRows(replica, entity, group, publications, updates, views)

    @abstractmethod
    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        """Type, name and requests so far of each subscription of a proxy, in order."""

    def _source(self, proxy: int) -> ConfigSource:
        """Where its Envoy has everything from but what its agent answers."""
        source = self._servers[proxy].source
        return source.others if isinstance(source, SecretDiscovery) else source

    @abstractmethod
    def _make_coming(self, rows: PublishedRows) -> Coming:
        """These rows as they come."""

    def _make_updates(
        self,
        publications: Publications,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        views: HeldViews | None,
    ) -> Updates:
        envoy = envoy_settings(self._scenario, self._calibration)
        costs = SettledCosts(envoy.costs, self.way_costs)
        clusters = [self._servers[p].clusters.cluster_count() for p in self._sidecars.shown]
        return Updates(
            UpdateSettings(
                costs.ns(self.way_costs.update),
                envoy.initial_fetch_timeout_ns["eds"],
                self._scenario.duration,
            ),
            publications.subscriptions,
            AnswerSteps(costs),
            StatsFlushes(self._stream_settings(envoy), self._draws, entity),
            rank_in_group(group),
            np.array(clusters, np.int64)[group],
            views,
        )

    # --- changes

    def _announce_to_rows(self, change: Change[Names], concerned: list[tuple[int, dict[str, Names]]]) -> None:
        for rows in self._published:
            rows.publications.announce(change, concerned)

    def _announce_in_vain(self, change: Change[Names]) -> None:
        self._begun()
        for rows in self._published:
            rows.publications.announce_in_vain(change)

    # --- the end of the run

    def _finish(self) -> None:
        """The rows become tables."""
        recorder = self._recorder
        for coming in self._begun():
            coming.finish()
        touched = [rows.entity[rows.updates.touched()] for rows in self._published]
        if any(len(of_one) for of_one in touched):
            raise RowsTouched(np.concatenate(touched))
        for rows in self._published:
            self._write_traffic(rows.entity, rows.group, rows.views)
        with_changes = [rows for rows in self._published if rows.publications.announced]
        if with_changes:
            recorder.delivery_parts = lambda: chain.from_iterable(
                rows.deliveries(self.carried_by) for rows in with_changes
            )
        busy_ns = max(
            (int(rows.updates.main_thread_busy_ns.max(initial=0)) for rows in self._published), default=0
        )
        recorder.utilisation["main thread"] = min(1.0, busy_ns / self._scenario.duration)
