"""Follows one request train through one Envoy's data plane: joins workload, data plane and the ledger of
changes."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.engine.draws import Draws
from simulator.engine.events import Band
from simulator.envoy.data_plane import DataPlane, Published
from simulator.envoy.startup import Server
from simulator.recording.ledger import ChangeLedger
from simulator.scenario.schema import TrafficEntry
from simulator.workload.traffic import (
    OutcomeTimeline,
    TrafficSettings,
    connection_closed_after_ns,
    split_by_staleness,
)
from simulator.xds.resources import Names, Resource


class TrafficWatch:
    """One request train from start to end."""

    def __init__(
        self,
        server: Server,
        entry: TrafficEntry,
        duration_ns: int,
        path: Mapping[str, Names],
        ledger: ChangeLedger[Names],
        draws: Draws,
        number: int,
    ) -> None:
        until_ns = duration_ns if entry.until is None else min(entry.until, duration_ns)
        self._settings = TrafficSettings(
            entry.traffic.to,
            entry.traffic.rate.per_second,
            entry.traffic.connection == "kept",
            entry.begin,
            until_ns,
        )
        self._server = server
        self._path = path
        self._ledger = ledger
        self._draws = draws
        self._number = number
        self._timeline = OutcomeTimeline(self._settings)
        self._view = Published()
        self._connected_to: Resource[object] | None = None
        self._closes = 0
        DataPlane(server, self._on_published)

    def _on_published(self, t_ns: int, view: Published) -> None:
        self._view = view
        self._follow(t_ns)

    def _follow(self, t_ns: int) -> None:
        service = self._settings.service
        if not self._settings.is_kept:
            self._timeline.set(t_ns, self._view.outcome(service))
            return
        accepting = self._view.listeners.get(service)
        if self._connected_to is None:
            self._connected_to = accepting
        elif self._connected_to is not accepting and self._view.draining.get(service) is self._connected_to:
            self._await_close()
        elif self._connected_to is not accepting:
            self._connected_to = accepting
        config = self._connected_to
        self._timeline.set(t_ns, "refused" if config is None else self._view.outcome_on(config))

    def _await_close(self) -> None:
        """The listener object drains: the kept connection is told to close, once."""
        process, settings = self._server.process, self._server.process.settings
        old, self._closes = self._connected_to, self._closes + 1
        close = self._closes
        after_ns = connection_closed_after_ns(
            settings.drain_time_ns,
            is_gradual=settings.drain_is_gradual,
            per_second=self._settings.per_second,
            uniform=lambda second: self._draws.uniform(
                f"traffic.drain.{self._number}.{close}", process.proxy, second
            ),
        )

        def closed() -> None:
            if self._connected_to is old:
                process.enter("connection", self._settings.service, "CLOSED", "draining")
                self._connected_to = None
                self._follow(process.now_ns)

        process.clock.after(after_ns, closed, band=Band.COMPLETION, entity=process.proxy)

    def finish(self, t_ns: int) -> None:
        """Writes the rows."""
        process, settings = self._server.process, self._settings
        stale = self._ledger.stale_windows(process.proxy, self._path, t_ns)
        for span, is_stale in split_by_staleness(self._timeline.finish(t_ns), stale):
            requests = settings.per_second * (span.t_end_ns - span.t_start_ns) / 1e9
            process.recorder.traffic(
                span.t_start_ns,
                span.t_end_ns,
                process.proxy,
                settings.service,
                span.outcome,
                is_stale,
                requests,
                requests,
            )
