"""The way of configuration in a mesh: both ends of the strategy, joined for each proxy and each replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from simulator.control_plane.istiod.published import PublishedContext, PublishedState
from simulator.control_plane.istiod.replica import Replica
from simulator.control_plane.rest_v1.pilot import CachedAnswers, RestPilot
from simulator.engine.delays import Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.process import Process
from simulator.mesh.kubelet import KubeletSettings
from simulator.mesh.services import Service
from simulator.propagation.file import FilesystemSubscriptions, KubeletSync
from simulator.propagation.http_loop import HttpSubscriptions, RestNetwork
from simulator.propagation.http_server import Acknowledgements, PinnedConnection, PollServer, Serving, Slots
from simulator.propagation.long_poll import (
    Beside,
    LongPollReplica,
    LongPollSettings,
    LongPollSubscriptions,
)
from simulator.propagation.poll import PollReplica, PollSettings, RestSubscriptions
from simulator.recording.recorder import Recorder
from simulator.scenario.schema import Scenario
from simulator.wire.backoff import BackoffSettings
from simulator.wire.contract import ConfigSource
from simulator.xds.resource_types import (
    AGENT_TYPES,
    RESOURCE_TYPES,
    resource_type,
)
from simulator.xds.resources import Names

if TYPE_CHECKING:
    pass


class Sources(Protocol):
    """One strategy: what each proxy and each replica needs for it."""

    def make(self, process: Process) -> ConfigSource:
        """The config source of a proxy's new Envoy."""

    def begin_replica(self, replica: Replica) -> None:
        """A replica has synced."""

    def end_replica(self, replica: int) -> None:
        """A replica stopped."""

    def partition(self, proxy: int, *, is_on: bool) -> None:
        """The proxy is cut off, or no longer."""

    def slow_reader(self, proxy: int, *, is_on: bool) -> None:
        """The proxy stops reading, or reads again."""

    def forget(self, proxy: int) -> None:
        """The proxy is gone for good."""

    def warnings(self) -> list[str]:
        """What went beyond its capacity."""

    def busy_ns(self) -> int:
        """Time that servers of the strategy's own were busy."""


class _Http:
    """What polling and long polling share."""

    def __init__(
        self, scenario: Scenario, clock: Clock, draws: Draws, recorder: Recorder, latency: Delay
    ) -> None:
        network = scenario.network
        self._scenario = scenario
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._network = RestNetwork(latency, network.loss, network.bandwidth)
        self._servers: dict[int, PollReplica | LongPollReplica] = {}
        self._sources: dict[int, HttpSubscriptions] = {}
        self._connections: dict[int, PinnedConnection] = {}
        self._cut: dict[int, None] = {}
        self._past_busy_ns = 0

    def _serving(self) -> list[PollServer]:
        return [self._servers[number] for number in sorted(self._servers)]

    @property
    def serving(self) -> list[int]:
        """Numbers of the replicas that answer."""
        return sorted(self._servers)

    def _connection(self, process: Process) -> PinnedConnection:
        proxy = process.proxy
        opened = self._connections[proxy].opened if proxy in self._connections else 0
        connection = PinnedConnection(self._serving, self._draws, proxy, opened)
        self._connections[proxy] = connection
        return connection

    def _clients_of(self, server: PollServer) -> Callable[[Service], list[int]]:
        return lambda _service: [p for p, c in self._connections.items() if c.server is server]

    def _kept(self, process: Process, source: HttpSubscriptions) -> ConfigSource:
        self._sources[process.proxy] = source
        if process.proxy in self._cut:
            source.cut()
        return source

    def _depth(self, replica: int) -> Callable[[int], None]:
        return lambda depth: self._recorder.depth(self._clock.now_ns, replica, "poll", depth)

    def end_replica(self, replica: int) -> None:
        """It answers nobody any more."""
        server = self._servers.pop(replica, None)
        if server is not None:
            self._past_busy_ns += server.busy_ns
            server.stop()

    def partition(self, proxy: int, *, is_on: bool) -> None:
        """Requests and answers vanish."""
        if is_on:
            self._cut[proxy] = None
        else:
            self._cut.pop(proxy, None)
        source = self._sources.get(proxy)
        if source is not None and is_on:
            source.cut()
        elif source is not None:
            source.heal()

    def slow_reader(self, proxy: int, *, is_on: bool) -> None:
        """An answer is read as a whole or not at all."""

    def forget(self, proxy: int) -> None:
        """It polls no more."""
        self._sources.pop(proxy, None)
        self._connections.pop(proxy, None)

    @property
    def at_a_time(self) -> int:
        """Answers under way at once: what istiod generates needs a core, a stated service time a slot."""
        server = self._scenario.propagation.server
        if server.service_time is not None:
            return server.concurrency
        return min(server.concurrency, self._scenario.control_plane.procs)

    def warnings(self) -> list[str]:
        """Replicas whose answers fell behind."""
        return [
            f"istiod-{number}: polls arrive faster than {self.at_a_time} of them at a time are served; "
            f"{server.queue_length} wait at the end"
            for number, server in sorted(self._servers.items())
            if server.queue_length > self.at_a_time
        ]

    def busy_ns(self) -> int:
        """Time that answers took."""
        return self._past_busy_ns + sum(server.busy_ns for server in self._servers.values())


class Polls(_Http):
    """Poll: a REST loop for each subscription."""

    _acknowledgements: Acknowledgements | None = None

    def share(self, replica: int, slots: Serving) -> Slots:
        """Others stand in the queue of that replica (the arrays of the fleet); the servers before."""
        server = self._servers[replica]
        assert isinstance(server, PollReplica)
        return server.share(slots)

    def make(self, process: Process) -> ConfigSource:
        """Envoy's REST subscriptions."""
        propagation = self._scenario.propagation
        settings = PollSettings(propagation.refresh_delay, propagation.request_timeout)
        source = RestSubscriptions(process, self._connection(process), self._network, settings)
        return self._kept(process, source)

    def begin_replica(self, replica: Replica) -> None:
        """It answers polls from what it published."""
        server = self._scenario.propagation.server
        if isinstance(replica, RestPilot):
            published: PublishedState = CachedAnswers(replica, server.service_time)
        else:
            published = PublishedState(replica, server.service_time)
        if self._acknowledgements is None:
            self._acknowledgements = Acknowledgements(published.on_acked)
        polled = PollReplica(
            self._clock,
            replica.number,
            published,
            self._acknowledgements,
            self.at_a_time,
            self._depth(replica.number),
        )
        self._servers[replica.number] = polled
        replica.clients = self._clients_of(polled)


class LongPolls(_Http):
    """Long poll: requests that the server holds."""

    _acknowledgements: Acknowledgements | None = None

    def share(self, replica: int, beside: Beside) -> None:
        """Others stand in the queue of that replica, and are held beside (the arrays of the fleet)."""
        server = self._servers[replica]
        assert isinstance(server, LongPollReplica)
        server.share(beside)

    def make(self, process: Process) -> ConfigSource:
        """A Consul-like client in Envoy's place."""
        source = LongPollSubscriptions(process, self._connection(process), self._network, self.settings)
        return self._kept(process, source)

    @property
    def settings(self) -> LongPollSettings:
        """Of the clients."""
        propagation = self._scenario.propagation
        backoff = BackoffSettings(propagation.backoff.base, propagation.backoff.max)
        return LongPollSettings(propagation.wait, propagation.request_timeout, backoff)

    def begin_replica(self, replica: Replica) -> None:
        """It holds requests until it publishes."""
        propagation = self._scenario.propagation
        published = PublishedState(replica, propagation.server.service_time)
        if self._acknowledgements is None:
            self._acknowledgements = Acknowledgements(published.on_acked)
        server = LongPollReplica(
            self._clock,
            self._draws,
            replica.number,
            published,
            self._acknowledgements,
            propagation.wait,
            self.at_a_time,
            self._depth(replica.number),
        )
        self._servers[replica.number] = server
        replica.clients = self._clients_of(server)
        replica.pushes.published.append(
            lambda type_name, names: (
                server.on_published(resource_type(type_name), names) if type_name not in AGENT_TYPES else None
            )
        )


class Files:
    """File: istiod's content in ConfigMaps, which the kubelets move into place."""

    def __init__(self, scenario: Scenario, clock: Clock, draws: Draws) -> None:
        self._writer: Replica | None = None
        self._replicas: dict[int, Replica] = {}
        settings = KubeletSettings(sync_period_ns=scenario.propagation.sync_period)
        self._kubelets = KubeletSync(clock, draws, settings, self._latest)
        self._mounted: dict[int, None] = {}

    @property
    def writer(self) -> Replica:
        """The replica that writes, or wrote last."""
        assert self._writer is not None, "files are written by a replica"
        return self._writer

    def _latest(self) -> PublishedContext:
        writer = self.writer
        return PublishedContext(writer, PublishedState(writer, None), writer.context)

    def make(self, process: Process) -> ConfigSource:
        """Envoy's file subscriptions: ConfigMap volumes are swapped by symbolic link."""
        if process.proxy not in self._mounted:
            self._mounted[process.proxy] = None
            self._kubelets.mount(process.proxy)
        files = FilesystemSubscriptions(process, self._kubelets, watches_directory=True)
        self._kubelets.watch(process.proxy, files)
        return files

    def begin_replica(self, replica: Replica) -> None:
        """One replica writes, the oldest: they all would write the same."""
        self._replicas[replica.number] = replica
        if self._writer is None or not self._writer.is_serving:
            self._let_write(replica)

    def end_replica(self, replica: int) -> None:
        """Another one writes; where there is none, the ConfigMaps stay as they are."""
        ended = self._replicas.pop(replica)
        if ended is self._writer and self._replicas:
            self._let_write(next(iter(self._replicas.values())))

    def _let_write(self, replica: Replica) -> None:
        """It writes what it publishes, and first what it has."""
        is_first, self._writer = self._writer is None, replica
        replica.clients = lambda _service: list(self._mounted)
        replica.pushes.published.append(self._on_published)
        if not is_first:
            for type_name in RESOURCE_TYPES:
                self._on_published(type_name, None)

    def _on_published(self, type_name: str, names: Names | None) -> None:
        if type_name not in AGENT_TYPES:
            self._kubelets.on_published(resource_type(type_name), names)

    def partition(self, proxy: int, *, is_on: bool) -> None:
        """Files are on the node: nothing is between them and Envoy."""

    def slow_reader(self, proxy: int, *, is_on: bool) -> None:
        """Files are read as a whole."""

    def forget(self, proxy: int) -> None:
        """Its volumes go with the pod."""
        if self._mounted.pop(proxy, self) is None:
            self._kubelets.unmount(proxy)

    def warnings(self) -> list[str]:
        """Nothing queues."""
        return []

    def busy_ns(self) -> int:
        """Nobody serves files."""
        return 0
