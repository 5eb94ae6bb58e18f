"""Polls: both engines give the same tables, bit for bit, for whatever both play."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.engine.draws import Draws
from simulator.fleet.errors import CannotTakeFleet, RowsTouched
from simulator.fleet.poll_server import _by_heapq, _compiled, recursion
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.fleet.filed_world import FiledFleetWorld
from simulator.scenario.fleet.polled_world import PolledFleetWorld
from simulator.scenario.problems import ScenarioError
from tests.determinism.engine_equality import assert_equal, both, by_rows, table
from tests.determinism.random_seeds import thinned
from tests.fleet_poll_scenarios import edited_mesh, scenario

FAST = (130, 131, 132, 244)
"""Their meshes are small; of 244 new loops are answered before what their proxies had to do."""
BESIDE = (147, 155, 161, 164, 165, 167, 180, 192, 204, 212, 215, 216, 225, 262, 291, 294, 295, 303, 313, 315)
SLOW = thinned((seed for seed in range(133, 330) if seed not in FAST), 3, BESIDE)


@pytest.mark.parametrize("seed", FAST)
def test_random_meshes_that_poll_have_equal_tables(seed: int) -> None:
    assert_equal(scenario(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_meshes_that_poll_have_equal_tables(seed: int) -> None:
    assert_equal(scenario(seed))


TOUCHING: dict[str, list[dict[str, Any]]] = {
    "rollout": [{"rollout": "s1", "at": "1s", "pre_stop": "1s", "termination_drain": "1s"}],
    "scale_up": [{"scale_up": {"pods": 5}, "at": "1s"}],
    "restart": [{"restart": {"proxies": "20%"}, "at": ["1s", "2s"]}],
    "partition": [{"partition": {"proxies": 5}, "at": "2s", "until": "7s"}],
    "slow_reader": [{"slow_reader": {"proxies": 5}, "at": "2s", "until": "7s"}],
    "ca_outage": [
        {"ca_outage": True, "at": "2s", "until": "5s"},
        {"scale_up": {"pods": 3}, "at": "3s"},
        {"restart": {"proxies": 4}, "at": "3s"},
    ],
    "root_rotation": [{"root_rotation": True, "at": "2s"}, {"rollout": "s1", "at": "3s"}],
}


def mesh(**keys: Any) -> xs.Scenario:
    return edited_mesh({"strategy": "poll", "refresh_delay": "500ms"}, **keys)


def test_a_cluster_that_warms_has_two_loops_as_event_by_event() -> None:
    of = mesh(**{"network.latency": "120ms", "mesh.proxies": 8, "propagation.refresh_delay": "100ms"})
    assert_equal(of)
    events, _ = both(of)
    rules = build_tables(events)["deliveries"].merge(build_tables(events)["changes"], on="change_id")
    rules = rules[(rules["kind"] == "DestinationRule") & (rules["outcome"] == "active")]
    assert (rules["t_active_ns"] - rules["t_applied_ns"] > 240_000_000).all(), (
        "no cluster had to be asked for"
    )


def test_a_server_that_is_too_small_queues_and_times_out_as_event_by_event() -> None:
    of = mesh(**{"propagation.server": {"concurrency": 2, "service_time": "14ms"}})
    edits = [{"edit": "VirtualService", "every": "300ms", "from": "1s", "until": "3s"}]
    of = of.with_(**{"propagation.request_timeout": "150ms", "duration": "4s", "workload": edits})
    assert_equal(of)
    events, _ = both(of)
    rows = build_tables(events)["deliveries"]
    waited = (rows["t_dequeued_ns"] - rows["t_enqueued_ns"]).dropna()
    assert (waited > 150_000_000).any(), "no poll had to wait longer than its time-out"


def test_gateways_stand_in_the_same_queue() -> None:
    of = mesh(**{"propagation.server": {"concurrency": 1, "service_time": "2ms"}})
    assert_equal(of)
    _, arrays = both(of)
    rows = table(arrays, "deliveries")
    waited = rows[(rows["t_dequeued_ns"] != rows["t_enqueued_ns"]) & rows["t_dequeued_ns"].notna()]
    assert "gw0" in set(waited["proxy_id"])
    assert "p29" in set(waited["proxy_id"])


@pytest.mark.parametrize("what", TOUCHING)
@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_who_is_touched_is_played_by_messages_beside_those_who_poll_or_read_files(
    strategy: str, what: str
) -> None:
    of = mesh(**{"duration": "12s", "propagation.strategy": strategy, "propagation.sync_period": "2s"})
    of = of.with_(workload=[*of.workload, *TOUCHING[what]])
    assert_equal(of)
    form = PolledFleetWorld if strategy == "poll" else FiledFleetWorld
    rows = form(of.with_(engine="fleet"), of.seed, 0).rows
    assert 0 < rows <= 29 - (0 if what == "scale_up" else 3), "nobody is touched, or all are"


@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_requests_of_rows_meet_stale_endpoints_as_event_by_event(strategy: str) -> None:
    of = mesh(**{"duration": "12s", "propagation.strategy": strategy, "propagation.sync_period": "2s"})
    traffic = {"traffic": {"from": "s2", "to": "s1", "rate": "10/s"}}
    of = of.with_(workload=[*of.workload, {"rollout": "s1", "at": "1s", "pre_stop": "0s"}, traffic])
    assert_equal(of)
    rows = table(by_rows(of), "traffic")
    assert {"p2", "p20"} <= set(rows["proxy_id"])
    assert {"200", "UF"} <= set(rows[rows["proxy_id"] == "p20"]["outcome"])


def test_requests_and_answers_of_rows_are_lost_as_event_by_event() -> None:
    of = mesh(**{"network.loss": 0.3, "network.latency": {"uniform": ["1ms", "90ms"]}, "duration": "9s"})
    of = of.with_(workload=[{"edit": "DestinationRule", "at": "1s"}, *of.workload[1:]])
    assert_equal(of)
    counts = [by_rows(of.with_(**{"network.loss": loss})).xds_messages for loss in (0, 0.3)]
    # Who loses a request or an answer waits as long as others; a request that is lost is none.
    assert 0.6 * counts[0] < counts[1] < 0.8 * counts[0]


@pytest.mark.parametrize("kind", ["EnvoyFilter", "DestinationRule", "VirtualService"])
@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_what_rows_refuse_is_asked_for_again_by_polls_and_read_once_from_files(
    strategy: str, kind: str
) -> None:
    refused = {"edit": kind, "name": "one", "at": "1s", "rejected_by_envoy": True}
    right = {"edit": kind, "name": "one", "at": "4s"}
    of = mesh(
        **{"duration": "8s", "propagation.strategy": strategy, "propagation.sync_period": "500ms"},
        workload=[refused, right],
    )
    assert_equal(of)
    arrays = by_rows(of)
    rows = table(arrays, "deliveries")
    assert list(rows[rows["proxy_id"] == "p20"]["outcome"]) == ["rejected", "active"]
    accepted = by_rows(of.with_(workload=[{**refused, "rejected_by_envoy": False}, right]))
    assert (arrays.xds_messages > accepted.xds_messages) == (strategy == "poll")


HAPPENING: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "restart_istiod": [{"restart_istiod": 0, "at": "2s", "down_for": "1s"}],
    "add_istiod": [{"add_istiod": 1, "at": "1s"}, {"restart": {"proxies": "30%"}, "at": "2s"}],
    "rollout": TOUCHING["rollout"],
}


@pytest.mark.parametrize("what", HAPPENING)
@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_each_of_several_istiods_has_a_queue_and_publications_of_its_own(strategy: str, what: str) -> None:
    of = mesh(
        **{
            "control_plane.replicas": 3,
            "mesh.proxies.sidecars": 60,
            "propagation.strategy": strategy,
            "propagation.sync_period": "2s",
            "propagation.server": {"concurrency": 1, "service_time": {"uniform": ["1ms", "3ms"]}},
        }
    )
    of = of.with_(workload=[*of.workload, *HAPPENING[what]])
    assert_equal(of)
    rows = table(by_rows(of), "deliveries")
    assert set(rows["replica"]) - {"<NA>"} >= ({"1", "2"} if strategy == "poll" else {"0"})


def test_new_pods_wait_in_the_same_queue() -> None:
    of = mesh(
        **{"mesh.proxies": 60, "propagation.server": {"concurrency": 1, "service_time": "3ms"}},
        workload=[{"scale_up": {"pods": 4}, "at": "1s"}, *mesh().workload[1:]],
    )
    assert_equal(of)
    _, arrays = both(of)
    rows = table(arrays, "deliveries")
    waited = rows[(rows["t_dequeued_ns"] != rows["t_enqueued_ns"]) & rows["t_dequeued_ns"].notna()]
    assert {kind[0] for kind in waited["proxy_id"]} == {"p", "s"}, (
        "pods of the start, or new ones, wait alone"
    )


@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_endpoints_that_leave_and_are_back_follow_what_was_before(strategy: str) -> None:
    of = mesh(
        **{
            "propagation.strategy": strategy,
            "propagation.sync_period": "1s",
            "control_plane.costs.endpoint_slice_delay": {"uniform": ["1ms", "300ms"]},
            "workload": [{"endpoints": "any", "poisson": "30/s", "until": "4s"}],
        }
    )
    assert_equal(of)
    rows = table(by_rows(of), "deliveries")
    followed = rows[(rows["carried_by"] == "earlier_push") & (rows["proxy_id"] == "p20")]
    at_once = followed["t_active_ns"] == followed["t_observed_ns"]
    assert set(at_once) == {True, False}, "nobody had to wait for what was before, or everybody"


def test_a_run_that_ends_while_polls_are_on_their_way_leaves_the_same_rows_pending() -> None:
    of = mesh(**{"duration": "1450ms", "network.latency": "80ms"})
    assert_equal(of)
    _, arrays = both(of)
    assert {"active", "pending"} <= set(table(arrays, "deliveries")["outcome"])


def test_rows_whose_clusters_change_while_others_warm_are_played_again_by_messages() -> None:
    of = mesh(**{"propagation.server": {"concurrency": 2, "service_time": "9ms"}})
    of = of.with_(**{"propagation.request_timeout": "150ms"})
    with pytest.raises(RowsTouched, match="rows are touched"):
        build(of.with_(engine="fleet"), 1).run()
    assert_equal(of)


def test_auto_takes_the_arrays_for_many_proxies_that_poll() -> None:
    many = build(mesh(**{"mesh.proxies": 2000}), 1)
    assert many.engine == "fleet"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (
            {"control_plane.replicas": 2, "workload": [{"rollout_istiod": {}, "at": "1s"}]},
            "rollout_istiod of several istiods by polls",
        ),
        ({"envoy.costs.rest_update": {"uniform": ["1ms", "2ms"]}}, r"envoy\.costs\.rest_update"),
    ],
)
def test_what_only_pushes_have_is_refused_by_name(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ScenarioError, match=named):
        mesh(**{"engine": "fleet", **keys})


def test_polls_that_do_not_arrive_in_time_are_named() -> None:
    of = mesh(**{"engine": "fleet", "network.latency": "400ms", "propagation.request_timeout": "300ms"})
    with pytest.raises(CannotTakeFleet, match=r"propagation\.request_timeout"):
        build(of, 1).run()


CROWDED = mesh(
    **{
        "propagation.server": {"concurrency": 5, "service_time": {"uniform": ["1ms", "30ms"]}},
        "propagation.refresh_delay": "300ms",
    }
)
"""Polls wait for each other, some of them for long."""
WAITING = (162, 164, 193, 194, 195)
"""In these as well, of one server or two; and they take no time."""


@pytest.mark.parametrize("of", [CROWDED, *map(scenario, WAITING)], ids=lambda of: f"{of.name}-{of.seed}")
def test_a_server_compiled_for_every_call_gives_the_same_tables(
    of: xs.Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise that is for calls of many requests alone (COMPILED_FROM)."""
    compiled = _compiled()
    if compiled is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    calls: list[int] = []

    def counted(arrivals: Any, *args: Any) -> int:
        calls.append(len(arrivals))
        return compiled(arrivals, *args)

    monkeypatch.setattr("simulator.fleet.poll_server._compiled", lambda: counted)
    monkeypatch.setattr("simulator.fleet.poll_server.COMPILED_FROM", 10**9)
    plain = by_rows(of)
    assert not calls
    monkeypatch.setattr("simulator.fleet.poll_server.COMPILED_FROM", 0)
    fast = by_rows(of)
    assert digest_of(build_tables(fast)) == digest_of(build_tables(plain))
    assert (fast.xds_messages, fast.xds_bytes) == (plain.xds_messages, plain.xds_bytes)
    assert max(calls, default=0) > 1, "nobody waits in this one"


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("servers", [1, 3])
def test_the_recursion_of_the_server_is_the_same_with_a_heap_and_compiled(
    servers: int, is_strict: bool
) -> None:
    draws = Draws(3)
    arrivals = np.sort((draws.uniform_array("arrival", np.arange(400)) * 1000).astype(np.int64))
    services = (draws.uniform_array("service", np.arange(400)) * 3 * servers).astype(np.int64)
    found = []
    for way in (recursion, _by_heapq, _compiled()):
        if way is None:
            continue
        free, starts = np.full(servers, -1, np.int64), np.zeros(400, np.int64)
        count = way(arrivals, services, free, 700, is_strict, starts)
        found.append((count, starts[:count].tolist(), sorted(free.tolist())))
    assert 0 < found[0][0] < 400
    assert all(other == found[0] for other in found)
