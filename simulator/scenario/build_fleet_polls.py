"""Joins a mesh whose proxies poll istiod and, the many of them, are rows of arrays (`build_fleet_published`).

Those played by messages stand in the same queue at istiod.
"""

from __future__ import annotations

from simulator.fleet.loops import LoopSettings
from simulator.fleet.poll_service import PollingSettings
from simulator.fleet.polls import Polls
from simulator.propagation.http_loop import HttpSubscriptions
from simulator.scenario import mesh_sources
from simulator.scenario.build_fleet_published import PublishedFleetWorld, PublishingReplica
from simulator.xds.messages import ENVELOPE_BYTES
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


class PolledFleetWorld(PublishedFleetWorld):
    """A mesh in arrays that polls; see the module."""

    carried_by = "poll"
    way_cost = "rest_update"

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._source(proxy)
        assert isinstance(source, HttpSubscriptions)
        return [(loop.type, loop.names, loop.sent) for loop in source.loops()]

    def _make_coming(self, replica: PublishingReplica) -> Polls:
        scenario, source = self._scenario, self._sources
        propagation = scenario.propagation
        assert isinstance(source, mesh_sources.Polls)
        polls = self._polls = Polls(
            PollingSettings(
                LoopSettings(propagation.refresh_delay, propagation.request_timeout, self._latency),
                scenario.network.bandwidth,
                propagation.server.service_time,
                ENVELOPE_BYTES,
                scenario.duration,
            ),
            self._clock,
            self._draws,
            self._publications.subscriptions,
            self._updates,
            source.at_a_time,
            self._sidecars.entity,
        )
        source.share(polls)
        return polls

    def _finish(self) -> None:
        super()._finish()
        if self._coming is not None:
            self._recorder.xds_messages += self._polls.messages
            self._recorder.xds_bytes += self._polls.bytes
