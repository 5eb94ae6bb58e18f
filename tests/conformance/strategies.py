"""One small control plane and its proxies, whichever way configuration travels: what the tests of all
strategies share.

The control plane has replicas that publish a change some lag after it happened. The proxies have the real
clients of each strategy, a main thread, and consumers that write down which revision they apply when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from simpy import Environment

from simulator.calibration.costs import load_calibration, zero_costs
from simulator.engine.clock import MS, S
from simulator.engine.delays import Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock, Deadlines
from simulator.envoy.ads_mux import MuxIdentity
from simulator.envoy.delta_mux import DeltaMux
from simulator.envoy.main_thread import Costs, MainThread
from simulator.envoy.process import Process, Workers
from simulator.envoy.separate_streams import SeparateStreams
from simulator.envoy.settings import EnvoySettings
from simulator.envoy.sotw_mux import SotwMux
from simulator.propagation.file import FilesystemSubscriptions, KubeletSettings, KubeletSync
from simulator.propagation.http_loop import RestNetwork
from simulator.propagation.http_server import Acknowledgements, PinnedConnection
from simulator.propagation.long_poll import LongPollReplica, LongPollSettings, LongPollSubscriptions
from simulator.propagation.poll import PollReplica, PollSettings, RestSubscriptions
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.wire.backoff import BackoffSettings
from simulator.wire.contract import ConfigSource, StreamServer, Update
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import CDS, EDS, RESOURCE_TYPES, ResourceType
from simulator.xds.resources import NO_NAMES, Names, Resource, Resources

STRATEGIES = (
    "push-sotw-ads",
    "push-delta-ads",
    "push-sotw-separate",
    "push-delta-separate",
    "poll",
    "long-poll",
    "file",
)
PUSHED = STRATEGIES[:4]
HTTP = ("poll", "long-poll")

SERVICES = Names(f"c{i}" for i in range(4))
LATENCY = Uniform(1 * MS, 5 * MS)
REFRESH_NS = 1 * S
WAIT_NS = 5 * S
SYNC_PERIOD_NS = 2 * S
BACKOFF = BackoffSettings(500 * MS, 2 * S)

SLOWEST_NS = 5 * S
"""More than any strategy takes from a publication to its application, where nothing is broken: two refresh
delays, a kubelet's one and a half periods, a link."""
RECOVERY_NS = 10 * S
"""More than any takes after an outage: the longest back-off, a request time-out, and the above."""

State = dict[ResourceType, Resources]


def first_state() -> State:
    """Every service in its first revision: its cluster, and its endpoints."""
    return {type_: Resources(Resource(name, 1, None) for name in SERVICES) for type_ in (CDS, EDS)}


@dataclass(frozen=True)
class Seen:
    """A revision that a proxy applied."""

    t_ns: int
    proxy: int
    type: ResourceType
    name: str
    revision: int


@dataclass
class Consumer:
    """Applies anything, and writes it down."""

    world: World
    proxy: int
    failures: int = 0

    def cost_ns(self, update: Update) -> int:
        return 100_000 if self.world.clock.now_ns >= 0 else 0

    def on_config_update(self, update: Update) -> str | None:
        t_ns, refused = self.world.clock.now_ns, self.world.refuses
        if any((r.name, r.revision) == refused for r in update.resources):
            return f"{refused} is refused"
        for resource in update.resources:
            self.world.seen.append(Seen(t_ns, self.proxy, update.type, resource.name, resource.revision))
        return None

    def on_update_rejected(self, update: Update, error: str) -> None:
        raise AssertionError(error)

    def on_connection_failure(self, names: Names) -> None:
        self.failures += 1


class Replica:
    """One replica of the control plane, with what it has published. It answers every strategy."""

    def __init__(self, world: World, number: int, lag_ns: int) -> None:
        self.number = number
        self.lag_ns = lag_ns
        self.state = first_state()
        self.is_up = True
        self.sessions: dict[SotwSession | DeltaSession, None] = {}
        self.answers = 0
        self._world = world
        acknowledgements = Acknowledgements(world.ledger.on_acked)
        self.polls = PollReplica(world.clock, number, self, acknowledgements, concurrency=2)
        self.long_polls = LongPollReplica(
            world.clock, world.draws, number, self, acknowledgements, wait_ns=WAIT_NS, concurrency=2
        )

    def publish(self, type_: ResourceType, newer: Resources) -> None:
        """A change has come this far: later than another replica, yet never older than what is there."""
        self.state[type_] = self.state[type_].updated(newer)
        for session in list(self.sessions):
            if session.is_subscribed(type_):
                self._push(session, type_, newer.names)
        self.long_polls.on_published(type_, newer.names)

    def stop(self) -> None:
        self.is_up = False
        self.polls.stop()
        self.long_polls.stop()
        for session in list(self.sessions):
            session.reset()

    def start(self) -> None:
        self.is_up = True
        self.polls.start()
        self.long_polls.start()

    # push

    def _push(self, session: SotwSession | DeltaSession, type_: ResourceType, changed: Names) -> None:
        wanted = self._wanted(type_, session.names(type_))
        if not wanted.only(changed):
            return
        resources = wanted.only(changed) if session.is_delta else wanted
        session.send(type_, self._version_of(wanted), resources, NO_NAMES, "push")

    def on_subscription(self, session: SotwSession | DeltaSession, type_: ResourceType, added: Names) -> None:
        wanted = self._wanted(type_, session.names(type_))
        if session.is_delta:
            held = session.held(type_)
            difference = held.difference_to(wanted)
            wanted = wanted.only(difference.added.union(difference.changed))
            if not wanted:
                return
        session.send(type_, self._version_of(wanted), wanted, NO_NAMES, "request")

    def on_answer(self, session: object, type_: ResourceType, kind: object) -> None:
        self.answers += 1

    def on_session_closed(self, session: SotwSession | DeltaSession) -> None:
        self.sessions.pop(session, None)

    # poll and long-poll (propagation/http_server.py: Published)

    def version(self, request: DiscoveryRequest) -> str:
        return self._version_of(self._wanted(request.type, request.resource_names))

    def answer(self, request: DiscoveryRequest, t_enqueued_ns: int) -> tuple[DiscoveryResponse | None, int]:
        assert t_enqueued_ns <= self._world.clock.now_ns
        self.answers += 1
        wanted = self._wanted(request.type, request.resource_names)
        version = self._version_of(wanted)
        takes_ns = 100_000 if self._world.clock.now_ns >= 0 else 0
        if version == request.version_info:
            return None, takes_ns
        return DiscoveryResponse(request.type, version, "", wanted), 3 * takes_ns

    # files: what the ConfigMaps hold

    def contents(self) -> Contents:
        return Contents(dict(self.state))

    def _wanted(self, type_: ResourceType, names: Names) -> Resources:
        state = self.state[type_]
        return state if type_.wildcard else state.only(names)

    @staticmethod
    def _version_of(resources: Resources) -> str:
        return ",".join(f"{r.name}={r.revision}" for r in resources)


@dataclass(frozen=True)
class Contents:
    """ConfigMaps as they were at one instant."""

    state: State

    def file(self, proxy: int, type_: ResourceType, name: str) -> tuple[str, Resources] | None:
        state = self.state[type_]
        content = state.only(Names((name,))) if name else state
        return ",".join(r.version for r in content), content

    def carried(self, proxy: int, type_: ResourceType, names: Names | None) -> tuple[int, ...]:
        return ()


@dataclass
class World:
    """Proxies and a control plane under one strategy.

    Attributes:
        refuses: Name and revision that proxies refuse, if any.
        happened: By type and name: the instants of its changes. Change k makes revision k + 2.
        seen: What the proxies applied, in order of time.
    """

    strategy: str
    proxies: int = 3
    lags_ns: tuple[int, ...] = (0,)
    seed: int = 1
    start_ns: int = 0
    refresh_ns: int = REFRESH_NS
    network: RestNetwork = RestNetwork(LATENCY)  # noqa: RUF009 -- frozen
    clock: Clock = field(init=False)
    refuses: tuple[str, int] | None = None
    seen: list[Seen] = field(default_factory=list)
    happened: dict[tuple[ResourceType, str], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock(Environment(self.start_ns), event_budget=2_000_000)
        self.draws = Draws(self.seed)
        self.deadlines = Deadlines(self.clock)
        self.recorder = Recorder({p: f"p{p}" for p in range(self.proxies)}, messages=True, states=False)
        self.ledger: ChangeLedger[Names] = ChangeLedger(self.recorder, Names.minus)
        self.replicas = [Replica(self, number, lag_ns) for number, lag_ns in enumerate(self.lags_ns)]
        self.kubelet = KubeletSync(
            self.clock, self.draws, KubeletSettings(SYNC_PERIOD_NS), self.replicas[0].contents
        )
        self.consumers = [Consumer(self, proxy) for proxy in range(self.proxies)]
        self.sources: list[ConfigSource] = []
        self._connections = 0
        self._streams = 0
        for proxy in range(self.proxies):
            source = self._source(self.process(proxy))
            self.sources.append(source)
            source.start()
            source.subscribe(CDS, NO_NAMES, self.consumers[proxy])
            source.subscribe(EDS, SERVICES, self.consumers[proxy])

    # --- what happens

    def change(self, t_ns: int, type_: ResourceType, name: str) -> None:
        """A resource changes; each replica publishes it after its lag."""
        instants = self.happened.setdefault((type_, name), [])
        instants.append(t_ns)
        newer = Resources([Resource(name, len(instants) + 1, None)])
        for replica in self.replicas:
            self.clock.at(t_ns + replica.lag_ns, _publisher(replica, type_, newer), band=Band.WORKLOAD)
        # The kubelets learn of what the first replica, which writes the files, has published.
        self.clock.at(
            t_ns + self.replicas[0].lag_ns,
            lambda: self.kubelet.on_published(type_, newer.names),
            band=Band.WORKLOAD,
        )

    def outage(self, number: int, begin_ns: int, end_ns: int) -> None:
        """A replica is away for a while; what it is told meanwhile it knows when it is back."""
        self.clock.at(begin_ns, self.replicas[number].stop, band=Band.WORKLOAD)
        self.clock.at(end_ns, self.replicas[number].start, band=Band.WORKLOAD)

    def run(self, until_ns: int) -> None:
        self.clock.run(until_ns)

    def asked(self, type_: ResourceType, name: str = "", proxy: int = 0) -> list[int]:
        """When requests for it arrived at the control plane."""
        return [
            row[0]
            for row in self.recorder.message_rows
            if row[1] == proxy
            and (row[4], row[5]) == ("request", type_.name)
            and next(iter(row[9]), "") == name
        ]

    # --- what came of it

    def latest(self) -> dict[tuple[ResourceType, str], int]:
        """The revision each resource has in the end."""
        revisions = {(type_, name): 1 for type_ in (CDS, EDS) for name in SERVICES}
        return {key: 1 + len(self.happened.get(key, ())) for key in revisions}

    def held(self, proxy: int) -> dict[tuple[ResourceType, str], int]:
        """What a proxy holds in the end."""
        return {(s.type, s.name): s.revision for s in self.seen if s.proxy == proxy}

    def revisions(self, proxy: int, type_: ResourceType, name: str) -> list[Seen]:
        """What a proxy applied of one resource, in order."""
        return [s for s in self.seen if (s.proxy, s.type, s.name) == (proxy, type_, name)]

    def regressions(self) -> list[Seen]:
        """Every application of a revision older than the one before it."""
        found = []
        for proxy in range(self.proxies):
            for type_, name in self.latest():
                mine = self.revisions(proxy, type_, name)
                found += [later for earlier, later in pairwise(mine) if later.revision < earlier.revision]
        return found

    # --- how the strategies are put together

    def process(self, proxy: int) -> Process:
        laws = zero_costs(load_calibration().costs)
        settings = EnvoySettings(
            has_xds=True,
            readiness_needs=("cds", "lds"),
            initial_fetch_timeout_ns=dict.fromkeys(RESOURCE_TYPES, 0),
            costs=laws,
            backoff=BACKOFF,
        )
        costs = Costs(laws, self.draws, proxy, self.clock)
        return Process(
            proxy=proxy,
            clock=self.clock,
            deadlines=self.deadlines,
            draws=self.draws,
            recorder=self.recorder,
            settings=settings,
            row=self.recorder.startup(proxy, 0, "start", 0),
            changes=self.ledger,
            costs=costs,
            main_thread=MainThread(self.clock, proxy, costs, 0, lambda: 0),
            workers=Workers(self.clock, proxy),
            on_first_subscription=lambda: None,
            on_received=lambda: None,
        )

    def _source(self, process: Process) -> ConfigSource:
        name, network = self.strategy, self.network
        if name == "file":
            self.kubelet.mount(process.proxy)
            files = FilesystemSubscriptions(process, self.kubelet, watches_directory=True)
            self.kubelet.watch(process.proxy, files)
            return files
        if name == "poll":
            servers = [replica.polls for replica in self.replicas]
            connection = PinnedConnection(
                lambda: [s for s in servers if s.is_serving], self.draws, process.proxy
            )
            return RestSubscriptions(process, connection, network, PollSettings(self.refresh_ns, 1 * S))
        if name == "long-poll":
            holders = [replica.long_polls for replica in self.replicas]
            connection = PinnedConnection(
                lambda: [s for s in holders if s.is_serving], self.draws, process.proxy
            )
            return LongPollSubscriptions(
                process, connection, network, LongPollSettings(WAIT_NS, 1 * S, BACKOFF)
            )
        mux = DeltaMux if "delta" in name else SotwMux
        to_server = Link(LATENCY, self.draws, "network.latency.to_server", process.proxy)
        to_client = Link(LATENCY, self.draws, "network.latency.to_client", process.proxy)
        path = Path(self.clock, process.proxy, to_server, to_client, self, self.recorder)
        if name.endswith("separate"):
            return SeparateStreams(process, path, mux, self._next_stream)
        return mux(process, path, MuxIdentity("ads", self._next_stream))

    def _next_stream(self) -> int:
        self._streams += 1
        return self._streams

    def on_connect(self, stream: Stream) -> StreamServer | None:
        """Each stream goes to a random replica (kube-proxy)."""
        up = [replica for replica in self.replicas if replica.is_up]
        if not up:
            return None
        self._connections += 1
        replica = up[self.draws.integer_below(len(up), "kube_proxy.backend", stream.proxy, self._connections)]
        form = DeltaSession if stream.is_delta else SotwSession
        session = form(stream, replica, self.ledger)  # type: ignore[arg-type]
        replica.sessions[session] = None
        return session


def _publisher(replica: Replica, type_: ResourceType, newer: Resources) -> Callable[[], None]:
    return lambda: replica.publish(type_, newer)
