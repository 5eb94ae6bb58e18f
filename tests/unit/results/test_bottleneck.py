"""Each bottleneck is planted in a small mesh, and named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import simulator as xs
from simulator.results.bottleneck import owner_of

EDITS = [{"edit": "VirtualService", "every": "1s", "from": "1s", "until": "6s"}]
BURST = [{"endpoints": "any", "bursts": {"size": 30, "spacing": "20ms", "at": "1s"}}]
CHURN = [{"edit": "VirtualService", "every": "500ms", "from": "1s", "until": "5s"}]

PLANTED: dict[str, dict[str, Any]] = {
    "watch": {"control_plane": {"costs": {"watch_delay": "2s"}}},
    "registry queue": {"control_plane": {"costs": {"registry_task": "400ms"}}, "workload": BURST},
    "debounce": {"control_plane": {"debounce": {"after": "2s"}}},
    "PushContext": {"control_plane": {"costs": {"push_context": "800ms"}}},
    "push queue": {
        "proxies": 20,
        "control_plane": {"cpu": 64, "push_throttle": 1, "costs": {"generate": "20ms"}},
    },
    "generation": {
        "proxies": 20,
        "control_plane": {"cpu": 1, "push_throttle": 100, "costs": {"generate": "20ms"}},
    },
    "network": {"network": {"latency": "1s"}},
    "main thread": {"envoy": {"costs": {"rds": "600ms"}}, "workload": CHURN},
    "poll interval": {"propagation": {"strategy": "poll", "refresh_delay": "3s"}},
    "poll queue": {
        "proxies": 20,
        "propagation": {
            "strategy": "poll",
            "refresh_delay": "200ms",
            "request_timeout": "20s",
            "server": {"concurrency": 1, "service_time": "50ms"},
        },
    },
    "kubelet sync": {"propagation": {"strategy": "file", "sync_period": "10s"}},
}


def planted(name: str, **more: Any) -> xs.Scenario:
    """The mesh in which one stage is far slower than all others."""
    given = dict(PLANTED[name])
    proxies = given.pop("proxies", 3)
    given["control_plane"] = {"kind": "istiod", **given.get("control_plane", {})}
    return xs.Scenario(
        **{"duration": "60s", "mesh": {"proxies": proxies, "services": 3}, "workload": EDITS, **given, **more}
    )


def warming(**more: Any) -> xs.Scenario:
    """A cluster changes, and its endpoints do not come."""
    return xs.Scenario(
        duration="40s",
        mesh={"proxies": 1},
        envoy={"preset": "envoy", "initial_fetch_timeout": "30s", "eds_cache": False},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 1, "type": "eds"}},
            "answers": {"eds": [{}, {"never": True}]},
            "pushes": [{"at": "5s", "type": "cds", "change": ["c0"]}],
        },
        **more,
    )


@pytest.mark.parametrize("name", PLANTED)
def test_the_slow_stage_is_the_bottleneck(name: str) -> None:
    others = [other for other in PLANTED if other != name]
    result = xs.run(planted(name, expect=[f'bottleneck == "{name}"', f'bottleneck == "{others[0]}"']), seed=1)
    held, refuted = result.expectations
    assert held.met, held.actual
    assert not refuted.met
    assert refuted.actual.startswith(name)
    tail = result.bottlenecks[-1]
    assert tail.at == "p99"
    assert tail.stage == name
    assert tail.share == max(tail.shares.values())
    assert math.isclose(math.fsum(tail.shares.values()), 1)


def test_warming_is_the_bottleneck_where_endpoints_do_not_come() -> None:
    result = xs.run(warming(expect=["bottleneck == warming"]))
    assert result.met, result.expectations
    assert math.isclose(result.bottlenecks[-1].took, 30, rel_tol=0.01)  # until the fetch times out


def test_a_station_tells_how_busy_it_was() -> None:
    result = xs.run(planted("registry queue"), seed=1)
    busy = result.bottlenecks[-1].utilisation
    assert busy is not None
    tasks = busy * 60 / 0.4  # of 400 ms in a minute
    assert math.isclose(tasks, round(tasks))
    assert 20 <= tasks <= 30  # some of the 30 changes came in one event
    assert xs.run(planted("watch"), seed=1).bottlenecks[-1].utilisation is None


def test_median_and_tail_may_have_different_owners() -> None:
    """One change in ten meets a slow registry; the others wait for the debounce."""
    workload = [
        {"edit": "VirtualService", "every": "1s", "from": "1s", "until": "40s"},
        {"endpoints": "s0", "at": "45s"},
    ]
    result = xs.run(
        planted(
            "registry queue",
            workload=workload,
            expect=[
                "bottleneck, at=p50 == debounce",
                'bottleneck == "registry queue"',
                "bottleneck, kind=VirtualService == debounce",
            ],
        ),
        seed=1,
    )
    assert result.met, result.expectations


@pytest.mark.parametrize("proxies", [1, 2, 3, 10])
def test_the_delay_whose_owner_is_told_is_the_percentile_of_the_summary(proxies: int) -> None:
    """Also of two deliveries, between which p50 lies."""
    workload = [{"edit": "VirtualService", "at": "5s"}]
    scenario = planted("network", workload=workload, mesh={"proxies": proxies, "services": 3})
    scenario = scenario.with_(**{"network.latency": {"exponential": {"mean": "1s"}}})
    result = xs.run(scenario, seed=1)
    line = result.summary().loc["active_delay"]
    assert line["n"] == proxies
    assert {owner.at: owner.delay for owner in result.bottlenecks} == {"p50": line["p50"], "p99": line["p99"]}


def test_where_half_of_two_deliveries_never_comes_the_owner_is_what_that_one_waits_for() -> None:
    workload = [
        {"edit": "VirtualService", "at": "5s"},
        {"partition": {"proxies": ["p1"]}, "at": "1s", "lasts": "50s"},
    ]
    scenario = planted("debounce", workload=workload, mesh={"proxies": 2, "services": 3}, duration="20s")
    result = xs.run(scenario, seed=1)
    assert sorted(result.deliveries["outcome"]) == ["active", "pending"]
    median = result.bottlenecks[0]
    assert math.isinf(median.delay)
    assert math.isinf(result.summary().loc["active_delay", "p50"])
    assert median.stage != "debounce"


def test_a_change_that_envoy_rejects_is_owned_by_that() -> None:
    workload = [{"edit": "EnvoyFilter", "at": "5s", "rejected_by_envoy": True}]
    result = xs.run(planted("watch", workload=workload), seed=1)
    assert result.bottlenecks[-1].stage == "rejected"
    assert math.isinf(result.bottlenecks[-1].delay)


def test_without_changes_there_is_no_bottleneck() -> None:
    result = xs.run(planted("watch", workload=[], expect=["bottleneck == watch"]), seed=1)
    assert result.bottlenecks == []
    assert [(outcome.met, outcome.actual) for outcome in result.expectations] == [(False, "no rows")]


def test_bottlenecks_survive_writing_and_forgotten_deliveries(tmp_path: Path) -> None:
    kept = xs.run(planted("debounce"), seed=1)
    less = xs.run(planted("debounce", recording={"deliveries": False}), seed=1)
    assert len(less.deliveries) == 0
    assert less.bottlenecks == kept.bottlenecks == [owner_of(kept, at) for at in ("p50", "p99")]
    less.save(tmp_path / "out")
    assert xs.Result.load(tmp_path / "out").bottlenecks == kept.bottlenecks


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('bottleneck == "registery queue"', "registry queue"),
        ("bottleneck > 3", "no bottleneck"),
        ("p99(bottleneck) == watch", "without p99"),
        ("bottleneck, at=mean == watch", "at=p50"),
        ("bottleneck < watch", "order"),
    ],
)
def test_what_no_run_could_meet_is_refused(line: str, told: str) -> None:
    with pytest.raises(xs.ScenarioError, match=told):
        planted("watch", expect=[line])
