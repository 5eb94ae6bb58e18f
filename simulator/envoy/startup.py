"""The server's start-up: one sequence, in which every step waits for the one before (rules S1 to S8).

Construction (static load, primaries) -> RTDS -> secondary clusters -> CDS -> its clusters -> static listeners
and LDS with their routes, secrets and extensions -> workers. Until the workers start no port accepts a
connection.
Source: source/server/server.cc (InstanceBase::initialize, onRuntimeReady,
onClusterManagerPrimaryInitializationComplete, RunHelper, startWorkers).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from simulator.engine.machine import Machine, bind
from simulator.envoy.cluster_manager import ClusterManager
from simulator.envoy.clusters import cluster_of
from simulator.envoy.eds import EdsSubscriptions
from simulator.envoy.init_manager import InitManager
from simulator.envoy.listener_manager import ListenerManager
from simulator.envoy.providers import Providers, RouteConfigProviders
from simulator.envoy.runtime import Runtime
from simulator.envoy.scopes import ScopedRoutes
from simulator.xds.resource_types import CDS, ECDS, EDS, LDS, RDS, SDS
from simulator.xds.resources import NO_NAMES

if TYPE_CHECKING:
    from simulator.envoy.process import Process
    from simulator.wire.contract import ConfigSource


class ServerState(Enum):
    """ServerInfo::State, with what comes before it answers and after it ends (rule S7)."""

    STARTING = "STARTING"
    PRE_INITIALIZING = "PRE_INITIALIZING"
    INITIALIZING = "INITIALIZING"
    LIVE = "LIVE"
    EXITED = "EXITED"


class ServerSignal(Enum):
    """What the server learns."""

    CONSTRUCTED = "constructed"
    PRIMARIES_INITIALIZED = "primaries_initialized"
    RTDS_INITIALIZED = "rtds_initialized"
    CLUSTERS_INITIALIZED = "clusters_initialized"
    TARGETS_READY = "targets_ready"
    CONFIGURATION_FAILED = "configuration_failed"


_S, _G = ServerState, ServerSignal
SERVER = {
    (_S.STARTING, _G.CONSTRUCTED): (_S.PRE_INITIALIZING, "load_static"),
    (_S.STARTING, _G.CONFIGURATION_FAILED): (_S.EXITED, "exit"),
    (_S.PRE_INITIALIZING, _G.PRIMARIES_INITIALIZED): (_S.PRE_INITIALIZING, "initialize_rtds"),
    (_S.PRE_INITIALIZING, _G.RTDS_INITIALIZED): (_S.PRE_INITIALIZING, "start_secondary_clusters"),
    (_S.PRE_INITIALIZING, _G.CLUSTERS_INITIALIZED): (_S.INITIALIZING, "initialize_targets"),
    (_S.INITIALIZING, _G.TARGETS_READY): (_S.LIVE, "start_workers"),
}
_STATE_GAUGE = {_S.LIVE: 0, _S.PRE_INITIALIZING: 2, _S.INITIALIZING: 3}


class Server:
    """One Envoy from process start to live."""

    def __init__(self, process: Process, source: ConfigSource, on_exit: Callable[[Server], None]) -> None:
        self.process = process
        self.source = source
        self._on_exit = on_exit
        self.on_ready: Callable[[], None] | None = None
        self.on_constructed: list[Callable[[], None]] = []
        """Told when the process has read its bootstrap and speaks to its parent (hot restart)."""
        self.on_workers_started: list[Callable[[], None]] = []
        """Told when the workers run (hot restart)."""
        self._machine = Machine(_S.STARTING, _ROWS, self, Server._entered)
        self.init_manager = InitManager()
        self.runtime = Runtime(process, source)
        self.routes = RouteConfigProviders(process, source)
        self.secrets = Providers(process, source, SDS, "sds.{}.")
        self.extensions = Providers(process, source, ECDS, "extension_config_discovery.http_filter.{}.")
        self.scopes = ScopedRoutes(process, source, self.routes)
        self.clusters = ClusterManager(
            process,
            source,
            tell_primaries=lambda: self._machine.fire(_G.PRIMARIES_INITIALIZED),
            tell_all=lambda: self._machine.fire(_G.CLUSTERS_INITIALIZED),
        )
        self.clusters.eds = EdsSubscriptions(self.clusters)
        self.clusters.secrets = self.secrets
        self.secrets.on_released(self.clusters.on_secrets_released)
        self.clusters.secrets_of_listeners = lambda: self.listeners.targets.secret_names
        self.listeners = ListenerManager(
            process,
            source,
            self.init_manager,
            self.routes,
            self.secrets,
            self.extensions,
            self.scopes,
            lambda: self.clusters.known_names,
        )

    def _entered(self, _before: ServerState, after: ServerState) -> None:
        process = self.process
        process.enter("server", "envoy", after.value)
        if after in _STATE_GAUGE:
            process.gauge("server.state", _STATE_GAUGE[after])

    @property
    def state(self) -> ServerState:
        """Present state."""
        return self._machine.state

    def start(self) -> None:
        """The process starts; construction takes its time (S1)."""
        process = self.process
        construction_ns = process.costs.ns("server_construction")
        if process.settings.has_xds:
            construction_ns += process.costs.ns("xds_construction")
        process.enter("server", "envoy", _S.STARTING.value)
        process.main_thread.construct(construction_ns, self.constructed)

    def constructed(self) -> None:
        """The process has read its bootstrap."""
        for told in self.on_constructed:
            told()
        missing = self._missing_at_start()
        if missing:
            self.process.recorder.warn(f"an Envoy exited: paths must refer to an existing path: {missing}")
            self._machine.fire(_G.CONFIGURATION_FAILED)
        else:
            self._machine.fire(_G.CONSTRUCTED)

    def _missing_at_start(self) -> str:
        """Files the bootstrap itself names must exist (F2)."""
        settings, source = self.process.settings, self.source
        if not settings.has_xds:
            return ""
        static = settings.static_clusters
        discovered = static.grouped("kind", lambda r: cluster_of(r).kind).get("eds", NO_NAMES)
        wanted = [(CDS, NO_NAMES), (LDS, NO_NAMES), (EDS, discovered)]
        for type_, names in wanted:
            missing = source.missing(type_, names)
            if missing:
                return next(iter(missing))
        return ""

    # --- actions, in the order of the sequence

    def load_static(self) -> None:
        """Static clusters and listeners are built and LDS registered before anything is waited for (2.1,
        2.2)."""
        process = self.process
        process.row.t_bootstrapped_ns = process.now_ns
        process.main_thread.start_flush_timer()
        process.gauge("server.live", 1)
        process.gauge("server.concurrency", process.settings.concurrency)
        if process.settings.has_xds:
            self.source.start()
        self.listeners.add_static()
        if process.settings.has_xds:
            self.listeners.register_lds()
        self.clusters.load_static()

    def initialize_rtds(self) -> None:
        """RTDS after the primaries, before everything else."""
        self.runtime.initialize(self._rtds_initialized)

    def _rtds_initialized(self) -> None:
        self.process.row.t_rtds_initialized_ns = self.process.now_ns
        self._machine.fire(_G.RTDS_INITIALIZED)

    def start_secondary_clusters(self) -> None:
        """Then CDS follows by itself."""
        self.clusters.init_helper.start_initializing_secondary_clusters()

    def initialize_targets(self) -> None:
        """RDS is paused while the targets are kicked, so that one request names all routes."""
        row = self.process.row
        if row.t_cds_initialized_ns is None:
            # Without CDS the phase has no content.
            row.t_cds_initialized_ns = row.t_rtds_initialized_ns
        self.source.pause(RDS)
        self.init_manager.initialize(lambda: self._machine.fire(_G.TARGETS_READY))
        self.source.resume(RDS)

    def start_workers(self) -> None:
        """Listeners listen, workers run; from now on this Envoy serves (S6)."""
        process, row = self.process, self.process.row
        now_ns = process.now_ns
        row.t_listeners_initialized_ns = row.t_workers_started_ns = now_ns
        row.outcome = "live"
        process.gauge("listener_manager.workers_started", 1)
        process.recorder.counters.observe(
            process.proxy, "server.initialization_time_ms", (now_ns - row.t_started_ns) / 1e6
        )
        process.workers.start(process.costs.ns("post_listeners"))
        self.listeners.on_workers_started()
        for told in self.on_workers_started:
            told()
        self.check_ready()

    def check_ready(self) -> None:
        """``/ready`` answers 200 when live; the istio-agent asks for an accepted CDS and LDS update
        besides."""
        process, row = self.process, self.process.row
        if self.state is not _S.LIVE or row.t_ready_ns is not None:
            return
        needs = process.settings.readiness_needs
        if all(name in process.succeeded for name in needs):
            row.t_ready_ns = process.now_ns
            if self.on_ready is not None:
                self.on_ready()

    def exit(self) -> None:
        """Exit code 1."""
        self.process.row.outcome = "exited"
        self._end()
        self._on_exit(self)

    def stop(self) -> None:
        """The process is ended from outside."""
        self.process.row.outcome = "stopped"
        self._end()

    def _end(self) -> None:
        self.process.is_exited = True
        self.source.stop()

    @property
    def is_at_rest(self) -> bool:
        """Whether it serves all that it asked for, and has nothing to do."""
        row = self.process.row
        return (
            row.t_ready_ns is not None
            and not row.fetch_timeouts
            and not self.process.is_exited
            and self.process.main_thread.is_idle
            and not self.clusters.warming
            and not self.listeners.is_warming
        )

    def set_gauges(self) -> None:
        """Gauges as they stand at the end of the run."""
        process, clusters = self.process, self.clusters
        process.gauge("cluster_manager.active_clusters", len(clusters.active))
        process.gauge("cluster_manager.warming_clusters", len(clusters.warming_names))
        for gauge, count in self.listeners.gauges().items():
            process.gauge(f"listener_manager.{gauge}", count)


_ROWS = bind(SERVER, Server)
TABLES = {"server": (SERVER, _S.STARTING, (_S.LIVE, _S.EXITED))}
