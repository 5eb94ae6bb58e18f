"""Long polls: both engines give the same tables, bit for bit, for whatever both play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import simulator as xs
from simulator.fleet.compiled import compiled_long_polls
from simulator.fleet.errors import RowsTouched
from simulator.fleet.long_poll_loops import LongPollLoops
from simulator.fleet.long_poll_state import MOST_STALE
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.fleet.long_polled_world import LongPolledFleetWorld
from simulator.scenario.loader import load_scenario
from simulator.scenario.problems import ScenarioError
from tests.determinism.engine_equality import assert_equal, by_rows, table
from tests.determinism.random_seeds import thinned
from tests.determinism.test_polled_engines import HAPPENING, TOUCHING
from tests.fleet_long_poll_scenarios import scenario
from tests.fleet_poll_scenarios import edited_mesh

SCENARIOS = Path(__file__).parents[2] / "scenarios"

FAST = (138, 150, 163, 192, 206, 366)
"""In 192 and 206 an answer to the old loop of a cluster is what its successor waits for; in 366 nothing is on
its way for any time, so instants are shared by rows and others."""
BESIDE = (145, 147, 171, 182, 185, 202, 215, 221, 224, 247, 272, 278, 281, 287, 289, 290)
SLOW = thinned((seed for seed in range(130, 300) if seed not in FAST), 3, BESIDE)
PLAIN = (138, 150, 192)
"""Without numba as well."""


@pytest.fixture(autouse=True)
def compiled_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise that is for runs of many requests alone."""
    monkeypatch.setattr("simulator.fleet.long_polls.COMPILED_FROM", 0)


@pytest.mark.parametrize("seed", FAST)
def test_random_meshes_that_poll_long_have_equal_tables(seed: int) -> None:
    assert_equal(scenario(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_meshes_that_poll_long_have_equal_tables(seed: int) -> None:
    assert_equal(scenario(seed))


def mesh(**keys: Any) -> xs.Scenario:
    return edited_mesh({"strategy": "long-poll", "wait": "2s"}, **keys)


def deliveries(of: xs.Scenario) -> pd.DataFrame:
    """What both engines say, once they say the same."""
    events, _ = assert_equal(of)
    return build_tables(events)["deliveries"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["push-vs-poll", "trade-off", "rolling-deploy", "sidecar-scope", "poll-law", "registry-backlog"]
)
def test_shipped_meshes_that_poll_long_have_equal_tables(name: str) -> None:
    tables = dict.fromkeys(("recording.messages", "recording.states", "recording.queues"), False)
    of = load_scenario(SCENARIOS / f"{name}.yaml").with_(**{"propagation.strategy": "long-poll", **tables})
    assert_equal(of.with_(**{"mesh.proxies.sidecars": 100}) if of.mesh.proxies.sidecars > 100 else of)


def test_requests_that_are_held_until_their_wait_ends_are_asked_again_as_event_by_event() -> None:
    _, arrays = assert_equal(mesh(workload=[]))
    # Each of six loops of 30 sidecars, and the gateway's, was held two or three times.
    assert 31 * 5 * 2 < arrays.xds_messages < 31 * 7 * 4


def test_a_cluster_that_warms_has_two_loops_as_event_by_event() -> None:
    of = mesh(**{"network.latency": "120ms", "mesh.proxies": 8})
    rows = deliveries(of).merge(build_tables(by_rows(of))["changes"], on="change_id")
    rules = rows[(rows["kind"] == "DestinationRule") & (rows["outcome"] == "active")]
    assert (rules["t_active_ns"] - rules["t_applied_ns"] > 240_000_000).all(), (
        "no cluster had to be asked for"
    )


def test_a_server_that_is_too_small_serves_what_it_releases_in_the_order_it_was_held() -> None:
    of = mesh(**{"propagation.server": {"concurrency": 2, "service_time": "5ms"}})
    edits = [{"edit": "VirtualService", "every": "400ms", "from": "1s", "until": "3s"}]
    rows = deliveries(of.with_(workload=edits))
    waited = (rows["t_dequeued_ns"] - rows["t_enqueued_ns"]).dropna()
    assert (waited > 50_000_000).any(), "nobody waited"
    served = rows[rows["change_id"] == 0].sort_values("t_dequeued_ns")
    assert not served.index.is_monotonic_increasing, "they were held in the order of proxies"


def test_gateways_and_new_pods_stand_in_the_same_queue() -> None:
    of = mesh(
        **{"propagation.server": {"concurrency": 1, "service_time": "2ms"}, "mesh.proxies.sidecars": 40},
        workload=[{"scale_up": {"pods": 4}, "at": "1s"}, *mesh().workload[1:]],
    )
    assert_equal(of)
    rows = table(by_rows(of), "deliveries")
    waited = rows[(rows["t_dequeued_ns"] != rows["t_enqueued_ns"]) & rows["t_dequeued_ns"].notna()]
    assert {kind[0] for kind in waited["proxy_id"]} == {"p", "s", "g"}, "somebody has a queue of his own"


@pytest.mark.parametrize(
    "law", [{"lognormal": {"median": "2ms", "p99": "20ms"}}, {"exponential": {"mean": "1ms"}}]
)
def test_delays_that_numpy_draws_are_those_of_the_events(law: dict[str, Any]) -> None:
    assert_equal(
        mesh(**{"network.latency": law, "propagation.server.service_time": law, "network.bandwidth": "1Mi"})
    )


def test_nothing_takes_time_and_instants_are_shared() -> None:
    of = mesh(**{"network.latency": "0s", "envoy.costs": "zero", "propagation.server.service_time": "0s"})
    assert_equal(of)
    assert_equal(of.with_(**{"propagation.server": {"concurrency": 1, "service_time": "1ms"}}))


@pytest.mark.parametrize("what", TOUCHING)
def test_who_is_touched_is_played_by_messages_beside_those_who_poll_long(what: str) -> None:
    of = mesh(duration="12s")
    of = of.with_(workload=[*of.workload, *TOUCHING[what]])
    assert_equal(of)
    rows = LongPolledFleetWorld(of.with_(engine="fleet"), of.seed, 0).rows
    assert 0 < rows <= 29 - (0 if what == "scale_up" else 3), "nobody is touched, or all are"


@pytest.mark.parametrize("what", HAPPENING)
def test_each_of_several_istiods_holds_requests_of_its_own(what: str) -> None:
    of = mesh(
        **{
            "control_plane.replicas": 3,
            "mesh.proxies.sidecars": 60,
            "propagation.server": {"concurrency": 1, "service_time": {"uniform": ["1ms", "3ms"]}},
        }
    )
    of = of.with_(workload=[*of.workload, *HAPPENING[what]])
    assert_equal(of)
    rows = table(by_rows(of), "deliveries")
    assert set(rows["replica"]) - {"<NA>"} >= {"1", "2"}


def test_requests_of_rows_meet_stale_endpoints_as_event_by_event() -> None:
    of = mesh(duration="12s")
    traffic = {"traffic": {"from": "s2", "to": "s1", "rate": "10/s"}}
    of = of.with_(workload=[*of.workload, {"rollout": "s1", "at": "1s", "pre_stop": "0s"}, traffic])
    assert_equal(of)
    rows = table(by_rows(of), "traffic")
    assert {"p2", "p20"} <= set(rows["proxy_id"])
    assert {"200", "UF"} <= set(rows[rows["proxy_id"] == "p20"]["outcome"])


@pytest.mark.parametrize("kind", ["EnvoyFilter", "DestinationRule", "VirtualService"])
def test_what_rows_refuse_is_not_asked_for_again_and_not_acknowledged(kind: str) -> None:
    refused = {"edit": kind, "name": "one", "at": "1s", "rejected_by_envoy": True}
    right = {"edit": kind, "name": "one", "at": "4s"}
    of = mesh(duration="8s", workload=[refused, right])
    assert_equal(of)
    arrays = by_rows(of)
    rows = build_tables(arrays)["deliveries"]
    assert list(rows[rows["proxy_id"] == "p20"]["outcome"]) == ["rejected", "active"]
    assert list(rows[rows["proxy_id"] == "p20"]["t_acked_ns"].isna()) == [True, False]
    accepted = by_rows(of.with_(workload=[{**refused, "rejected_by_envoy": False}, right]))
    assert arrays.xds_messages <= accepted.xds_messages


def test_endpoints_that_leave_and_are_back_follow_what_was_before() -> None:
    of = mesh(
        **{
            "control_plane.costs.endpoint_slice_delay": {"uniform": ["1ms", "300ms"]},
            "workload": [{"endpoints": "any", "poisson": "30/s", "until": "4s"}],
        }
    )
    assert_equal(of)
    rows = table(by_rows(of), "deliveries")
    assert "earlier_push" in set(rows[rows["proxy_id"] == "p20"]["carried_by"])


def test_requests_that_time_out_in_the_queue_are_played_again_by_messages() -> None:
    of = mesh(
        **{"propagation.server": {"concurrency": 1, "service_time": "9ms"}, "propagation.wait": "300ms"}
    )
    of = of.with_(**{"propagation.request_timeout": "150ms"})
    with pytest.raises(RowsTouched, match="rows are touched"):
        build(of.with_(engine="fleet"), 1).run()
    assert_equal(of)


def test_a_run_that_ends_while_answers_are_on_their_way_leaves_the_same_rows_pending() -> None:
    of = mesh(**{"duration": "1250ms", "network.latency": "80ms"})
    assert_equal(of)
    assert {"active", "pending"} <= set(table(by_rows(of), "deliveries")["outcome"])


def test_auto_takes_the_arrays_for_many_proxies_that_poll_long() -> None:
    assert build(mesh(**{"mesh.proxies": 2000}), 1).engine == "fleet"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"network.loss": 0.01}, "long-poll with network.loss"),
        ({"workload": [{"restart_istiod": 0, "at": "1s"}]}, "restart_istiod of the only istiod"),
        ({"envoy.costs.rest_update": {"uniform": ["1ms", "2ms"]}}, r"envoy\.costs\.rest_update"),
    ],
)
def test_what_long_polls_have_no_arrays_for_is_refused_by_name(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ScenarioError, match=named):
        mesh(**{"engine": "fleet", **keys})


@pytest.mark.parametrize("of", [mesh(), *map(scenario, PLAIN)], ids=lambda of: f"{of.name}-{of.seed}")
def test_the_kernel_compiled_gives_the_same_tables(of: xs.Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled_long_polls() is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    fast = by_rows(of)
    monkeypatch.setattr("simulator.fleet.long_polls.COMPILED_FROM", 10**18)
    plain = by_rows(of)
    assert digest_of(build_tables(fast)) == digest_of(build_tables(plain))
    assert (fast.xds_messages, fast.xds_bytes) == (plain.xds_messages, plain.xds_bytes)


@pytest.mark.parametrize("wait", ["60s", "400ms"])
def test_more_loops_than_there_was_room_for_are_played_all_the_same(
    wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops of clusters that warm are held when nobody waits for them any more; the log is small; buckets are
    wide, and the heap keeps nothing that never happens."""

    def tight(self: LongPollLoops) -> None:
        make_heap(self)
        self.reg[MOST_STALE] = 0

    make_heap = LongPollLoops._make_heap
    monkeypatch.setattr(LongPollLoops, "_make_heap", tight)
    monkeypatch.setattr("simulator.fleet.long_poll_loops._ROOM", 1)
    monkeypatch.setattr("simulator.fleet.long_poll_loops._MOST_BUCKETS", 4)
    monkeypatch.setattr("simulator.fleet.long_polls._ENTRIES", 20)
    edits = [{"edit": "DestinationRule", "every": "50ms", "from": "1s", "until": "3s"}]
    of = mesh(**{"propagation.wait": wait, "network.latency": {"uniform": ["1ms", "3ms"]}}, workload=edits)
    rows = deliveries(of)
    assert (rows["outcome"] == "active").sum() > 100
