"""The composition root: a scenario becomes a world, and only here do the parts learn of each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.calibration.costs import Calibration, Law, with_overrides, zero_costs
from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.engine.delays import Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock, Deadlines
from simulator.envoy.ads_mux import MuxIdentity
from simulator.envoy.delta_mux import DeltaMux
from simulator.envoy.main_thread import Costs, MainThread
from simulator.envoy.process import Process, Workers
from simulator.envoy.separate_streams import SeparateStreams
from simulator.envoy.settings import EnvoySettings, RateLimitSettings
from simulator.envoy.sotw_mux import SotwMux
from simulator.envoy.startup import Server
from simulator.envoy.static_bootstrap import NoConfigSource
from simulator.propagation.file import FilesystemSubscriptions
from simulator.propagation.poll import PollSettings, RestSubscriptions
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.costs import read_calibration
from simulator.scenario.resources import listener_path, script_of, static_resources
from simulator.scenario.schema import Scenario
from simulator.scenario.traffic import TrafficWatch
from simulator.wire.backoff import BackoffSettings
from simulator.wire.contract import ConfigSource, StreamServer
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.xds.resource_types import RESOURCE_TYPES, ResourceType
from simulator.xds.resources import Names

OVERLOADED = 0.9
"""Share of its life a server with a waiting queue was busy to be called overloaded (assumption)."""

EVENT_BUDGET = 2_000_000_000
"""More events than any honest run of one scenario has: a livelock fails instead of hanging."""


@dataclass(slots=True, eq=False)
class World:
    """Everything one run consists of.

    Attributes:
        servers: The Envoys, by proxy index.
        recorder: What is written down.
    """

    scenario: Scenario
    clock: Clock
    recorder: Recorder
    ledger: ChangeLedger[Names]
    servers: list[Server] = field(default_factory=list)
    traffic: list[TrafficWatch] = field(default_factory=list)

    def run(self) -> None:
        """Advances to the end of the scenario and closes the books."""
        self.clock.run(self.scenario.duration)
        self.recorder.events = self.clock.events
        for watch in self.traffic:
            watch.finish(self.scenario.duration)
        for server in self.servers:
            server.set_gauges()
            self._warn_if_overloaded(server)

    def _warn_if_overloaded(self, server: Server) -> None:
        """Overload is said aloud."""
        process = server.process
        alive_ns = self.scenario.duration - process.row.t_started_ns
        if process.main_thread.queue_length and process.main_thread.busy_ns > OVERLOADED * alive_ns:
            self.recorder.warn(
                "the main thread of an Envoy was never idle and updates still wait at the end: "
                "they arrive faster than they are applied"
            )


def build(scenario: Scenario, seed: int, replication: int = 0) -> World:
    """A fresh world: nothing is shared between two of them."""
    return _Builder(scenario, seed, replication).world()


class _Builder:
    """Joins the parts of one world."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        self._scenario = scenario
        self._calibration: Calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
        self._clock = Clock(event_budget=EVENT_BUDGET)
        self._deadlines = Deadlines(self._clock)
        self._draws = Draws(seed, replication)
        names = scenario.mesh.proxies.names()
        keep = scenario.recording
        self._recorder = Recorder(
            names,
            messages=keep.keeps_messages(len(names)),
            states=keep.keeps_states(len(names), _objects(scenario)),
            deliveries=keep.deliveries,
        )
        self._ledger: ChangeLedger[Names] = ChangeLedger(self._recorder, Names.minus)
        self._awaited = len(names)
        self._files: list[FilesystemSubscriptions] = []
        self._world = World(scenario, self._clock, self._recorder, self._ledger)
        self._settings = self._envoy_settings()
        self._control_plane = self._scripted()

    def world(self) -> World:
        """All Envoys, started at their times."""
        over_ns = self._scenario.mesh.start.over
        for proxy in range(len(self._recorder.proxy_names)):
            start_ns = int(self._draws.uniform("mesh.start", proxy) * over_ns) if over_ns else 0
            self._clock.at(start_ns, self._starter(proxy), band=Band.WORKLOAD, entity=proxy)
        if self._awaited == 0 or not self._settings.has_xds:
            self._control_plane.begin(0)
        return self._world

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
        return [s.process.proxy for s in self._world.servers if not s.process.is_exited]

    def _on_renamed(self, type_: ResourceType, name: str) -> None:
        for files in self._files:
            files.on_renamed(type_, name)

    def _on_first_subscription(self) -> None:
        """The script's times count from the last Envoy's first subscription."""
        self._awaited -= 1
        if self._awaited == 0:
            self._control_plane.begin(self._clock.now_ns)

    # --- the Envoys

    def _envoy_settings(self) -> EnvoySettings:
        scenario, envoy = self._scenario, self._scenario.envoy
        costs: dict[str, Law] = dict(self._calibration.costs)
        if envoy.costs.zero:
            costs = zero_costs(costs)
        costs = with_overrides(costs, envoy.costs.given)
        limit, backoff = envoy.rate_limit, scenario.propagation.backoff
        clusters, listeners = static_resources(scenario, self._calibration)
        return EnvoySettings(
            has_xds=scenario.control_plane.kind != "none",
            is_istio=envoy.preset == "istio",
            initial_fetch_timeout_ns={
                name: envoy.fetch_timeout_ns(name) for name in RESOURCE_TYPES if name != "vhds"
            },
            costs=costs,
            backoff=BackoffSettings(backoff.base, backoff.max),
            static_clusters=clusters,
            static_listeners=listeners,
            rtds_layers=Names(layer.rtds_layer.name for layer in envoy.runtime_layers if layer.rtds_layer),
            drain_time_ns=envoy.drain_time,
            drain_is_gradual=envoy.drain_strategy == "gradual",
            eds_cache=envoy.eds_cache,
            stats_flush_interval_ns=envoy.stats_flush_interval,
            concurrency=envoy.concurrency,
            rate_limit=None
            if limit is None
            else RateLimitSettings(limit.max_tokens, round(limit.fill_rate.per_ns / limit.fill_rate.count)),
        )

    def _start_envoy(self, proxy: int) -> None:
        clock, settings = self._clock, self._settings
        costs = Costs(settings.costs, self._draws, proxy)
        row = self._recorder.startup(proxy, 0, "start", clock.now_ns)
        # The main thread counts clusters for its stats flush, and the server that has them is built around
        # it.
        servers: list[Server] = []
        main_thread = MainThread(
            clock, proxy, costs, settings.stats_flush_interval_ns, lambda: servers[0].clusters.cluster_count()
        )
        process = Process(
            proxy=proxy,
            clock=clock,
            deadlines=self._deadlines,
            draws=self._draws,
            recorder=self._recorder,
            settings=settings,
            row=row,
            changes=self._ledger,
            costs=costs,
            main_thread=main_thread,
            workers=Workers(clock, proxy),
            on_first_subscription=self._on_first_subscription,
            on_received=lambda: servers[0].check_ready(),
        )
        server = Server(process, self._config_source(process), on_exit=self._on_exit)
        servers.append(server)
        self._world.servers.append(server)
        self._watch_traffic(server)
        server.start()

    def _on_exit(self, server: Server) -> None:
        self._ledger.on_gone(server.process.proxy)
        if not server.process.has_subscribed:
            self._on_first_subscription()

    def _latency(self) -> Delay:
        latency = self._scenario.network.latency
        return self._calibration.loopback if latency is None else latency

    def _config_source(self, process: Process) -> ConfigSource:
        scenario = self._scenario
        if not self._settings.has_xds:
            return NoConfigSource()
        to_server = Link(self._latency(), self._draws, "network.latency.to_server", process.proxy)
        to_client = Link(self._latency(), self._draws, "network.latency.to_client", process.proxy)
        strategy = scenario.propagation.strategy
        if strategy == "file":
            files = FilesystemSubscriptions(
                process, self._control_plane, watches_directory=scenario.propagation.watch == "directory"
            )
            self._files.append(files)
            return files
        if strategy == "poll":
            polling = PollSettings(scenario.propagation.refresh_delay, scenario.propagation.request_timeout)
            return RestSubscriptions(process, self._control_plane, to_server, to_client, polling)
        path = Path(self._clock, process.proxy, to_server, to_client, self, self._recorder)
        mux = DeltaMux if scenario.propagation.protocol == "delta" else SotwMux
        counter = _StreamNumbers()
        if scenario.propagation.streams == "separate":
            return SeparateStreams(process, path, mux, counter.next)
        return mux(process, path, MuxIdentity("ads", counter.next))

    # --- traffic

    def _watch_traffic(self, server: Server) -> None:
        for number, entry in enumerate(self._scenario.workload):
            path = listener_path(self._scenario, entry.traffic.to)
            self._world.traffic.append(
                TrafficWatch(server, entry, self._scenario.duration, path, self._ledger, self._draws, number)
            )


def _objects(scenario: Scenario) -> int:
    """Clusters and listeners of one Envoy."""
    kinds = (scenario.control_plane.resources, scenario.envoy.static)
    clusters = sum(mapping.count for kind in kinds for mapping in kind.clusters)
    return clusters + sum(mapping.count for kind in kinds for mapping in kind.listeners)


class _StreamNumbers:
    """Numbers the streams of one Envoy."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """1, 2, 3, ..."""
        self._last += 1
        return self._last
