"""Twenty Envoys on a machine of two cores wait for each other; without `lab.cores` each has its own."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as xs

SMALL_ROUTE_MS = 0.6905
"""A small RDS update of the shipped calibration: 680 us and one virtual host."""


def applied_ms(cores: int | None, envoys: int = 20) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    scenario = xs.Scenario(
        name="fleet",
        duration="5s",
        mesh={"proxies": envoys},
        lab={} if cores is None else {"cores": cores},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}},
            "pushes": [{"at": "2s", "type": "rds", "change": ["r0"]}],
        },
    )
    deliveries = xs.run(scenario).deliveries
    return np.sort((deliveries.t_applied_ns - deliveries.t_changed_ns).to_numpy(float) / 1e6)


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_a_push_to_all_is_applied_core_by_core(cores: int) -> None:
    turns = np.sort(np.array([1 + at // cores for at in range(20)]))

    assert applied_ms(cores) == pytest.approx(0.25 + SMALL_ROUTE_MS * turns)


def test_with_a_core_each_all_apply_it_at_once() -> None:
    assert applied_ms(None) == pytest.approx(np.full(20, 0.25 + SMALL_ROUTE_MS))
    assert applied_ms(20) == pytest.approx(applied_ms(None))


def test_construction_takes_the_cores_in_turns() -> None:
    fleet = xs.Scenario(name="fleet", duration="5s", mesh={"proxies": 20}, lab={"cores": 2})
    started = xs.run(fleet).startups.t_bootstrapped_ns.to_numpy() / 1e6

    # 47 + 15 ms each, ten in a row on each core; what follows construction comes between.
    assert started.min() == pytest.approx(62.0)
    assert 620.0 <= started.max() < 700.0
