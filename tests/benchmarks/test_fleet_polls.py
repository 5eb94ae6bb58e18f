"""Polls in arrays against the event engine, and an hour of them: ratios are asserted, times are printed.

`pytest -m benchmark -s tests/benchmarks/test_fleet_polls.py`. Processor time of playing, the start not
included.
"""

from __future__ import annotations

import time

import pytest

import simulator as xs
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.world import World

pytestmark = pytest.mark.benchmark

TYPES = 4
"""Each proxy polls CDS, LDS, one cluster and one route table."""


def polling(proxies: int, duration: str, servers: int) -> xs.Scenario:
    """One service, so four loops for each proxy; one change of its routes and one of its endpoints."""
    return xs.Scenario(
        name="polling",
        duration=duration,
        mesh={"proxies": proxies, "services": 1, "endpoints": 3},
        control_plane={"kind": "istiod"},
        propagation={
            "strategy": "poll",
            "refresh_delay": "30s",
            "server": {"concurrency": servers, "service_time": "300us"},
        },
        recording={"messages": False, "states": False, "queues": False},
        workload=[{"edit": "VirtualService", "at": ["31s"]}, {"edit": "WorkloadEntry", "at": ["70s"]}],
    )


def played(scenario: xs.Scenario) -> tuple[World, float]:
    """The world after the run, and the processor time of playing it."""
    world = build(scenario, 1)
    world.clock.run(-1)
    began = time.process_time()
    world.run()
    return world, time.process_time() - began


def test_polls_of_five_thousand_proxies_take_a_twentieth_of_the_time() -> None:
    """Measured: a hundredth; a twentieth leaves room for a busy machine."""
    of = polling(5000, "3m", 1)
    played(of.with_(engine="fleet"))
    (arrays, few), (events, many) = played(of.with_(engine="fleet")), played(of.with_(engine="events"))
    print(f"events {many:.2f} s, arrays {few:.2f} s, 1/{many / few:.0f}")
    assert digest_of(build_tables(arrays.recorder)) == digest_of(build_tables(events.recorder))
    assert many >= 20 * few


def test_an_hour_of_the_polls_of_one_type_by_a_hundred_thousand_proxies() -> None:
    """5 s are aimed at. No mesh has proxies of one type: without a service they poll CDS, LDS and the route
    table of all other traffic. A third of the proxies have as many loops, and ask as often."""
    of = polling(33_333, "1h", 100).with_(**{"mesh.services": 0}, workload=[], engine="fleet")
    world, seconds = played(of)
    polls = world.recorder.xds_messages
    print(f"{polls} polls of 99,999 loops, nobody waits: {seconds:.1f} s")
    assert polls == pytest.approx(99_999 * 3600 / 45, rel=0.01)


def test_long_polls_of_five_thousand_proxies_take_a_twentieth_of_the_time() -> None:
    """As those above; compiled before it is timed. Of fewer servers some requests would time out."""
    of = polling(5000, "5m", 3).with_(**{"propagation.strategy": "long-poll"})
    played(of.with_(engine="fleet"))
    (arrays, few), (events, many) = played(of.with_(engine="fleet")), played(of.with_(engine="events"))
    print(f"events {many:.2f} s, arrays {few:.2f} s, 1/{many / few:.0f}")
    assert digest_of(build_tables(arrays.recorder)) == digest_of(build_tables(events.recorder))
    assert many >= 20 * few


def test_an_hour_of_long_polls_by_a_hundred_thousand_proxies() -> None:
    """Each is held for 60 to 63.75 s."""
    of = polling(100_000, "1h", 100).with_(**{"propagation.strategy": "long-poll"})
    world, seconds = played(of.with_(engine="fleet"))
    polls = world.recorder.xds_messages
    print(f"{polls} messages of {TYPES} types in {seconds:.1f} s")
    assert polls == pytest.approx(100_000 * TYPES * 3600 / 61.9, rel=0.02)


@pytest.mark.parametrize(("servers", "load"), [(100, "nobody waits"), (3, "three servers, 89 % busy")])
def test_an_hour_of_polls_by_a_hundred_thousand_proxies(servers: int, load: str) -> None:
    """15 s are aimed at for those that wait."""
    world, seconds = played(polling(100_000, "1h", servers).with_(engine="fleet"))
    polls = world.recorder.xds_messages
    print(f"{load}: {polls} messages of {TYPES} types in {seconds:.1f} s, {seconds / TYPES:.1f} s a type")
    # An hour of waits of 45 s on average.
    assert polls == pytest.approx(100_000 * TYPES * 3600 / 45, rel=0.01)
