"""A stream lives and dies as one: refused, closed or reset, with messages in flight."""

from __future__ import annotations

import pytest

from simulator.engine.clock import MS
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.recording.recorder import Recorder
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse, Request, Response
from simulator.xds.resource_types import CDS, LDS
from simulator.xds.resources import NO_RESOURCES


class World:
    """Both ends of a stream, writing down what reaches them; the server is the acceptor as well."""

    def __init__(self, clock: Clock, draws: Draws) -> None:
        self.clock = clock
        self.recorder = Recorder(["p0"], messages=True, states=False)
        self.accepts = True
        self.log: list[tuple[int, str]] = []
        links = [Link(Constant(10 * MS), draws, purpose, 0) for purpose in ("there", "back")]
        self.path = Path(clock, 0, links[0], links[1], self, self.recorder)

    def note(self, what: str) -> None:
        self.log.append((self.clock.now_ns // MS, what))

    def open(self, open_after_ms: int = 0) -> Stream:
        return Stream(
            self.path, 1, Client(self), is_delta=False, label="ads", open_after_ns=open_after_ms * MS
        )

    def on_connect(self, stream: Stream) -> Server | None:
        self.note("server: connect")
        return Server(self) if self.accepts else None


class Client:
    def __init__(self, world: World) -> None:
        self._world = world

    def on_stream_accepted(self, stream: Stream) -> None:
        self._world.note("client: accepted")

    def on_response(self, stream: Stream, response: Response) -> None:
        self._world.note(f"client: response {response.nonce}")

    def on_stream_closed(self, stream: Stream) -> None:
        self._world.note("client: closed")


class Server:
    def __init__(self, world: World) -> None:
        self._world = world

    def on_request(self, request: Request) -> None:
        self._world.note(f"server: request {request.type}")

    def on_stream_closed(self) -> None:
        self._world.note("server: closed")


@pytest.fixture
def world(clock: Clock, draws: Draws) -> World:
    return World(clock, draws)


def response(nonce: str) -> DiscoveryResponse:
    return DiscoveryResponse(CDS, "1", nonce, NO_RESOURCES)


def test_requests_are_sent_at_once_and_arrive_behind_the_connection(world: World) -> None:
    stream = world.open(open_after_ms=5)
    stream.send_request(DiscoveryRequest(CDS))
    stream.send_request(DiscoveryRequest(LDS))
    world.clock.run(100 * MS)
    assert world.log == [
        (15, "server: connect"),
        (15, "client: accepted"),
        (15, "server: request cds"),
        (15, "server: request lds"),
    ]


def test_a_refused_stream_loses_its_requests(world: World) -> None:
    world.accepts = False
    stream = world.open()
    stream.send_request(DiscoveryRequest(CDS))
    world.clock.run(100 * MS)
    assert world.log == [(10, "server: connect"), (20, "client: closed")]
    assert not stream.is_open
    assert not stream.is_accepted
    assert world.recorder.message_rows == []


def test_a_reset_is_told_behind_the_responses_under_way(world: World) -> None:
    stream = world.open()
    world.clock.run(10 * MS)
    stream.send_response(response("n1"))
    stream.reset_by_server()
    stream.reset_by_server()
    world.clock.run(100 * MS)
    assert world.log[2:] == [(10, "server: closed"), (20, "client: response n1"), (20, "client: closed")]


def test_requests_under_way_are_lost_with_a_reset(world: World) -> None:
    stream = world.open()
    world.clock.run(10 * MS)
    stream.send_request(DiscoveryRequest(CDS))
    world.clock.run(15 * MS)
    stream.reset_by_server()
    world.clock.run(100 * MS)
    assert "server: request cds" not in [what for _, what in world.log]
    with pytest.raises(AssertionError, match="closed stream"):
        stream.send_request(DiscoveryRequest(CDS))


def test_nothing_reaches_a_client_that_closed(world: World) -> None:
    stream = world.open()
    world.clock.run(10 * MS)
    stream.send_response(response("n1"))
    stream.close()
    stream.close()
    world.clock.run(100 * MS)
    assert world.log[2:] == [(20, "server: closed")], "the server learns of it a latency later"
    with pytest.raises(AssertionError, match="closed stream"):
        stream.send_response(response("n2"))


def test_a_client_that_closes_behind_a_reset_is_left_alone(world: World) -> None:
    stream = world.open()
    world.clock.run(10 * MS)
    stream.reset_by_server()
    stream.close()
    world.clock.run(100 * MS)
    assert world.log[2:] == [(10, "server: closed")]


def test_a_stream_closed_before_it_was_accepted_never_is(world: World) -> None:
    world.open().close()
    world.clock.run(100 * MS)
    assert world.log == []


def test_messages_are_noted_where_the_control_plane_sees_them(world: World) -> None:
    stream = world.open()
    stream.send_request(DiscoveryRequest(CDS))
    world.clock.run(12 * MS)
    stream.send_response(response("n1"))
    world.clock.run(100 * MS)
    assert [(row[0] // MS, row[4], row[5]) for row in world.recorder.message_rows] == [
        (10, "request", "cds"),
        (12, "response", "cds"),
    ]


def test_a_stream_knows_how_many_messages_are_under_way(world: World) -> None:
    stream = world.open()
    stream.send_request(DiscoveryRequest(CDS))
    world.clock.run(5 * MS)
    assert stream.under_way == 1
    world.clock.run(10 * MS)
    assert stream.under_way == 0
    stream.send_response(response("1"))
    stream.send_response(response("2"))
    assert stream.under_way == 2
    world.clock.run(20 * MS)
    assert stream.under_way == 0
