"""Plays a scripted scenario against real Envoys and records what the simulator would record.

The control plane is the simulator's own ScriptedControlPlane with a real clock; its sessions are the
simulator's own, over real streams. So both worlds answer by the same rules, and what differs is Envoy.
"""

from __future__ import annotations

import asyncio
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
from simulator.lab.file_tree import ConfigurationFiles
from simulator.lab.grpc_server import GrpcServer
from simulator.lab.log import LogFollower
from simulator.lab.network import Ports
from simulator.lab.playable import reasons_against
from simulator.lab.played_envoy import PlayedEnvoy
from simulator.lab.probe import TrafficProbe, wait_until_ready
from simulator.lab.processes import Processes, terminate
from simulator.lab.protobufs import Builder, Surroundings
from simulator.lab.published_files import PublishedFiles
from simulator.lab.pulse import KEY, Pulse
from simulator.lab.reception import Reception
from simulator.lab.requirements import check, envoy_binary
from simulator.lab.rest_server import RestServer
from simulator.lab.wall_clock import WallClock
from simulator.lab.witness import Witness
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.results.result import Result
from simulator.scenario.costs import read_calibration
from simulator.scenario.resources import script_of, static_resources
from simulator.scenario.schema import Scenario, TrafficEntry
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names

GRACE_NS: Final = 500_000_000
"""Real starts take longer than simulated ones, now and then: a play goes on this much longer, so that the
last events of the scenario are seen."""

TURNAROUND: Final = Constant(2_000_000)
"""How long the control plane takes to answer, if the scenario does not say. Requests that Envoy makes at one
instant leave half a millisecond apart; answered at once, the first would not wait for the second."""

LOG_PERIOD_S: Final = 0.005


class Unplayable(ValueError):
    """The scenario cannot be played by a real Envoy; one line for each reason."""


class PlayFailed(RuntimeError):
    """The play broke: the laboratory, or an Envoy that would not run."""


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
    return asyncio.run(played(scenario, seed, replication, keep))


async def played(
    scenario: Scenario, seed: int | None = None, replication: int = 0, keep: Path | None = None
) -> Result:
    """`play`, for who plays several at once."""
    check()
    against = reasons_against(scenario)
    if against:
        raise Unplayable("\n".join(against))
    actual_seed = scenario.seed if seed is None else seed
    stage = Stage(scenario, actual_seed, replication, keep)
    await stage.run()
    told = {
        **manifest(scenario, actual_seed, replication),
        "engine": "lab",
        "envoy": str(envoy_binary()),
        KEY: round(stage.pulse.most_late_s * 1e3, 3),
    }
    return Result.from_recorder(stage.recorder, told, expectations=scenario.asked)


class Stage:
    """One play: control plane, Envoys, and who watches them (reception.Watch)."""

    def __init__(self, scenario: Scenario, seed: int, replication: int, keep: Path | None = None) -> None:
        self._scenario = scenario
        self._keep = keep
        self._draws = Draws(seed, replication)
        self._calibration: Calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
        names = scenario.mesh.proxies.names()
        self.recorder = Recorder(
            names, messages=True, states=True, deliveries=scenario.recording.keeps_deliveries
        )
        self._ledger: ChangeLedger[Names] = ChangeLedger(self.recorder, Names.minus)
        self._clock = WallClock(asyncio.get_running_loop(), self.fail)
        turnaround = scenario.control_plane.costs.answer
        script = script_of(scenario, self._calibration, TURNAROUND if turnaround is None else turnaround)
        self._control_plane = ScriptedControlPlane(
            script, self._clock, self._draws, self._ledger, self._alive
        )
        self._control_plane.on_renamed = self._on_renamed
        self._published = PublishedFiles(scenario, self._calibration, self._control_plane)
        self._ports = Ports()
        self._endpoints = Endpoints(scenario, self._draws, self._ports)
        self._envoys: dict[int, PlayedEnvoy] = {}
        self._awaited = len(names)
        self.pulse = Pulse()
        self._reception = Reception(
            scenario.network.latency,
            self._draws,
            self._clock,
            self.recorder,
            self._ledger,
            self._control_plane,
            self._envoys,
            watch=self,
        )
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._probes: list[TrafficProbe] = []

    # --- the play

    async def run(self) -> None:
        """From the first Envoy's start to the scenario's end."""
        grpc_server, rest_server = GrpcServer(self._reception), RestServer(self._reception)
        with self._directory() as directory, Processes(self._scenario.lab.cores) as processes:
            try:
                await self._endpoints.start()
                servers = boot.ServerPorts(await grpc_server.start(), await rest_server.start())
                self._prepare(directory, servers)
                self._clock.start()
                self.spawn(self.pulse.run())
                self._raise_curtain(processes)
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

    def _prepare(self, root: Path, servers: boot.ServerPorts) -> None:
        """Everything that takes time happens before the clock starts."""
        static = static_resources(self._scenario, self._calibration)
        for proxy, name in self.recorder.proxy_names.items():
            directory = root / name
            directory.mkdir()
            files = None
            if self._scenario.propagation.strategy == "file":
                is_directory = self._scenario.propagation.watch == "directory"
                files = ConfigurationFiles(directory / "config", is_directory=is_directory)
            sources = boot.Sources(self._scenario, proxy, None if files is None else files.path)
            build = Builder(self._around(proxy, sources))
            envoy = PlayedEnvoy(proxy, name, self._ports.free(), build, sources, files, directory)
            self._envoys[proxy] = envoy
            if files is not None:
                files.replace(self._published.everything(proxy), build)
            written = boot.bootstrap(self._scenario, name, envoy.admin_port, servers, sources, build, static)
            boot.write(written, directory / "bootstrap.json")

    def _around(self, proxy: int, sources: boot.Sources) -> Surroundings:
        return Surroundings(
            source=sources.of,
            endpoint_port=self._endpoints.port_of,
            dns_port=self._endpoints.resolver_of,
            listener_port=partial(self._ports.of, proxy),
        )

    def _raise_curtain(self, processes: Processes) -> None:
        over_ns = self._scenario.mesh.start.over
        for proxy in self._envoys:
            start_ns = int(self._draws.uniform("mesh.start", proxy) * over_ns) if over_ns else 0
            if start_ns:
                self._clock.at(start_ns, partial(self._start_envoy, proxy, processes))
            else:
                self._start_envoy(proxy, processes)
        if self._scenario.control_plane.kind == "none" or not self._envoys:
            self._control_plane.begin(0)

    def _start_envoy(self, proxy: int, processes: Processes) -> None:
        envoy = self._envoys[proxy]
        row = self.recorder.startup(proxy, 0, "start", self._clock.now_ns)
        log = envoy.directory / "envoy.log"
        command = boot.command(envoy_binary(), envoy.directory / "bootstrap.json", self._scenario)
        envoy.process = processes.start(command, log)
        self.pulse.watch(envoy.process.pid)
        envoy.follower = LogFollower(log)
        envoy.witness = Witness(proxy, row, self._clock, self.recorder, self._ledger)
        self.spawn(self._follow(envoy))
        self.spawn(self._await_ready(envoy))
        for entry in self._scenario.traffic:
            self._probe(envoy, entry)

    async def _until_end(self) -> None:
        end_ns = self._scenario.duration + GRACE_NS
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._failed), max(0, end_ns - self._clock.now_ns) / 1e9)
        for envoy in self._envoys.values():
            self.read_log(envoy)

    async def _clear_stage(self, grpc_server: GrpcServer, rest_server: RestServer) -> None:
        for envoy in self._envoys.values():
            envoy.is_over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for probe in self._probes:
            await probe.stop()
            probe.finish(self.recorder)
        running = [envoy.process for envoy in self._envoys.values() if envoy.process is not None]
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

    # --- watching the Envoys

    async def _follow(self, envoy: PlayedEnvoy) -> None:
        period_s = LOG_PERIOD_S * max(1, len(self._envoys) // 4)
        while not envoy.is_over:
            try:
                self.read_log(envoy)
            except Exception as error:
                self.fail(error)
            if envoy.process is not None and envoy.process.poll() is not None:
                self._on_exit(envoy)
                return
            await asyncio.sleep(period_s)

    def read_log(self, envoy: PlayedEnvoy) -> None:
        """Take note of what its log says by now."""
        if envoy.follower is None or envoy.witness is None or envoy.is_over:
            return
        for fact in envoy.follower.facts():
            envoy.witness.on_fact(fact, self._clock.of_log(fact.stamp))
            if fact.what == "cds_subscribed":
                self.subscribed(envoy)

    def subscribed(self, envoy: PlayedEnvoy) -> None:
        """It has made its first subscription: the script's times count from the last Envoy's first one."""
        if envoy.has_subscribed or self._scenario.control_plane.kind == "none":
            return
        envoy.has_subscribed = True
        self._awaited -= 1
        if self._awaited == 0:
            self.pulse.restart()  # Process starts are heavy, and in no comparison.
            row = None if envoy.witness is None else envoy.witness.row
            subscribed_ns = None if row is None else row.t_cds_subscribed_ns
            self._control_plane.begin(self._clock.now_ns if subscribed_ns is None else subscribed_ns)

    def _on_exit(self, envoy: PlayedEnvoy) -> None:
        assert envoy.process is not None
        assert envoy.witness is not None
        assert envoy.follower is not None
        self.read_log(envoy)
        envoy.is_over = True
        words = envoy.follower.last_words()
        if envoy.process.returncode != 1:
            self.fail(PlayFailed(f"{envoy.name} ended with status {envoy.process.returncode}:\n{words}"))
            return
        envoy.witness.on_exit()
        self.recorder.warn(f"an Envoy exited: {words.splitlines()[-1] if words else 'without a word'}")
        self.subscribed(envoy)

    async def _await_ready(self, envoy: PlayedEnvoy) -> None:
        needs = ("cds", "lds") if self._needs_updates() else ()

        def is_ready() -> bool:
            assert envoy.witness is not None
            self.read_log(envoy)
            envoy.witness.on_ready(self._clock.now_ns, needs)
            return envoy.witness.row.t_ready_ns is not None

        await wait_until_ready(envoy.admin_port, is_ready)

    def _needs_updates(self) -> bool:
        return self._scenario.envoy.preset == "istio" and self._scenario.control_plane.kind != "none"

    def _probe(self, envoy: PlayedEnvoy, entry: TrafficEntry) -> None:
        listener = entry.traffic.to
        port = self._ports.of(envoy.proxy, listener)
        is_kept = entry.traffic.connection == "kept"
        probe = TrafficProbe(self._clock, envoy.proxy, listener, port, is_kept=is_kept)
        self._probes.append(probe)
        until_ns = self._scenario.duration
        if entry.until is not None:
            until_ns = min(entry.until, until_ns)
        self.spawn(probe.run(entry.begin, until_ns, round(1e9 / entry.traffic.rate.per_second)))

    def _alive(self) -> list[int]:
        return [proxy for proxy, envoy in self._envoys.items() if envoy.process and not envoy.is_over]

    # --- files

    def _on_renamed(self, type_: ResourceType, name: str) -> None:
        for proxy, envoy in self._envoys.items():
            if envoy.files is None or envoy.is_over or envoy.witness is None:
                continue
            content = self._published.file(proxy, type_, name)
            if content is not None:
                names = None if type_.wildcard else Names((name,))
                carried = self._control_plane.carried(proxy, type_, names)
                brought = content[1].names if names is None else names
                envoy.witness.on_carried(type_.name, "", brought, carried)
            envoy.files.replace(self._published.renamed(proxy, type_, name), envoy.build)
