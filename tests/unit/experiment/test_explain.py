"""A bottleneck is planted, and the knob that moves it is found, by how much, and with what confidence."""

from __future__ import annotations

import math
from typing import Any

import pytest

import simulator as xs
from simulator.experiment.knobs import KEYS, turn
from simulator.recording.bottlenecks import KNOBS, NAMES
from tests.unit.results.test_bottleneck import PLANTED, planted, warming

DIRECT = {
    "watch": "control_plane.costs.watch_delay",
    "registry queue": "control_plane.costs.registry_task",
    "debounce": "control_plane.debounce.after",
    "PushContext": "control_plane.costs.push_context",
    "push queue": "control_plane.push_throttle",
    "generation": "control_plane.cpu",
    "network": "network.latency",
    "main thread": "envoy.costs",
    "poll interval": "propagation.refresh_delay",
    "poll queue": "propagation.server.service_time",
    "kubelet sync": "propagation.sync_period",
}
"""Planted bottleneck -> the knob that it was planted with, or that lets it go."""


def explained(name: str, **options: Any) -> xs.Explanation:
    return xs.explain(planted(name), replications=3, seed=1, executor="serial", **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_the_knob_of_a_planted_bottleneck_moves_it(name: str) -> None:
    explanation = explained(name)
    assert explanation.owners[-1].stage == name
    table = explanation.table()
    assert table["p99_change"].is_monotonic_increasing
    direct = table.loc[DIRECT[name]]
    assert direct["p99_moves"]
    assert direct["p99_change"] < 0
    # Most of the delay is planted, so half of its cause takes a quarter of it or more.
    base = explanation.comparison.estimate("as it is", "active_delay", "p99").value
    assert direct["p99"] < 0.75 * base
    assert math.isclose(direct["p99"] - base, direct["p99_change"], rel_tol=1e-9)


def test_a_knob_of_something_else_moves_nothing_and_says_so() -> None:
    apart = planted("debounce", workload=[{"edit": "VirtualService", "at": ["1s", "20s"]}])
    knobs = ["control_plane.debounce.max", "control_plane.debounce.after"]
    explanation = xs.explain(apart, knobs, replications=3, executor="serial")
    table = explanation.table()
    assert table["p99_moves"].to_dict() == {
        "control_plane.debounce.after": True,
        "control_plane.debounce.max": False,
    }
    assert table.loc["control_plane.debounce.after", ["before", "after"]].tolist() == ["2s", "1s"]
    # The changes do not come together, and one by itself waits exactly half as long.
    assert math.isclose(table.loc["control_plane.debounce.after", "p50_change"], -1, rel_tol=0.01)
    assert explanation.comparison.variants[0] == "as it is"


def test_the_owner_after_the_turn_is_told() -> None:
    """Half of what a registry task costs lets the debounce come forward."""
    scenario = planted("registry queue", workload=[{"endpoints": "s0", "at": "1s"}])
    costs = {"control_plane.costs.registry_task": "150ms"}
    explanation = xs.explain(
        scenario.with_(**costs), ["control_plane.costs.registry_task"], replications=2, executor="serial"
    )
    assert explanation.owners[-1].stage == "registry queue"
    assert explanation.table()["p99_bottleneck"].tolist() == ["debounce"]


def test_without_changes_there_is_nothing_to_explain() -> None:
    with pytest.raises(xs.ExperimentError, match="no delay to explain"):
        xs.explain(planted("watch", workload=[]), executor="serial")


def test_a_key_that_is_no_knob_is_refused_before_anything_is_played() -> None:
    with pytest.raises(xs.ExperimentError, match=r"mesh\.proxies is no knob"):
        xs.explain(planted("watch"), ["mesh.proxies"], executor="serial")


def test_where_no_knob_moves_the_owner_that_is_said() -> None:
    workload = [{"edit": "EnvoyFilter", "at": "5s", "rejected_by_envoy": True}]
    with pytest.raises(xs.ExperimentError, match=r"no knob of this scenario moves .*: rejected"):
        xs.explain(planted("watch", workload=workload), executor="serial")


def test_every_knob_of_a_bottleneck_is_one_that_can_be_turned() -> None:
    rich = planted(
        "watch",
        network={"latency": "1ms", "bandwidth": "1M"},
        propagation={"strategy": "poll", "server": {"service_time": "2ms"}},
    )
    polled = {"initial_fetch_timeout": "2s", "preset": "envoy"}
    for key in KEYS:
        scenario = rich.with_(envoy=polled) if key.startswith("envoy") else rich
        turned = turn(scenario, key)
        assert turned is not None, key
        assert turned[0].before != turned[0].after
        assert turned[1] != scenario
    assert set(KNOBS) <= set(NAMES)


@pytest.mark.parametrize(
    ("keys", "knob", "before", "after"),
    [
        ({}, "control_plane.cpu", "2", "4"),
        ({"control_plane.cpu": "500m"}, "control_plane.cpu", "0.5", "1"),
        ({}, "control_plane.push_throttle", "auto (25)", "50"),
        ({"control_plane.push_throttle": 7}, "control_plane.push_throttle", "7", "14"),
        ({}, "mesh.scope", "all", "50%"),
        ({"mesh.scope": {"services": 3}}, "mesh.scope", "{services: 3}", "{services: 1}"),
        (
            {"network.latency": {"exponential": {"mean": "5ms"}}},
            "network.latency",
            "{exponential: {mean: 5ms}}",
            "{exponential: {mean: 2.5ms}}",
        ),
        ({}, "envoy.costs", "as calibrated", "half of it"),
    ],
)
def test_a_turn_halves_times_and_doubles_capacities(
    keys: dict[str, Any], knob: str, before: str, after: str
) -> None:
    found = turn(planted("debounce").with_(**keys), knob)
    assert found is not None
    assert (found[0].before, found[0].after) == (before, after)


def test_what_is_not_there_cannot_be_turned() -> None:
    scenario = planted("debounce")
    assert turn(scenario, "network.bandwidth") is None  # not limited
    assert turn(scenario, "propagation.server.service_time") is None  # follows from what answers cost
    assert turn(scenario.with_(**{"mesh.scope": {"namespaces": "own"}}), "mesh.scope") is None
    assert turn(scenario.with_(**{"control_plane.costs": "zero"}), "control_plane.costs.push_context") is None
    assert turn(warming(), "control_plane.cpu") is None  # nothing that a scripted control plane has
