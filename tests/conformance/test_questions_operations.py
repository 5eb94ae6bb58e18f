"""The checks behind questions 7 to 12: starts, storms, balance, protocols, scopes and capacity, in small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import simulator as xs

SCENARIOS = Path(__file__).parents[2] / "scenarios"
pytestmark = pytest.mark.slow


def small(name: str, **over: Any) -> xs.Scenario:
    return xs.load_scenario(SCENARIOS / f"{name}.yaml").with_(**{"expect": [], **over})


def held(result: xs.Result) -> dict[int, int]:
    """Replica -> connections that are open in the end."""
    steps = result.connections["event"].map({"opened": 1, "closed": -1, "turned_away": 0})
    return {
        int(str(replica)): int(n) for replica, n in steps.groupby(result.connections["replica"]).sum().items()
    }


def test_q07_no_listener_is_ready_before_the_clusters_and_no_worker_before_the_routes() -> None:
    over = {"mesh.services": 60, "mesh.proxies": 10, "workload.0.scale_up.pods": 10}
    result = xs.run(small("cold-start", **over))
    starts = result.startups
    assert len(starts) == 10
    assert (starts["t_cds_initialized_ns"] < starts["t_clusters_initialized_ns"]).all()
    assert (starts["t_clusters_initialized_ns"] < starts["t_listeners_initialized_ns"]).all()
    assert (starts["t_listeners_initialized_ns"] <= starts["t_workers_started_ns"]).all()
    assert (starts["t_workers_started_ns"] <= starts["t_ready_ns"]).all()
    states, messages = result.states, result.messages
    for row in starts.itertuples():
        mine = states[states["proxy_id"] == row.proxy_id]
        live = mine[mine["state"] == "ACTIVE"]
        clusters_ns = live[live["machine"] == "cluster"].groupby("name")["t_ns"].min().max()
        listeners_ns = live[live["machine"] == "listener"]["t_ns"].min()
        told = messages[(messages["proxy_id"] == row.proxy_id) & (messages["direction"] == "response")]
        routes_ns = told[told["type"] == "rds"]["t_ns"].min()
        assert clusters_ns < told[told["type"] == "lds"]["t_ns"].min() < routes_ns < listeners_ns


@pytest.mark.parametrize("limit", [10, 25])
def test_q08_nobody_is_lost_and_the_limit_caps_the_rate_of_new_streams(limit: int) -> None:
    over = {"mesh.proxies": 120, "control_plane.max_requests_per_second": limit}
    result = xs.run(small("reconnect-storm", **over))
    assert held(result) == {0: 0, 1: 120}
    assert (result.deliveries["outcome"] == "active").all()
    opened = result.connections.query("event == 'opened' and t_ns > 0")["t_ns"].to_numpy()
    assert len(opened) > 40
    for window_s in (1, 3):
        # One token may be left over; the review, some ms, moves a few streams over the edge of the window.
        most = max(int(((opened >= at) & (opened < at + window_s * 1e9)).sum()) for at in opened)
        assert most <= limit * window_s + 3


def test_q08_without_the_limit_the_storm_is_over_at_once() -> None:
    over = {"mesh.proxies": 120, "control_plane.max_requests_per_second": "none"}
    result = xs.run(small("reconnect-storm", **over))
    assert (result.connections["event"] != "turned_away").all()
    assert (result.deliveries["outcome"] == "active").all()
    assert result.summary().loc["active_delay", "max"] < 3.0


def test_q09_without_a_maximum_age_shares_stay_as_they_were() -> None:
    over = {"mesh.proxies": 60, "control_plane.max_connection_age": "none"}
    result = xs.run(small("new-replica", **over))
    assert (result.connections["t_ns"] == 0).all()
    assert sum(held(result).values()) == 60
    assert list(held(result)) == [0, 1]


def test_q10_a_full_replacement_costs_delta_what_it_costs_the_state_of_the_world() -> None:
    over = {
        "mesh.proxies": 10,
        "mesh.services": 50,
        "workload": [{"edit": "MeshConfig", "at": ["1s", "6s"]}],
        "duration": "12s",
    }
    sent = {}
    for protocol in ("delta", "sotw"):
        result = xs.run(small("delta-vs-sotw", **over, **{"propagation.protocol": protocol}))
        responses = result.messages[result.messages["direction"] == "response"]
        sent[protocol] = responses.groupby("type")["bytes"].sum().to_dict()
    assert sent["delta"].keys() == sent["sotw"].keys()
    for type_, size in sent["sotw"].items():
        assert sent["delta"][type_] == pytest.approx(size, rel=0.01)


def test_q10_one_changed_cluster_costs_delta_a_small_part_of_all() -> None:
    over = {"mesh.proxies": 10, "mesh.services": 50, "workload": [{"edit": "DestinationRule", "at": "1s"}]}
    cds = {}
    for protocol in ("delta", "sotw"):
        result = xs.run(
            small("delta-vs-sotw", **over, **{"propagation.protocol": protocol, "duration": "5s"})
        )
        cds[protocol] = int(result.messages.query("direction == 'response' and type == 'cds'")["bytes"].sum())
    assert 0 < cds["delta"] < cds["sotw"] / 5


def test_q11_a_scope_of_all_services_is_no_scope_bit_for_bit() -> None:
    over = {"mesh.proxies": 12, "mesh.services": 40, "duration": "12s"}
    full, none = (xs.run(small("sidecar-scope", **over, **{"mesh.scope": s})) for s in ("100%", "all"))
    assert full.digest == none.digest
    for table, rows in full.tables.items():
        assert rows.equals(none.tables[table]), table


def test_q12_the_size_found_passes_the_next_smaller_fails_and_more_cores_are_never_slower() -> None:
    over = {"mesh.proxies": 60, "duration": "8s", "warm_up": "2s"}
    over |= {"workload.0.until": "7s", "workload.1.until": "7s"}
    goal = "p99(active_delay) < 600ms"
    scenario = small("capacity", **over)
    found = xs.search(scenario, "control_plane.cpu", "1..3", goal, replications=2, executor="serial")
    assert found.is_monotone
    assert found.value is not None
    assert found.below is not None
    assert int(found.value) == int(found.below) + 1
    delays = [probe.estimate.value for probe in found.probes if probe.estimate is not None]
    assert delays == sorted(delays, reverse=True)
    for cores, passes in ((found.value, True), (found.below, False)):
        runs = [
            xs.run(scenario.with_(**{"control_plane.cpu": cores, "expect": [goal]}), replication=number)
            for number in range(2)
        ]
        assert all(run.met for run in runs) is passes
