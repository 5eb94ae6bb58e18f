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

from simulator.calibration.costs import Law
from simulator.control_plane.istiod.deployment import Deployment, backends_of
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.delays import Constant
from simulator.fleet.deliveries import delivery_parts
from simulator.fleet.folding import Folding
from simulator.fleet.redials import NO_REQUEST, Redials, RedialSettings
from simulator.fleet.streams import NEVER, Streams
from simulator.mesh.services import Proxy
from simulator.mesh.visibility import VisibilityClass
from simulator.recording.rows import StartupRow
from simulator.scenario.certificate_references import has_certificates
from simulator.scenario.certificates import certificate_settings
from simulator.scenario.engine_choice import dials_in_arrays, streams_end
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet.reconnects import Reconnects
from simulator.scenario.fleet.replica import FleetReplica
from simulator.scenario.fleet.sidecars import Sidecars, by_first
from simulator.scenario.fleet.starting_world import StartingFleetWorld
from simulator.scenario.fleet.starts import DIALS, TO_COME, Starts, StartTimes
from simulator.xds.messages import DeltaDiscoveryRequest, DiscoveryRequest
from simulator.xds.resource_types import CDS


class StartedFleetWorld(StartingFleetWorld):
    """A mesh in arrays whose proxies start in the run; see the module."""

    @property
    def _has_starts(self) -> bool:
        return self.rows > 0

    @property
    def _ways_to_rows(self) -> Streams:
        return self._ways.streams

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
        sidecars = Sidecars(
            of_class[shown].tolist(),
            id_[shown].tolist(),
            id_[is_row],
            which[is_row],
            np.zeros(int(is_row.sum()), np.int64),
            [*id_[~is_row].tolist(), *proxies.vms],
            touched.to_come,
        )
        return self._with_newcomers(sidecars)

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
            played += [self._proxies[proxy] for proxy in self._sidecars.entity.tolist()[: self.rows_of_start]]
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
        own, to_come = sidecars.entity[: self.rows_of_start], np.full(sidecars.coming, NEVER, np.int64)
        times = StartTimes(
            np.concatenate([self._started_ns(own), to_come]),
            np.concatenate([self._constructed_ns(own), to_come]),
        )
        phase = np.full(self.rows, DIALS, np.int8)
        phase[self.rows_of_start :] = TO_COME
        ways.streams.begin(np.arange(self.rows), times.constructed_ns)
        self._starts = Starts(
            self._clock,
            self._deployment,
            self._ledger,
            self,
            ways.streams,
            ways.moves,
            redials,
            times,
            phase,
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

    # --- the end of the run

    def _finish(self) -> None:
        if self.rows:
            self._starts.finish(self._startup, self._scenario.duration)
        super()._finish()
        if self.rows and not self._rows:
            # No istiod was ever there.
            self._write_traffic(self._sidecars.entity, self._sidecars.group, self._ways.streams.views)

    def _startup(self, proxy: int, started_ns: int) -> StartupRow:
        return self._recorder.startup(proxy, 0, "start", started_ns)

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
