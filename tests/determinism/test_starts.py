"""Proxies that start in the run become rows, and give the tables that they give message by message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.experiment.engines import played
from simulator.fleet.compiled import compiled
from simulator.recording.recorder import Recorder
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.engine_choice import not_in_fleet
from simulator.scenario.fleet.losses import who_loses
from simulator.scenario.fleet.started_world import StartedFleetWorld
from simulator.scenario.fleet.starts import DIALS, PLAYED, SETTLED
from tests.determinism.engine_equality import (
    assert_equal,
    assert_equal_or_beyond,
    both,
    by_rows,
    ended_as,
    table,
)
from tests.determinism.random_seeds import thinned
from tests.start_scenarios import start

FAST = (1, 14)
BESIDE = (4, 6, 7, 8, 9, 11, 12, 15, 16, 19, 23, 24, 25, 26, 28, 34, 40, 41, 44, 45, 49, 50, 54)
SLOW = thinned((seed for seed in range(60) if seed not in FAST), 3, BESIDE)

SEEN_IN_THE_RUN = (
    "responses larger than agent.window_bytes",
    "envoy.initial_fetch_timeout",
    "where deliveries are counted",
    "two istiods looked",
    "refused in one type and put right in another",
)


def assert_starts_are_equal(of: xs.Scenario) -> None:
    if not assert_equal_or_beyond(of, SEEN_IN_THE_RUN):
        return
    events, arrays = both(of)
    assert sorted(events.connectedness.opened_ns) == sorted(arrays.connectedness.opened_ns)
    assert events.connectedness.without_stream_ns == arrays.connectedness.without_stream_ns


@pytest.mark.parametrize("seed", FAST)
def test_random_starts_have_equal_tables(seed: int) -> None:
    assert_starts_are_equal(start(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_starts_have_equal_tables(seed: int) -> None:
    assert_starts_are_equal(start(seed))


def mesh(**keys: Any) -> xs.Scenario:
    return xs.Scenario(
        name="starts",
        seed=7,
        duration="12s",
        mesh={"proxies": 24, "services": 3, "start": "cold"},
        control_plane={"kind": "istiod"},
        propagation={"strategy": "push", "protocol": "delta"},
        recording={"messages": False, "states": False, "queues": False},
        workload=[{"edit": "VirtualService", "every": "900ms", "from": "100ms"}],
    ).with_(**keys)


def ended(of: xs.Scenario) -> StartedFleetWorld:
    """The world at the end of the run, with those by messages who are no rows."""
    return ended_as(StartedFleetWorld, of)


def phases(of: xs.Scenario) -> list[int]:
    """How many proxies dial at the end, are played by messages, and are rows."""
    counts: list[int] = np.bincount(ended(of)._starts.phase, minlength=3).tolist()
    return counts


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
@pytest.mark.parametrize("begin", ["cold", {"over": "6s"}])
def test_every_proxy_is_a_row_once_it_has_started(begin: Any, protocol: str) -> None:
    of = mesh(**{"mesh.start": begin, "propagation.protocol": protocol})
    assert_equal(of)
    counts = phases(of)
    assert counts[SETTLED] > 20
    pushes = by_rows(of).proxy_push_columns
    assert len(pushes["proxy"]) > 24, "rows are pushed to in arrays"


def test_a_limiter_that_lets_few_in_leaves_the_others_dialling_in_arrays() -> None:
    latency = {"network.latency": {"uniform": ["1ms", "30ms"]}}
    of = mesh(**{"control_plane.max_requests_per_second": 1}, **latency)
    assert_equal(of)
    counts = phases(of)
    assert counts[DIALS] > 8
    assert counts[SETTLED] > 4
    events, arrays = both(of)
    assert "initializing" in set(table(arrays, "startups")["outcome"])
    late = table(events, "deliveries")
    of_waiting = set(late[late["outcome"] == "pending"]["proxy_id"])
    assert len(of_waiting) > 8, "changes that happen concern whoever still dials"


def test_changes_that_come_in_the_middle_of_starts_travel_with_their_answers() -> None:
    of = mesh(
        **{
            "network.latency": {"uniform": ["5ms", "90ms"]},
            "control_plane.debounce": {"after": "10ms", "max": "1s"},
            "duration": "3s",
        }
    )
    of = of.with_(workload=[{"edit": "VirtualService", "every": "40ms", "from": "10ms", "until": "1s"}])
    assert_equal(of)
    _, arrays = both(of)
    assert {"request", "push"} <= set(table(arrays, "deliveries")["carried_by"])


@pytest.mark.parametrize("at", ["0s", "62ms"])
def test_a_change_of_the_very_instant_of_the_starts_concerns_whom_it_concerns_by_events(at: str) -> None:
    of = mesh(duration="2s").with_(workload=[{"edit": "VirtualService", "at": at}])
    assert_equal(of)
    concerned = 1 if at == "0s" else 24
    assert build_tables(by_rows(of))["changes"]["proxies_concerned"].tolist() == [concerned]


@pytest.mark.slow
def test_an_outage_behind_the_start_cuts_rows_off_that_come_back_in_arrays() -> None:
    of = mesh(**{"duration": "30s", "control_plane.max_requests_per_second": 6})
    of = of.with_(workload=[*of.workload, {"restart_istiod": 0, "at": "12s", "down_for": "500ms"}])
    assert_equal(of)
    assert phases(of)[SETTLED] == 24
    assert "reconnect" in set(table(by_rows(of), "deliveries")["carried_by"])


@pytest.mark.slow
def test_an_outage_in_the_middle_of_the_starts_leaves_some_to_dial_and_some_half_started() -> None:
    of = mesh(**{"control_plane.max_requests_per_second": 4, "control_plane.replicas": 2})
    of = of.with_(workload=[*of.workload, {"restart_istiod": 0, "at": "1s", "down_for": "1s"}])
    assert_equal(of)


@pytest.mark.slow
def test_connections_that_were_made_in_the_run_grow_old_in_it() -> None:
    of = mesh(**{"control_plane.max_connection_age": "4s", "control_plane.max_connection_age_grace": "0s"})
    assert_equal(of)
    assert len(by_rows(of).connectedness.opened_ns) > 30, "no stream was old enough"


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        {"agent.certificates.provider": "istiod"},
        {"envoy.initial_fetch_timeout.cds": "4s"},
        {"envoy.static": {"clusters": [{"count": 1, "type": "strict_dns"}]}},
    ],
    ids=["certificates", "fetch_timeout", "bootstrap"],
)
def test_who_has_more_to_do_than_to_dial_is_played_by_messages_until_it_has_started(
    keys: dict[str, Any],
) -> None:
    of = mesh(**keys, **{"control_plane.max_requests_per_second": 2})
    assert_equal(of)
    counts = phases(of)
    assert counts[DIALS] == 0
    assert counts[PLAYED] > 0
    assert counts[SETTLED] > 4


def test_who_renews_its_certificate_within_the_run_is_no_row() -> None:
    of = mesh(**{"agent.certificates.provider": "istiod", "agent.certificates.ttl": "14s", "duration": "9s"})
    of = of.with_(**{"mesh.start": {"over": "6s"}})
    assert_equal(of)
    rows = StartedFleetWorld(of.with_(engine="fleet"), of.seed, 0).rows
    assert 0 < rows < 24
    assert "rotation" in set(table(by_rows(of), "certificates")["cause"])


TRAFFIC: dict[str, Any] = {"traffic": {"from": "any", "to": "s0", "rate": "10/s"}, "from": "20ms"}


def test_requests_are_refused_until_a_proxy_serves_and_follow_what_its_row_holds() -> None:
    of = mesh(**{"mesh.start": {"over": "3s"}, "network.latency": {"uniform": ["1ms", "30ms"]}})
    churn = {"endpoints": "s0", "poisson": "2/s", "from": "2s", "until": "9s"}
    of = of.with_(workload=[*of.workload, TRAFFIC, churn, {"rollout": "s0", "at": "4s"}])
    assert_equal(of)
    assert phases(of)[SETTLED] > 12
    rows = build_tables(by_rows(of))["traffic"]
    assert {"refused", "200"} <= set(rows["outcome"])
    late = rows[rows["t_start_ns"] > 6_000_000_000]
    assert late.groupby("proxy_id").size().max() > 1, "what a row holds changes what its requests meet"


@pytest.mark.parametrize("latency", ["0s", "5ms"])
def test_what_requests_met_before_a_proxy_was_a_row_is_not_lost(latency: str) -> None:
    of = mesh(**{"network.latency": latency, "control_plane.max_requests_per_second": 3, "duration": "5s"})
    of = of.with_(workload=[*of.workload, TRAFFIC])
    assert_equal(of)
    counts = phases(of)
    assert counts[DIALS] > 2
    assert counts[SETTLED] > 2
    rows = build_tables(by_rows(of))["traffic"]
    refused = rows[rows["outcome"] == "refused"].groupby("proxy_id")["t_end_ns"].max()
    assert (refused == 5_000_000_000).any(), "who dials serves nobody"
    assert (refused < 4_000_000_000).sum() > 2, "who has started serves"


def test_where_no_istiod_is_ever_there_all_requests_are_refused() -> None:
    of = mesh(**{"control_plane.start": "cold", "duration": "900ms", "mesh.start": {"over": "2s"}})
    of = of.with_(workload=[TRAFFIC])
    assert_equal(of)
    rows = build_tables(by_rows(of))["traffic"]
    assert set(rows["outcome"]) == {"refused"}
    assert rows["proxy_id"].nunique() < 16, "who has not started sends nothing"


@pytest.mark.parametrize(
    ("kind", "protocol"), [("EnvoyFilter", "delta"), ("VirtualService", "delta"), ("VirtualService", "sotw")]
)
def test_who_was_refused_something_as_it_started_is_a_row_once_that_is_put_right(
    kind: str, protocol: str
) -> None:
    edit = {"edit": kind, "name": "one"}
    of = mesh(**{"propagation.protocol": protocol, "duration": "8s"})
    bad = [*of.workload, {**edit, "at": "10ms", "rejected_by_envoy": True}]
    of = of.with_(workload=bad)
    assert_equal(of)
    assert phases(of)[SETTLED] < 8
    assert "rejected" in set(table(by_rows(of), "deliveries")["outcome"])
    of = of.with_(workload=[*bad, {**edit, "at": "4s"}, {**edit, "at": "6s", "rejected_by_envoy": True}])
    assert_equal(of)
    assert phases(of)[SETTLED] > 20
    rejected = table(by_rows(of), "deliveries")["outcome"] == "rejected"
    assert rejected.sum() > 24, "rows refuse as well"


@pytest.mark.slow
def test_rows_of_the_state_of_the_world_lose_their_streams_and_come_back() -> None:
    of = mesh(
        **{
            "propagation.protocol": "sotw",
            "control_plane.max_connection_age": "4s",
            "control_plane.max_connection_age_grace": "0s",
        }
    )
    assert_equal(of)
    assert len(by_rows(of).connectedness.opened_ns) > 30, "no stream was old enough"
    assert phases(of)[SETTLED] > 20


@pytest.mark.parametrize("per_second", [3, "none"])
def test_who_loses_a_message_is_played_by_messages_unless_that_was_before_it_became_a_row(
    per_second: object,
) -> None:
    of = mesh(**{"network.loss": 0.02, "control_plane.max_requests_per_second": per_second})
    assert_equal(of)
    fleet = ended(of)
    assert 0 < fleet.rows < 24
    lost = who_loses(fleet._draws, 0.02, fleet._starts._entity, fleet._ways.streams.sent())
    assert len(lost) > 0, "nobody who is a row lost a message in its start"


@pytest.mark.parametrize("seen", [True, False])
def test_a_control_plane_that_starts_with_its_proxies_lets_them_in_when_it_is_ready(seen: bool) -> None:
    of = mesh(**{"control_plane.start": "cold", "duration": "14s" if seen else "900ms"})
    assert_equal(of)
    assert (phases(of)[SETTLED] > 0) == seen


@pytest.mark.slow
def test_deliveries_that_are_counted_are_counted_of_whoever_was_there() -> None:
    of = mesh(**{"recording.deliveries": "histogram", "mesh.start": {"over": "8s"}})
    events, arrays = (xs.run(of.with_(engine=engine)) for engine in ("events", "fleet"))
    assert events.digest == arrays.digest


def test_endpoints_that_are_back_before_each_of_two_istiods_looked_follow_at_both() -> None:
    of = mesh(**{"control_plane.replicas": 2, "duration": "6s", "mesh.services": 1, "mesh.proxies": 12})
    of = of.with_(workload=[{"endpoints": "any", "poisson": "60/s", "from": "4s", "until": "5s"}])
    assert_equal(of)
    rows = table(by_rows(of), "deliveries")
    follows = rows[(rows["carried_by"] == "earlier_push") & (rows["t_applied_ns"] == rows["t_observed_ns"])]
    at_both = follows.groupby("change_id")["replica"].nunique() == 2
    assert at_both.any(), "no change came to nothing at both"


def without_time(recorder: Recorder) -> tuple[str, int, int]:
    return digest_of(build_tables(recorder)), recorder.xds_messages, recorder.control_plane_busy_ns


@pytest.mark.slow
def test_starts_are_the_same_in_the_compiled_kernels_and_handed_on_in_small_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = mesh(engine="fleet")
    plain = without_time(played(of, of.seed, 0).recorder)
    monkeypatch.setattr("simulator.fleet.pushes_over.CHUNK", 3)
    monkeypatch.setattr("simulator.fleet.redials._WINDOW_NS", 1_000_000)
    assert without_time(played(of, of.seed, 0).recorder) == plain
    if compiled() is not None:
        monkeypatch.setattr("simulator.fleet.line.COMPILED_FROM", 0)
        monkeypatch.setattr("simulator.fleet.streams.is_worth_it", lambda _settings, _pushes: True)
        assert without_time(played(of, of.seed, 0).recorder) == plain


def test_auto_takes_the_fleet_for_a_mesh_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.scenario.engine_choice.FLEET_FROM", 1)
    assert build(mesh(), 1).engine == "fleet"
    assert build(mesh(**{"propagation.strategy": "poll"}), 1).engine == "events"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"propagation.strategy": "poll"}, "by polls or files"),
    ],
)
def test_what_starts_do_not_go_through_is_named(keys: dict[str, Any], named: str) -> None:
    (found, *_) = not_in_fleet(mesh(**keys))
    assert found.startswith("mesh.start other than connected")
    assert named in found
