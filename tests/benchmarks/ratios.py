"""Fleet engine, event engine, and the obvious models of the same scenario (`twin`), in turns.

Processor time of playing, medians. The twins do less: they are told the costs, and play one push and nothing
of istiod, agents or Envoys beside it. The SimPy twin draws its delays, as the engines do; "simpy, told" and
the salabim twin are told them as well.
"""

from __future__ import annotations

import gc
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable

from simulator.fleet.compiled import compiled
from simulator.fleet.compiled_streams import LOADED_FROM
from simulator.scenario.build import build
from tests.benchmarks.twin import drawing, numbers, salabim_twin, scenario, simpy_twin

SIZES = (1000, 10_000, 100_000)
ROUNDS, FLEET_IN_TURN = 3, 5
MOST_BY_EVENTS, MOST_BY_SALABIM = 100_000, 1000


def seconds(work: Callable[[], object]) -> float:
    """Processor time; what another model left to be collected is no part of it."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def playing(proxies: int, engine: str) -> Callable[[], float]:
    """Plays the scenario from t = 0 on: who is connected then has got there before, and is a row."""

    def play() -> float:
        world = build(scenario(proxies).with_(engine=engine), 1)
        world.clock.run(-1)
        if world.ahead is not None:
            world.ahead(0, 0)
        return seconds(world.run)

    return play


def timed(proxies: int) -> dict[str, list[float]]:
    """Seconds by model, in turns."""
    told = numbers(proxies)
    models: dict[str, Callable[[], float]] = {
        "fleet": playing(proxies, "fleet"),
        "simpy twin": lambda: seconds(lambda: simpy_twin(drawing(told))),
        "simpy, told": lambda: seconds(lambda: simpy_twin(told)),
    }
    if proxies <= MOST_BY_EVENTS:
        models["events"] = playing(proxies, "events")
    if proxies <= MOST_BY_SALABIM and importlib.util.find_spec("salabim"):
        models["salabim twin"] = lambda: seconds(lambda: salabim_twin(told))
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS if proxies < 100_000 else 1):
        for name, play in models.items():
            found[name] += [play() for _ in range(FLEET_IN_TURN if name == "fleet" else 1)]
    return found


def table() -> dict[int, dict[str, float]]:
    """Median seconds by size and model, printed as they come."""
    playing(LOADED_FROM + 1, "fleet")()  # what is compiled is loaded once for each process
    build_of = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    print(
        f"\n{build_of}, numba: {compiled() is not None}; seconds to play one change, and how many times fleet"
    )
    told: dict[int, dict[str, float]] = {}
    for proxies in SIZES:
        told[proxies] = {name: statistics.median(times) for name, times in timed(proxies).items()}
        for name, took in told[proxies].items():
            print(
                f"{proxies:9,}  {name:13} {took:9.4f} s  x {took / told[proxies]['fleet']:7.1f}", flush=True
            )
    return told
