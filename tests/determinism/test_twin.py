"""The obvious models of the same thing give the same instants, to the nanosecond."""

from __future__ import annotations

import importlib.util

import pytest

from simulator.results.tables import build_tables
from simulator.scenario.build import build
from tests.benchmarks.twin import drawing, numbers, salabim_twin, scenario, simpy_twin


def instants(proxies: int, engine: str) -> tuple[list[int], list[int]]:
    """When each proxy has the change, and istiod its ACK, by an engine."""
    world = build(scenario(proxies).with_(engine=engine), 1)
    world.run()
    rows = build_tables(world.recorder)["deliveries"]
    rows = rows.assign(number=rows["proxy_id"].str[1:].astype(int)).sort_values("number")
    return rows["t_active_ns"].tolist(), rows["t_acked_ns"].tolist()


@pytest.mark.parametrize("proxies", [200, 300])
def test_processes_of_simpy_give_the_instants_of_both_engines(proxies: int) -> None:
    told = numbers(proxies)
    twin = simpy_twin(told)
    assert simpy_twin(drawing(told)) == twin
    assert twin == instants(proxies, "fleet") == instants(proxies, "events")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("salabim") is None, reason="salabim is not installed")
def test_components_of_salabim_give_them_too() -> None:
    assert salabim_twin(numbers(100)) == instants(100, "fleet")
