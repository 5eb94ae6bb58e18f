"""Hot restarts of Envoys under a scripted control plane, or none: joins workload, processes and traffic."""

from __future__ import annotations

from collections.abc import Callable

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.envoy.hot_restart import HotRestart
from simulator.envoy.startup import Server, ServerState
from simulator.recording.recorder import Recorder
from simulator.scenario.traffic import TrafficWatch
from simulator.workload.entries import HotRestartEntry
from simulator.workload.selection import chosen_proxies
from simulator.workload.timeline import Happening

MakeChild = Callable[[int, int, Callable[[Server], None]], Server]
"""Makes the process of a proxy with this epoch, not started yet; told of its exit."""


class HotRestarts:
    """All Envoys that may be restarted.

    Args:
        clock: Time.
        draws: Random numbers; they choose the proxies.
        recorder: Where starts that are refused go.
        make: Makes a child.
    """

    def __init__(self, clock: Clock, draws: Draws, recorder: Recorder, make: MakeChild) -> None:
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._make = make
        self._newest: dict[int, Server] = {}
        self._watches: dict[int, list[TrafficWatch]] = {}
        self._epochs: dict[int, int] = {}

    def follow(self, server: Server, watches: list[TrafficWatch]) -> None:
        """An Envoy starts for the first time, with the request trains through it."""
        self._newest[server.process.proxy] = server
        self._watches[server.process.proxy] = watches

    def play(self, happening: Happening) -> None:
        """Puts a hot restart on the agenda."""
        self._clock.at(happening.t_ns, self._happener(happening), band=Band.WORKLOAD)

    def _happener(self, happening: Happening) -> Callable[[], None]:
        entry = happening.entry
        assert isinstance(entry, HotRestartEntry)

        def happen() -> None:
            chosen = chosen_proxies(
                entry.proxies, sorted(self._newest), self._draws, happening.label, happening.index
            )
            for proxy in chosen:
                self._restart(proxy)

        return happen

    def _restart(self, proxy: int) -> None:
        parent = self._newest[proxy]
        epoch = self._epochs[proxy] = self._epochs.get(proxy, 0) + 1
        if parent.state is not ServerState.LIVE:
            row = self._recorder.startup(proxy, epoch, "hot_restart", self._clock.now_ns)
            row.outcome = "exited"
            self._recorder.warn("a hot restart was refused: the process before is still initializing")
            return
        takeover: list[HotRestart] = []

        def exited(_child: Server) -> None:
            self._newest[proxy] = parent
            takeover[0].child_exited()

        child = self._newest[proxy] = self._make(proxy, epoch, exited)
        watches = self._watches[proxy]

        def drained() -> None:
            for watch in watches:
                watch.on_drained(parent)

        def terminated() -> None:
            for watch in watches:
                watch.on_terminated(parent)

        takeover.append(HotRestart(parent, child, drained, terminated))
        for watch in watches:
            watch.follow(child)
        child.start()
