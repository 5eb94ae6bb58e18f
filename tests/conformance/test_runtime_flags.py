"""Runtime layers: flags flipped by file, RTDS and admin, and start-ups that wait for RTDS."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from simulator.scenario.build import build
from simulator.scenario.world import World

INSTANTS = (
    "t_rtds_initialized_ns",
    "t_cds_initialized_ns",
    "t_clusters_initialized_ns",
    "t_listeners_initialized_ns",
    "t_workers_started_ns",
    "t_ready_ns",
)
LAYERS = {
    "disk": {"name": "l", "disk_layer": {"symlink_root": "/srv/runtime", "sync_period": "60s"}},
    "rtds": {"name": "l", "rtds_layer": {"name": "rtds0"}},
    "admin": {"name": "l", "admin_layer": {}},
}
FLIP = {"runtime_flag": "checkout.v2", "value": "25%", "at": "30s"}


def scenario(
    *workload: dict[str, Any], layers: list[dict[str, Any]], proxies: int = 1, **more: Any
) -> xs.Scenario:
    network = more.pop("network", {})
    return xs.Scenario(
        name="case",
        duration=more.pop("duration", "2m"),
        mesh={"proxies": proxies},
        envoy={"preset": "envoy", "runtime_layers": layers, **more.pop("envoy", {})},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}, "runtime": {"count": 2}},
            **more,
        },
        workload=list(workload),
        network=network,
    )


def played(described: xs.Scenario) -> World:
    world = build(described, seed=1)
    world.run()
    return world


def start(**more: Any) -> Any:
    return xs.run(scenario(**more)).startups.iloc[0]


# --- flips


@pytest.mark.parametrize(
    ("kind", "shortest", "longest"),
    [("disk", 40.0, 60.01), ("rtds", 0.0, 0.01), ("admin", 1.0, 1.01)],
    ids=["disk", "rtds", "admin"],
)
def test_every_proxy_decides_by_a_flip_after_the_kubelets_sync_a_push_or_its_call(
    kind: str, shortest: float, longest: float
) -> None:
    """20 proxies: the last kubelet of 60 s comes late, 20 admin calls of 50 ms take a second."""
    result = xs.run(scenario(FLIP, layers=[LAYERS[kind]], proxies=20))
    rows = result.deliveries
    assert set(rows.outcome) == {"active"}
    slowest = float((rows.t_active_ns - rows.t_changed_ns).max()) / 1e9
    assert shortest < slowest < longest
    [change] = result.changes.itertuples()
    assert (change.kind, change.name) == ("RuntimeFlag", "checkout.v2")


@pytest.mark.parametrize("kind", LAYERS)
def test_a_flag_of_25_percent_is_on_for_a_quarter_of_all_random_numbers(kind: str) -> None:
    [server] = played(scenario(FLIP, layers=[LAYERS[kind]])).servers
    assert server.runtime.value("checkout.v2") == 0.25
    on = [server.runtime.feature_enabled("checkout.v2", 0.0, number) for number in range(0, 10**7, 1000)]
    assert sum(on) == 2_500  # the numbers go round a million ten times


def test_later_layers_win_and_a_flip_below_decides_nothing() -> None:
    base = {"name": "base", "static_layer": {"checkout.v2": 75}}
    [server] = played(scenario(FLIP, layers=[base, LAYERS["disk"]])).servers
    assert server.runtime.value("checkout.v2") == 0.25
    with pytest.raises(xs.ScenarioError, match="decides nothing: the static layer 'base' above"):
        scenario(FLIP, layers=[LAYERS["disk"], base])


def test_without_layers_a_flag_is_what_the_code_says_and_nobody_can_flip_it() -> None:
    [server] = played(scenario(layers=[])).servers
    assert server.runtime.value("checkout.v2") is None
    assert server.runtime.feature_enabled("checkout.v2", 1.0, 999_999)
    assert not server.runtime.feature_enabled("checkout.v2", 0.0, 0)
    with pytest.raises(xs.ScenarioError, match="null provider"):
        scenario(FLIP, layers=[])


@pytest.mark.parametrize(("kind", "kept"), [("disk", 0.25), ("rtds", 0.25), ("admin", None)])
def test_a_new_process_knows_flips_of_files_and_rtds_but_not_those_of_the_admin_endpoint(
    kind: str, kept: float | None
) -> None:
    restart = {"hot_restart": {"proxies": 1}, "at": "100s"}
    _, child = played(scenario(FLIP, restart, layers=[LAYERS[kind]])).servers
    assert child.runtime.value("checkout.v2") == kept


# --- start-up


@pytest.mark.parametrize("count", [1, 2])
def test_layers_never_answered_move_every_later_instant_by_15_s_however_many_there_are(count: int) -> None:
    """Without costs: otherwise the stream opens (2 ms) while RTDS is waited for, and CDS finds it open."""
    layers = [{"name": f"l{i}", "rtds_layer": {"name": f"rtds{i}"}} for i in range(count)]
    free: dict[str, Any] = {"envoy": {"costs": "zero"}, "network": {"latency": "0s"}}
    without, waiting = (
        start(layers=[], **free),
        start(layers=layers, answers={"rtds": {"never": True}}, **free),
    )
    moved = {int(waiting[instant] - without[instant]) for instant in INSTANTS}
    assert moved == {15 * 10**9}


def test_a_rejected_layer_releases_at_once() -> None:
    without = start(layers=[])
    rejected = start(layers=[LAYERS["rtds"]], answers={"rtds": {"reject": "decode"}})
    assert rejected.t_ready_ns - without.t_ready_ns < 50 * 10**6
    assert rejected.fetch_timeouts == "{}"


def test_a_refused_connection_does_not_release() -> None:
    row = start(layers=[LAYERS["rtds"]], connect="refuse")
    assert 15.0 <= (row.t_rtds_initialized_ns - row.t_primary_initialized_ns) / 1e9 < 15.01


def test_with_a_timeout_of_0_the_start_waits_for_ever() -> None:
    row = start(
        layers=[LAYERS["rtds"]],
        answers={"rtds": {"never": True}},
        envoy={"initial_fetch_timeout": {"rtds": "0s"}},
    )
    assert row.outcome == "initializing"
