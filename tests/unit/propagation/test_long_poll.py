"""Long polling: held until there is news or the wait ends, asked again at once, backed off after errors."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.propagation.http_loop import RestNetwork
from simulator.propagation.http_server import Acknowledgements
from simulator.propagation.long_poll import LongPollReplica, LongPollSettings
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import CDS, EDS
from simulator.xds.resources import NO_RESOURCES, Names, Resource, Resources
from tests.conformance.strategies import BACKOFF, LATENCY, SERVICES, WAIT_NS, World

LINK_NS = 5 * MS
SUBSCRIPTIONS = 1 + len(SERVICES)


def waiting(proxies: int = 1, start_ns: int = 0) -> World:
    return World("long-poll", proxies=proxies, start_ns=start_ns, network=RestNetwork(Constant(LINK_NS)))


def gaps(times: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_request_is_held_for_the_wait_and_up_to_a_sixteenth_more() -> None:
    world = waiting()
    world.run(400 * S)
    held_ns = [gap - 2 * LINK_NS for name in SERVICES for gap in gaps(world.asked(EDS, name))[1:]]
    assert len(held_ns) > 250
    # Looking at it twice takes 0.1 ms each.
    assert min(held_ns) >= WAIT_NS
    assert max(held_ns) <= WAIT_NS + WAIT_NS // 16 + MS
    assert max(held_ns) - min(held_ns) > WAIT_NS // 20, "spread"


def test_news_is_answered_at_once_and_asked_after_again_at_once() -> None:
    world = waiting()
    world.change(7 * S, EDS, "c1")
    world.run(7 * S + 20 * MS)
    [seen] = [s for s in world.seen if s.revision == 2]
    # 0.3 ms to answer, a link, 0.1 ms to apply.
    assert seen.t_ns == 7 * S + 300_000 + LINK_NS + 100_000
    assert world.asked(EDS, "c1")[-1] == seen.t_ns + LINK_NS


def test_what_is_held_for_other_names_stays_held() -> None:
    world = waiting()
    world.change(3 * S, EDS, "c1")
    world.run(4 * S)
    asked = {name: len(world.asked(EDS, name)) for name in SERVICES}
    assert asked == {"c0": 2, "c1": 3, "c2": 2, "c3": 2}
    assert len(world.asked(CDS)) == 2
    assert world.replicas[0].long_polls.held == SUBSCRIPTIONS


def test_a_publication_that_changes_nothing_for_a_client_wakes_nobody() -> None:
    world = waiting()
    world.run(2 * S)
    answers = world.replicas[0].answers
    world.replicas[0].long_polls.on_published(EDS, Names(("c0", "c9")))
    world.replicas[0].long_polls.on_published(CDS, None)
    world.run(3 * S)
    assert world.replicas[0].answers == answers


def test_a_publication_of_anything_of_a_type_wakes_whoever_has_news() -> None:
    world = waiting()
    world.run(2 * S)
    world.replicas[0].state[EDS] = world.replicas[0].state[EDS].updated(Resources([Resource("c2", 2, None)]))
    world.replicas[0].long_polls.on_published(EDS, None)
    world.run(3 * S)
    assert [(s.name, s.revision) for s in world.seen if s.t_ns > 2 * S] == [("c2", 2)]


@pytest.mark.parametrize("late_ns", range(0, 12_000_000, 500_000))
def test_a_change_between_an_answer_and_the_next_request_is_not_lost(late_ns: int) -> None:
    world = waiting()
    world.change(7 * S, EDS, "c1")
    world.change(7 * S + late_ns, EDS, "c1")
    world.run(7 * S + 40 * MS)
    assert world.held(0)[EDS, "c1"] == 3


def test_what_is_refused_is_said_to_be_and_not_asked_for_again() -> None:
    world = waiting()
    world.refuses = "c1", 2
    world.change(3 * S, EDS, "c1")
    world.run(4 * S)
    requests = [row for row in world.recorder.message_rows if row[4] == "request" and "c1" in row[9]]
    assert [(row[6], row[8] != "") for row in requests] == [("", False), ("c1=1", False), ("c1=2", True)]
    world.change(5 * S, EDS, "c1")
    world.run(6 * S)
    assert world.held(0)[EDS, "c1"] == 3


def test_after_errors_it_backs_off_with_full_jitter() -> None:
    world = waiting(proxies=40)
    world.outage(0, 10 * S, 40 * S)
    world.run(40 * S - 1)
    # Bounds of 0.5, 1, 2, 2, ... s: half of each on average, and a round trip an attempt.
    per_subscription = sum(c.failures for c in world.consumers) / (40 * SUBSCRIPTIONS)
    assert per_subscription == pytest.approx(2 + (30 - 0.75) / 1.01, rel=0.1)
    world.run(40 * S + BACKOFF.max_ns + 50 * MS)
    assert world.replicas[0].long_polls.held == 40 * SUBSCRIPTIONS


def test_an_answer_ends_the_back_off() -> None:
    world = waiting()
    for k in range(6):
        world.outage(0, (10 + 20 * k) * S, (12 + 20 * k) * S)
    world.run(110 * S + 3 * LINK_NS)
    before = world.consumers[0].failures
    world.run(110 * S + 2 * LINK_NS + BACKOFF.base_ns)
    # Everybody failed at 110 s, and asks a second time within the base interval.
    assert world.consumers[0].failures - before >= SUBSCRIPTIONS


def test_requests_held_by_a_replica_that_stops_fail_and_go_to_another() -> None:
    world = World("long-poll", proxies=20, lags_ns=(0, 0))
    world.run(10 * S)
    on_first = world.replicas[0].long_polls.held
    assert 0 < on_first < 20 * SUBSCRIPTIONS
    world.replicas[0].stop()
    world.run(10 * S + BACKOFF.base_ns + 20 * MS)
    assert sum(c.failures for c in world.consumers) == on_first
    assert world.replicas[1].long_polls.held == 20 * SUBSCRIPTIONS


def test_who_hears_nothing_gives_up_after_the_longest_wait_there_can_be() -> None:
    settings = LongPollSettings(WAIT_NS, 1 * S, BACKOFF)
    assert settings.gives_up_after_ns == WAIT_NS + WAIT_NS // 16 + S
    world = waiting()
    world.run(LINK_NS)
    world.sources[0].cut()  # type: ignore[attr-defined]
    world.run(settings.gives_up_after_ns - 1)
    assert world.consumers[0].failures == 0
    world.run(settings.gives_up_after_ns)
    assert world.consumers[0].failures == SUBSCRIPTIONS


def test_who_waits_since_long_is_met_in_the_middle_of_it() -> None:
    world = waiting(proxies=60, start_ns=-1)
    world.run(-1)
    assert world.replicas[0].long_polls.held == 60 * SUBSCRIPTIONS
    assert all(world.held(proxy) == world.latest() for proxy in range(60))
    assert world.recorder.message_rows == []
    world.run(20 * S)
    firsts = [world.asked(EDS, name, proxy)[0] for name in SERVICES for proxy in range(60)]
    # Stationary: uniform over the wait, or nearly.
    assert min(firsts) < WAIT_NS // 20
    assert sum(firsts) / len(firsts) == pytest.approx(WAIT_NS * (1 + 1 / 32) / 2, rel=0.15)


def test_latencies_that_vary_do_not_matter_to_what_is_held() -> None:
    world = World("long-poll", network=RestNetwork(LATENCY))
    world.run(30 * S)
    assert world.replicas[0].long_polls.held == 3 * SUBSCRIPTIONS


class Fickle:
    """Has published what the test says; whoever asks for it without a version is served for a second."""

    def __init__(self) -> None:
        self.published = "1"

    def version(self, request: DiscoveryRequest) -> str:
        return self.published

    def answer(self, request: DiscoveryRequest, t_enqueued_ns: int) -> tuple[DiscoveryResponse | None, int]:
        if request.version_info == self.published:
            return None, 0
        return DiscoveryResponse(EDS, self.published, "", NO_RESOURCES), S


class Told:
    """What a client was answered."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answers: list[tuple[int, str | None]] = []

    def __call__(self, response: DiscoveryResponse | None, sent_ns: int | None = None) -> None:
        self.answers.append((self.clock.now_ns, None if response is None else response.version_info))

    def fail(self) -> None:
        raise AssertionError("nothing breaks here")


def test_news_that_is_taken_back_before_it_could_be_told_does_not_prolong_the_wait(
    clock: Clock, draws: Draws
) -> None:
    published, patient, other = Fickle(), Told(clock), Told(clock)
    replica = LongPollReplica(clock, draws, 0, published, Acknowledgements(print), 5 * S, concurrency=1)
    replica.on_poll(DiscoveryRequest(EDS, Names(("c0",)), "1"), patient)
    clock.run(1 * S)
    replica.on_poll(DiscoveryRequest(EDS, Names(("c1",))), other)
    clock.run(1500 * MS)
    published.published = "2"
    replica.on_published(EDS, None)
    assert (replica.held, replica.queue_length) == (0, 1), "it waits for the one slot"
    published.published = "1"
    clock.run(3 * S)
    assert patient.answers == []
    assert replica.held == 1
    clock.run(10 * S)
    [(t_ns, version)] = patient.answers
    assert version is None
    assert 5 * S <= t_ns <= 5 * S + 5 * S // 16
