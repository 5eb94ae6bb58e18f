"""Joins the parts of a world with a scripted control plane, or with none."""

from __future__ import annotations

from collections.abc import Callable

from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.engine.delays import Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock, Deadlines
from simulator.engine.servers import MultiServer
from simulator.envoy.process import Process
from simulator.envoy.startup import Server
from simulator.envoy.static_bootstrap import NoConfigSource
from simulator.propagation.file import FilesystemSubscriptions
from simulator.propagation.http_loop import RestNetwork
from simulator.propagation.poll import PollSettings, RestSubscriptions
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.costs import read_calibration
from simulator.scenario.envoys import Envoys
from simulator.scenario.happenings import happenings
from simulator.scenario.hot_restarts import HotRestarts
from simulator.scenario.resources import listener_path, script_of
from simulator.scenario.runtime_flags import RuntimeFlags
from simulator.scenario.schema import Scenario
from simulator.scenario.traffic import TrafficWatch
from simulator.scenario.world import EVENT_BUDGET, World
from simulator.wire.contract import ConfigSource, StreamServer
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.workload.entries import RuntimeFlagEntry
from simulator.workload.timeline import timeline
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


def build_scripted(scenario: Scenario, seed: int, replication: int) -> World:
    """A fresh world of Envoys that a script answers."""
    return _ScriptedBuilder(scenario, seed, replication).world()


class _ScriptedBuilder:
    """Joins the parts of one world."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        self._scenario = scenario
        self._calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
        self._clock = Clock(event_budget=EVENT_BUDGET)
        self._draws = Draws(seed, replication)
        names = scenario.mesh.proxies.names()
        self._awaited = len(names)
        keep = scenario.recording
        self._recorder = Recorder(
            names,
            messages=keep.keeps_messages(len(names)),
            states=keep.keeps_states(len(names), _objects(scenario)),
            deliveries=keep.keeps_deliveries,
            folds_deliveries=keep.folds_deliveries,
        )
        self._ledger: ChangeLedger[Names] = ChangeLedger(self._recorder, Names.minus)
        self._files: list[FilesystemSubscriptions] = []
        self._traffic: list[TrafficWatch] = []
        self._world = World(scenario, self._clock, self._recorder, self._ledger)
        self._world.at_end.append(self._finish_traffic)
        self._envoys = Envoys(
            scenario,
            self._calibration,
            self._clock,
            Deadlines(self._clock),
            self._draws,
            self._recorder,
            self._ledger,
            self._cores(),
        )
        self._control_plane = self._scripted()
        self._hot_restarts = HotRestarts(self._clock, self._draws, self._recorder, self._make_child)
        self._flags = RuntimeFlags(
            scenario, self._clock, self._draws, self._ledger, self._control_plane, self._running
        )

    def world(self) -> World:
        """All Envoys, started at their times."""
        over_ns = self._scenario.mesh.start.over
        for proxy in self._recorder.proxy_names:
            start_ns = int(self._draws.uniform("mesh.start", proxy) * over_ns) if over_ns else 0
            self._clock.at(start_ns, self._starter(proxy), band=Band.WORKLOAD, entity=proxy)
        names = {name: proxy for proxy, name in self._recorder.proxy_names.items()}
        entries = happenings(self._scenario, {}, names.__getitem__)
        for happening in timeline(entries, self._draws, self._scenario.duration):
            if isinstance(happening.entry, RuntimeFlagEntry):
                self._flags.play(happening)
            else:
                self._hot_restarts.play(happening)
        if self._awaited == 0 or not self._envoys.settings.has_xds:
            self._control_plane.begin(0)
        return self._world

    def _cores(self) -> MultiServer | None:
        """The machine's cores, where the scenario says that all Envoys share them."""
        cores = self._scenario.lab.cores
        return None if cores is None else MultiServer(self._clock, cores)

    def _starter(self, proxy: int) -> Callable[[], None]:
        return lambda: self._start_envoy(proxy)

    # --- the control plane

    def _scripted(self) -> ScriptedControlPlane:
        turnaround = self._scenario.control_plane.costs.answer
        script = script_of(
            self._scenario, self._calibration, self._calibration.answer if turnaround is None else turnaround
        )
        control_plane = ScriptedControlPlane(script, self._clock, self._draws, self._ledger, self._alive)
        control_plane.on_renamed = self._on_renamed
        return control_plane

    def on_connect(self, stream: Stream) -> StreamServer | None:
        """wire/contract.py: StreamAcceptor."""
        if not self._control_plane.accepts():
            return None
        form = DeltaSession if stream.is_delta else SotwSession
        session = form(stream, self._control_plane, self._ledger)
        self._control_plane.on_session_opened(session)
        return session

    def _alive(self) -> list[int]:
        alive = [s.process.proxy for s in self._world.servers if not s.process.is_exited]
        return list(dict.fromkeys(alive))

    def _running(self) -> dict[int, list[Server]]:
        """The processes of each Envoy, parents that drain included."""
        running: dict[int, list[Server]] = {}
        for server in self._world.servers:
            if not server.process.is_exited:
                running.setdefault(server.process.proxy, []).append(server)
        return running

    def _on_renamed(self, type_: ResourceType, name: str) -> None:
        for files in self._files:
            files.on_renamed(type_, name)

    def _on_first_subscription(self) -> None:
        """The script's times count from the last Envoy's first subscription."""
        self._awaited -= 1
        if self._awaited == 0:
            self._control_plane.begin(self._clock.now_ns)

    # --- the Envoys

    def _start_envoy(self, proxy: int) -> None:
        server = self._envoys.make(
            proxy,
            self._config_source,
            on_exit=self._on_exit,
            on_first_subscription=self._on_first_subscription,
        )
        self._flags.begin(server)
        self._world.servers.append(server)
        self._hot_restarts.follow(server, self._watch_traffic(server))
        server.start()

    def _make_child(self, proxy: int, epoch: int, on_exit: Callable[[Server], None]) -> Server:
        child = self._envoys.make(
            proxy, self._config_source, cause="hot_restart", epoch=epoch, on_exit=on_exit
        )
        self._flags.begin(child)
        self._world.servers.append(child)
        return child

    def _on_exit(self, server: Server) -> None:
        self._ledger.on_gone(server.process.proxy)
        if not server.process.has_subscribed:
            self._on_first_subscription()

    def _latency(self) -> Delay:
        latency = self._scenario.network.latency
        return self._calibration.loopback if latency is None else latency

    def _config_source(self, process: Process) -> ConfigSource:
        propagation = self._scenario.propagation
        if not self._envoys.settings.has_xds:
            return NoConfigSource()
        if propagation.strategy == "file":
            files = FilesystemSubscriptions(
                process, self._control_plane, watches_directory=propagation.watch == "directory"
            )
            self._files.append(files)
            return files
        if propagation.strategy == "poll":
            polling = PollSettings(propagation.refresh_delay, propagation.request_timeout)
            network, numbers = RestNetwork(self._latency()), self._envoys.stream_numbers(process.proxy)
            return RestSubscriptions(process, self._control_plane, network, polling, numbers.next)
        to_server = Link(self._latency(), self._draws, "network.latency.to_server", process.proxy)
        to_client = Link(self._latency(), self._draws, "network.latency.to_client", process.proxy)
        path = Path(self._clock, process.proxy, to_server, to_client, self, self._recorder)
        return self._envoys.over_streams(process, path)

    # --- traffic

    def _watch_traffic(self, server: Server) -> list[TrafficWatch]:
        watches = []
        for number, entry in enumerate(self._scenario.traffic):
            path = listener_path(self._scenario, entry.traffic.to)
            watches.append(
                TrafficWatch(server, entry, self._scenario.duration, path, self._ledger, self._draws, number)
            )
        self._traffic += watches
        return watches

    def _finish_traffic(self) -> None:
        for watch in self._traffic:
            watch.finish(self._scenario.duration)


def _objects(scenario: Scenario) -> int:
    """Clusters and listeners of one Envoy."""
    kinds = (scenario.control_plane.resources, scenario.envoy.static)
    clusters = sum(mapping.count for kind in kinds for mapping in kind.clusters)
    return clusters + sum(mapping.count for kind in kinds for mapping in kind.listeners)
