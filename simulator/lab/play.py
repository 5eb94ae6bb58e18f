"""Plays a scripted scenario against real Envoys and records what the simulator would record.

The control plane is the simulator's own ScriptedControlPlane with a real clock; its sessions are the
simulator's own, over real streams. So both worlds answer by the same rules, and what differs is Envoy.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from simulator.calibration.costs import Calibration
from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.experiment.provenance import manifest
from simulator.lab import bootstrap as boot
from simulator.lab.endpoints import Endpoints
from simulator.lab.envoys import Envoys, PlayFailed
from simulator.lab.flags import Books, Flips
from simulator.lab.grpc_server import GrpcServer
from simulator.lab.network import Ports
from simulator.lab.playable import reasons_against
from simulator.lab.probe import TrafficProbe
from simulator.lab.processes import Processes, terminate
from simulator.lab.pulse import KEY, Pulse
from simulator.lab.reception import Reception
from simulator.lab.requirements import check, envoy_binary
from simulator.lab.rest_server import RestServer
from simulator.lab.takeover import schedule
from simulator.lab.wall_clock import WallClock
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.results.result import Result
from simulator.scenario.costs import read_calibration
from simulator.scenario.resources import script_of
from simulator.scenario.schema import Scenario, TrafficEntry
from simulator.xds.resources import Names

__all__ = ["PlayFailed", "Stage", "Unplayable", "performed", "play", "played", "undisturbed"]

GRACE_NS: Final = 500_000_000
"""Real starts take longer than simulated ones, now and then: a play goes on this much longer, so that the
last events of the scenario are seen."""

TURNAROUND: Final = Constant(2_000_000)
"""How long the control plane takes to answer, if the scenario does not say. Requests that Envoy makes at one
instant leave half a millisecond apart; answered at once, the first would not wait for the second."""


class Unplayable(ValueError):
    """The scenario cannot be played by a real Envoy; one line for each reason."""


def play(
    scenario: Scenario, seed: int | None = None, replication: int = 0, keep: Path | None = None
) -> Result:
    """Plays a scenario; takes its duration.

    Args:
        scenario: What to play.
        seed: Seed of the script's draws; the scenario's own if not given.
        replication: Which of the independent repetitions of that seed.
        keep: A directory that bootstraps and logs are left in; they are thrown away if not given.

    Raises:
        LabUnavailable: Envoy or a library is missing.
        Unplayable: A real Envoy cannot do what the scenario says.
        PlayFailed: Something broke on the way.
    """
    with undisturbed():
        return asyncio.run(played(scenario, seed, replication, keep))


async def played(
    scenario: Scenario, seed: int | None = None, replication: int = 0, keep: Path | None = None
) -> Result:
    """`play`, within an event loop."""
    return (await performed(scenario, seed, replication, keep)).result()


async def performed(
    scenario: Scenario, seed: int | None = None, replication: int = 0, keep: Path | None = None
) -> Stage:
    """`played`, for who plays several at once: making one's tables would keep the others waiting."""
    check()
    against = reasons_against(scenario)
    if against:
        raise Unplayable("\n".join(against))
    stage = Stage(scenario, scenario.seed if seed is None else seed, replication, keep)
    await stage.run()
    return stage


@contextmanager
def undisturbed() -> Iterator[None]:
    """Nobody collects garbage: going through all there is takes as long as times may be apart."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Stage:
    """One play: control plane, Envoys, endpoints and requests."""

    def __init__(self, scenario: Scenario, seed: int, replication: int, keep: Path | None = None) -> None:
        self._scenario = scenario
        self._identity = seed, replication
        self._keep = keep
        self._draws = Draws(seed, replication)
        calibration: Calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
        self.recorder = Recorder(
            scenario.mesh.proxies.names(),
            messages=True,
            states=True,
            deliveries=scenario.recording.keeps_deliveries,
        )
        ledger: ChangeLedger[Names] = ChangeLedger(self.recorder, Names.minus)
        self._clock = WallClock(asyncio.get_running_loop(), self.fail)
        turnaround = scenario.control_plane.costs.answer
        script = script_of(scenario, calibration, TURNAROUND if turnaround is None else turnaround)
        self._control_plane = ScriptedControlPlane(script, self._clock, self._draws, ledger, self._alive)
        self._ports = Ports()
        self._endpoints = Endpoints(scenario, self._draws, self._ports)
        self.pulse = Pulse()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._probes: list[TrafficProbe] = []
        self._envoys = Envoys(
            scenario,
            calibration,
            self.recorder,
            ledger,
            self._clock,
            self._control_plane,
            self._ports,
            self._endpoints,
            self.pulse,
            self.spawn,
            self.fail,
        )
        self._flips = Flips(
            scenario,
            calibration,
            self._draws,
            Books(self._clock, self.recorder, ledger, self.spawn, self.fail),
            self._control_plane,
            self._envoys.of,
        )
        self._envoys.on_begun = self._flips.begin
        self._control_plane.on_renamed = self._envoys.on_renamed
        self._control_plane.on_withdrawn = self._envoys.on_withdrawn
        self._reception = Reception(
            scenario.network.latency,
            self._draws,
            self._clock,
            self.recorder,
            ledger,
            self._control_plane,
            self._envoys.of,
            watch=self._envoys,
        )

    # --- the play

    async def run(self) -> None:
        """From the first Envoy's start to the scenario's end."""
        grpc_server, rest_server = GrpcServer(self._reception), RestServer(self._reception)
        with self._directory() as directory, Processes(self._scenario.lab.cores) as processes:
            try:
                await self._endpoints.start()
                servers = boot.ServerPorts(await grpc_server.start(), await rest_server.start())
                self._envoys.prepare(directory, servers, processes)
                if self._keep is None:
                    processes.remove_if_killed(directory)
                self._clock.start()
                self.spawn(self.pulse.run())
                self._raise_curtain()
                await self._until_end()
            finally:
                await self._clear_stage(grpc_server, rest_server)
        self._close_books()

    @contextmanager
    def _directory(self) -> Iterator[Path]:
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            yield self._keep
        else:
            with tempfile.TemporaryDirectory(prefix="xdsim-lab-") as directory:
                yield Path(directory)

    def _raise_curtain(self) -> None:
        over_ns = self._scenario.mesh.start.over
        for proxy in self._envoys.of:
            start_ns = int(self._draws.uniform("mesh.start", proxy) * over_ns) if over_ns else 0
            if start_ns:
                self._clock.at(start_ns, partial(self._start_envoy, proxy))
            else:
                self._start_envoy(proxy)
        if self._scenario.control_plane.kind == "none" or not self._envoys.of:
            self._control_plane.begin(0)
            self._flips.begin(0)
        numbers = {name: proxy for proxy, name in self.recorder.proxy_names.items()}
        schedule(
            self._scenario,
            self._draws,
            self._clock,
            lambda: [proxy for proxy, envoy in self._envoys.of.items() if envoy.newest.process is not None],
            self._envoys.hot_restart,
            numbers,
        )

    def _start_envoy(self, proxy: int) -> None:
        self._envoys.start(proxy)
        for entry in self._scenario.traffic:
            self._probe(proxy, entry)

    async def _until_end(self) -> None:
        end_ns = self._scenario.duration + GRACE_NS
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._failed), max(0, end_ns - self._clock.now_ns) / 1e9)
        self._envoys.read_all()

    async def _clear_stage(self, grpc_server: GrpcServer, rest_server: RestServer) -> None:
        self._envoys.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for probe in self._probes:
            await probe.stop()
            probe.finish(self.recorder)
        everyone = [one for envoy in self._envoys.of.values() for one in envoy.processes]
        running = [one.process for one in everyone if one.process is not None]
        await asyncio.gather(*(terminate(process) for process in running))
        await grpc_server.stop()
        await rest_server.stop()
        await self._endpoints.stop()
        await asyncio.sleep(0)  # Transports that were closed let go of their sockets.

    def _close_books(self) -> None:
        if self._failed.done():
            self._failed.result()
        else:
            self._failed.cancel()
        self.recorder.message_rows.sort(key=lambda row: row[0])
        self.recorder.state_rows.sort(key=lambda row: row[0])

    def fail(self, error: BaseException) -> None:
        """Something broke inside: the play cannot go on."""
        if not self._failed.done():
            failure = PlayFailed(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._failed.set_exception(failure)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this until the play ends."""
        self._tasks.append(asyncio.ensure_future(work))

    def result(self) -> Result:
        """The tables, once it is over."""
        seed, replication = self._identity
        told = {
            **manifest(self._scenario, seed, replication),
            "engine": "lab",
            "envoy": str(envoy_binary()),
            KEY: round(self.pulse.most_late_s * 1e3, 3),
        }
        return Result.from_recorder(self.recorder, told, expectations=self._scenario.asked)

    def _probe(self, proxy: int, entry: TrafficEntry) -> None:
        traffic, until_ns = entry.traffic, self._scenario.duration
        if entry.until is not None:
            until_ns = min(entry.until, until_ns)
        probe = TrafficProbe(
            self._clock,
            proxy,
            traffic.to,
            self._ports.of(proxy, traffic.to),
            is_kept=traffic.connection == "kept",
            request_ns=traffic.request_time,
        )
        self._probes.append(probe)
        self.spawn(probe.run(entry.begin, until_ns, round(1e9 / traffic.rate.per_second)))

    def _alive(self) -> list[int]:
        return [proxy for proxy, envoy in self._envoys.of.items() if envoy.is_running]
