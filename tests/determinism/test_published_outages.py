"""Rows that poll or read files go on with the next istiod, as proxies do that are played by messages."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from simulator.experiment.engines import played
from simulator.fleet import poll_server
from simulator.fleet.errors import RowsTouched
from simulator.propagation.http_server import Slots
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.fleet.filed_world import FiledFleetWorld
from simulator.scenario.fleet.polled_world import PolledFleetWorld
from simulator.scenario.fleet.publications import Publications
from simulator.scenario.problems import ScenarioError
from tests.determinism.engine_equality import assert_equal, assert_equal_or_beyond, both, by_rows, table
from tests.published_outage_scenarios import by_files, by_polls

FAST, SLOW = (1, 3, 11), (0, 2, *range(4, 11), *range(12, 40))
"""In 3 the next istiod has clusters in another order."""

SEEN_IN_THE_RUN = ("istiods that lag behind", "two istiods looked")


@pytest.mark.parametrize("seed", FAST)
@pytest.mark.parametrize("scenario", [by_polls, by_files])
def test_random_outages_have_equal_tables(scenario: Any, seed: int) -> None:
    assert_equal_or_beyond(scenario(seed), SEEN_IN_THE_RUN)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
@pytest.mark.parametrize("scenario", [by_polls, by_files])
def test_more_random_outages_have_equal_tables(scenario: Any, seed: int) -> None:
    assert_equal_or_beyond(scenario(seed), SEEN_IN_THE_RUN)


RESTART: dict[str, Any] = {"restart_istiod": 0, "at": "2s", "down_for": "2s"}


def mesh(*happenings: dict[str, Any], **keys: Any) -> xs.Scenario:
    """Of quick istiods, with edits before, during and after what happens."""
    edits = {"edit": "VirtualService", "at": ["1s", "1900ms", "2500ms", "6s", "7s"]}
    clusters = {"edit": "DestinationRule", "at": ["1950ms", "3s"]}
    whole = xs.Scenario(
        name="published-outages",
        duration="9s",
        mesh={"proxies": {"sidecars": 30, "gateways": 1}, "services": 3, "endpoints": 3},
        control_plane={
            "kind": "istiod",
            "readiness": {"initial_delay": "100ms", "period": "100ms"},
            "costs": {"cache_sync": "500ms"},
        },
        propagation={"strategy": "poll", "refresh_delay": "500ms", "sync_period": "500ms"},
        recording={"messages": False, "states": False, "queues": False},
        workload=[edits, clusters, *happenings],
    )
    return whole.with_(**keys)


def rows_of(of: xs.Scenario) -> int:
    """How many sidecars are rows from the beginning."""
    form = PolledFleetWorld if of.propagation.strategy == "poll" else FiledFleetWorld
    return form(of.with_(engine="fleet"), of.seed, 0).rows


@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_rows_have_what_happened_meanwhile_when_the_only_istiod_is_back(strategy: str) -> None:
    of = mesh(RESTART, **{"propagation.strategy": strategy})
    assert_equal(of)
    assert rows_of(of) == 29
    deliveries = table(by_rows(of), "deliveries")
    meanwhile = deliveries[(deliveries["t_changed_ns"] == "2500000000") & (deliveries["proxy_id"] == "p20")]
    assert list(meanwhile["t_observed_ns"]) == ["4500000000"], "it is synced half a second after it starts"
    assert meanwhile["push_id"].isna().all(), "no push brought what was there when it started"


def test_polls_fail_while_nobody_answers() -> None:
    counts = [by_rows(mesh(*happening)).xds_messages for happening in ((), (RESTART,))]
    # Who finds nobody waits as long as after an answer; a request that is not taken is none.
    assert 0.65 * counts[0] < counts[1] < 0.8 * counts[0]


SMALL: dict[str, Any] = {
    "propagation.server": {"concurrency": 1, "service_time": "20ms"},
    "propagation.refresh_delay": "1500ms",
    "propagation.request_timeout": "8s",
}
"""A server that has always somebody waiting."""


def test_polls_that_wait_when_istiod_ends_are_answered() -> None:
    of = mesh(RESTART | {"down_for": "4s"}, **SMALL, **{"mesh.proxies.gateways": 5})
    assert_equal(of)
    events, _ = both(of)
    deliveries = build_tables(events)["deliveries"]
    ended = deliveries[(deliveries["t_dequeued_ns"] > 2e9) & (deliveries["t_dequeued_ns"] < 6e9)]
    assert {proxy[0] for proxy in ended["proxy_id"]} == {"g", "p"}, "rows or gateways are not served"


def test_who_still_waits_when_the_next_istiod_answers_is_played_by_messages() -> None:
    of = mesh(RESTART | {"down_for": "0s"}, **SMALL, **{"control_plane.costs": {"cache_sync": "1ms"}})
    with pytest.raises(RowsTouched):
        build(of.with_(engine="fleet"), of.seed).run()
    assert_equal(of)


@pytest.mark.parametrize("how", [{}, {"max_surge": 0, "max_unavailable": 1}], ids=["one more", "one less"])
@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_rows_go_over_to_the_istiod_that_replaces_theirs(strategy: str, how: dict[str, Any]) -> None:
    of = mesh({"rollout_istiod": how, "at": "2s"}, **{"propagation.strategy": strategy})
    assert_equal(of)
    deliveries = table(by_rows(of), "deliveries")
    assert set(deliveries[deliveries["proxy_id"] == "p20"]["replica"]) >= {"0", "1"}


def test_new_pods_wait_at_the_next_istiod_before_rows_come_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    hand_over = Slots.hand_over

    def counted(slots: Slots) -> Any:
        waited.append(slots.queue_length)
        return hand_over(slots)

    monkeypatch.setattr(Slots, "hand_over", counted)
    of = mesh(
        {"rollout_istiod": {}, "at": "1s"},
        {"scale_up": {"pods": 12}, "at": "2s"},
        **{
            "control_plane.readiness": {"initial_delay": "3s", "period": "1s"},
            "propagation.server": {"concurrency": 1, "service_time": "80ms"},
            "propagation.refresh_delay": "6s",
            "propagation.request_timeout": "8s",
            "duration": "15s",
        },
    )
    assert_equal(of)
    assert max(waited) > 3, "nobody had come to it before"


def test_who_has_not_come_to_the_next_istiod_when_there_is_a_third_is_played_by_messages() -> None:
    added = {"add_istiod": 1, "at": "4200ms"}
    of = mesh(RESTART, added)
    with pytest.raises(RowsTouched):
        build(of.with_(engine="fleet"), of.seed).run()
    assert_equal(of)


def test_rows_may_go_over_to_any_of_several_and_are_played_by_messages_then() -> None:
    of = mesh({"add_istiod": 2, "at": "1s"}, RESTART | {"at": "4s"})
    assert rows_of(of) == 0
    assert_equal(of)


@pytest.mark.parametrize("replicas", [2, 3])
@pytest.mark.parametrize("what", [RESTART, {"rollout_istiod": {}, "at": "2s"}], ids=["restart", "rollout"])
def test_the_oldest_of_several_istiods_writes_files_when_the_writer_ends(
    what: dict[str, Any], replicas: int
) -> None:
    of = mesh(what, **{"propagation.strategy": "file", "control_plane.replicas": replicas})
    assert_equal(of)
    assert rows_of(of) == 29
    deliveries = table(by_rows(of), "deliveries")
    assert len(set(deliveries[deliveries["proxy_id"] == "p20"]["replica"])) > 1


@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_endpoints_that_are_back_are_told_of_to_clients_alone(strategy: str) -> None:
    churn = {"endpoints": "any", "poisson": "30/s", "until": "7s"}
    of = mesh(
        RESTART | {"down_for": "500ms"},
        churn,
        **{
            "propagation.strategy": strategy,
            "propagation.refresh_delay": "2s",
            "control_plane.costs.endpoint_slice_delay": {"uniform": ["1ms", "300ms"]},
        },
    )
    assert_equal(of)
    deliveries = build_tables(by_rows(of))["deliveries"]
    back = deliveries[(deliveries["t_observed_ns"] > 3e9) & (deliveries["t_observed_ns"] < 5e9)]
    ways = back.groupby("change_id")["carried_by"].agg(lambda ways: {*ways.dropna()})
    assert any(len(of_one) > 1 for of_one in ways) == (strategy == "poll"), (
        "some have come by then, some have not"
    )


def test_requests_of_rows_meet_stale_endpoints_while_istiod_is_away() -> None:
    traffic = {"traffic": {"from": "s2", "to": "s1", "rate": "10/s"}}
    of = mesh(RESTART, {"rollout": "s1", "at": "1500ms", "pre_stop": "0s"}, traffic)
    assert_equal(of)
    outcomes = table(by_rows(of), "traffic")
    assert {"200", "UF"} <= set(outcomes[outcomes["proxy_id"] == "p20"]["outcome"])


def test_a_poll_that_is_lost_and_one_that_is_answered_at_once_stand_as_they_were_sent() -> None:
    rules = {"edit": "DestinationRule", "at": "500ms"}
    entries = {"edit": "WorkloadEntry", "every": "30ms", "from": "600ms", "until": "2500ms"}
    assert_equal(
        mesh(
            *[rules] * 6,
            *[entries] * 3,
            **{
                "duration": "2500ms",
                "network": {"loss": 0.3, "latency": "1ms"},
                "propagation.refresh_delay": "3ms",
                "propagation.server": {"concurrency": 1000, "service_time": "0s"},
                "mesh.proxies": {"sidecars": 8, "gateways": 0},
                "control_plane.debounce.after": "10ms",
            },
        )
    )


def test_outages_with_a_server_that_is_compiled_for_every_call_give_the_same_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise that is for calls of many requests alone (COMPILED_FROM)."""
    if poll_server._compiled() is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    of = mesh(RESTART, **SMALL)
    plain = by_rows(of)
    monkeypatch.setattr(poll_server, "COMPILED_FROM", 0)
    fast = by_rows(of)
    assert digest_of(build_tables(fast)) == digest_of(build_tables(plain))
    assert fast.xds_messages == plain.xds_messages
    monkeypatch.setattr(poll_server, "_compiled", lambda: None)
    assert digest_of(build_tables(by_rows(of))) == digest_of(build_tables(plain))


LAGGING = mesh(
    {"rollout_istiod": {}, "at": "2300ms"},
    {"edit": "VirtualService", "every": "30ms", "from": "1s", "until": "6s"},
    **{
        "control_plane.debounce": {"after": "100ms", "max": "1s"},
        "control_plane.readiness": {"initial_delay": "2s", "period": "1s"},
    },
)
"""The next istiod debounces while the one before it has published."""


def test_polls_that_lose_a_change_again_are_left_to_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ScenarioError, match="lag behind"):
        played(LAGGING.with_(engine="fleet"), LAGGING.seed, 0)
    monkeypatch.setattr("simulator.scenario.engine_choice.FLEET_FROM", 1)
    auto = played(LAGGING.with_(engine="auto"), LAGGING.seed, 0)
    assert auto.engine == "events"
    assert "lag behind" in auto.reason


def test_files_that_lose_a_change_again_are_as_event_by_event(monkeypatch: pytest.MonkeyPatch) -> None:
    withdrawn: list[int] = []
    withdraw = Publications._withdraw

    def counted(of: Publications, entries: Any) -> None:
        withdrawn.append(len(entries))
        withdraw(of, entries)

    monkeypatch.setattr(Publications, "_withdraw", counted)
    assert_equal(LAGGING.with_(**{"propagation.strategy": "file", "propagation.sync_period": "200ms"}))
    assert max(withdrawn) > 0, "the next istiod had all that the one before it had published"


def test_a_rollout_of_several_istiods_by_polls_is_refused_by_name() -> None:
    with pytest.raises(ScenarioError, match="rollout_istiod of several istiods by polls"):
        mesh({"rollout_istiod": {}, "at": "2s"}, engine="fleet", **{"control_plane.replicas": 2})


@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_auto_takes_the_arrays_for_many_proxies_whose_istiod_ends(strategy: str) -> None:
    of = mesh(RESTART, **{"mesh.proxies": 2000, "propagation.strategy": strategy})
    assert build(of, 1).engine == "fleet"
