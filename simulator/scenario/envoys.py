"""Makes Envoys as a scenario describes them: their settings, their processes, their config sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.agent.secret_discovery import WORKLOAD_SECRETS
from simulator.calibration.costs import Calibration, Law, with_overrides, zero_costs
from simulator.engine.draws import Draws
from simulator.engine.events import Clock, Deadlines
from simulator.engine.servers import MultiServer
from simulator.envoy.ads_mux import MuxIdentity
from simulator.envoy.delta_mux import DeltaMux
from simulator.envoy.main_thread import Costs, MainThread
from simulator.envoy.process import Process, Workers
from simulator.envoy.separate_streams import SeparateStreams
from simulator.envoy.settings import EnvoySettings, RateLimitSettings, RuntimeLayerSettings
from simulator.envoy.sotw_mux import SotwMux
from simulator.envoy.startup import Server
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.by_kind import MESH_KINDS
from simulator.scenario.certificate_references import has_workload_sds
from simulator.scenario.resources import static_resources
from simulator.scenario.schema import RuntimeLayer, Scenario
from simulator.wire.backoff import BackoffSettings
from simulator.wire.contract import ConfigSource
from simulator.wire.stream import Path
from simulator.xds.resource_types import RESOURCE_TYPES
from simulator.xds.resources import NO_NAMES, Names

MakeSource = Callable[[Process], ConfigSource]


class StreamNumbers:
    """Numbers the streams of one proxy, whichever of its processes opens them."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """1, 2, 3, ..."""
        self._last += 1
        return self._last


class Envoys:
    """The Envoys of one world."""

    def __init__(
        self,
        scenario: Scenario,
        calibration: Calibration,
        clock: Clock,
        deadlines: Deadlines,
        draws: Draws,
        recorder: Recorder,
        ledger: ChangeLedger[Names],
        cores: MultiServer | None = None,
    ) -> None:
        self._cores = cores
        self._scenario = scenario
        self._clock = clock
        self._deadlines = deadlines
        self._draws = draws
        self._recorder = recorder
        self._ledger = ledger
        self._streams: dict[int, StreamNumbers] = {}
        self.settings = envoy_settings(scenario, calibration)
        self.gateway_settings = replace(
            self.settings, initial_fetch_timeout_ns=_fetch_timeouts(scenario, is_gateway=True)
        )

    def make(
        self,
        proxy: int,
        source: MakeSource,
        *,
        cause: str = "start",
        epoch: int = 0,
        is_gateway: bool = False,
        on_exit: Callable[[Server], None] = lambda _server: None,
        on_first_subscription: Callable[[], None] = lambda: None,
    ) -> Server:
        """One Envoy, about to be started."""
        clock, settings = self._clock, self.gateway_settings if is_gateway else self.settings
        costs = Costs(settings.costs, self._draws, proxy, clock)
        # The main thread counts clusters for its stats flush, and the server that has them is built around
        # it.
        servers: list[Server] = []
        main_thread = MainThread(
            clock,
            proxy,
            costs,
            settings.stats_flush_interval_ns,
            lambda: servers[0].clusters.cluster_count(),
            self._cores,
        )
        process = Process(
            proxy=proxy,
            clock=clock,
            deadlines=self._deadlines,
            draws=self._draws,
            recorder=self._recorder,
            settings=settings,
            row=self._recorder.startup(proxy, epoch, cause, clock.now_ns),
            changes=self._ledger,
            costs=costs,
            main_thread=main_thread,
            workers=Workers(clock, proxy),
            on_first_subscription=on_first_subscription,
            on_received=lambda: servers[0].check_ready(),
        )
        server = Server(process, source(process), on_exit=on_exit)
        servers.append(server)
        return server

    def stream_numbers(self, proxy: int) -> StreamNumbers:
        """What numbers the streams of a proxy."""
        return self._streams.setdefault(proxy, StreamNumbers())

    def over_streams(self, process: Process, path: Path) -> ConfigSource:
        """A config source over gRPC: ADS, or a stream for each subscription."""
        propagation = self._scenario.propagation
        mux = DeltaMux if propagation.protocol == "delta" else SotwMux
        counter = self.stream_numbers(process.proxy)
        if propagation.streams == "separate":
            return SeparateStreams(process, path, mux, counter.next)
        return mux(process, path, MuxIdentity("ads", counter.next))


def envoy_settings(scenario: Scenario, calibration: Calibration) -> EnvoySettings:
    """What every Envoy of the scenario is told."""
    envoy = scenario.envoy
    costs: dict[str, Law] = dict(calibration.costs)
    if envoy.costs.zero:
        costs = zero_costs(costs)
    costs = with_overrides(costs, envoy.costs.given)
    limit, backoff = envoy.rate_limit, scenario.propagation.backoff
    clusters, listeners = static_resources(scenario, calibration)
    has_xds = scenario.control_plane.kind != "none"
    needs: tuple[str, ...] = ("cds", "lds") if envoy.preset == "istio" and has_xds else ()
    if needs and scenario.control_plane.kind in MESH_KINDS and scenario.agent.dns_capture:
        needs = (*needs, "nds")
    return EnvoySettings(
        has_xds=has_xds,
        readiness_needs=needs,
        initial_fetch_timeout_ns=_fetch_timeouts(scenario, is_gateway=False),
        costs=costs,
        backoff=BackoffSettings(backoff.base, backoff.max),
        static_clusters=clusters,
        static_listeners=listeners,
        rtds_layers=Names(layer.rtds_layer.name for layer in envoy.runtime_layers if layer.rtds_layer),
        runtime_layers=tuple(map(_runtime_layer, envoy.runtime_layers)),
        agent_secrets=WORKLOAD_SECRETS if has_workload_sds(scenario) else NO_NAMES,
        drain_time_ns=envoy.drain_time,
        parent_shutdown_ns=envoy.parent_shutdown_time,
        drain_is_gradual=envoy.drain_strategy == "gradual",
        eds_cache=envoy.eds_cache,
        stats_flush_interval_ns=envoy.stats_flush_interval,
        concurrency=envoy.concurrency,
        removal_order=Names(scenario.lab.removal_order),
        rate_limit=None
        if limit is None
        else RateLimitSettings(limit.max_tokens, round(limit.fill_rate.per_ns / limit.fill_rate.count)),
    )


def _fetch_timeouts(scenario: Scenario, *, is_gateway: bool) -> dict[str, int]:
    return {
        name: scenario.envoy.fetch_timeout_ns(name, is_gateway=is_gateway)
        for name in RESOURCE_TYPES
        if name != "vhds"
    }


def _runtime_layer(layer: RuntimeLayer) -> RuntimeLayerSettings:
    """A static layer's numbers count in hundredths, as Envoy's integers in runtime layers do."""
    shares = tuple(
        (key, min(1.0, max(0.0, float(value) / 100)))
        for key, value in (layer.static_layer or {}).items()
        if isinstance(value, int | float)
    )
    return RuntimeLayerSettings(layer.name, layer.rtds_layer.name if layer.rtds_layer else None, shares)
