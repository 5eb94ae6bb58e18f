"""Joins a mesh whose proxies ask istiod by long polls and, the many of them, are rows of arrays
(`published_world`).

Those played by messages stand in the same queue at istiod, and are held beside the rows.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from simulator.calibration.ways import REST
from simulator.engine.delays import Uniform
from simulator.engine.events import Band, rank
from simulator.fleet.long_poll_loops import LongPollingSettings
from simulator.fleet.long_polls import LongPolls
from simulator.fleet.stats_flushes import StatsFlushes
from simulator.propagation.http_loop import HttpSubscriptions
from simulator.propagation.long_poll import LongPollSettings
from simulator.scenario import mesh_sources
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet.published_rows import PublishedRows
from simulator.scenario.fleet.published_world import PublishedFleetWorld
from simulator.xds.messages import ENVELOPE_BYTES
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names

_SERVES = rank(Band.COMPLETION, 0)
"""Place among the happenings of an instant at which who waited is served."""


class LongPolledFleetWorld(PublishedFleetWorld):
    """A mesh in arrays that asks by long polls; see the module."""

    carried_by = "poll"
    way_costs = REST

    @cached_property
    def _long_polls(self) -> list[LongPolls]:
        """Of each replica that has rows, once the run has begun."""
        return []

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._source(proxy)
        assert isinstance(source, HttpSubscriptions)
        return [(loop.type, loop.names, loop.sent) for loop in source.loops()]

    def _go_on(self) -> None:
        """See PublishedFleetWorld. Those whose istiod ends are played by messages."""

    def _make_coming(self, rows: PublishedRows) -> LongPolls:
        scenario, source = self._scenario, self._sources
        assert isinstance(source, mesh_sources.LongPolls)
        settings: LongPollSettings = source.settings
        envoy = envoy_settings(scenario, self._calibration)
        clusters = [self._servers[p].clusters.cluster_count() for p in self._sidecars.shown]
        polls = LongPolls(
            LongPollingSettings(
                Uniform(settings.wait_ns, settings.longest_wait_ns),
                settings.gives_up_after_ns,
                self._latency,
                scenario.network.bandwidth,
                scenario.propagation.server.service_time,
                ENVELOPE_BYTES,
                rows.replica.number,
                scenario.duration,
            ),
            self._clock,
            self._draws,
            rows.publications.subscriptions,
            rows.updates,
            StatsFlushes(self._stream_settings(envoy), self._draws, rows.entity),
            np.array(clusters, np.int64)[rows.group],
            source.at_a_time,
            rows.entity,
        )
        source.share(rows.replica.number, polls)
        self._long_polls.append(polls)
        return polls

    def _ahead(self, horizon_ns: int, rank: int) -> bool:
        self._begun()
        horizon = horizon_ns, rank
        while True:
            # What happens at one replica may lead to something at another: none goes beyond the others.
            due = sorted((polls.next_ns, number) for number, polls in enumerate(self._long_polls))
            if not due or (due[0][0], _SERVES) >= horizon:
                break
            beyond = (due[1][0], _SERVES + 1) if len(due) > 1 else horizon
            if self._long_polls[due[0][1]].ahead(*min(horizon, beyond)):
                return True
        for polls in self._long_polls:
            polls.pass_to(horizon)
        return False

    def _finish(self) -> None:
        super()._finish()
        for polls in self._long_polls:
            self._recorder.xds_messages += polls.messages
            self._recorder.xds_bytes += polls.bytes
