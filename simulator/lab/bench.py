"""One real Envoy before a server that answers at once, so that what takes time is Envoy.

For measuring costs: what is pushed is encoded before the clock is read, and Envoy's log is quiet.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from envoy.service.discovery.v3 import discovery_pb2

from simulator.lab import bootstrap as boot
from simulator.lab.file_tree import ConfigurationFiles
from simulator.lab.grpc_server import GrpcServer
from simulator.lab.log import LogFollower
from simulator.lab.network import Ports
from simulator.lab.processes import Processes, terminate
from simulator.lab.protobufs import Builder, Message, Surroundings, packed
from simulator.lab.requirements import envoy_binary
from simulator.lab.streams import LabStream
from simulator.lab.wall_clock import WallClock
from simulator.recording.recorder import Recorder
from simulator.scenario.schema import Scenario
from simulator.xds.messages import DeltaDiscoveryRequest, Request, Response
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Resource, Resources

PATIENCE_S: Final = 60.0
"""No single answer takes this long: an Envoy that does not answer is no measurement."""


class BenchFailed(RuntimeError):
    """An Envoy did not do what a measurement needs."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A resource in one revision, as it goes over the wire."""

    name: str
    version: str
    message: Message


@dataclass(slots=True, eq=False)
class _Held:
    """What the server has of one type, and what the Envoy wants of it."""

    resources: dict[str, Encoded] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    is_subscribed: bool = False


class _QuietStream(LabStream):
    def note(self, message: Request | Response) -> None:
        """Nobody writes it down."""


class Bench:
    """An Envoy and its server on ADS; an async context manager that ends both.

    Times are `time.time_ns`, which Envoy's log has too.

    Args:
        scenario: Its sections `envoy` and `propagation` make the bootstrap; its script is not played.
        is_told: The log tells of the start-up (level info). A quiet log costs the Envoy nothing.

    Attributes:
        asked_ns: When each type was first asked for.
        answered_ns: When each type was first answered.
        turnarounds_ns: From reading a request to writing its answer.
        answers: The last answer to a request of each type: when it was written, and its ACK.
    """

    def __init__(self, scenario: Scenario, *, is_told: bool = False) -> None:
        self._scenario = scenario
        self._is_told = is_told
        self._is_delta = scenario.propagation.protocol == "delta"
        self._held: dict[ResourceType, _Held] = {}
        self._nonces = 0
        self._stream: LabStream | None = None
        self._acks: dict[str, asyncio.Future[int]] = {}
        self._wants: dict[ResourceType, asyncio.Future[int]] = {}
        self._broken: BaseException | None = None
        self._told: dict[str, int] = {}
        self.asked_ns: dict[str, int] = {}
        self.answered_ns: dict[str, int] = {}
        self.turnarounds_ns: list[int] = []
        self.answers: dict[ResourceType, tuple[int, asyncio.Future[int]]] = {}
        self.t_started_ns = 0
        self._directory = tempfile.TemporaryDirectory(prefix="xdsim-bench-")
        self.root = Path(self._directory.name)
        self._ports = Ports()
        self._processes = Processes()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = LogFollower(self.root / "envoy.log")
        self._clock = WallClock(asyncio.get_running_loop(), self.fail)
        self._server = GrpcServer(self)
        is_directory = scenario.propagation.watch == "directory"
        self.files = ConfigurationFiles(self.root / "config", is_directory=is_directory)
        has_files = scenario.propagation.strategy == "file"
        self._sources = boot.Sources(scenario, boot.Caller(0), self.files.path if has_files else None)
        self.admin_port = self._ports.free()
        self.build = Builder(
            Surroundings(
                source=self._sources.of,
                endpoint_port=lambda _: 9,
                dns_port=lambda _: 9,
                listener_port=lambda _: 0,  # any free one: nobody connects
            )
        )

    # --- its life

    async def __aenter__(self) -> Bench:
        self._processes.__enter__()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if self._process is not None:
                await terminate(self._process)
        finally:
            self._processes.__exit__()
            await self._server.stop()
            self._directory.cleanup()

    async def start(self, rest_port: int = 0) -> None:
        """Starts the Envoy; it gets whatever was `put`."""
        servers = boot.ServerPorts(await self._server.start(), rest_port)
        nothing = Resources(()), Resources(())
        written = boot.bootstrap(
            self._scenario, "bench", self.admin_port, servers, self._sources, self.build, nothing
        )
        path = boot.write(written, self.root / "bootstrap.json")
        command = boot.command(envoy_binary(), path, self._scenario)
        if not self._is_told:
            at = command.index("--component-log-level")
            del command[at : at + 2]
            command[command.index("--log-level") + 1] = "warning"
        self.t_started_ns = time.time_ns()
        self._process = self._processes.start(command, self.root / "envoy.log")

    async def told(self, what: str) -> int:
        """When the log told a fact, or a fact and a name, for the first time."""
        for _ in range(int(PATIENCE_S / 0.005)):
            self.follow()
            if what in self._told:
                return self._told[what]
            self._check()
            await asyncio.sleep(0.005)
        raise BenchFailed(f"Envoy's log does not tell {what!r}")

    def follow(self) -> None:
        """Reads what the log tells so far."""
        for fact in self._log.facts():
            whole, _, fraction = fact.stamp.partition(".")
            t_ns = int(whole) * 10**9 + int(fraction.ljust(9, "0"))
            self._told.setdefault(f"{fact.what} {fact.name}".strip(), t_ns)

    def forget(self, what: str) -> None:
        """The next time the log tells it is the first."""
        self._told.pop(what, None)

    async def until_answered(self, *types: ResourceType) -> None:
        """Until the Envoy has asked for these types and a moment has passed."""
        for _ in range(int(PATIENCE_S / 0.01)):
            self._check()
            if all(type_.name in self.answered_ns for type_ in types):
                await asyncio.sleep(0.3)
                return
            await asyncio.sleep(0.01)
        raise BenchFailed(f"Envoy did not ask for {', '.join(type_.name for type_ in types)}")

    def _check(self) -> None:
        if self._broken is not None:
            raise BenchFailed(f"{type(self._broken).__name__}: {self._broken}") from self._broken
        if self._process is not None and self._process.poll() is not None:
            raise BenchFailed(f"Envoy ended:\n{self._log.last_words()}")

    # --- what it is sent

    def encoded(self, type_: ResourceType, resource: Resource[Any]) -> Encoded:
        """A modelled resource."""
        return Encoded(resource.name, resource.version, packed(self.build.message(type_, resource)))

    def put(self, type_: ResourceType, resources: Iterable[Encoded]) -> None:
        """The server has these, besides what it has."""
        held = self._held_of(type_)
        held.resources.update((resource.name, resource) for resource in resources)

    def drop(self, type_: ResourceType, names: Iterable[str]) -> None:
        """The server has these no more."""
        held = self._held_of(type_)
        for name in names:
            held.resources.pop(name, None)

    def push(
        self, type_: ResourceType, changed: Sequence[Encoded] = (), removed: Sequence[str] = ()
    ) -> tuple[int, asyncio.Future[int]]:
        """Puts, drops and pushes: state-of-the-world everything of the type, delta what is named.

        Returns:
            When the response was written, and the future instant at which its ACK or NACK is read.
        """
        self._check()
        self.put(type_, changed)
        self.drop(type_, removed)
        resources = tuple(changed) if self._is_delta else self._state(type_)
        nonce, message = self._response(type_, resources, removed)
        acked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._acks[nonce] = acked
        assert self._stream is not None, "nothing is pushed before a stream is open"
        sent_ns = time.time_ns()
        self._stream.outbox.put_nowait(message)
        return sent_ns, acked

    async def cost_ns(
        self, type_: ResourceType, changed: Sequence[Encoded] = (), removed: Sequence[str] = ()
    ) -> int:
        """Pushes; from the response written to its ACK or NACK read."""
        sent_ns, acked = self.push(type_, changed, removed)
        return await within(acked) - sent_ns

    def next_request(self, type_: ResourceType) -> asyncio.Future[int]:
        """The future instant at which the Envoy asks for something of a type (no ACK)."""
        self._wants[type_] = asyncio.get_running_loop().create_future()
        return self._wants[type_]

    def _held_of(self, type_: ResourceType) -> _Held:
        return self._held.setdefault(type_, _Held())

    def _state(self, type_: ResourceType) -> tuple[Encoded, ...]:
        held = self._held_of(type_)
        if type_.wildcard:
            return tuple(held.resources.values())
        return tuple(held.resources[name] for name in held.wanted if name in held.resources)

    def _response(
        self, type_: ResourceType, resources: Sequence[Encoded], removed: Sequence[str]
    ) -> tuple[str, bytes]:
        self._nonces += 1
        nonce = f"n{self._nonces}"
        if self._is_delta:
            message = discovery_pb2.DeltaDiscoveryResponse(
                type_url=type_.type_url,
                nonce=nonce,
                removed_resources=list(removed),
                resources=[
                    discovery_pb2.Resource(name=one.name, version=one.version, resource=one.message)
                    for one in resources
                ],
            )
        else:
            message = discovery_pb2.DiscoveryResponse(
                type_url=type_.type_url,
                nonce=nonce,
                version_info=str(self._nonces),
                resources=[one.message for one in resources],
            )
        encoded: bytes = message.SerializeToString()
        return nonce, encoded

    # --- what it asks (grpc_server.Acceptor, wire/contract.py: StreamServer)

    def on_attempt(self, caller: boot.Caller, api: str) -> bool:
        """Every stream is welcome."""
        return True

    def stream(self, caller: boot.Caller, *, is_delta: bool, label: str) -> LabStream:
        """The one stream."""
        self._stream = _QuietStream(
            self._clock,
            Recorder({caller.proxy: "bench"}, messages=False, states=False),
            self.build,
            caller.proxy,
            1,
            is_delta=is_delta,
            label=label,
            on_sent=lambda _response: None,
        )
        return self._stream

    def session(self, stream: LabStream) -> _Session:
        """There is nothing left for it to do."""
        return _Session()

    def on_closed(self, stream: LabStream) -> None:
        """The measurement is over, or Envoy is."""

    def fail(self, error: BaseException) -> None:
        """Something broke inside."""
        self._broken = error
        for waiting in [*self._acks.values(), *self._wants.values()]:
            if not waiting.done():
                waiting.set_exception(BenchFailed(f"{type(error).__name__}: {error}"))

    def on_request(self, stream: LabStream, request: Request) -> None:
        """An ACK is dated; what is asked for is answered at once."""
        read_ns = time.time_ns()
        type_, held = request.type, self._held_of(request.type)
        acked = self._acks.pop(request.response_nonce, None)
        if acked is not None and not acked.done():
            acked.set_result(read_ns)
        if isinstance(request, DeltaDiscoveryRequest):
            news = tuple(request.resource_names_subscribe)
            held.wanted += news
            is_asking = bool(news) or not held.is_subscribed
            asked = tuple(held.resources[name] for name in news if name in held.resources)
            resources = self._state(type_) if type_.wildcard else asked
        else:
            names = tuple(request.resource_names)
            is_asking = acked is None or names != held.wanted
            held.wanted = names
            resources = self._state(type_)
        held.is_subscribed = True
        if not is_asking:
            return
        self.asked_ns.setdefault(type_.name, read_ns)
        waiting = self._wants.pop(type_, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(read_ns)
        self._answer(stream, type_, resources, read_ns)

    def _answer(
        self, stream: LabStream, type_: ResourceType, resources: Sequence[Encoded], read_ns: int
    ) -> None:
        nonce, message = self._response(type_, resources, ())
        acked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._acks[nonce] = acked
        sent_ns = time.time_ns()
        stream.outbox.put_nowait(message)
        self.turnarounds_ns.append(sent_ns - read_ns)
        self.answered_ns.setdefault(type_.name, sent_ns)
        self.answers[type_] = sent_ns, acked


class _Session:
    """The server's end of the stream: the bench has done everything when it is told."""

    def on_request(self, request: Request) -> None:
        """wire/contract.py: StreamServer."""

    def on_stream_closed(self) -> None:
        """The measurement is over, or Envoy is."""


async def within(instant: asyncio.Future[int]) -> int:
    """A future instant; raises BenchFailed where it does not come."""
    try:
        return await asyncio.wait_for(instant, PATIENCE_S)
    except TimeoutError as error:
        raise BenchFailed(f"Envoy did not answer for {PATIENCE_S:.0f} s") from error
