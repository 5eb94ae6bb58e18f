"""One change to many proxies, by both engines: `python -m tests.benchmarks.fleet_table [SIZE ...]` prints a
table.

Processor time, since other work on the machine stretches the wall clock; the kernel is compiled beforehand,
where numba is installed, as it is once for each process. A run is building, playing, tables and digest. Sizes
above `MOST_BY_EVENTS` are played by the arrays alone.
"""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass

import simulator as xs
from simulator.fleet.compiled import compiled
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build

SIZES = (1000, 10_000, 100_000)
MOST_BY_EVENTS = 10_000


@dataclass(frozen=True)
class Measured:
    """One run: seconds of building the world, of playing it, of making tables and digest."""

    build: float
    play: float
    tables: float
    digest: str


def one_change(proxies: int) -> xs.Scenario:
    """The change of one VirtualService that all proxies see; nobody's connection ends."""
    return xs.Scenario(
        name="one-change",
        duration="60s",
        mesh={"proxies": proxies, "services": 100, "endpoints": 5},
        control_plane={"kind": "istiod", "cpu": 8, "max_connection_age": "none"},
        recording={"messages": False, "states": False, "queues": False, "proxy_pushes": False},
        workload=[{"edit": "VirtualService", "at": "1s"}],
    )


def changes(proxies: int, count: int) -> xs.Scenario:
    """So many changes, each of which is delivered before the next."""
    apart = 1 + proxies // 2000
    return one_change(proxies).with_(
        duration=f"{1 + count * apart}s",
        workload=[{"edit": "VirtualService", "every": f"{apart}s", "from": "1s"}],
    )


def counted(proxies: int, count: int) -> xs.Scenario:
    """The same, deliveries counted whatever their number."""
    return changes(proxies, count).with_(**{"recording.deliveries": "histogram"})


def churn(proxies: int, count: int) -> xs.Scenario:
    """So many changes of endpoints, one a second: pushes to most proxies merge."""
    return one_change(proxies).with_(
        duration=f"{31 + count + proxies // 1500}s",
        workload=[{"endpoints": "any", "every": "1s", "from": "1s", "until": f"{1 + count}s"}],
    )


def measure(scenario: xs.Scenario, engine: str) -> Measured:
    """Plays it once."""
    begin = time.process_time()
    world = build(scenario.with_(engine=engine), 1)
    built = time.process_time()
    world.run()
    played = time.process_time()
    digest = digest_of(build_tables(world.recorder))
    return Measured(built - begin, played - built, time.process_time() - played, digest)


def main(sizes: list[int]) -> None:
    """Prints the table."""
    print(f"Python {platform.python_version()}, numba: {compiled() is not None}; seconds of processor time")
    measure(one_change(20_001), "fleet")
    print(f"{'proxies':>9} {'engine':>7} {'build':>8} {'play':>8} {'tables':>8}  digest")
    for size in sizes:
        scenario, times = one_change(size), {}
        for engine in ("fleet", "events") if size <= MOST_BY_EVENTS else ("fleet",):
            found = times[engine] = measure(scenario, engine)
            print(
                f"{size:9,} {engine:>7} {found.build:8.2f} {found.play:8.2f} {found.tables:8.2f}  "
                f"{found.digest[:12]}",
                flush=True,
            )
        if len(times) == 2:
            ratio = times["events"].play / times["fleet"].play
            print(f"{'':9} play: the arrays take 1/{ratio:.0f} of the time", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
