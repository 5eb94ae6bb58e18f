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
    with_cuts,
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
            entry.traffic.request_time,
        )
        self._server = server
        self._path = path
        self._ledger = ledger
        self._draws = draws
        self._number = number
        self._timeline = OutcomeTimeline(self._settings)
        self._views: dict[Server, Published] = {}
        """What the workers of each process hold, oldest process first."""
        self._connected_to: Resource[object] | None = None
        self._holder: Server = server
        """The process that the kept connection is to."""
        self._closes = 0
        self._drained_ns: dict[Server, int] = {}
        self._cuts: list[tuple[int, int]] = []
        self.follow(server)

    def follow(self, server: Server) -> None:
        """One more process of the same Envoy: the newest that accepts gets new connections."""
        self._views[server] = Published()
        DataPlane(server, lambda t_ns, view: self._on_published(server, t_ns, view))

    def on_drained(self, parent: Server) -> None:
        """Its sockets are closed: what it has accepted stays its own."""
        self._drained_ns[parent] = parent.process.now_ns

    def on_terminated(self, parent: Server) -> None:
        """It ended, and every connection to it: requests under way are cut, the others find its successor."""
        settings, now_ns = self._settings, parent.process.now_ns
        last_ns = self._drained_ns.get(parent, now_ns)
        if settings.is_kept:
            last_ns = now_ns if self._holder is parent and self._connected_to is not None else -1
        first_ns = max(settings.begin_ns, now_ns - settings.request_ns)
        last_ns = min(last_ns, settings.until_ns)
        if first_ns < last_ns:
            self._cuts.append((first_ns, last_ns))
            cut = 1 if settings.is_kept else round(settings.per_second * (last_ns - first_ns) / 1e9)
            parent.process.count("http.downstream_cx_destroy_local_active_rq", cut)
            parent.process.enter("connection", settings.service, "CUT", f"{cut} by parent shutdown")
        del self._views[parent]
        if self._holder is parent:
            self._connected_to = None
            self._follow(now_ns)

    def _on_published(self, server: Server, t_ns: int, view: Published) -> None:
        if server in self._views:
            self._views[server] = view
            self._follow(t_ns)

    def _accepting(self) -> tuple[Server, Published]:
        """The newest process that accepts connections; the newest of all where none does."""
        newest_first = list(reversed(self._views.items()))
        accepting = (pair for pair in newest_first if pair[1].listeners.get(self._settings.service))
        return next(accepting, newest_first[0])

    def _follow(self, t_ns: int) -> None:
        service = self._settings.service
        server, view = self._accepting()
        if not self._settings.is_kept:
            self._timeline.set(t_ns, view.outcome(service))
            return
        if self._connected_to is None:
            self._holder, self._connected_to = server, view.listeners.get(service)
        held = self._views[self._holder]
        accepting = held.listeners.get(service)
        if self._connected_to is not accepting and held.draining.get(service) is self._connected_to:
            self._await_close()
        elif self._connected_to is not accepting:
            self._holder, self._connected_to = server, view.listeners.get(service)
        config = self._connected_to
        outcome = "refused" if config is None else self._views[self._holder].outcome_on(config)
        self._timeline.set(t_ns, outcome)

    def _await_close(self) -> None:
        """The listener object drains: the kept connection is told to close, once."""
        process, settings = self._holder.process, self._holder.process.settings
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
        for span, is_stale in split_by_staleness(with_cuts(self._timeline.finish(t_ns), self._cuts), stale):
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
