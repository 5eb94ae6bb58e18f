"""The arrays against the event engine: ratios are asserted, times are printed (`fleet_table`)."""

from __future__ import annotations

import pytest

from tests.benchmarks.fleet_table import measure, one_change

pytestmark = pytest.mark.benchmark


def test_one_change_to_two_thousand_proxies_takes_a_twentieth_of_the_time() -> None:
    """Measured: 1/78 of the processor time at 2000, less at more; a twentieth leaves room for a busy
    machine."""
    scenario = one_change(2000)
    measure(scenario, "fleet")
    arrays, events = measure(scenario, "fleet"), measure(scenario, "events")
    print(f"events {events.play:.2f} s, arrays {arrays.play:.2f} s, 1/{events.play / arrays.play:.0f}")
    assert arrays.digest == events.digest
    assert events.play >= 20 * arrays.play


def test_time_grows_with_the_proxies_and_no_faster() -> None:
    """From 30,000 to 120,000 rows; the compiled kernel where numba is there. Twice linear leaves room for
    caches."""
    pytest.importorskip("numba")
    measure(one_change(20_001), "fleet")
    few, many = measure(one_change(30_000), "fleet"), measure(one_change(120_000), "fleet")
    print(f"30,000: {few.play:.2f} s, 120,000: {many.play:.2f} s")
    assert many.play <= 8 * few.play
