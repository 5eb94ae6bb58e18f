"""Rows lose their istiod and come back as proxies do that are played message by message."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.experiment.engines import played
from simulator.fleet.compiled import compiled
from simulator.fleet.errors import RowsTouched
from simulator.recording.recorder import Recorder
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.fleet.world import FleetWorld
from tests.determinism.engine_equality import assert_equal, assert_equal_or_beyond, table
from tests.determinism.random_seeds import thinned
from tests.outage_scenarios import ages, any_protocol, migration, outage, upgrade

FAST = (10, 25)
"""In 25 connections would be old enough after the second outage has ended them."""
SLOW = tuple(seed for seed in range(40) if seed not in FAST)

FAST_UPGRADES = (5, 8)
UPGRADES_BESIDE = (9, 15, 17, 21, 33, 37)
SLOW_UPGRADES = thinned((seed for seed in range(40) if seed not in FAST_UPGRADES), 2, UPGRADES_BESIDE)

FAST_AGES = (2, 8)
SLOW_AGES = tuple(seed for seed in range(40) if seed not in FAST_AGES)

KINDS_OF_STREAMS = {"outage": outage, "upgrade": upgrade, "ages": ages}
FAST_OF_ANY = (("outage", 21), ("upgrade", 1), ("ages", 22), ("ages", 36))
ANY_BESIDE = (
    *(("outage", 5), ("upgrade", 5), ("upgrade", 7), ("upgrade", 9), ("upgrade", 15)),
    *(("ages", 7), ("ages", 9), ("ages", 15)),
)
SLOW_OF_ANY = thinned(((kind, seed) for kind in KINDS_OF_STREAMS for seed in range(2, 16)), 2, ANY_BESIDE)

FAST_MIGRATIONS = (1, 2)
SLOW_MIGRATIONS = tuple(seed for seed in range(16) if seed not in FAST_MIGRATIONS)

SEEN_IN_THE_RUN = (
    "responses larger than agent.window_bytes",
    "envoy.initial_fetch_timeout",
    "two istiods looked",
    "refused in one type and put right in another",
)


def assert_streams_are_equal(of: xs.Scenario) -> Recorder | None:
    """Returns what the fleet engine recorded, if both played it."""
    played_by_both = assert_equal_or_beyond(of, SEEN_IN_THE_RUN)
    if played_by_both is None:
        return None
    events, arrays = played_by_both
    assert sorted(events.connectedness.opened_ns) == sorted(arrays.connectedness.opened_ns)
    assert events.connectedness.without_stream_ns == arrays.connectedness.without_stream_ns
    return arrays


@pytest.mark.parametrize("seed", FAST)
def test_random_outages_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(outage(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_outages_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(outage(seed))


@pytest.mark.parametrize("seed", FAST_UPGRADES)
def test_random_upgrades_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(upgrade(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_UPGRADES)
def test_more_random_upgrades_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(upgrade(seed))


@pytest.mark.parametrize("seed", FAST_AGES)
def test_connections_that_reach_their_age_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(ages(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_AGES)
def test_more_connections_that_reach_their_age_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(ages(seed))


@pytest.mark.parametrize(("kind", "seed"), FAST_OF_ANY)
def test_streams_end_with_state_of_the_world_refusals_and_losses_and_tables_are_equal(
    kind: str, seed: int
) -> None:
    assert_streams_are_equal(any_protocol(seed, KINDS_OF_STREAMS[kind]))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), SLOW_OF_ANY)
def test_more_streams_end_with_state_of_the_world_refusals_and_losses_and_tables_are_equal(
    kind: str, seed: int
) -> None:
    assert_streams_are_equal(any_protocol(seed, KINDS_OF_STREAMS[kind]))


@pytest.mark.parametrize("seed", FAST_MIGRATIONS)
def test_migrations_to_another_revision_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(migration(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_MIGRATIONS)
def test_more_migrations_to_another_revision_have_equal_tables(seed: int) -> None:
    assert_streams_are_equal(migration(seed))


def aged(**keys: Any) -> xs.Scenario:
    return xs.Scenario(
        name="aged",
        seed=3,
        duration="14s",
        mesh={"proxies": 30, "services": 1},
        control_plane={
            "kind": "istiod",
            "replicas": 2,
            "max_connection_age": "12s",
            "max_connection_age_grace": "0s",
        },
        recording={"messages": False, "states": False, "queues": False},
        propagation={"strategy": "push", "protocol": "delta"},
        workload=[{"edit": "VirtualService", "every": "3s"}],
    ).with_(**keys)


def rows_of(of: xs.Scenario) -> int:
    return FleetWorld(of.with_(engine="fleet"), of.seed, 0).rows


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_rows_whose_connections_reach_their_age_go_to_the_other_istiod_and_stay_rows(protocol: str) -> None:
    of = aged(**{"propagation.protocol": protocol})
    arrays = assert_streams_are_equal(of)
    assert arrays is not None
    assert rows_of(of) > 20
    pushes = build_tables(arrays)["proxy_pushes"]
    moved = pushes.groupby("proxy_id", observed=True)["replica"].nunique() == 2
    assert moved.sum() > 5, "nobody went to another istiod"


def test_rows_keep_their_streams_for_good_where_no_connection_reaches_its_age_within_the_run() -> None:
    for age, has_ends in (("12s", True), ("30h", False)):
        of = aged(**{"control_plane.max_connection_age": age, "engine": "fleet"})
        world = FleetWorld(of, of.seed, 0)
        with suppress(RowsTouched):
            world.world().run()
        assert [rows.streams.ends_ns is not None for rows in world._rows] == [has_ends, has_ends]


def shipped(**keys: Any) -> xs.Scenario:
    path = Path(__file__).parents[2] / "scenarios" / "outage.yaml"
    quiet = {"recording.messages": False, "recording.states": False, "recording.queues": False}
    return xs.load_scenario(path).with_(**quiet, **keys)


def test_a_change_made_while_the_only_istiod_is_away_comes_with_the_reconnect() -> None:
    of = shipped(**{"mesh.proxies": 60})
    _, arrays = assert_equal(of)
    rows = table(arrays, "deliveries")
    assert set(rows["carried_by"]) == {"reconnect"}
    assert set(rows["outcome"]) == {"active"}
    assert FleetWorld(of.with_(engine="fleet"), of.seed, 0).rows > 40


def test_rows_of_a_namespace_that_is_not_moved_within_the_run_come_back_to_their_own_revision() -> None:
    of = shipped(**{"mesh.proxies": 24, "mesh.services": 3, "mesh.namespaces": 3, "duration": "40s"})
    of = of.with_(
        workload=[
            {"migrate_revision": {"to": "canary", "every": "25s"}, "at": "2s"},
            {"add_istiod": 1, "at": "3s"},
            {"restart_istiod": 0, "at": "13s", "down_for": "1s"},
            {"restart_istiod": 2, "at": "25s", "down_for": "1s"},
            {"edit": "VirtualService", "at": ["12s", "22s", "35s"], "namespace": "istio-system"},
        ]
    )
    arrays = assert_streams_are_equal(of)
    assert arrays is not None
    assert rows_of(of) == 7, "8 are not moved, and one of them shows what all ask for"
    pushes = table(arrays, "proxy_pushes")
    of_each = pushes.groupby("proxy_id")["replica"].agg(set)
    stayed = [of_each[f"p{number}"] for number in range(2, 24, 3)]
    assert set().union(*stayed) == {"0", "2"}, "the second istiod is that of the other revision"
    assert {"1"} in list(of_each), "nobody is there"


def without_time(recorder: Recorder) -> tuple[str, int, int]:
    return digest_of(build_tables(recorder)), recorder.xds_messages, recorder.control_plane_busy_ns


def test_an_outage_is_the_same_in_the_compiled_kernel_and_handed_on_in_small_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = shipped(**{"mesh.proxies": 40, "duration": "100s", "engine": "fleet"}).with_(
        workload=[
            {"restart_istiod": 0, "at": "5s", "down_for": "1s"},
            {"edit": "VirtualService", "every": "700ms", "from": "3s", "until": "40s"},
        ]
    )
    plain = without_time(played(of, of.seed, 0).recorder)
    monkeypatch.setattr("simulator.fleet.pushes_over.CHUNK", 3)
    monkeypatch.setattr("simulator.scenario.fleet.reconnects._TOGETHER", 2)
    monkeypatch.setattr("simulator.fleet.redials._WINDOW_NS", 1_000_000)
    assert without_time(played(of, of.seed, 0).recorder) == plain
    if compiled() is not None:
        monkeypatch.setattr("simulator.fleet.line.COMPILED_FROM", 0)
        assert without_time(played(of, of.seed, 0).recorder) == plain


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_acks_that_the_end_of_istiod_cuts_off_are_never_read(protocol: str) -> None:
    slow = {"network.latency": {"uniform": ["1ms", "90ms"]}, "propagation.protocol": protocol}
    of = shipped(**{"mesh.proxies": 40, "duration": "12s", **slow})
    of = of.with_(
        workload=[
            {"restart_istiod": 0, "at": "5150ms", "down_for": "1s"},
            {"edit": "VirtualService", "at": "5s"},
        ]
    )
    _, arrays = assert_equal(of)
    rows = build_tables(arrays)["deliveries"]
    lost = rows["t_active_ns"].notna() & rows["t_acked_ns"].isna()
    assert 0 < lost.sum() < len(rows), "the outage cut off no ACK, or all"


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_what_a_row_refused_before_an_outage_it_refuses_again_when_it_is_back(protocol: str) -> None:
    of = shipped(**{"mesh.proxies": 30, "duration": "40s", "propagation.protocol": protocol})
    of = of.with_(
        workload=[
            {"edit": "VirtualService", "name": "one", "at": "1s", "rejected_by_envoy": True},
            {"restart_istiod": 0, "at": "3s", "down_for": "1s"},
            {"edit": "VirtualService", "name": "one", "at": "30s"},
        ]
    )
    assert_streams_are_equal(of)
    world = FleetWorld(of.with_(engine="fleet"), of.seed, 0)
    world.world().run()
    (streams,) = {id(rows.streams): rows.streams for rows in world._rows}.values()
    refusals = [
        batch.owner
        for batch in streams.batches
        for number, move in enumerate(batch.all_moves)
        if any(move.refused) and (batch.of is None or (batch.of == number).any())
    ]
    assert set(refusals) == {0, 1}, "refused is what the first istiod pushes, and what the second answers"
    rows = build_tables(world._recorder)["deliveries"]
    by_change = {change: set(of_it) for change, of_it in rows.groupby("change_id")["outcome"]}
    assert list(by_change.values()) == [{"rejected"}, {"active"}]


def test_who_is_cut_off_is_played_by_messages_where_endpoints_are_back_before_two_istiods_looked() -> None:
    # An istiod looks while a row is connected to it, and another looks later, when the row has come to that.
    of = aged(**{"control_plane.max_connection_age": "none", "duration": "8s", "mesh.proxies": 16}).with_(
        seed=3,
        workload=[
            {"endpoints": "s0", "poisson": "50/s", "until": "7s"},
            {"restart_istiod": 0, "at": "2s", "down_for": "1s"},
        ],
    )
    assert_streams_are_equal(of)
    rows = int(played(of.with_(engine="fleet"), of.seed, 0).reason.split("; ")[1].split()[0])
    assert 3 < rows < rows_of(of) - 3, "nobody is cut off, or everybody"


def test_a_push_that_waits_for_the_answers_of_a_new_stream_states_the_world() -> None:
    assert_streams_are_equal(outage(33).with_(**{"propagation.protocol": "sotw"}))


def test_nothing_that_was_sent_on_one_stream_is_acknowledged_on_the_next() -> None:
    late = {"network.latency": {"uniform": ["20ms", "90ms"]}, "propagation.protocol": "sotw"}
    of = aged(**late, **{"control_plane.replicas": 1})
    of = of.with_(workload=[{"edit": "VirtualService", "every": "500ms", "until": "12s"}])
    arrays = assert_streams_are_equal(of)
    assert arrays is not None
    rows = build_tables(arrays)["deliveries"]
    lost = rows["t_active_ns"].notna() & rows["t_acked_ns"].isna()
    assert lost.any(), "every answer came before its stream ended"


def test_rows_that_lose_a_message_in_an_outage_are_played_by_messages_the_second_time() -> None:
    of = shipped(**{"mesh.proxies": 40, "duration": "75s", "network.loss": 0.002})
    assert_streams_are_equal(of)
    world = played(of.with_(engine="fleet"), of.seed, 0)
    rows = int(world.reason.split("; ")[1].split()[0])
    assert 0 < rows < rows_of(of), "no stream of a row broke, or all did"


def test_rows_that_are_pushed_to_between_their_answers_are_played_by_messages_the_second_time() -> None:
    at_once = {"token_review": "0s", "tls_handshake": "0s", "proxy_init": "0s"}
    of = shipped(**{"mesh.proxies": 25, "duration": "10s", "agent.window_bytes": "1Mi"})
    of = of.with_(
        **{
            "control_plane.costs": at_once,
            "control_plane.debounce": {"after": "0s", "max": "1s"},
            "network.latency": {"uniform": ["1ms", "60ms"]},
        },
        workload=[
            {"restart_istiod": 0, "at": "2s", "down_for": "0s"},
            {"edit": "VirtualService", "every": "70ms", "from": "5s", "until": "9s"},
        ],
    )
    assert_equal(of)
    world = played(of.with_(engine="fleet"), of.seed, 0)
    rows = int(world.reason.split("; ")[1].split()[0])
    assert 0 < rows < FleetWorld(of.with_(engine="fleet"), of.seed, 0).rows


def test_a_fleet_dials_in_vain_while_few_are_let_in() -> None:
    of = shipped(**{"mesh.proxies": 80, "duration": "60s", "control_plane.max_requests_per_second": 2})
    _, arrays = assert_equal(of)
    outcomes = build_tables(arrays)["deliveries"]["outcome"]
    assert set(outcomes) == {"active", "pending"}
    assert np.sum(outcomes == "active") < 20
