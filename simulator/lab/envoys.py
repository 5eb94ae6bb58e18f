"""The Envoys of a play: how their processes are started and hot restarted, and who watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from simulator.calibration.costs import Calibration
from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.lab import bootstrap as boot
from simulator.lab.endpoints import Endpoints
from simulator.lab.file_tree import ConfigurationFiles
from simulator.lab.log import LogFollower
from simulator.lab.network import Ports
from simulator.lab.playable import hot_restarts
from simulator.lab.played_envoy import PlayedEnvoy, PlayedProcess
from simulator.lab.probe import wait_until_ready
from simulator.lab.processes import Processes
from simulator.lab.protobufs import Builder, Surroundings
from simulator.lab.published_files import PublishedFiles
from simulator.lab.pulse import Pulse
from simulator.lab.requirements import envoy_binary
from simulator.lab.takeover import note_abandoned, note_takeover
from simulator.lab.wall_clock import WallClock
from simulator.lab.witness import Witness
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.resources import static_resources
from simulator.scenario.schema import Scenario
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names

LOG_PERIOD_S: Final = 0.005


class PlayFailed(RuntimeError):
    """The play broke: the laboratory, or an Envoy that would not run."""


class Envoys:
    """All Envoys of one play.

    Args:
        scenario: What is played.
        calibration: Sizes of what it holds.
        recorder: Where starts, messages and states are noted.
        ledger: Where changes are noted.
        clock: Real time.
        control_plane: Answers them.
        ports: Free ones.
        endpoints: What stands behind them.
        pulse: Watches whether they get the machine.
        spawn: Does something until the play ends.
        fail: Told when the play cannot go on.
    """

    def __init__(
        self,
        scenario: Scenario,
        calibration: Calibration,
        recorder: Recorder,
        ledger: ChangeLedger[Names],
        clock: WallClock,
        control_plane: ScriptedControlPlane,
        ports: Ports,
        endpoints: Endpoints,
        pulse: Pulse,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._scenario = scenario
        self._recorder = recorder
        self._ledger = ledger
        self._clock = clock
        self._control_plane = control_plane
        self._published = PublishedFiles(scenario, calibration, control_plane)
        self._static = static_resources(scenario, calibration)
        self._ports = ports
        self._endpoints = endpoints
        self._pulse = pulse
        self._awaited = len(recorder.proxy_names)
        self._subscribing = _subscribing(scenario)
        self.on_begun: Callable[[int], None] = lambda origin_ns: None
        """Told the origin of the script's times."""
        self.spawn = spawn
        self.fail = fail
        self.of: dict[int, PlayedEnvoy] = {}

    # --- before the clock starts: everything that takes time

    def prepare(self, root: Path, servers: boot.ServerPorts, processes: Processes) -> None:
        """Their directories and bootstraps."""
        self._servers = servers
        self._processes = processes
        for proxy, name in self._recorder.proxy_names.items():
            directory = root / name
            directory.mkdir()
            files = None
            if self._scenario.propagation.strategy == "file":
                is_directory = self._scenario.propagation.watch == "directory"
                files = ConfigurationFiles(directory / "config", is_directory=is_directory)
            envoy = self.of[proxy] = PlayedEnvoy(proxy, name, directory, files)
            process = self._prepared(envoy)
            if files is not None:
                files.replace(self._published.everything(proxy), process.build)

    def _prepared(self, envoy: PlayedEnvoy) -> PlayedProcess:
        """One more process of an Envoy, not started yet."""
        scenario = self._scenario
        caller = boot.Caller(envoy.proxy, len(envoy.processes))
        sources = boot.Sources(scenario, caller, None if envoy.files is None else envoy.files.path)
        build = Builder(
            Surroundings(
                source=sources.of,
                endpoint_port=self._endpoints.port_of,
                dns_port=self._endpoints.resolver_of,
                listener_port=partial(self._ports.of, envoy.proxy),
            )
        )
        admin_port = self._ports.free()
        written = boot.bootstrap(
            scenario, envoy.name, admin_port, self._servers, sources, build, self._static
        )
        stem = f"-{caller.epoch}" if caller.epoch else ""
        path = boot.write(written, envoy.directory / f"bootstrap{stem}.json")
        command = boot.command(envoy_binary(), path, scenario, self._restartable(envoy, admin_port))
        process = PlayedProcess(caller, admin_port, build, command, envoy.directory / f"envoy{stem}.log")
        envoy.processes.append(process)
        return process

    def _restartable(self, envoy: PlayedEnvoy, admin_port: int) -> boot.HotRestartable | None:
        if not hot_restarts(self._scenario):
            return None
        if envoy.processes:
            return boot.HotRestartable(envoy.processes[0].admin_port, len(envoy.processes))
        first = boot.HotRestartable(admin_port, 0)  # Nobody else on this machine has that port now.
        self._processes.share_memory(first.shared_memory)
        return first

    # --- starts

    def start(self, proxy: int) -> None:
        """An Envoy starts for the first time."""
        self._start(self.of[proxy], "start")

    def hot_restart(self, proxy: int) -> None:
        """A new process of an Envoy takes over."""
        envoy = self.of[proxy]
        self._prepared(envoy)
        self._start(envoy, "hot_restart")

    def _start(self, envoy: PlayedEnvoy, cause: str) -> None:
        process = envoy.newest
        row = self._recorder.startup(envoy.proxy, process.caller.epoch, cause, self._clock.now_ns)
        process.process = self._processes.start(process.command, process.log)
        self._pulse.watch(process.process.pid)
        process.follower = LogFollower(process.log)
        process.witness = Witness(envoy.proxy, row, self._clock, self._recorder, self._ledger)
        self.spawn(self._follow(envoy, process))
        self.spawn(self._await_ready(process))

    # --- watching them (reception.Watch)

    async def _follow(self, envoy: PlayedEnvoy, process: PlayedProcess) -> None:
        period_s = LOG_PERIOD_S * max(1, len(self.of) // 4)
        while not process.is_over:
            try:
                self.read_log(process)
            except Exception as error:
                self.fail(error)
            if process.process is not None and process.process.poll() is not None:
                self._on_exit(envoy, process)
                return
            await asyncio.sleep(period_s)

    def read_log(self, process: PlayedProcess) -> None:
        """Take note of what its log says by now."""
        if process.follower is None or process.witness is None or process.is_over:
            return
        for fact in process.follower.facts():
            t_ns = self._clock.of_log(fact.stamp)
            process.witness.on_fact(fact, t_ns)
            note_takeover(fact, t_ns, process, self._recorder)
            if fact.what in self._subscribing:
                self.subscribed(self.of[process.caller.proxy], t_ns)

    def read_all(self) -> None:
        """Take note of what all logs say by now."""
        for envoy in self.of.values():
            for process in envoy.processes:
                self.read_log(process)

    def close(self) -> None:
        """What they say from now on does not count."""
        for envoy in self.of.values():
            for process in envoy.processes:
                process.is_over = True

    def attempted(self, envoy: PlayedEnvoy, api: str) -> None:
        """It tries to open a stream, `ads` or for one type, which tells of a subscription. That of ADS opens
        before static clusters are checked, and tells of none: the log does."""
        if api != "ads":
            self.subscribed(envoy)

    def subscribed(self, envoy: PlayedEnvoy, t_ns: int | None = None) -> None:
        """It has made its first subscription, now if not told when: the script's times count from the last
        Envoy's first one."""
        if envoy.has_subscribed or self._scenario.control_plane.kind == "none":
            return
        envoy.has_subscribed = True
        self._awaited -= 1
        if self._awaited == 0:
            # Process starts are heavy, and in no comparison; nor is what comes after the scenario's end.
            self._pulse.restart()
            self._clock.after(self._scenario.duration, self._pulse.freeze)
            origin_ns = self._clock.now_ns if t_ns is None else t_ns
            self._control_plane.begin(origin_ns)
            self.on_begun(origin_ns)

    def _on_exit(self, envoy: PlayedEnvoy, process: PlayedProcess) -> None:
        assert process.process is not None
        assert process.witness is not None
        assert process.follower is not None
        self.read_log(process)
        process.is_over = True
        status = process.process.returncode
        if status == 0 and process.witness.row.outcome == "stopped":
            return  # Its successor told it to go.
        words = process.follower.last_words()
        if status != 1:
            name = f"{envoy.name}, epoch {process.caller.epoch}," if process.caller.epoch else envoy.name
            self.fail(PlayFailed(f"{name} ended with status {status}:\n{words}"))
            return
        self._recorder.warn(f"an Envoy exited: {words.splitlines()[-1] if words else 'without a word'}")
        process.witness.on_exit(is_gone=process is envoy.processes[0])
        if process is not envoy.processes[0]:
            note_abandoned(process, self._clock.now_ns, self._recorder)
            # The hot restarter tries again with the same epoch (source/server/hot_restart_impl.cc).
            envoy.processes.remove(process)
        self.subscribed(envoy)

    async def _await_ready(self, process: PlayedProcess) -> None:
        needs = ("cds", "lds") if self._needs_updates() else ()

        def is_ready() -> bool:
            assert process.witness is not None
            self.read_log(process)
            process.witness.on_ready(self._clock.now_ns, needs)
            return process.witness.row.t_ready_ns is not None

        await wait_until_ready(process.admin_port, is_ready)

    def _needs_updates(self) -> bool:
        return self._scenario.envoy.preset == "istio" and self._scenario.control_plane.kind != "none"

    # --- files

    def on_renamed(self, type_: ResourceType, name: str) -> None:
        """The control plane published a file."""
        for proxy, envoy in self.of.items():
            process = envoy.newest
            if envoy.files is None or process.is_over or process.witness is None:
                continue
            content = self._published.file(proxy, type_, name)
            if content is not None:
                names = None if type_.wildcard else Names((name,))
                carried = self._control_plane.carried(proxy, type_, names)
                brought = content[1].names if names is None else names
                process.witness.on_carried(type_.name, "", brought, carried)
            envoy.files.replace(self._published.renamed(proxy, type_, name), process.build)

    def on_withdrawn(self, type_: ResourceType, name: str) -> None:
        """The control plane publishes a file no more."""
        for envoy in self.of.values():
            if envoy.files is not None:
                envoy.files.withdraw(type_, name)


def _subscribing(scenario: Scenario) -> tuple[str, ...]:
    """Facts of a log that tell of a first subscription; whichever comes first counts.

    EDS of the bootstrap's clusters is read from files while they are loaded, and over an API asked for once
    the primary clusters are initialized.
    """
    facts = ["cds_subscribed"]
    if any(layer.rtds_layer is not None for layer in scenario.envoy.runtime_layers):
        facts.append("primary_initialized")
    if any(cluster.type == "eds" for cluster in scenario.envoy.static.clusters):
        facts.append("constructed" if scenario.propagation.strategy == "file" else "secondaries_started")
    return tuple(facts)
