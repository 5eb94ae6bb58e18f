"""What a start-up costs. Times and memory are printed; the number of events is asserted, and it does not
depend on how many clusters or listeners there are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

pytestmark = pytest.mark.benchmark

EVENTS = {"sotw": 23, "delta": 23}
"""Events of one start on ADS with EDS clusters and RDS listeners: process start and construction 2, stream 1,
four types x (request, answer decided, response, applied, ACK) 20."""

# Memory is the high-water mark of a process, so each measurement has a process of its own.
_PLAY = """
import json, sys, time
import simulator as xs

proxies, clusters, listeners, protocol = json.loads(sys.argv[1])
scenario = xs.Scenario(
    name="benchmark",
    duration="30s",
    mesh={"proxies": proxies},
    envoy={"preset": "envoy"},
    propagation={"strategy": "push", "protocol": protocol, "streams": "ads"},
    control_plane={
        "kind": "scripted",
        "resources": {"clusters": {"count": clusters, "type": "eds"}, "listeners": {"count": listeners}},
    },
    recording={"messages": False, "states": False},
)
from simulator.scenario.build import build
from tests.benchmarks.memory import own_peak_mb

began = time.perf_counter()
world = build(scenario, seed=1)
world.run()
print(json.dumps({
    "seconds": time.perf_counter() - began,
    "megabytes": own_peak_mb(),
    "events": world.recorder.events,
    "live": sum(row.outcome == "live" for row in world.recorder.startup_rows),
}))
"""


@dataclass(frozen=True)
class Measured:
    """One run in a process of its own."""

    seconds: float
    megabytes: float
    events: int
    live: int


def starts(proxies: int, clusters: int, listeners: int, protocol: str) -> Measured:
    """So many Envoys start at once against a control plane of so many clusters and listeners."""
    arguments = json.dumps([proxies, clusters, listeners, protocol])
    done = subprocess.run(
        [sys.executable, "-c", _PLAY, arguments], capture_output=True, text=True, check=True, timeout=1200
    )
    measured = Measured(**json.loads(done.stdout))
    print(
        f"\n{proxies} Envoys x {clusters} EDS clusters x {listeners} listeners, ADS {protocol}: "
        f"{measured.seconds:.1f} s, {measured.megabytes:.0f} MB, "
        f"{measured.events / proxies:.1f} events a start"
    )
    assert measured.live == proxies
    return measured


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
def test_ten_thousand_envoys_of_a_thousand_clusters(protocol: str) -> None:
    few = starts(10, 10, 1, protocol)
    many = starts(10_000, 1_000, 1, protocol)
    assert few.events == 10 * EVENTS[protocol]
    assert many.events == 10_000 * EVENTS[protocol]


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
def test_a_thousand_envoys_of_a_thousand_listeners(protocol: str) -> None:
    few = starts(10, 1, 10, protocol)
    many = starts(1_000, 1, 1_000, protocol)
    assert few.events == 10 * EVENTS[protocol]
    assert many.events == 1_000 * EVENTS[protocol]
