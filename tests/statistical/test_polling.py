"""Polling by chance: how long a change waits for the next poll, how much load polls are, and who waits where.

Some fifteen judgements at one in ten thousand each: all of them together fail a sound model less often than
once in six hundred seeds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Exponential, Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.engine.servers import kiefer_wolfowitz
from simulator.propagation.http_loop import RestNetwork
from simulator.propagation.http_server import Slots
from simulator.xds.resource_types import EDS
from tests.conformance.strategies import SERVICES, SYNC_PERIOD_NS, World
from tests.statistical.evidence import assert_mean, assert_uniform
from tests.statistical.test_queues import SERVICE_NS, erlang_c_wait, poisson_jobs

N = 50_000
PROXIES = 100


def residual_cdf(low: float, high: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The law of what is left of U[low, high) at a random instant: its density is P(U > x) / mean."""

    def cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, above = (low + high) / 2, np.clip(x, low, high)
        area = np.minimum(x, low) + ((high - low) ** 2 - (high - above) ** 2) / (2 * (high - low))
        return np.asarray(area / mean)

    return cdf


def polling(refresh_ns: int, latency_ns: int) -> World:
    """Proxies that have been polling since long before t = 0."""
    return World(
        "poll",
        proxies=PROXIES,
        start_ns=-1,
        refresh_ns=refresh_ns,
        network=RestNetwork(Constant(latency_ns)),
    )


def polls_of_each_loop(world: World) -> list[list[int]]:
    """When each endpoint subscription polled."""
    polls: dict[tuple[int, str], list[int]] = {}
    for row in world.recorder.message_rows:
        if (row[4], row[5]) == ("request", "eds"):
            polls.setdefault((row[1], next(iter(row[9]))), []).append(row[0])
    return list(polls.values())


# --- the law


def test_what_is_left_of_a_wait_follows_the_residual_life_law() -> None:
    left = Uniform(S, 2 * S).residual_ns_array(Draws(11).uniform_array("residual", np.arange(N))) / S
    assert_uniform(residual_cdf(1, 2)(left))
    assert_mean(left, 7 / 9)
    assert np.quantile(left, 0.5) == pytest.approx(0.75, abs=0.02)
    assert np.quantile(left, 0.9) == pytest.approx(1.45, abs=0.02)
    assert 1.95 < left.max() < 2


def test_it_is_what_is_left_of_waits_that_follow_each_other() -> None:
    """Not by formula: a hundred thousand renewals, looked at in random instants far apart."""
    draws = Draws(12)
    polls = np.cumsum(Uniform(S, 2 * S).ns_array(draws.uniform_array("wait", 0, np.arange(100_000))))
    instants = np.cumsum(Uniform(20 * S, 40 * S).ns_array(draws.uniform_array("look", 0, np.arange(4_900))))
    left = (polls[np.searchsorted(polls, instants)] - instants) / S
    assert_uniform(residual_cdf(1, 2)(left))


@pytest.mark.slow
@pytest.mark.parametrize("refresh_ns", [1 * S, 10 * S])
def test_a_change_at_a_random_instant_waits_for_the_rest_of_the_interval(refresh_ns: int) -> None:
    world = polling(refresh_ns, latency_ns=0)
    world.run(140 * refresh_ns)
    draws, waits = Draws(13), []
    for loop, polls in enumerate(polls_of_each_loop(world)):
        for look in range(10):
            t_ns = int((13 * look + 10 * draws.uniform("look", loop, look)) * refresh_ns)
            waits.append((polls[bisect_right(polls, t_ns)] - t_ns) / refresh_ns)
    assert len(waits) == 10 * PROXIES * len(SERVICES)
    assert_uniform(residual_cdf(1, 2)(np.array(waits)))
    assert_mean(np.array(waits), 7 / 9)
    assert max(waits) <= 2


def test_the_first_poll_after_the_start_is_as_far_away_as_any() -> None:
    world = polling(10 * S, latency_ns=0)
    world.run(20 * S)
    firsts = np.array([polls[0] for polls in polls_of_each_loop(world)]) / (10 * S)
    assert len(firsts) == PROXIES * len(SERVICES)
    assert_uniform(residual_cdf(1, 2)(firsts))


@pytest.mark.slow
@pytest.mark.parametrize("start_ns", [-1, 0])
def test_a_change_waits_for_a_kubelet_the_rest_of_its_period(start_ns: int) -> None:
    """In phase with nothing: long after the start a pod that was new then is like any other."""
    world = World("file", proxies=400, start_ns=start_ns)
    at_ns = 200 * SYNC_PERIOD_NS
    world.change(at_ns, EDS, "c0")
    world.run(at_ns + 2 * SYNC_PERIOD_NS)
    waits = np.array([s.t_ns - 100_000 - at_ns for s in world.seen if s.revision == 2]) / SYNC_PERIOD_NS
    assert len(waits) == 400
    assert_uniform(residual_cdf(1, 1.5)(waits))


# --- the load


@pytest.mark.slow
@pytest.mark.parametrize(("refresh_ns", "latency_ns"), [(1 * S, 0), (1 * S, 200 * MS), (5 * S, 50 * MS)])
def test_each_subscription_is_a_load_of_one_poll_per_one_and_a_half_delays_and_an_answer(
    refresh_ns: int, latency_ns: int
) -> None:
    horizon_ns = 150 * refresh_ns
    world = polling(refresh_ns, latency_ns)
    world.run(horizon_ns)
    counts = np.array([len(polls) for polls in polls_of_each_loop(world)], np.float64)
    # Whole ms below the random part of the delay: half a ms less on average. Answering takes 0.1 ms.
    cycle_ns = 1.5 * refresh_ns - MS / 2 + 2 * latency_ns + 100_000
    # The first interval is stationary but for its answer: what that is missing is a part of one poll.
    expected = horizon_ns / cycle_ns
    assert_mean(counts, expected)


# --- the server


def waits_at_slots(arrivals: NDArray[np.int64], costs: NDArray[np.int64], servers: int) -> NDArray[np.int64]:
    """The wait of each job, event by event."""
    clock = Clock()
    slots, starts = Slots(clock, servers), []

    def serve(cost_ns: int) -> int:
        starts.append(clock.now_ns)
        return cost_ns

    for arrival, cost in zip(arrivals.tolist(), costs.tolist(), strict=True):
        clock.at(arrival, partial(slots.submit, partial(serve, cost)), band=Band.MESSAGE)
    clock.run(int(arrivals[-1] + costs.sum()))
    return np.array(starts) - arrivals


@pytest.mark.slow
def test_polls_at_one_slot_wait_as_pollaczek_and_khinchine_say() -> None:
    load, jobs, unsettled = 0.5, 8_000, 500
    means = []
    for replication in range(30):
        arrivals, costs = poisson_jobs(load, 1, Constant(SERVICE_NS), jobs, replication)
        means.append(waits_at_slots(arrivals, costs, 1)[unsettled:].mean())
    assert_mean(np.array(means), load / (2 * (1 - load)) * SERVICE_NS)


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "load"), [(2, 0.5), (4, 0.7)])
def test_polls_at_several_slots_wait_as_erlang_says(servers: int, load: float) -> None:
    means = []
    for replication in range(40):
        arrivals, costs = poisson_jobs(load, servers, Exponential(SERVICE_NS), 160_000, replication)
        waits = kiefer_wolfowitz(arrivals, costs, servers)[0] - arrivals
        if replication == 0:
            # Event by event they are the same numbers, so the rest is left to the faster form.
            part = slice(0, 20_000)
            assert waits_at_slots(arrivals[part], costs[part], servers).tolist() == waits[part].tolist()
        means.append(waits[2_000:].mean())
    assert_mean(np.array(means), erlang_c_wait(load, servers))
