"""What the arrays gain, in one table: `pytest -m benchmark -s tests/benchmarks/test_ratios.py`.

Fleet engine, event engine, and the obvious models of the same scenario (`twin`), one after another in turns;
processor time of playing, medians. The twins do less: they are told the costs, and play one push and nothing
of istiod, agent or Envoy beside it. Ratios are asserted with room for another Python and a busy machine;
they are of this Python build, and a faster interpreter makes them smaller.
"""

from __future__ import annotations

import importlib.util
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from simulator.fleet.compiled import compiled
from simulator.scenario.build import build
from tests.benchmarks.twin import numbers, salabim_twin, scenario, simpy_twin

pytestmark = pytest.mark.benchmark

ROUNDS = 3
MOST_BY_EVENTS, MOST_BY_SALABIM = 10_000, 1000


def seconds(work: Callable[[], object]) -> float:
    """Processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def playing(proxies: int, engine: str) -> Callable[[], float]:
    """Plays the scenario from t = 0 on: who is connected then has got there before."""

    def play() -> float:
        world = build(scenario(proxies).with_(engine=engine), 1)
        world.clock.run(-1)
        return seconds(world.run)

    return play


def timed(proxies: int) -> dict[str, list[float]]:
    """Seconds by model, in turns."""
    told = numbers(proxies)
    models: dict[str, Callable[[], float]] = {
        "fleet": playing(proxies, "fleet"),
        "simpy twin": lambda: seconds(lambda: simpy_twin(told)),
    }
    if proxies <= MOST_BY_EVENTS:
        models["events"] = playing(proxies, "events")
    if proxies <= MOST_BY_SALABIM and importlib.util.find_spec("salabim"):
        models["salabim twin"] = lambda: seconds(lambda: salabim_twin(told))
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS if proxies < 100_000 else 1):
        for name, play in models.items():
            found[name].append(play())
    return found


@pytest.fixture(scope="module")
def medians() -> dict[int, dict[str, float]]:
    """Printed as well."""
    pytest.importorskip("numba")
    playing(20_001, "fleet")()
    build_of = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    print(
        f"\n{build_of}, numba: {compiled() is not None}; seconds to play one change, and how many times fleet"
    )
    told: dict[int, dict[str, float]] = {}
    for proxies in (1000, 10_000, 100_000):
        told[proxies] = {name: statistics.median(times) for name, times in timed(proxies).items()}
        for name, took in told[proxies].items():
            print(
                f"{proxies:9,}  {name:13} {took:9.4f} s  x {took / told[proxies]['fleet']:7.1f}", flush=True
            )
    return told


def test_the_event_engine_takes_thirty_times_as_long(medians: dict[int, dict[str, float]]) -> None:
    """Measured: 30 times at 1,000 and 480 times at 10,000; its start before t = 0 is not counted."""
    assert medians[10_000]["events"] >= 30 * medians[10_000]["fleet"]


def test_a_process_per_proxy_takes_twenty_times_as_long(medians: dict[int, dict[str, float]]) -> None:
    """Measured: 87 times at 10,000 and 95 times at 100,000, of a twin that does less."""
    for proxies in (10_000, 100_000):
        assert medians[proxies]["simpy twin"] >= 20 * medians[proxies]["fleet"]


RUN = """
import json, resource, sys, time
import simulator as xs
from tests.benchmarks.fleet_table import changes
proxies, count = int(sys.argv[1]), int(sys.argv[2])
began = time.process_time()
result = xs.run(changes(proxies, count))
took = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
delivered = int(result.summary().loc["active_delay", "n"])
print(json.dumps([took, peak / 1024, delivered, result.manifest["engine"]]))
"""


def whole_run(proxies: int, changes: int) -> tuple[float, float, int]:
    """Processor seconds of a whole run in a fresh process, its peak of MB, and its deliveries."""
    told = subprocess.run(
        [sys.executable, "-c", RUN, str(proxies), str(changes)], capture_output=True, text=True, check=True
    )
    took, peak, delivered, engine = json.loads(told.stdout)
    assert engine == "fleet"
    return took, peak, delivered


def test_growth_with_proxies_and_with_changes_is_close_to_linear() -> None:
    """Whole runs, imports and tables included. A million proxies: 8 s and 1.1 GB measured."""
    pytest.importorskip("numba")
    whole_run(20_000, 1)
    print("\nwhole runs: proxies x changes, deliveries, seconds of processor time, peak")
    found = {}
    for proxies, count in ((100_000, 1), (300_000, 1), (1_000_000, 1), (100_000, 4), (100_000, 16)):
        took, peak, delivered = found[proxies, count] = whole_run(proxies, count)
        bar = "#" * max(1, round(4 * took))
        print(f"{proxies:9,} x {count:2}  {delivered:9,}  {took:6.2f} s  {peak:6.0f} MB  {bar}", flush=True)
        assert delivered == proxies * count
    took, peak, _ = found[1_000_000, 1]
    exponent = math.log(took / found[100_000, 1][0]) / math.log(10)
    of_changes = math.log(found[100_000, 16][0] / found[100_000, 1][0]) / math.log(16)
    print(f"exponents: {exponent:.2f} of proxies, {of_changes:.2f} of changes")
    assert exponent < 1.3
    assert of_changes < 1.3
    assert peak < 2000


def test_a_thousand_proxies_and_one_change_take_a_small_part_of_what_the_events_take() -> None:
    """World and play. Measured: 40 ms by the arrays, 30 times less than by the events; a third is asked."""
    times: dict[str, list[float]] = {"fleet": [], "events": []}
    for _ in range(3):
        for engine, taken in times.items():
            scenario_ = scenario(1000).with_(engine=engine)
            taken.append(seconds(lambda chosen=scenario_: build(chosen, 1).run()))
    fleet, events = (min(times[engine]) for engine in ("fleet", "events"))
    print(f"\n1,000 proxies, one change: {1e3 * fleet:.0f} ms, by the events {1e3 * events:.0f} ms")
    assert events >= 10 * fleet
