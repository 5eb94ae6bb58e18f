"""Servers against queueing theory: M/M/1 and M/D/1 (Pollaczek-Khinchine) and M/M/c (Erlang C)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Delay, Exponential
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.engine.servers import SerialServer, kiefer_wolfowitz
from tests.statistical.evidence import assert_mean

SERVICE_NS = 1 * MS

Sequence = tuple[NDArray[np.int64], NDArray[np.int64]]

SINGLE_SERVERS = pytest.mark.parametrize(
    ("service", "variability"),
    [(Exponential(SERVICE_NS), 1.0), (Constant(SERVICE_NS), 0.5)],
    ids=["M/M/1", "M/D/1"],
)


def poisson_jobs(load: float, servers: int, service: Delay, jobs: int, replication: int) -> Sequence:
    """Arrivals of a Poisson process that keeps `servers` busy a share `load` of the time, and costs."""
    draws, numbers = Draws(99, replication), np.arange(jobs)
    gap = Exponential(SERVICE_NS / (load * servers))
    arrivals = np.cumsum(gap.ns_array(draws.uniform_array("gap", 0, numbers)))
    return arrivals, service.ns_array(draws.uniform_array("service", 0, numbers))


def waits_of_server(arrivals: NDArray[np.int64], costs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The wait of each job at a `SerialServer`, event by event."""
    clock = Clock()
    server = SerialServer(clock)
    starts: list[int] = []

    def cost_ns(cost: int) -> int:
        starts.append(clock.now_ns)
        return cost

    for arrival, cost in zip(arrivals.tolist(), costs.tolist(), strict=True):
        clock.at(arrival, partial(server.submit, partial(cost_ns, cost), int), band=Band.MESSAGE)
    clock.run(int(arrivals[-1] + costs.sum()))
    return np.array(starts) - arrivals


def erlang_c_wait(load: float, servers: int) -> float:
    """The mean wait in an M/M/c queue, in ns."""
    offered = load * servers
    waiting = offered**servers / math.factorial(servers) / (1 - load)
    p_wait = waiting / (sum(offered**k / math.factorial(k) for k in range(servers)) + waiting)
    return p_wait * SERVICE_NS / (servers * (1 - load))


@pytest.mark.slow
@SINGLE_SERVERS
def test_waits_at_a_serial_server_are_those_of_pollaczek_and_khinchine(
    service: Delay, variability: float
) -> None:
    load, jobs, unsettled = 0.5, 8_000, 500
    means = []
    for replication in range(30):
        arrivals, costs = poisson_jobs(load, 1, service, jobs, replication)
        waits = waits_of_server(arrivals, costs)
        assert waits.tolist() == (kiefer_wolfowitz(arrivals, costs, 1)[0] - arrivals).tolist()
        means.append(waits[unsettled:].mean())
    assert_mean(np.array(means), variability * load / (1 - load) * SERVICE_NS)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
@SINGLE_SERVERS
def test_waits_of_one_server_as_arrays_are_those_of_pollaczek_and_khinchine(
    service: Delay, variability: float, load: float
) -> None:
    means = []
    for replication in range(40):
        arrivals, costs = poisson_jobs(load, 1, service, 62_000, replication)
        starts, _ = kiefer_wolfowitz(arrivals, costs, 1)
        means.append((starts - arrivals)[2_000:].mean())
    assert_mean(np.array(means), variability * load / (1 - load) * SERVICE_NS)


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "load"), [(2, 0.5), (4, 0.7), (8, 0.8)])
def test_waits_of_many_servers_are_those_of_erlang(servers: int, load: float) -> None:
    means = []
    for replication in range(40):
        arrivals, costs = poisson_jobs(load, servers, Exponential(SERVICE_NS), 160_000, replication)
        starts, _ = kiefer_wolfowitz(arrivals, costs, servers)
        means.append((starts - arrivals)[2_000:].mean())
    assert_mean(np.array(means), erlang_c_wait(load, servers))


def test_a_serial_server_is_busy_for_its_load() -> None:
    load, shares = 0.6, []
    for replication in range(20):
        arrivals, costs = poisson_jobs(load, 1, Exponential(SERVICE_NS), 1_500, replication)
        clock = Clock()
        server = SerialServer(clock)
        for arrival, cost in zip(arrivals.tolist(), costs.tolist(), strict=True):
            clock.at(arrival, partial(server.submit, cost, int), band=Band.MESSAGE)
        clock.run(int(arrivals[-1]))
        shares.append(server.busy_ns / clock.now_ns)
    assert_mean(np.array(shares), load)
