"""Joins a mesh under istiod whose proxies start in the run, and are rows of arrays when they have started.

No proxy is played by messages to show what others subscribe: the first of each group that has started does.
Rows may connect to any istiod, and lose their streams and come back as those of any mesh do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.agent.secret_discovery import SecretDiscovery
from simulator.calibration.costs import Law
from simulator.control_plane.istiod.deployment import Deployment, backends_of
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.delays import Constant
from simulator.envoy.ads_mux import GrpcMux
from simulator.envoy.startup import Server
from simulator.fleet.deliveries import delivery_parts
from simulator.fleet.folding import Folding
from simulator.fleet.redials import NO_REQUEST, Redials, RedialSettings
from simulator.fleet.streams import NEVER
from simulator.fleet.views import Views
from simulator.mesh.services import Proxy
from simulator.mesh.visibility import VisibilityClass
from simulator.recording.rows import StartupRow
from simulator.scenario.build_fleet import FleetWorld
from simulator.scenario.build_fleet_sidecars import Sidecars, by_first
from simulator.scenario.certificate_references import has_certificates
from simulator.scenario.certificates import SdsByPodAgents, certificate_settings
from simulator.scenario.engine_choice import dials_in_arrays, streams_end
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet_losses import who_loses
from simulator.scenario.fleet_reconnects import Reconnects
from simulator.scenario.fleet_replica import FleetReplica
from simulator.scenario.fleet_starts import Starts, StartTimes
from simulator.scenario.mesh_sources import Streams as StreamSources
from simulator.wire.stream import Path
from simulator.xds.messages import DeltaDiscoveryRequest, DiscoveryRequest
from simulator.xds.resource_types import CDS


class StartedFleetWorld(FleetWorld):
    """A mesh in arrays whose proxies start in the run; see the module."""

    @cached_property
    def _sidecars(self) -> Sidecars:
        """Who may become a row: groups are of one class and zone."""
        proxies = self._proxies
        id_ = np.arange(proxies.sidecars.start, proxies.sidecars.stop, dtype=np.int64)
        each, zones = max(1, len(self._services)), self._scenario.mesh.zones
        class_ = np.array([self._visibility.of(proxies[p]).index for p in proxies.sidecars[:each]], np.int64)
        of_class = class_[id_ % each]
        which, shown = by_first(of_class * zones + id_ % zones)
        touched = self._touched(self._started_ns)
        is_row = ~np.isin(id_, touched.proxies) & ~np.isin(id_, self._by_messages) & ~self._renews(id_)
        return Sidecars(
            of_class[shown].tolist(),
            id_[shown].tolist(),
            id_[is_row],
            which[is_row],
            np.zeros(int(is_row.sum()), np.int64),
            [*id_[~is_row].tolist(), *proxies.vms],
            touched.to_come,
        )

    def _renews(self, proxies: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who may renew its certificate within the run: it would be a row for a short time only."""
        if not has_certificates(self._scenario):
            return np.zeros(len(proxies), bool)
        earliest_ns = certificate_settings(self._scenario).rotation_ns(1)
        return self._started_ns(proxies) + earliest_ns <= self._scenario.duration

    def _started_ns(self, proxies: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each of these starts."""
        over_ns = self._scenario.mesh.start.over
        return (self._draws.uniform_array("mesh.start", proxies) * over_ns).astype(np.int64)

    def _constructed_ns(self, proxies: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each has read its bootstrap."""
        constructed_ns = self._started_ns(proxies)
        laws: Mapping[str, Law] = envoy_settings(self._scenario, self._calibration).costs
        for key in ("server_construction", "xds_construction"):
            law = laws[key]
            assert not isinstance(law, Mapping), f"costs.{key} is a formula"
            if isinstance(law, Constant):
                constructed_ns = constructed_ns + law.value_ns
            else:
                u = self._draws.uniform_array(f"envoy.costs.{key}", proxies, 0)
                constructed_ns = constructed_ns + law.ns_array(u)
        return constructed_ns

    @cached_property
    def _come_back(self) -> bool:
        """Whether rows may connect to any istiod."""
        return True

    @property
    def _cut_off(self) -> NDArray[np.int64]:
        """Any istiod may let any row in."""
        return self._sidecars.entity

    @cached_property
    def _goes_in_step(self) -> bool:
        """Proxies that start are let in by one istiod or another."""
        return True

    @cached_property
    def _dials_in_arrays(self) -> bool:
        return dials_in_arrays(self._scenario)

    def _played(self) -> list[Proxy]:
        """Who has more to do than to dial is played by messages until it has started."""
        played = super()._played()
        if not self._dials_in_arrays:
            played += [self._proxies[proxy] for proxy in self._sidecars.entity.tolist()]
        return played

    # --- replicas

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        if not self.rows:
            return Replica(number, deployment, is_synced=True)
        if self._has_begun:
            assert self._reconnects is not None
            self._reconnects.before_change(is_behind_messages=True)
        replica = FleetReplica(number, deployment, is_synced=True)
        if self._has_begun:
            self._join(replica)
        return replica

    def _join(self, replica: FleetReplica) -> None:
        """An istiod that rows may connect to."""
        assert self._reconnects is not None
        if self._rows:
            rows = self._joining.follow(replica, self._rows[-1], np.zeros(self.rows, bool))
        else:
            rows = self._joining.first(replica, self._ways, self._kinds)
        replica.starts = self._starts
        self._rows.append(rows)
        self._reconnects.begin(rows)
        if self._recorder.folds and not self._answers_differ:
            rows.fold(self._recorder)

    @property
    def _kinds(self) -> list[tuple[VisibilityClass, int]]:
        """By group the class and zone of its proxies."""
        shown = [self._proxies[proxy] for proxy in self._sidecars.shown]
        return [(self._visibility.of(proxy), proxy.zone) for proxy in shown]

    # --- the beginning of the run

    def _begin(self) -> None:
        self._has_begun = True
        sidecars = self._sidecars
        self._concerning = [[] for _ in sidecars.groups]
        if not self.rows:
            return
        self._begin_traffic()
        envoy = envoy_settings(self._scenario, self._calibration)
        ways = self._ways = self._joining.without_istiod(sidecars.entity, sidecars.group)
        kinds = len(sidecars.groups) + 1
        sizes = np.full((kinds, 1), NO_REQUEST, np.int64)
        request = DeltaDiscoveryRequest(CDS) if self._is_delta else DiscoveryRequest(CDS)
        sizes[-1] = request.size_bytes
        clusters = np.full(kinds, len(envoy.static_clusters), np.int64)
        law, end_ns = envoy.costs["stream_open"], self._scenario.duration
        settings = RedialSettings(envoy.backoff, law, sizes, clusters, backends_of, end_ns)  # type: ignore[arg-type]
        starts_as = np.full(len(sidecars.entity), kinds - 1, np.int32)
        redials = Redials(settings, self._draws, ways.streams, sidecars.entity, starts_as)
        times = StartTimes(self._started_ns(sidecars.entity), self._constructed_ns(sidecars.entity))
        self._starts = Starts(
            self._clock,
            self._deployment,
            self._ledger,
            self,
            ways.streams,
            ways.moves,
            redials,
            times,
            sidecars.entity,
            sidecars.group,
            self._concerning,
            self._rows,
        )
        self._reconnects = self._starts.reconnects = Reconnects(
            self._clock,
            self._deployment,
            self._recorder,
            ways.streams,
            redials,
            sidecars.entity,
            sidecars.group,
            [[] for _ in sidecars.groups],
            self._ends_of_istiods_ns,
            np.full(len(sidecars.entity), NEVER, np.int64),
            end_ns,
            is_delta=self._is_delta,
            have_ends=streams_end(self._scenario),
            starts=self._starts,
        )
        if self._dials_in_arrays:
            self._starts.begin()
        for _, replica in sorted(self._deployment.replicas.items()):
            if isinstance(replica, FleetReplica):
                self._join(replica)
        self._deployment.service_watchers.append(
            partial(self._reconnects.before_change, is_behind_messages=False)
        )

    # --- Envoys that start (fleet_starts.py)

    def place_envoy(self, proxy: int) -> Server:
        """A new Envoy, about to be started."""
        of = self._proxies[proxy]
        server = self._place_envoy(of, "start")
        self._traffic.begin(of, self._visibility.of(of), self._start_ns(of))
        return server

    def _place_envoy(self, proxy: Proxy, cause: str) -> Server:
        server = super()._place_envoy(proxy, cause)
        if not self._dials_in_arrays and self._is_row(proxy.id):
            if not self._has_begun:
                self._begin()
            self._starts.note(int(np.searchsorted(self._sidecars.entity, proxy.id)), server)
        return server

    def path_of(self, proxy: int) -> Path:
        """Its way to istiod."""
        assert isinstance(self._sources, StreamSources), "rows that start are pushed to"
        return self._sources.path(proxy)

    def mux_of(self, server: Server) -> GrpcMux[Any]:
        """Its stream."""
        source: object = server.source
        mux = source.others if isinstance(source, SecretDiscovery) else source
        assert isinstance(mux, GrpcMux), "a row that starts has one stream for all"
        return mux

    def is_done(self, proxy: int) -> bool:
        """Whether nothing comes to it any more but what istiod sends."""
        certificates = self._certificates
        return not isinstance(certificates, SdsByPodAgents) or certificates.is_done(proxy)

    def requests_met(self, proxy: int) -> list[tuple[int, int]]:
        """What requests met there so far, from when on, as the views of rows have it."""
        if self._requests is None:
            self._traffic.hand_over(proxy)
            return []
        return self._requests.met(proxy)

    def forget_envoy(self, proxy: int) -> None:
        """It is a row."""
        server = self._servers.pop(proxy)
        self._world.servers.remove(server)
        del self._alive[self._visibility.of(self._proxies[proxy]).index][proxy]
        self._hot_restarts.forget(proxy)
        self._sources.forget(proxy)

    def proxies(self) -> list[int]:
        """See MeshActions."""
        if not self.rows:
            return sorted(self._servers)
        here = self._starts.in_arrays(self._clock.now_ns)
        return sorted([*self._sidecars.entity[here].tolist(), *self._servers])

    def rotate_root(self) -> None:
        """See MeshActions. Rows renew no certificate within the run."""
        assert isinstance(self._certificates, SdsByPodAgents), "a new root brings certificates with it"
        groups = list(range(len(self._sidecars.groups)))
        self._announce_in_vain(self._certificates.rotate_root(self._servers, self._rows_of(groups)))

    def _rows_of(self, groups: list[int]) -> int:
        if not self.rows:
            return 0
        here = self._starts.in_arrays(self._clock.now_ns)
        return int(np.isin(self._sidecars.group[here], groups).sum())

    # --- the end of the run

    def _finish(self) -> None:
        if self.rows:
            self._starts.finish(self._startup, self._scenario.duration)
        super()._finish()
        if self.rows and not self._rows:
            # No istiod was ever there.
            self._write_traffic(self._sidecars.entity, self._sidecars.group, self._ways.streams.views)

    def _lost(self) -> NDArray[np.int64]:
        loss = self._scenario.network.loss
        if loss == 0 or not self.rows:
            return np.empty(0, np.int64)
        sent, but = self._ways.streams.sent(), self._starts.by_messages
        return who_loses(self._draws, loss, self._sidecars.entity, sent, but)

    def _write_traffic(
        self,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        views: Views | None,
        begins_ns: NDArray[np.int64] | None = None,
    ) -> None:
        super()._write_traffic(entity, group, views, self._starts.send_from_ns())

    def _startup(self, proxy: int, started_ns: int) -> StartupRow:
        return self._recorder.startup(proxy, 0, "start", started_ns)

    def _main_thread_share(self) -> float:
        if not self.rows:
            return 0.0
        lives_ns = self._starts.lives_ns(self._scenario.duration)
        lives = lives_ns > 0
        shares = self._ways.streams.main_thread_busy_ns[lives] / lives_ns[lives]
        return float(shares.max(initial=0.0))

    def _delivery_parts(self) -> list[Callable[[], Iterator[Mapping[str, Any]]]]:
        if self._rows or not self.rows:
            return super()._delivery_parts()
        # No istiod was ever there.
        entity, group, end_ns = self._sidecars.entity, self._sidecars.group, self._scenario.duration
        since = self._ways.streams.since
        if not self._recorder.folds:
            return [partial(delivery_parts, self._announced, [], entity, group, end_ns, since=since)]
        folding = Folding(self._recorder, entity, group, end_ns, since)
        folding.finish(self._announced)
        return [partial(folding.rows, self._announced)]
