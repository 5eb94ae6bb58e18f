"""Joins a mesh whose proxies poll istiod and, the many of them, are rows of arrays (`published_world`).

Those played by messages stand in the same queue at istiod.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.ways import REST
from simulator.fleet.loops import LoopSettings
from simulator.fleet.poll_service import PollingSettings
from simulator.fleet.polls import Polls
from simulator.propagation.http_loop import HttpSubscriptions
from simulator.propagation.http_server import Slots
from simulator.scenario import mesh_sources
from simulator.scenario.fleet.published_rows import PublishedRows, PublishingReplica
from simulator.scenario.fleet.published_world import PublishedFleetWorld
from simulator.xds.messages import ENVELOPE_BYTES
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


class PolledFleetWorld(PublishedFleetWorld):
    """A mesh in arrays that polls; see the module."""

    carried_by = "poll"
    way_costs = REST

    @cached_property
    def _polls(self) -> list[Polls]:
        """Of each replica that has rows, once the run has begun."""
        return []

    @cached_property
    def _goes_on(self) -> bool:
        """Whether all rows ask one istiod at a time, the next one when it ends; else those whose istiod ends
        are played by messages."""
        return self._scenario.control_plane.replicas == 1 and self._lives_of_istiods.has_one_heir

    @cached_property
    def _is_cut_off(self) -> NDArray[np.bool_]:
        cut_off = super()._is_cut_off
        return np.zeros(len(cut_off), bool) if self._goes_on else cut_off

    def _go_on(self) -> None:
        if not self._goes_on:
            return
        source, serving = self._mesh_polls, self._mesh_polls.serving
        for rows, polls in zip(self._published, self._polls, strict=True):
            if rows.replica.is_serving:
                polls.another_starts()
            elif serving:
                assert len(serving) == 1, "two istiods take over from one"
                replica = self._deployment.replicas[serving[0]]
                assert isinstance(replica, PublishingReplica)
                servers, ended = source.share(replica.number, polls), Slots(self._clock, 1)
                its = servers.hand_over()
                ended.take_over(*polls.go_on_with(replica.number, *its, servers.busy_ns, servers.jobs))
                rows.go_on_with(replica, polls, may_lag=False)

    @property
    def _mesh_polls(self) -> mesh_sources.Polls:
        assert isinstance(self._sources, mesh_sources.Polls)
        return self._sources

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._source(proxy)
        assert isinstance(source, HttpSubscriptions)
        return [(loop.type, loop.names, loop.sent) for loop in source.loops()]

    def _make_coming(self, rows: PublishedRows) -> Polls:
        scenario, source = self._scenario, self._mesh_polls
        propagation = scenario.propagation
        polls = Polls(
            PollingSettings(
                LoopSettings(
                    propagation.refresh_delay,
                    propagation.request_timeout,
                    self._latency,
                    scenario.network.loss,
                    rows.replica.number,
                    np.array(self._lives_of_istiods.nobody_ns, np.int64).reshape(-1, 2),
                ),
                scenario.network.bandwidth,
                propagation.server.service_time,
                ENVELOPE_BYTES,
                scenario.duration,
            ),
            self._clock,
            self._draws,
            rows.publications.subscriptions,
            rows.updates,
            source.at_a_time,
            rows.entity,
        )
        source.share(rows.replica.number, polls)
        self._polls.append(polls)
        return polls

    def _finish(self) -> None:
        super()._finish()
        for polls in self._polls:
            self._recorder.xds_messages += polls.messages
            self._recorder.xds_bytes += polls.bytes
