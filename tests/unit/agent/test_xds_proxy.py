"""The splice: order, back-pressure, what the agent consumes itself, and ECDS held for its modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from simulator.agent.settings import AgentSettings, WasmSettings
from simulator.agent.wasm import WasmModules
from simulator.agent.xds_proxy import XdsProxy
from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.recording.recorder import Recorder
from simulator.wire.contract import Relay
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.xds.messages import (
    ENVELOPE_BYTES,
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Request,
    Response,
)
from simulator.xds.resource_types import CDS, ECDS, EDS, LDS, RDS, ResourceType
from simulator.xds.resources import Resource, Resources

NDS = ResourceType(
    "nds", "type.googleapis.com/istio.networking.nds.v1.NameTable", True, True, 9, "name tables"
)
PCDS = ResourceType(
    "pcds", "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig", True, True, 10, "proxy config"
)
MIB = 2**20
SETTINGS = AgentSettings(wasm=WasmSettings(fetch=Constant(3 * S)))


class World:
    """Envoy, agent and istiod around one link of 10 ms each way, writing down what reaches them."""

    def __init__(self, clock: Clock, draws: Draws) -> None:
        self.clock = clock
        self.log: list[tuple[int, str]] = []
        self.handlers: Mapping[ResourceType, Callable[[Response], None]] = {}
        self.draws = draws
        self.settings = SETTINGS
        self.is_delta = False
        self.streams = 0

    def connect(self) -> Stream:
        """A stream, open after 10 ms, and the agent if there is none yet."""
        if not self.streams:
            wasm = WasmModules(self.clock, self.draws, 0, self.settings.wasm, module_of)
            self.agent = XdsProxy(self.clock, 0, self.settings, handlers=self.handlers, wasm=wasm)
            relay: Relay = self.agent
            links = [Link(Constant(10 * MS), self.draws, way, 0) for way in ("there", "back")]
            recorder = Recorder(["p0"], messages=True, states=False)
            self.path = Path(self.clock, 0, links[0], links[1], self, recorder, relay)
        self.streams += 1
        stream = Stream(
            self.path, self.streams, Envoy(self), is_delta=self.is_delta, label="ads", open_after_ns=0
        )
        self.run(10)
        return stream

    def run(self, ms: int) -> None:
        self.clock.run(self.clock.now_ns + ms * MS)

    def note(self, what: str) -> None:
        self.log.append((self.clock.now_ns // MS, what))

    @property
    def texts(self) -> list[str]:
        return [what for _, what in self.log]

    def on_connect(self, stream: Stream) -> Istiod:
        return Istiod(self)


class Envoy:
    def __init__(self, world: World) -> None:
        self._world = world

    def on_stream_accepted(self, stream: Stream) -> None:
        pass

    def on_response(self, stream: Stream, response: Response) -> None:
        self._world.note(f"envoy: {response.type} {response.nonce}")

    def on_stream_closed(self, stream: Stream) -> None:
        self._world.note("envoy: closed")


class Istiod:
    def __init__(self, world: World) -> None:
        self._world = world

    def on_request(self, request: Request) -> None:
        self._world.note(f"istiod: {request.type} {request.response_nonce}".rstrip())

    def on_stream_closed(self) -> None:
        pass


def module_of(resource: Resource[object]) -> str | None:
    return resource.body if isinstance(resource.body, str) else None


def response(type_: ResourceType, nonce: str, size_bytes: int = 1000, module: str | None = None) -> Response:
    """A response of exactly that size."""
    resource: Resource[object] = Resource("r", 1, module, size_bytes=size_bytes - ENVELOPE_BYTES)
    return DiscoveryResponse(type_, "v1", nonce, Resources([resource]))


@pytest.fixture
def world(clock: Clock, draws: Draws) -> World:
    return World(clock, draws)


def test_an_agent_that_has_nothing_to_add_costs_no_time_and_no_event(world: World) -> None:
    stream = world.connect()
    stream.send_request(DiscoveryRequest(CDS))
    stream.send_response(response(CDS, "n1"))
    before = world.clock.events
    world.run(20)
    assert world.log == [(20, "istiod: cds"), (20, "envoy: cds n1")]
    assert world.clock.events - before == 2, "one for each message"


# --- what the agent asks for itself


def test_the_first_listener_request_of_a_stream_brings_the_agents_own_behind_it(world: World) -> None:
    world.handlers = {NDS: lambda _: None, PCDS: lambda _: None}
    stream = world.connect()
    for type_ in (CDS, LDS, LDS):
        stream.send_request(DiscoveryRequest(type_))
    world.run(10)
    assert world.texts == ["istiod: cds", "istiod: lds", "istiod: nds", "istiod: pcds", "istiod: lds"]
    stream.close()
    second = world.connect()
    world.log.clear()
    second.send_request(DiscoveryRequest(LDS))
    world.run(10)
    assert world.texts == ["istiod: lds", "istiod: nds", "istiod: pcds"], "each stream starts afresh"


@pytest.mark.parametrize("is_delta", [False, True])
def test_the_name_table_is_consumed_and_acknowledged_by_the_agent(world: World, is_delta: bool) -> None:
    tables: list[str] = []
    world.is_delta = is_delta
    world.handlers = {NDS: lambda r: tables.append(r.nonce)}
    stream = world.connect()
    stream.send_request(DeltaDiscoveryRequest(LDS) if is_delta else DiscoveryRequest(LDS))
    world.run(10)
    table = Resources([Resource("nds", 1, None)])
    if is_delta:
        stream.send_response(DeltaDiscoveryResponse(NDS, "v1", "n1", table))
    else:
        stream.send_response(DiscoveryResponse(NDS, "v1", "n1", table))
    world.run(20)
    assert tables == ["n1"]
    assert world.texts == ["istiod: lds", "istiod: nds", "istiod: nds n1"], "Envoy sees nothing of it"


def test_an_empty_name_table_is_neither_applied_nor_acknowledged(world: World) -> None:
    world.handlers = {NDS: lambda _: world.note("applied")}
    stream = world.connect()
    stream.send_response(DiscoveryResponse(NDS, "v1", "n1", Resources()))
    world.run(50)
    assert world.log == []


def test_without_dns_capture_a_stream_carries_what_envoy_asks_for(world: World) -> None:
    stream = world.connect()
    stream.send_request(DiscoveryRequest(LDS))
    world.run(10)
    assert world.texts == ["istiod: lds"]


# --- back-pressure


def fill(world: World, stream: Stream, size_bytes: int, limit: int = 50) -> int:
    """Sends until a Send would block; how many responses were accepted."""
    sent = 0
    while stream.may_send and sent < limit:
        stream.send_response(response(EDS, f"n{sent}", size_bytes))
        world.run(10)
        sent += 1
    return sent


def test_a_slow_reader_blocks_istiod_only_behind_two_responses_and_a_full_window(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    assert fill(world, stream, MIB // 4) == 2 + 4
    assert world.agent.unread_bytes(stream) == MIB
    assert world.log == []


def test_a_send_is_accepted_while_any_window_is_left_whatever_its_size(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    assert fill(world, stream, 3 * MIB) == 2 + 1
    assert world.agent.unread_bytes(stream) == 3 * MIB


def test_bytes_under_way_take_room_in_the_window(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(EDS, "n1", MIB))
    assert not stream.may_send
    world.run(10)
    assert stream.may_send, "read on arrival"


def test_a_reader_that_reads_never_blocks(world: World) -> None:
    stream = world.connect()
    assert fill(world, stream, MIB, limit=20) == 20


def test_a_blocked_send_goes_on_when_the_reader_reads_and_order_is_kept(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    sent = fill(world, stream, MIB // 2)
    stream.when_writable(lambda: world.note("writable"))
    world.run(1000)
    assert world.log == []
    world.agent.resume_reading()
    assert world.texts == [*(f"envoy: eds n{i}" for i in range(sent)), "writable"]
    assert world.agent.unread_bytes(stream) == 0


def test_who_waits_for_room_that_is_there_is_called_at_once(world: World) -> None:
    stream = world.connect()
    stream.when_writable(lambda: world.note("writable"))
    assert world.texts == ["writable"]


def test_a_writer_that_fills_the_window_again_leaves_the_next_one_waiting(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(EDS, "n1", MIB))
    stream.when_writable(lambda: stream.send_response(response(EDS, "n2", MIB)))
    stream.when_writable(lambda: world.note("second"))
    world.run(10)
    assert world.texts == ["envoy: eds n1"]
    world.run(10)
    assert world.texts == ["envoy: eds n1", "envoy: eds n2", "second"]


def test_requests_pass_while_responses_are_blocked(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    fill(world, stream, MIB)
    stream.send_request(DiscoveryRequest(CDS))
    world.run(10)
    assert world.texts == ["istiod: cds"]


def test_the_agent_consumes_its_own_behind_a_blocked_response_only_when_it_gets_there(world: World) -> None:
    world.handlers = {NDS: lambda _: world.note("name table")}
    stream = world.connect()
    world.agent.stop_reading()
    for type_, nonce in ((NDS, "n0"), (CDS, "n1"), (NDS, "n2")):
        stream.send_response(response(type_, nonce))
    world.run(10)
    assert world.texts == ["name table"]
    world.agent.resume_reading()
    assert world.texts == ["name table", "envoy: cds n1", "name table"]


def test_a_deeper_buffer_takes_more(world: World) -> None:
    world.settings = replace(SETTINGS, buffered_responses=3, window_bytes=MIB // 2)
    stream = world.connect()
    world.agent.stop_reading()
    assert fill(world, stream, MIB // 4) == 4 + 2


def test_a_slow_proxy_is_slow_on_its_next_stream_too(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    stream.close()
    second = world.connect()
    second.send_response(response(CDS, "n1"))
    world.run(100)
    assert world.log == []
    world.agent.resume_reading()
    assert world.texts == ["envoy: cds n1"]


def test_a_response_that_arrives_while_another_is_given_on_waits_for_it(world: World) -> None:
    stream = world.connect()

    def take() -> None:
        world.agent.on_response(stream, response(CDS, "n2"), lambda: world.note("second"))
        world.note("first")

    world.agent.on_response(stream, response(CDS, "n1"), take)
    assert world.texts == ["first", "second"]


# --- the end of a stream


def test_what_is_held_is_lost_with_its_stream(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    fill(world, stream, MIB)
    stream.when_writable(lambda: world.note("writable"))
    stream.reset_by_server()
    world.run(10)
    world.agent.resume_reading()
    assert world.texts == ["envoy: closed"]


def test_an_end_that_istiod_has_not_noticed_still_blocks_its_sends(world: World) -> None:
    stream = world.connect()
    stream.end_at_client()
    for nonce in ("n1", "n2"):
        stream.send_response(response(EDS, nonce, MIB))
        world.run(20)
    assert not stream.may_send
    stream.end_at_server()
    world.connect().send_response(response(EDS, "n3"))
    assert world.agent.unread_bytes(stream) == 0, "and is forgotten once it has"


def test_envoy_closing_its_stream_while_it_is_told_something_ends_what_follows(world: World) -> None:
    stream = world.connect()
    world.agent.stop_reading()
    fill(world, stream, 1000, limit=2)
    world.agent.on_response(stream, response(CDS, "x"), stream.close)
    world.agent.on_response(stream, response(CDS, "y"), lambda: world.note("too late"))
    world.agent.resume_reading()
    assert world.texts == ["envoy: eds n0", "envoy: eds n1"]


# --- Wasm


def test_an_ecds_response_is_held_until_its_modules_are_there_and_others_overtake_it(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1", module="oci://filter"))
    stream.send_response(response(RDS, "n2"))
    world.run(4000)
    assert world.log == [(20, "envoy: rds n2"), (3020, "envoy: ecds n1")]


def test_an_ecds_response_without_remote_modules_is_not_held(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1"))
    world.run(10)
    assert world.log == [(20, "envoy: ecds n1")]


def test_a_module_that_is_there_is_not_waited_for(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1", module="oci://filter"))
    world.run(4000)
    stream.send_response(response(ECDS, "n2", module="oci://filter"))
    world.run(10)
    assert world.log[1:] == [(4020, "envoy: ecds n2")]


def test_ecds_responses_keep_their_order(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1", module="oci://filter"))
    stream.send_response(response(ECDS, "n2"))
    world.run(4000)
    assert world.texts == ["envoy: ecds n1", "envoy: ecds n2"]


def test_a_held_ecds_response_does_not_hold_the_window(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1", MIB, module="oci://filter"))
    world.run(10)
    assert stream.may_send


def test_a_fetched_module_of_a_slow_reader_waits_its_turn(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1", module="oci://filter"))
    world.run(10)
    world.agent.stop_reading()
    for nonce in ("n2", "n3"):
        stream.send_response(response(CDS, nonce))
    world.run(5000)
    world.agent.resume_reading()
    assert world.texts == ["envoy: cds n2", "envoy: ecds n1", "envoy: cds n3"]


def test_a_fetch_that_outlives_its_stream_forwards_nothing(world: World) -> None:
    stream = world.connect()
    stream.send_response(response(ECDS, "n1", module="oci://filter"))
    world.run(10)
    stream.close()
    world.run(5000)
    assert world.log == []
