"""What every way of propagation owes: it converges, it does not go backwards, it survives resets, and the
last version is never lost."""

from __future__ import annotations

from bisect import bisect_right

import pytest

from simulator.engine.clock import MS, S
from simulator.xds.resource_types import CDS, EDS, ResourceType
from tests.conformance.strategies import (
    HTTP,
    PUSHED,
    RECOVERY_NS,
    SERVICES,
    SLOWEST_NS,
    STRATEGIES,
    World,
)

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
NAMES = tuple(SERVICES)


def edited(world: World, changes: int, every_ns: int, from_ns: int = 10 * S) -> int:
    """Edits of different resources at a steady pace; the instant of the last one."""
    for k in range(changes):
        type_: ResourceType = (CDS, EDS, EDS)[k % 3]
        world.change(from_ns + k * every_ns, type_, NAMES[k * 7 % len(NAMES)])
    return from_ns + (changes - 1) * every_ns


def assert_converged(world: World) -> None:
    for proxy in range(world.proxies):
        assert world.held(proxy) == world.latest(), f"p{proxy}"


@every_strategy
def test_every_proxy_holds_the_last_version_in_the_end(strategy: str) -> None:
    world = World(strategy)
    last_ns = edited(world, changes=12, every_ns=3 * S)
    world.run(last_ns + SLOWEST_NS)
    assert_converged(world)


@every_strategy
def test_a_change_takes_no_longer_than_the_strategy_may(strategy: str) -> None:
    world = World(strategy)
    edited(world, changes=20, every_ns=7 * S)
    world.run(200 * S)
    for (type_, name), instants in world.happened.items():
        for revision, t_ns in enumerate(instants, start=2):
            for proxy in range(world.proxies):
                t_seen_ns = next(
                    s.t_ns for s in world.revisions(proxy, type_, name) if s.revision == revision
                )
                assert t_ns < t_seen_ns < t_ns + SLOWEST_NS


@pytest.mark.parametrize("strategy", [*PUSHED, "long-poll"])
def test_news_that_is_waited_for_arrives_within_a_round_trip(strategy: str) -> None:
    world = World(strategy)
    world.change(20 * S, EDS, "c1")
    world.run(40 * S)
    for proxy in range(world.proxies):
        [seen] = [s for s in world.revisions(proxy, EDS, "c1") if s.revision == 2]
        assert seen.t_ns - 20 * S < 20 * MS


@every_strategy
def test_changes_that_come_faster_than_they_travel_may_merge_but_the_last_one_arrives(strategy: str) -> None:
    world = World(strategy)
    for k in range(200):
        world.change(10 * S + k * 2 * MS, EDS, "c0")
        world.change(10 * S + k * 2 * MS, CDS, "c0")
    world.run(11 * S + SLOWEST_NS)
    assert_converged(world)
    for proxy in range(world.proxies):
        applied = len(world.revisions(proxy, EDS, "c0"))
        if strategy in ("poll", "file"):
            assert applied < 6, "merged"
        else:
            assert applied > 20


@every_strategy
def test_from_one_replica_content_never_goes_backwards(strategy: str) -> None:
    world = World(strategy)
    last_ns = edited(world, changes=150, every_ns=130 * MS)
    world.outage(0, 14 * S, 16 * S)
    world.run(last_ns + RECOVERY_NS)
    assert world.regressions() == []
    assert_converged(world)


@every_strategy
def test_what_happens_while_the_control_plane_is_away_arrives_when_it_is_back(strategy: str) -> None:
    world = World(strategy)
    world.outage(0, 10 * S, 20 * S)
    for k, name in enumerate(NAMES):
        world.change((11 + k) * S, EDS, name)
        world.change((12 + k) * S, CDS, name)
    world.run(20 * S + RECOVERY_NS)
    assert_converged(world)
    if strategy != "file":
        assert all(consumer.failures for consumer in world.consumers), "they noticed"
        early = [s for s in world.seen if 10 * S + 50 * MS < s.t_ns < 20 * S]
        assert early == [], "nobody answers"


@every_strategy
def test_again_and_again_reset_it_still_converges(strategy: str) -> None:
    world = World(strategy, lags_ns=(0, 20 * MS))
    for k in range(10):
        world.outage(k % 2, (10 + 3 * k) * S, (11 + 3 * k) * S)
    last_ns = edited(world, changes=60, every_ns=500 * MS)
    world.run(last_ns + RECOVERY_NS)
    assert_converged(world)


LAG_NS = 3 * S


def lagging(strategy: str) -> World:
    """Two replicas, one of them three seconds behind, that take turns in being away."""
    world = World(strategy, proxies=4, lags_ns=(0, LAG_NS))
    for k in range(8):
        world.outage(k % 2, (12 + 4 * k) * S, (14 + 4 * k) * S)
    last_ns = edited(world, changes=80, every_ns=400 * MS)
    world.run(last_ns + LAG_NS + RECOVERY_NS)
    return world


@every_strategy
def test_across_replicas_content_goes_backwards_by_no_more_than_their_lag(strategy: str) -> None:
    world = lagging(strategy)
    in_flight_ns = 20 * MS
    for seen in world.regressions():
        instants = world.happened[seen.type, seen.name]
        published = bisect_right(instants, seen.t_ns - LAG_NS - in_flight_ns)
        assert seen.revision >= 1 + published, f"{seen} is older than the slowest replica"
    assert_converged(world)


@pytest.mark.parametrize("strategy", [*PUSHED, *HTTP])
def test_a_connection_that_moves_to_a_lagging_replica_does_go_backwards(strategy: str) -> None:
    assert lagging(strategy).regressions(), "or the test above could not fail"


@every_strategy
def test_the_same_world_plays_the_same(strategy: str) -> None:
    first, second = lagging(strategy), lagging(strategy)
    assert first.seen == second.seen
    assert first.clock.events == second.clock.events


@every_strategy
def test_another_proxy_changes_nothing_for_those_that_are_there(strategy: str) -> None:
    def seen_by_p0(proxies: int) -> list[tuple[int, str, str, int]]:
        world = World(strategy, proxies=proxies)
        edited(world, changes=10, every_ns=2 * S)
        world.run(40 * S)
        return [(s.t_ns, s.type.name, s.name, s.revision) for s in world.seen if s.proxy == 0]

    assert seen_by_p0(1) == seen_by_p0(2)
