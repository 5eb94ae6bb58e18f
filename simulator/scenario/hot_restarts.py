"""Hot restarts of Envoys: joins their processes and the traffic through them, and plays those of a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.envoy.hot_restart import HotRestart
from simulator.envoy.startup import Server, ServerState
from simulator.recording.recorder import Recorder
from simulator.workload.entries import HotRestartEntry
from simulator.workload.selection import chosen_proxies
from simulator.workload.timeline import Happening

MakeChild = Callable[[int, int, Callable[[Server], None]], Server]
"""Makes the process of a proxy with this epoch, not started yet; told of its exit."""


def _nobody() -> None:
    """Who need not be told."""


class Watch(Protocol):
    """Requests through the processes of one Envoy."""

    def follow(self, server: Server) -> None:
        """One more process: the newest that accepts gets new connections."""

    def on_drained(self, parent: Server) -> None:
        """Its sockets are closed."""

    def on_terminated(self, parent: Server) -> None:
        """It ended."""


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
        self._watches: dict[int, Sequence[Watch]] = {}
        self._takeovers: dict[int, list[HotRestart]] = {}

    def follow(self, server: Server, watches: Sequence[Watch]) -> None:
        """An Envoy starts, and not as the child of another one, with the request trains through it."""
        proxy = server.process.proxy
        self._newest[proxy] = server
        self._watches[proxy] = watches

    def kill(self, proxy: int) -> None:
        """The container ends: every process but the newest, which its owner stops."""
        self._newest.pop(proxy, None)
        for takeover in list(self._takeovers.get(proxy, ())):
            takeover.kill()

    def forget(self, proxy: int) -> None:
        """It is not restarted any more."""
        self.kill(proxy)
        self._watches.pop(proxy, None)

    def restart_when_live(self, proxy: int, on_taken_over: Callable[[], None]) -> None:
        """As the agent does it: a process that still initializes is waited for. Calls back when the child's
        workers run."""
        server = self._newest.get(proxy)
        if server is None:
            return
        if server.state is ServerState.LIVE:
            self.restart(proxy, on_taken_over)
        else:
            server.on_workers_started.append(lambda: self.restart_when_live(proxy, on_taken_over))

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
                self.restart(proxy)

        return happen

    def restart(self, proxy: int, on_taken_over: Callable[[], None] = _nobody) -> None:
        """A child takes over from the process that runs; refused while that one initializes.

        The epoch of a child that was refused, or exited, is free for the next (hot_restart_impl.cc).
        """
        parent = self._newest[proxy]
        epoch = parent.process.row.epoch + 1
        if parent.state is not ServerState.LIVE:
            row = self._recorder.startup(proxy, epoch, "hot_restart", self._clock.now_ns)
            row.outcome = "exited"
            self._recorder.warn("a hot restart was refused: the process before is still initializing")
            return
        takeover: list[HotRestart] = []

        def exited(_child: Server) -> None:
            self._newest[proxy] = parent
            self._takeovers[proxy].remove(takeover[0])
            takeover[0].child_exited()

        child = self._newest[proxy] = self._make(proxy, epoch, exited)
        watches = self._watches[proxy]

        def drained() -> None:
            for watch in watches:
                watch.on_drained(parent)

        def terminated() -> None:
            self._takeovers[proxy].remove(takeover[0])
            for watch in watches:
                watch.on_terminated(parent)

        for earlier in self._takeovers.get(proxy, []):
            child.on_constructed.append(earlier.grandchild_boots)
        takeover.append(HotRestart(parent, child, drained, terminated))
        self._takeovers.setdefault(proxy, []).append(takeover[0])
        child.on_workers_started.append(on_taken_over)
        for watch in watches:
            watch.follow(child)
        child.start()
