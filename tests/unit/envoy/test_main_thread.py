"""One thread does one thing after another, and stops for its statistics every flush interval."""

from __future__ import annotations

import pytest

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.main_thread import Costs, MainThread


def main_thread(clock: Clock, per_cluster_ns: int = 0, clusters: int = 0) -> MainThread:
    costs = Costs({"stats_flush_per_cluster": Constant(per_cluster_ns)}, Draws(1), 0, clock)
    thread = MainThread(clock, 0, costs, 5 * S, lambda: clusters)
    thread.start_flush_timer()
    return thread


def test_jobs_wait_for_one_another_p1(clock: Clock) -> None:
    thread, done = main_thread(clock), []
    for cost_ns in (500 * MS, 1 * MS):
        thread.submit(cost_ns, lambda: done.append(clock.now_ns // MS))
    clock.run(10 * S)
    assert done == [500, 501]


@pytest.mark.parametrize(
    ("arrives_ms", "done_ms"),
    [(4999, 5000), (5000, 5016), (5010, 5016), (5015, 5016), (5016, 5017), (9000, 9001), (10001, 10016)],
)
def test_a_job_that_meets_the_flush_waits_for_its_end_p2(clock: Clock, arrives_ms: int, done_ms: int) -> None:
    """A thousand clusters of 15 us each: the thread stops for 15 ms at 5 s, 10 s, ..."""
    thread, done = main_thread(clock, per_cluster_ns=15_000, clusters=1000), []
    clock.at(arrives_ms * MS, lambda: thread.submit(1 * MS, lambda: done.append(clock.now_ns // MS)))
    clock.run(20 * S)
    assert done == [done_ms]


def test_flushes_cost_no_event(clock: Clock) -> None:
    thread = main_thread(clock, per_cluster_ns=15_000, clusters=1000)
    clock.run(100 * S)
    assert clock.events == 0
    thread.submit(0, lambda: None)
    clock.run(101 * S)
    assert clock.events == 1


def test_a_drawn_cost_differs_from_job_to_job_and_not_from_run_to_run() -> None:
    def costs(proxy: int = 0) -> list[int]:
        thread = Costs({"health_check": Uniform(0, 1000), "sds": Uniform(0, 1000)}, Draws(5), proxy, Clock())
        return [thread.ns("health_check") for _ in range(10)] + [thread.ns("sds")]

    assert costs() == costs()
    assert costs() != costs(proxy=1)
    assert len(set(costs())) > 5


def test_a_formula_needs_counts_and_a_law_none() -> None:
    costs = Costs({"rds": {"fixed": 7, "per": 2}, "sds": Constant(3)}, Draws(1), 0, Clock())
    assert costs.ns("rds", lambda c: c["fixed"] + 10 * c["per"]) == 27
    assert costs.ns("sds") == 3
    with pytest.raises(AssertionError, match="needs counts"):
        costs.ns("rds")
    with pytest.raises(AssertionError, match="is a formula"):
        costs.law("rds")
