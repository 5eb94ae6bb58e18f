"""The muxes with a consumer that only writes down: when requests leave, and what a pause makes of them."""

from __future__ import annotations

from collections import Counter

import pytest

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.envoy.ads_mux import GrpcMux, MuxIdentity
from simulator.envoy.delta_mux import DeltaMux
from simulator.envoy.process import Process
from simulator.envoy.settings import RateLimitSettings
from simulator.envoy.sotw_mux import SotwMux
from simulator.wire.contract import StreamServer, Update
from simulator.wire.link import Link
from simulator.wire.stream import Path, Stream
from simulator.xds.messages import (
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Request,
)
from simulator.xds.resource_types import CDS, EDS, LDS, RDS, ResourceType
from simulator.xds.resources import Fault, Names, Resource, Resources
from tests.unit.envoy.conftest import MakeProcess


class Consumer:
    """Refuses as told; writes down what reaches it."""

    def __init__(self) -> None:
        self.error: str | None = None
        self.seen: list[str] = []

    def cost_ns(self, update: Update) -> int:
        return 1 * MS

    def on_config_update(self, update: Update) -> str | None:
        self.seen.append(f"update {update.version}")
        return self.error

    def on_update_rejected(self, update: Update, error: str) -> None:
        self.seen.append(f"rejected {update.version}")

    def on_connection_failure(self, names: Names) -> None:
        self.seen.append("failure")


class Wire:
    """A mux, its stream, and a server that collects requests and sends what it is told to."""

    def __init__(
        self, process: Process, form: type[SotwMux] | type[DeltaMux], *, accepts: bool = True
    ) -> None:
        self.process = process
        self.clock = process.clock
        self.accepts = accepts
        self.requests: list[tuple[int, Request]] = []
        self.streams: list[Stream] = []
        self.consumer = Consumer()
        self._nonces: Counter[str] = Counter()
        links = [Link(Constant(MS), process.draws, purpose, 0) for purpose in ("there", "back")]
        path = Path(process.clock, 0, links[0], links[1], self, process.recorder)
        self.mux: GrpcMux[object] = form(process, path, MuxIdentity("ads", lambda: len(self.streams) + 1))  # type: ignore[assignment]
        self.mux.start()

    def on_connect(self, stream: Stream) -> StreamServer | None:
        if not self.accepts:
            return None
        self.streams.append(stream)
        return self

    def on_request(self, request: Request) -> None:
        self.requests.append((self.clock.now_ns // MS, request))

    def on_stream_closed(self) -> None:
        pass

    def subscribe(self, type_: ResourceType, names: str = "") -> None:
        self.mux.subscribe(type_, Names(names), self.consumer)

    def send(self, type_: ResourceType, *names: str, version: str = "1", fault: Fault | None = None) -> str:
        self._nonces["sent"] += 1
        nonce = f"n{self._nonces['sent']}"
        resources = Resources(Resource(name, int(version), None, fault=fault) for name in names)
        if isinstance(self.mux, DeltaMux):
            self.streams[-1].send_response(DeltaDiscoveryResponse(type_, version, nonce, resources))
        else:
            self.streams[-1].send_response(DiscoveryResponse(type_, version, nonce, resources))
        return nonce

    def run(self, milliseconds: int) -> None:
        self.clock.run(self.clock.now_ns + milliseconds * MS)

    def said(self) -> list[str]:
        """The requests since the last call, in short: type, version, nonce and names."""
        words = []
        for _, request in self.requests:
            names = (
                request.resource_names
                if isinstance(request, DiscoveryRequest)
                else request.resource_names_subscribe
            )
            version = request.version_info if isinstance(request, DiscoveryRequest) else "-"
            error = "!" if request.error_detail else ""
            words.append(
                f"{request.type} v={version} n={request.response_nonce}{error} {''.join(names)}".rstrip()
            )
        self.requests.clear()
        return words


@pytest.fixture
def sotw(process: Process) -> Wire:
    return Wire(process, SotwMux)


@pytest.fixture
def delta(process: Process) -> Wire:
    return Wire(process, DeltaMux)


def test_an_ack_follows_the_processing_of_its_response(sotw: Wire) -> None:
    sotw.subscribe(CDS)
    sotw.run(5)
    sotw.send(CDS, "c")
    sotw.run(10)
    assert sotw.said() == ["cds v= n=", "cds v=1 n=n1"]
    assert sotw.consumer.seen == ["update 1"]


def test_each_watch_added_or_dropped_is_a_request_of_all_names(sotw: Wire) -> None:
    sotw.subscribe(EDS, "a")
    sotw.subscribe(EDS, "bc")
    sotw.mux.unsubscribe(EDS, Names("a"))
    sotw.run(10)
    assert sotw.said() == ["eds v= n= a", "eds v= n= abc", "eds v= n= bc"]


def test_a_paused_sotw_type_says_everything_in_one_request_w2(sotw: Wire) -> None:
    sotw.subscribe(CDS)
    sotw.run(5)
    sotw.mux.pause(CDS)
    for version in "123":
        sotw.send(CDS, "c", version=version)
    sotw.run(20)
    assert sotw.said() == ["cds v= n="]
    assert sotw.consumer.seen == ["update 1", "update 2", "update 3"], "applied all the same"
    sotw.mux.resume(CDS)
    sotw.run(10)
    assert sotw.said() == ["cds v=3 n=n3"]


def test_a_paused_delta_type_keeps_one_ack_for_each_nonce_w2(delta: Wire) -> None:
    delta.subscribe(CDS)
    delta.run(5)
    delta.mux.pause(CDS)
    for version in "123":
        delta.send(CDS, "c", version=version)
    delta.run(20)
    assert delta.said() == ["cds v=- n="]
    delta.mux.resume(CDS)
    delta.run(10)
    assert delta.said() == ["cds v=- n=n1", "cds v=- n=n2", "cds v=- n=n3"]


@pytest.mark.parametrize("form", [SotwMux, DeltaMux])
def test_pauses_nest(process: Process, form: type[SotwMux] | type[DeltaMux]) -> None:
    wire = Wire(process, form)
    wire.mux.pause(EDS)
    wire.mux.pause(EDS)
    wire.subscribe(EDS, "a")
    wire.mux.resume(EDS)
    wire.run(10)
    assert wire.said() == []
    wire.mux.resume(EDS)
    wire.run(10)
    assert len(wire.said()) == 1
    with pytest.raises(AssertionError, match="more often"):
        wire.mux.resume(EDS)


def test_a_pause_of_one_type_holds_back_no_other(delta: Wire) -> None:
    delta.mux.pause(CDS)
    delta.subscribe(CDS)
    delta.subscribe(LDS)
    delta.run(10)
    assert delta.said() == ["lds v=- n="]


def test_an_ack_of_another_type_overtakes_a_paused_one(delta: Wire) -> None:
    delta.subscribe(CDS)
    delta.subscribe(LDS)
    delta.run(5)
    delta.said()
    delta.mux.pause(CDS)
    delta.send(CDS, "c")
    delta.send(LDS, "l")
    delta.run(20)
    assert delta.said() == ["lds v=- n=n2"]


def test_delta_names_already_wanted_are_not_asked_for_again_w4(delta: Wire) -> None:
    delta.subscribe(EDS, "a")
    delta.run(5)
    delta.said()
    delta.subscribe(EDS, "a")
    delta.run(5)
    assert delta.said() == []
    delta.subscribe(EDS, "ab")
    delta.run(5)
    assert delta.said() == ["eds v=- n= b"]


def test_sotw_names_already_wanted_are_asked_for_again_with_the_used_nonce_w4(sotw: Wire) -> None:
    sotw.subscribe(EDS, "a")
    sotw.run(5)
    sotw.send(EDS, "a")
    sotw.run(5)
    sotw.said()
    sotw.subscribe(EDS, "a")
    sotw.run(5)
    assert sotw.said() == ["eds v=1 n=n1 a"]


@pytest.mark.parametrize(("form", "expected"), [(SotwMux, "cds v= n=n1!"), (DeltaMux, "cds v=- n=n1!")])
@pytest.mark.parametrize("fault", [Fault.DECODE, None], ids=["decode", "build"])
def test_a_refused_response_is_answered_with_its_nonce_and_the_old_version_n2(
    process: Process, form: type[SotwMux] | type[DeltaMux], expected: str, fault: Fault | None
) -> None:
    wire = Wire(process, form)
    wire.subscribe(CDS)
    wire.run(5)
    wire.said()
    wire.consumer.error = "cannot be built"
    wire.send(CDS, "c", fault=fault)
    wire.run(5)
    assert wire.said() == [expected]
    assert wire.consumer.seen == ["update 1" if fault is None else "rejected 1"]


def test_a_response_that_nobody_watches_any_more_is_refused_without_an_error(sotw: Wire) -> None:
    sotw.subscribe(EDS, "a")
    sotw.run(5)
    sotw.mux.unsubscribe(EDS, Names("a"))
    sotw.send(EDS, "a")
    sotw.run(5)
    assert sotw.said() == ["eds v= n= a", "eds v= n=", "eds v= n=n1"]
    assert sotw.consumer.seen == []
    sotw.send(EDS)
    sotw.run(5)
    assert sotw.said() == [], "an empty one is accepted in silence"


def test_a_type_nobody_subscribed_is_not_answered(sotw: Wire) -> None:
    sotw.run(5)
    sotw.send(CDS, "c")
    sotw.run(5)
    assert sotw.said() == []


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (SotwMux, ["cds v=1 n=", "eds v= n= a"]),
        (DeltaMux, ["cds v=- n=", "eds v=- n= a"]),
    ],
)
def test_a_new_stream_asks_for_every_type_at_once_in_the_order_of_subscription_d5(
    process: Process, form: type[SotwMux] | type[DeltaMux], expected: list[str]
) -> None:
    wire = Wire(process, form)
    wire.subscribe(CDS)
    wire.subscribe(EDS, "a")
    wire.run(5)
    wire.send(CDS, "c")
    wire.run(5)
    wire.said()
    wire.streams[-1].reset_by_server()
    wire.run(200)
    assert wire.said() == expected
    assert wire.consumer.seen == ["update 1", "failure", "failure"]


def test_an_ack_that_waited_is_lost_with_its_stream(delta: Wire) -> None:
    delta.subscribe(CDS)
    delta.run(5)
    delta.mux.pause(CDS)
    delta.send(CDS, "c")
    delta.run(5)
    delta.streams[-1].reset_by_server()
    delta.run(200)
    delta.said()
    delta.mux.resume(CDS)
    delta.run(5)
    assert delta.said() == ["cds v=- n="]
    assert len(delta.streams) == 2


def test_a_refused_stream_is_tried_again_within_the_back_off(make_process: MakeProcess) -> None:
    process = make_process()
    wire = Wire(process, SotwMux, accepts=False)
    wire.subscribe(CDS)
    wire.run(2000)
    assert wire.consumer.seen.count("failure") > 10
    assert wire.consumer.seen == ["failure"] * len(wire.consumer.seen)
    wire.accepts = True
    wire.run(110)
    assert wire.said() == ["cds v= n="]


def test_a_rate_limit_spaces_requests_beyond_its_burst(make_process: MakeProcess) -> None:
    process = make_process(rate_limit=RateLimitSettings(max_tokens=2, fill_interval_ns=100 * MS))
    wire = Wire(process, DeltaMux)
    for type_ in (CDS, LDS):
        wire.subscribe(type_)
    for name in "abc":
        wire.subscribe(RDS, name)
    wire.run(1000)
    times = [t for t, _ in wire.requests]
    assert times == [1, 1, 101]
    assert wire.said() == ["cds v=- n=", "lds v=- n=", "rds v=- n= abc"], "what waited is said at once"


def test_a_rate_limited_sotw_mux_sends_a_request_for_each_trigger(make_process: MakeProcess) -> None:
    process = make_process(rate_limit=RateLimitSettings(max_tokens=1, fill_interval_ns=100 * MS))
    wire = Wire(process, SotwMux)
    for name in "abc":
        wire.subscribe(RDS, name)
    wire.run(1000)
    assert [t for t, _ in wire.requests] == [1, 101, 201]
    assert wire.said() == ["rds v= n= a", "rds v= n= abc", "rds v= n= abc"], (
        "each states what is wanted when it leaves"
    )


def test_nothing_is_sent_after_the_process_stopped(sotw: Wire) -> None:
    sotw.subscribe(CDS)
    sotw.run(5)
    sotw.send(CDS, "c")
    sotw.mux.stop()
    sotw.run(1 * S // MS)
    assert sotw.said() == ["cds v= n="]
    assert sotw.consumer.seen == []
