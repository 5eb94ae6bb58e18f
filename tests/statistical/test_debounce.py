"""Events of a Poisson process wait (e^(La) - 1)/L for their push: the mean time to the first gap of length a.

Events of one batch are dependent, batches are not: with the maximum out of reach and a push that takes no
time, each batch begins with an event that finds the debounce idle. So the unit of evidence is the batch.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from simulator.control_plane.istiod.debounce import Debounce, DebounceSettings
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.clock import MS, S
from simulator.engine.delays import Exponential
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from tests.statistical.evidence import LEVEL

AFTER_NS = 100 * MS

BUDGET = 0.01
"""Chance that any of the tests of this kind fails by bad luck: a hundred of them at LEVEL share it."""


def batches(per_second: float, events: int) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the delays of each batch, in ns, and the number of its events."""
    draws = Draws(7_031)
    gaps = Exponential(S / per_second).ns_array(draws.uniform_array("gap", 0, np.arange(events)))
    clock, request = Clock(), PushRequest()
    waiting: list[int] = []
    delays: list[int] = []
    sizes: list[int] = []

    def push(_request: PushRequest, _first_ns: int, events: int) -> None:
        delays.append(sum(clock.now_ns - t_ns for t_ns in waiting))
        sizes.append(events)
        assert len(waiting) == events
        waiting.clear()
        debounce.on_push_finished()

    def arrive() -> None:
        waiting.append(clock.now_ns)
        debounce.on_event(request)

    debounce = Debounce(clock, DebounceSettings(AFTER_NS, 10**9 * S), push, push_endpoints=lambda _: None)
    for t_ns in np.cumsum(gaps).tolist():
        clock.at(t_ns, arrive, band=Band.WORKLOAD)
    clock.run(int(gaps.sum()) + 2 * AFTER_NS)
    return np.array(delays, np.float64), np.array(sizes, np.float64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_second", "events"), [(2.0, 20_000), (10.0, 40_000), (25.0, 150_000)], ids=["2/s", "10/s", "25/s"]
)
def test_events_of_a_poisson_process_wait_for_the_first_gap(per_second: float, events: int) -> None:
    assert 100 * LEVEL <= BUDGET
    delays, sizes = batches(per_second, events)
    assert sizes.sum() == events
    expected_ns = math.expm1(per_second * AFTER_NS / S) / per_second * S
    # If the mean delay is as expected, what batches have beyond it is 0 on average (ratio estimator).
    beyond = delays - expected_ns * sizes
    standard_error = float(beyond.std(ddof=1)) / math.sqrt(len(beyond))
    limit = float(stdtrit(len(beyond) - 1, 1 - LEVEL / 2))
    assert abs(float(beyond.mean())) < limit * standard_error
    half_width_ns = limit * standard_error / float(sizes.mean())
    assert half_width_ns < 0.05 * expected_ns, "too few batches to tell anything"
