"""Joins a mesh whose proxies poll istiod and, the many of them, are rows of arrays (`build_fleet_published`).

Those played by messages stand in the same queue at istiod.
"""

from __future__ import annotations

from functools import cached_property

from simulator.calibration.ways import REST
from simulator.fleet.loops import LoopSettings
from simulator.fleet.poll_service import PollingSettings
from simulator.fleet.polls import Polls
from simulator.propagation.http_loop import HttpSubscriptions
from simulator.scenario import mesh_sources
from simulator.scenario.build_fleet_published import PublishedFleetWorld
from simulator.scenario.published_rows import PublishedRows
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

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._source(proxy)
        assert isinstance(source, HttpSubscriptions)
        return [(loop.type, loop.names, loop.sent) for loop in source.loops()]

    def _make_coming(self, rows: PublishedRows) -> Polls:
        scenario, source = self._scenario, self._sources
        propagation = scenario.propagation
        assert isinstance(source, mesh_sources.Polls)
        polls = Polls(
            PollingSettings(
                LoopSettings(
                    propagation.refresh_delay,
                    propagation.request_timeout,
                    self._latency,
                    scenario.network.loss,
                    rows.replica.number,
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
