"""Delays of a real fleet and of real polling are distributed as simulated ones."""

from __future__ import annotations

import numpy as np

import simulator as xs
from simulator.lab.distributions import TwoWorlds, compared


def small(**sections: object) -> xs.Scenario:
    resources = {"clusters": {"count": 1}, "listeners": {"count": 1}}
    pushes = sections.pop("pushes")
    given = {"kind": "scripted", "resources": resources, "pushes": pushes}
    return xs.Scenario(name="small", control_plane=given, **sections)


def by_what(found: list[TwoWorlds]) -> dict[str, TwoWorlds]:
    return {one.what: one for one in found}


def test_a_fleet_comes_back_within_the_first_back_off() -> None:
    storms = [{"at": "1s", "close": True}, {"at": "2500ms", "type": "rds", "change": ["r0"]}]
    scenario = small(duration="4s", mesh={"proxies": 10}, lab={"cores": 2}, pushes=storms)

    found = by_what(compared(scenario))

    back = found["stream end to reconnect"]
    assert len(back.measured_ns) == 10
    # U(0, 500 ms), and what ten Envoys need of a busy machine.
    assert back.measured_ns.max() < 1e9
    assert back.distance.p > 1e-3
    assert len(found["first to each Envoy's apply"].measured_ns) == 10


def test_polling_is_as_slow_as_simulated() -> None:
    changes = [{"at": f"{1000 + 350 * k}ms", "type": "rds", "change": ["r0"]} for k in range(15)]
    scenario = small(
        duration="7s", propagation={"strategy": "poll", "refresh_delay": "150ms"}, pushes=changes
    )

    # As in verify: a busy machine may spoil a play, so a difference must show in each of three.
    for _ in range(3):
        (polled,) = compared(scenario)
        assert polled.distance.n == (150, 15)
        assert np.median(polled.measured_ns) > 20e6
        if polled.distance.p > 1e-3:
            break
    else:
        raise AssertionError(f"{polled.distance}: {np.sort(polled.measured_ns) / 1e6} ms")
