"""The server's end of a stream: nonces of its own, subscriptions to the control plane, ACKs to the ledger."""

from __future__ import annotations

import pytest

from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.wire.contract import StreamServer
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.xds.messages import DeltaDiscoveryRequest, DiscoveryRequest, Response
from simulator.xds.resource_types import CDS, EDS, ResourceType
from simulator.xds.resources import NO_NAMES, Names, Resource, Resources
from simulator.xds.sotw import RequestKind

HELD = Resources(Resource(name, 1, None) for name in ("c0", "c1"))


class World:
    """A stream, its session, and a control plane that writes down what it is asked."""

    def __init__(self, clock: Clock, draws: Draws, form: type[SotwSession] | type[DeltaSession]) -> None:
        self.clock = clock
        self.recorder = Recorder(["p0"], messages=False, states=False)
        self.ledger: ChangeLedger[Names] = ChangeLedger(self.recorder, Names.minus)
        self.asked: list[tuple[str, list[str]]] = []
        self.answers: list[RequestKind] = []
        self.got: list[Response] = []
        self._form = form
        links = [Link(Constant(1), draws, purpose, 0) for purpose in ("there", "back")]
        path = Path(clock, 0, links[0], links[1], self, self.recorder)
        self.stream = Stream(
            path,
            7,
            self,
            is_delta=form is DeltaSession,
            label="ads",
            open_after_ns=0,  # type: ignore[arg-type]
        )
        clock.run(10)

    # the control plane, and both ends' listeners

    def on_connect(self, stream: Stream) -> StreamServer:
        self.session = self._form(stream, self, self.ledger)  # type: ignore[arg-type]
        return self.session

    def on_subscription(self, session: object, type_: ResourceType, added: Names) -> None:
        self.asked.append((type_.name, list(added)))

    def on_answer(self, session: object, type_: object, kind: RequestKind) -> None:
        self.answers.append(kind)

    def on_session_closed(self, session: object) -> None:
        self.asked.append(("closed", []))

    def on_stream_accepted(self, stream: Stream) -> None:
        pass

    def on_response(self, stream: Stream, response: Response) -> None:
        self.got.append(response)

    def on_stream_closed(self, stream: Stream) -> None:
        pass

    def ask(self, request: DiscoveryRequest | DeltaDiscoveryRequest) -> None:
        self.stream.send_request(request)
        self.clock.run(self.clock.now_ns + 10)

    def send(
        self, resources: Resources, removed: Names = NO_NAMES, version: str = "1", by: str = "push"
    ) -> str:
        self.session.send(EDS, version, resources, removed, by)
        self.clock.run(self.clock.now_ns + 10)
        return self.got[-1].nonce


@pytest.fixture
def sotw(clock: Clock, draws: Draws) -> World:
    world = World(clock, draws, SotwSession)
    world.ask(DiscoveryRequest(EDS, Names(("c0", "c1"))))
    return world


@pytest.fixture
def delta(clock: Clock, draws: Draws) -> World:
    world = World(clock, draws, DeltaSession)
    world.ask(DeltaDiscoveryRequest(EDS, Names(("c0", "c1"))))
    return world


def test_only_subscriptions_reach_the_control_plane(sotw: World) -> None:
    nonce = sotw.send(HELD)
    sotw.ask(DiscoveryRequest(EDS, Names(("c0", "c1")), "1", nonce))
    sotw.ask(DiscoveryRequest(EDS, Names(("c0", "c1")), "1", nonce))
    sotw.ask(DiscoveryRequest(EDS, Names(("c0", "c1", "c2")), "1", nonce))
    sotw.ask(DiscoveryRequest(CDS))
    assert sotw.asked == [("eds", ["c0", "c1"]), ("eds", ["c2"]), ("cds", [])]


def test_an_answer_to_an_older_nonce_is_ignored(sotw: World) -> None:
    old = sotw.send(HELD)
    sotw.send(HELD, version="2")
    sotw.ask(DiscoveryRequest(EDS, Names(("c0", "c1", "c9")), "1", old))
    assert sotw.asked == [("eds", ["c0", "c1"])]
    assert list(sotw.session.names(EDS)) == ["c0", "c1"]


def test_nonces_are_the_stream_s_own_and_differ(sotw: World) -> None:
    nonces = [sotw.send(HELD) for _ in range(3)]
    assert len(set(nonces)) == 3
    assert all("7" in nonce for nonce in nonces)


def announce(world: World, names: str = "c0") -> None:
    world.ledger.announce("eds", Names((names,)), names, world.clock.now_ns, [0])


def test_one_ack_of_the_last_response_covers_the_changes_of_all_before(sotw: World) -> None:
    announce(sotw)
    sotw.send(HELD)
    sotw.ledger.on_applied(sotw.got[-1].changes[0], 0, sotw.clock.now_ns)
    announce(sotw)
    last = sotw.send(HELD, version="2")
    sotw.ask(DiscoveryRequest(EDS, Names(("c0", "c1")), "2", last))
    assert all(row.t_acked_ns is not None for row in sotw.recorder.delivery_rows)


def test_a_nack_acknowledges_nothing(sotw: World) -> None:
    announce(sotw)
    nonce = sotw.send(HELD)
    sotw.ask(DiscoveryRequest(EDS, Names(("c0", "c1")), "", nonce, "bad"))
    assert sotw.recorder.delivery_rows[0].t_acked_ns is None


def test_each_delta_response_is_acknowledged_alone(delta: World) -> None:
    announce(delta)
    first = delta.send(HELD)
    delta.ledger.on_applied(delta.got[-1].changes[0], 0, delta.clock.now_ns)
    announce(delta)
    second = delta.send(HELD)
    delta.ask(DeltaDiscoveryRequest(EDS, response_nonce=second))
    assert [row.t_acked_ns is not None for row in delta.recorder.delivery_rows] == [False, True]
    delta.ask(DeltaDiscoveryRequest(EDS, response_nonce=first))
    assert all(row.t_acked_ns is not None for row in delta.recorder.delivery_rows)


def test_a_delta_session_knows_what_its_client_holds(delta: World) -> None:
    delta.send(HELD)
    delta.send(Resources(), removed=Names(("c1",)))
    assert list(delta.session.held(EDS).names) == ["c0"]


def test_a_sotw_session_does_not(sotw: World) -> None:
    with pytest.raises(AssertionError, match="does not know"):
        sotw.session.held(EDS)


def test_the_end_of_a_stream_is_told(sotw: World) -> None:
    sotw.session.reset()
    sotw.clock.run(sotw.clock.now_ns + 10)
    assert sotw.asked[-1] == ("closed", [])
    assert not sotw.session.is_open
