"""Polling: one loop per subscription, the same jittered interval after success and failure."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.propagation.http_loop import RestNetwork
from simulator.propagation.http_server import Reply
from simulator.propagation.poll import PollSettings, RestSubscriptions
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import CDS, EDS
from simulator.xds.resources import NO_NAMES, Resource, Resources
from tests.conformance.strategies import SERVICES, Consumer, World
from tests.playing import NEVER, Play, play


def polls(played: Play, type_: str) -> list[float]:
    return [m.t for m in played.messages(type=type_, direction="request")]


def poll(**keywords: object) -> Play:
    return play(strategy="poll", propagation={"refresh_delay": "1s", "request_timeout": "500ms"}, **keywords)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_each_loop_waits_between_one_and_two_refresh_delays_after_its_answer_r1() -> None:
    played = poll(duration="30s")
    for type_ in ("cds", "eds", "lds", "rds"):
        waits = gaps(polls(played, type_))
        assert len(waits) > 12
        assert all(1.0 <= wait < 2.02 for wait in waits), type_
        assert max(waits) - min(waits) > 0.4, type_
    assert polls(played, "cds")[1:5] != polls(played, "lds")[1:5]


def test_a_poll_that_is_not_answered_in_time_is_made_again_at_the_same_interval_r4() -> None:
    waits = gaps(polls(poll(answers={"cds": NEVER}, timeout="0s", duration="30s"), "cds"))
    assert len(waits) > 10
    assert all(1.5 <= wait < 2.52 for wait in waits), "request time-out, then one to two refresh delays"


def test_an_unchanged_version_is_not_sent_again() -> None:
    played = poll(duration="10s")
    assert len(played.messages(type="cds", direction="response")) == 1


def test_a_version_refused_is_not_told_as_accepted() -> None:
    played = poll(answers={"cds": [{"reject": "decode"}, {}]}, duration="10s")
    versions = [m.version_info for m in played.messages(type="cds", direction="request")]
    assert versions[:3] == ["", "", "1"]


def test_a_change_arrives_with_the_next_poll() -> None:
    played = poll(pushes=[{"at": "5s", "type": "rds", "change": ["r0"]}], duration="10s")
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "poll")
    next_poll = next(t for t in polls(played, "rds") if t >= 5.0)
    assert played.seconds(delivery.t_received_ns) == pytest.approx(next_poll, abs=0.002)
    assert pytest.approx(played.seconds(delivery.t_enqueued_ns)) == next_poll


def test_a_loop_ends_with_its_subscription() -> None:
    played = poll(
        clusters={"count": 2, "type": "eds"},
        pushes=[{"at": "5s", "type": "cds", "remove": ["c1"]}],
        duration="20s",
    )
    asked = [(m.t, m.resources[0]) for m in played.messages(type="eds", direction="request")]
    assert max(t for t, name in asked if name == "c1") < 7.2
    assert max(t for t, name in asked if name == "c0") > 17.0


def test_a_server_of_one_slot_serves_polls_one_after_another() -> None:
    def busy(concurrency: int) -> Play:
        return play(
            strategy="poll",
            propagation={
                "refresh_delay": "30s",
                "request_timeout": "10s",
                "server": {"concurrency": concurrency},
            },
            clusters={"count": 3, "type": "eds"},
            answers={"eds": {"after": "1s"}},
            timeout="0s",
        )

    answered = {n: [round(m.t) for m in busy(n).messages(type="eds", direction="response")] for n in (1, 3)}
    assert answered == {1: [1, 2, 3], 3: [1, 1, 1]}


# --- the loop against a server of its own, and against a replica

LINK_NS = 5 * MS


class Server:
    """Takes polls and does with each what the test says; by default it has nothing new at once."""

    replica = 4

    def __init__(self, then: Callable[[Reply], None] = lambda respond: respond(None)) -> None:
        self.then = then
        self.takes = True
        self.requests: list[DiscoveryRequest] = []

    def on_poll(self, request: DiscoveryRequest, respond: Reply) -> bool:
        self.requests.append(request)
        if self.takes:
            self.then(respond)
        return self.takes


class Polling:
    """One proxy that polls for one type, once a second."""

    def __init__(
        self,
        server: Server,
        *,
        start_ns: int = 0,
        network: RestNetwork = RestNetwork(Constant(LINK_NS)),  # noqa: B008 -- frozen
        request_timeout_ns: int = 500 * MS,
    ) -> None:
        self.world = World("poll", proxies=0, start_ns=start_ns)
        self.clock = self.world.clock
        self.world.recorder.proxy_names[0] = "p0"
        self.consumer = Consumer(self.world, 0)
        settings = PollSettings(S, request_timeout_ns)
        self.source = RestSubscriptions(self.world.process(0), server, network, settings)
        self.source.subscribe(CDS, NO_NAMES, self.consumer)


def news(revision: int = 1) -> DiscoveryResponse:
    return DiscoveryResponse(CDS, str(revision), "", Resources([Resource("c0", revision, None)]))


def test_a_poll_with_nothing_new_takes_three_events() -> None:
    polling = Polling(Server())
    polling.clock.run(1000 * S)
    polls = len(polling.world.asked(CDS))
    assert polls > 600
    assert polling.clock.events == pytest.approx(3 * polls, abs=3)


def test_the_instants_of_a_poll_are_those_of_its_parts() -> None:
    server = Server(lambda respond: respond(news()))
    polling = Polling(server)
    polling.clock.run(900 * MS)
    assert polling.world.asked(CDS) == [LINK_NS]
    assert [s.t_ns for s in polling.world.seen] == [2 * LINK_NS + 100_000]
    rows = polling.world.recorder.message_rows
    assert [(row[0], row[2], row[4]) for row in rows] == [(LINK_NS, 4, "request"), (LINK_NS, 4, "response")]


def test_an_answer_said_to_leave_later_arrives_that_much_later() -> None:
    polling = Polling(Server(lambda respond: respond(news(), 80 * MS)))
    polling.clock.run(900 * MS)
    assert [s.t_ns for s in polling.world.seen] == [80 * MS + LINK_NS + 100_000]


@pytest.mark.parametrize(
    ("then", "link_ns", "timeout_ns"),
    [
        (lambda respond: None, LINK_NS, 500 * MS),
        (lambda respond: respond(news(), 496 * MS), LINK_NS, 500 * MS),
        (lambda respond: respond(news()), 300 * MS, 500 * MS),
        (lambda respond: respond(news()), 700 * MS, 500 * MS),
    ],
    ids=["never answered", "answered too late", "too far away", "not even there in time"],
)
def test_a_request_that_takes_too_long_fails_when_it_does(
    then: Callable[[Reply], None], link_ns: int, timeout_ns: int
) -> None:
    polling = Polling(Server(then), network=RestNetwork(Constant(link_ns)), request_timeout_ns=timeout_ns)
    polling.clock.run(timeout_ns - 1)
    assert polling.consumer.failures == 0
    polling.clock.run(timeout_ns)
    assert polling.consumer.failures == 1
    polling.clock.run(timeout_ns + 900 * MS)
    assert polling.world.seen == [], "what comes too late is dropped"


def test_an_answer_in_the_last_instant_is_in_time() -> None:
    polling = Polling(Server(lambda respond: respond(news(), 495 * MS)))
    polling.clock.run(900 * MS)
    assert polling.consumer.failures == 0
    assert len(polling.world.seen) == 1


def test_a_connection_that_breaks_fails_the_request_when_the_client_learns_of_it() -> None:
    polling = Polling(Server(lambda respond: respond.fail()))
    polling.clock.run(2 * LINK_NS - 1)
    assert polling.consumer.failures == 0
    polling.clock.run(2 * LINK_NS)
    assert polling.consumer.failures == 1


def test_a_subscription_that_ends_while_it_waits_never_polls_again() -> None:
    server = Server()
    polling = Polling(server)
    polling.clock.run(900 * MS)
    polling.source.stop()
    events = polling.clock.events
    polling.clock.run(100 * S)
    assert len(server.requests) == 1
    assert polling.clock.events == events


def test_a_request_under_way_when_its_subscription_ends_still_arrives_and_its_answer_is_dropped() -> None:
    server = Server(lambda respond: respond(news()))
    polling = Polling(server)
    polling.clock.run(1 * MS)
    polling.source.stop()
    polling.clock.run(100 * S)
    assert len(server.requests) == 1
    assert polling.world.seen == []


def test_in_a_partition_requests_time_out_and_afterwards_they_pass() -> None:
    server = Server()
    polling = Polling(server)
    polling.clock.run(10 * S)
    polling.source.cut()
    before = len(server.requests)
    polling.clock.run(100 * S)
    assert len(server.requests) == before
    # Each fails after its time-out, and the next one waits as ever: 1.5 s and a half on average.
    assert 35 < polling.consumer.failures < 56
    failures = polling.consumer.failures
    polling.source.heal()
    polling.clock.run(110 * S)
    assert len(server.requests) > before + 4
    assert polling.consumer.failures <= failures + 1


def test_an_answer_held_up_by_a_short_partition_arrives_when_it_ends() -> None:
    server = Server(lambda respond: respond(news()))
    polling = Polling(server)
    polling.clock.run(LINK_NS + 1)
    polling.source.cut()
    polling.clock.run(100 * MS)
    polling.source.heal()
    polling.clock.run(900 * MS)
    assert [s.t_ns for s in polling.world.seen] == [100 * MS + 100_000]
    assert polling.consumer.failures == 0


def test_a_lossy_network_breaks_its_share_of_requests() -> None:
    polling = Polling(Server(), network=RestNetwork(Constant(LINK_NS), loss=0.1))
    polling.clock.run(3000 * S)
    # Two messages a poll: 19 % of some two thousand polls, give or take four standard errors.
    polls = 3000 / 1.51
    assert polling.consumer.failures == pytest.approx(0.19 * polls, abs=4 * (0.19 * 0.81 * polls) ** 0.5)


def test_a_large_answer_takes_its_time_on_a_narrow_link() -> None:
    response = DiscoveryResponse(CDS, "1", "", Resources([Resource("c0", 1, None, size_bytes=99_940)]))
    network = RestNetwork(Constant(LINK_NS), bytes_per_second=1_000_000)
    polling = Polling(Server(lambda respond: respond(response)), network=network)
    polling.clock.run(900 * MS)
    assert [s.t_ns for s in polling.world.seen] == [2 * LINK_NS + 100 * MS + 100_000]


# --- proxies that have been polling since long before t = 0


def test_before_the_clock_starts_everything_takes_no_time() -> None:
    world = World("poll", proxies=3, start_ns=-1)
    world.run(-1)
    assert {s.t_ns for s in world.seen} == {-1}
    assert all(world.held(proxy) == world.latest() for proxy in range(3))
    assert world.recorder.message_rows == []


def test_who_polls_since_long_is_met_in_the_middle_of_a_wait() -> None:
    world = World("poll", proxies=60, start_ns=-1, network=RestNetwork(Constant(0)))
    world.run(10 * S)
    firsts = [world.asked(EDS, name, proxy)[0] for name in SERVICES for proxy in range(60)]
    assert min(firsts) < 0.05 * S
    assert 1.7 * S < max(firsts) < 2 * S
    assert sum(firsts) / len(firsts) == pytest.approx(7 / 9 * S, rel=0.12)
    assert len(dict.fromkeys(firsts)) == len(firsts), "each in its own"


# --- a replica


def test_what_a_poll_gets_is_what_is_published_when_its_service_starts() -> None:
    def world() -> World:
        return World("poll", proxies=1, network=RestNetwork(Constant(0)))

    before = world()
    before.run(20 * S)
    poll_ns = before.asked(CDS)[5]
    for late_ns, revision in ((0, 2), (1, 1)):
        played = world()
        played.change(poll_ns + late_ns, CDS, "c0")
        played.run(poll_ns + 5 * MS)
        assert played.held(0)[CDS, "c0"] == revision


def test_a_replica_that_stops_refuses_polls_until_it_starts_again() -> None:
    world = World("poll", proxies=2)
    world.outage(0, 10 * S, 20 * S)
    world.run(30 * S)
    times = [t for proxy in range(2) for t in world.asked(CDS, proxy=proxy)]
    assert not [t for t in times if 10 * S <= t < 20 * S]
    assert [t for t in times if t > 20 * S]
    assert all(consumer.failures > 20 for consumer in world.consumers), "five subscriptions for 10 s"
