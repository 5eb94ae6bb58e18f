"""The way of configuration in a mesh that pushes: gRPC streams through an istio-agent for each proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.agent.settings import AgentSettings
from simulator.agent.wasm import WasmModules
from simulator.agent.xds_proxy import XdsProxy
from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.delays import Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.process import Process
from simulator.recording.recorder import Recorder
from simulator.scenario.envoys import Envoys
from simulator.scenario.schema import Scenario
from simulator.wire.contract import ConfigSource
from simulator.wire.link import Link
from simulator.wire.stream import Path
from simulator.wire.trouble import Trouble, TroubleSettings
from simulator.xds.resource_types import (
    NDS,
    PCDS,
    ResourceType,
)
from simulator.xds.resources import Resource

if TYPE_CHECKING:
    from simulator.xds.messages import Response


class Streams:
    """Push: gRPC streams through the istio-agent."""

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        draws: Draws,
        recorder: Recorder,
        envoys: Envoys,
        agent: AgentSettings,
        latency: Delay,
        hop: Delay,
        deployment: Deployment,
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._envoys = envoys
        self._agent = agent
        self._latency = latency
        self._hop = hop
        self._deployment = deployment
        self._agents: dict[int, XdsProxy] = {}
        self._troubles: dict[int, Trouble] = {}
        self._paths: dict[int, Path] = {}
        self._processes: dict[int, Process] = {}
        """The Envoy that each agent serves now."""

    def make(self, process: Process) -> ConfigSource:
        """ADS, or a stream for each subscription, through the pod's agent."""
        proxy = process.proxy
        if proxy not in self._paths or process.row.cause == "hot_restart":
            self._paths[proxy] = self._path(process)
        self._processes[proxy] = process
        return self._envoys.over_streams(process, self._paths[proxy])

    def path(self, proxy: int) -> Path:
        """The way between a proxy's agent and istiod."""
        return self._paths[proxy]

    def _path(self, process: Process) -> Path:
        """Parent and child of a hot restart dial on their own, on the link that they share."""
        proxy = process.proxy
        purpose = f"network.latency/{process.row.epoch}" if proxy in self._paths else "network.latency"
        network, plane = self._scenario.network, self._scenario.control_plane
        hop, bandwidth = self._hop, network.bandwidth
        trouble = self._troubles.get(proxy)
        if trouble is None:
            troubles = TroubleSettings(plane.keepalive.interval, plane.keepalive.timeout, loss=network.loss)
            trouble = self._troubles[proxy] = Trouble(self._clock, self._draws, proxy, troubles)
        self._agents[proxy] = XdsProxy(
            self._clock,
            proxy,
            self._agent,
            handlers=self._handlers(proxy),
            wasm=WasmModules(self._clock, self._draws, proxy, self._agent.wasm, wasm_module),
        )
        return Path(
            self._clock,
            proxy,
            Link(self._latency, self._draws, f"{purpose}.to_server", proxy, hop, bandwidth),
            Link(self._latency, self._draws, f"{purpose}.to_client", proxy, hop, bandwidth),
            self._deployment,
            self._recorder,
            self._agents[proxy],
            trouble,
        )

    def _handlers(self, proxy: int) -> dict[ResourceType, Callable[[Response], None]]:
        """What the agent subscribes to and consumes itself."""
        handlers: dict[ResourceType, Callable[[Response], None]] = {}
        if self._agent.dns_capture:
            handlers[NDS] = lambda _response: self._processes[proxy].note_success(NDS.name)
        if self._agent.proxy_config_xds_agent:
            handlers[PCDS] = lambda _response: None  # istiod answers with ISTIO_MULTIROOT_MESH alone
        return handlers

    def begin_replica(self, replica: Replica) -> None:
        """Streams come by themselves."""

    def end_replica(self, replica: int) -> None:
        """They were reset by the replica."""

    def partition(self, proxy: int, *, is_on: bool) -> None:
        """Nothing passes between the agent and istiod."""
        trouble = self._troubles.get(proxy)
        if trouble is not None:
            if is_on:
                trouble.cut()
            else:
                trouble.heal()

    def slow_reader(self, proxy: int, *, is_on: bool) -> None:
        """The agent stops reading."""
        agent = self._agents.get(proxy)
        if agent is not None:
            if is_on:
                agent.stop_reading()
            else:
                agent.resume_reading()

    def forget(self, proxy: int) -> None:
        """Its agent ends with it."""
        self._agents.pop(proxy, None)
        self._troubles.pop(proxy, None)
        self._paths.pop(proxy, None)
        self._processes.pop(proxy, None)

    def warnings(self) -> list[str]:
        """Replicas warn of their own queues."""
        return []

    def busy_ns(self) -> int:
        """Streams have no servers of their own."""
        return 0


def wasm_module(resource: Resource[object]) -> str | None:
    """The Wasm module an extension configuration needs: one for each revision of it."""
    return f"{resource.name}@{resource.revision}"
