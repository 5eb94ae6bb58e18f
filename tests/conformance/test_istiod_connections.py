"""How streams come to istiod, how long they stay, and what it takes to notice that one is gone."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as xs
from simulator.scenario.build_mesh import MeshWorld
from tests.conformance.istiod import mesh, metric, of_proxy, requests, responses, run

SOON = {"readiness": {"initial_delay": "0s", "period": "1s"}}


def returns(result: xs.Result, after: float) -> np.ndarray:
    """When each proxy that lost its stream was answered again, in seconds after that, in order."""
    rows = result.messages
    rows = rows[(rows.direction == "response") & (rows.t_ns > after * 1e9)]
    first = rows.groupby("proxy_id").t_ns.min().to_numpy() / 1e9
    return np.sort(first) - after


# --- the storm after a replica is lost


def storm(
    proxies: int, duration: str, plane: dict[str, object], seed: int = 1
) -> tuple[np.ndarray, xs.Result]:
    """The returns of the proxies of one of two replicas that is terminated at 1 s for good."""
    result = run(
        {"restart_istiod": 0, "at": "1s", "down_for": "3600s"},
        proxies=proxies,
        services=1,
        endpoints=1,
        duration=duration,
        plane={"replicas": 2, "max_connection_age": "none", **plane},
        seed=seed,
        recording={"messages": True, "states": False},
    )
    return returns(result, 1.0), result


def assert_drains_at(returned: np.ndarray, rate: float, replicas: int = 1) -> None:
    """Half after half the time, 90 % after 90 % of it, nobody sooner than the rate allows, the last one an
    idle back-off later at most."""
    count = len(returned)
    whole = count / rate
    assert returned[count // 2 - 1] == pytest.approx(0.5 * whole, rel=0.05)
    assert returned[int(0.9 * count) - 1] == pytest.approx(0.9 * whole, rel=0.15)
    places = np.maximum(0, np.arange(count) - (replicas - 1))  # the first one at each waits for nothing
    assert np.all(returned >= places / rate - 1e-6)
    assert returned[-1] <= whole + 30.0


@pytest.mark.slow
def test_after_the_loss_of_a_replica_its_proxies_return_at_the_rate_of_the_limiter() -> None:
    returned, result = storm(1000, "300s", {"max_requests_per_second": 2.5})
    assert len(returned) == pytest.approx(500, abs=60)
    assert_drains_at(returned, 2.5)
    assert metric(result, "pilot_xds", pod="istiod-1") == 1000


@pytest.mark.slow
def test_two_surviving_replicas_take_them_back_twice_as_fast() -> None:
    result = run(
        {"restart_istiod": 0, "at": "1s", "down_for": "3600s"},
        proxies=1500,
        services=1,
        endpoints=1,
        duration="200s",
        plane={"replicas": 3, "max_connection_age": "none", "max_requests_per_second": 2},
        recording={"messages": True, "states": False},
    )
    returned = returns(result, 1.0)
    assert len(returned) == pytest.approx(500, abs=60)
    assert_drains_at(returned, 4.0, replicas=2)


@pytest.mark.slow
def test_where_token_reviews_are_slower_than_the_limiter_they_set_the_rate() -> None:
    reviews = {"qps": 2.5, "burst": 1}
    returned, _ = storm(1000, "300s", {"max_requests_per_second": 50, "kubernetes_client": reviews})
    assert_drains_at(returned, 2.5)


def test_without_a_limit_they_all_return_within_their_first_back_off() -> None:
    returned, _ = storm(60, "10s", {"max_requests_per_second": "none"})
    assert len(returned) > 20
    assert returned[-1] < 0.5 + 0.02


def test_who_would_wait_for_more_than_a_second_is_turned_away_at_once() -> None:
    scenario = mesh(
        {"restart_istiod": 0, "at": "1s", "down_for": "3600s"},
        proxies=60,
        duration="1.9s",
        plane={"replicas": 2, "max_requests_per_second": 2},
    )
    mesh_world = MeshWorld(scenario, 1, 0)
    world = mesh_world.world()
    world.run()
    survivor = mesh_world._deployment.replicas[1]
    # At 2 a second one goes at once and two wait; with the tokens of 0.9 s, four are in or wait.
    lost = 60 - sum(1 for c in survivor.connections if not c._is_reconnect)
    let_in = sum(1 for c in survivor.connections if c._is_reconnect)
    waiting = len(survivor.doorway._waiting)
    assert lost > 20
    assert let_in + waiting == 1 + int(2 * 0.9) + 2
    # The others came back again and again within 0.9 s, and never waited.
    assert survivor.doorway.turned_away > lost


def test_streams_are_let_in_one_after_the_other_at_the_rate() -> None:
    returned, _ = storm(100, "12s", {"max_requests_per_second": 5})
    assert np.diff(returned).min() == pytest.approx(0.2, abs=0.005)
    assert len(returned) == pytest.approx(5 * 10, abs=8)


def test_the_limit_counts_streams_not_requests() -> None:
    result = run(
        {"restart": {"proxies": ["p0"]}, "at": "1s"}, duration="5s", plane={"max_requests_per_second": 1}
    )
    assert [m.type for m in responses(result, "p0")] == ["cds", "eds", "lds", "rds"]
    assert responses(result, "p0")[-1].t < 1.5


def test_a_token_review_stands_before_the_first_answer_of_a_stream_only() -> None:
    result = run(
        {"restart": {"proxies": ["p0"]}, "at": "1s"},
        duration="9s",
        costs={"token_review": "2s"},
        agent={"bootstrap": "0s"},
    )
    first, *later = responses(result, "p0")
    assert first.t == pytest.approx(3.0, abs=0.02)
    assert all(m.t - first.t < 0.02 for m in later)


def test_a_handshake_is_work_on_the_cores() -> None:
    # Five handshakes of a second: one after the other on one core, side by side on five.
    for cores, done in ((1, 5.0), (5, 1.0)):
        result = run(
            {"restart": {"proxies": "100%"}, "at": "1s"},
            proxies=5,
            duration="9s",
            costs={"tls_handshake": "1s"},
            plane={"cpu": cores, "max_requests_per_second": "none"},
            agent={"bootstrap": "0s"},
        )
        assert returns(result, 1.0)[-1] == pytest.approx(done, abs=0.02)


# --- termination and readiness


def test_all_streams_of_a_terminated_replica_end_together_and_envoys_keep_their_configuration() -> None:
    result = run(
        {"restart_istiod": 0, "at": "1s", "down_for": "2s"},
        {"traffic": {"to": "s0", "rate": "10/s"}},
        proxies=4,
        duration="10s",
        plane=SOON,
        costs={"cache_sync": "1s"},
    )
    assert metric(result, "pilot_xds", pod="istiod-0") == 4
    # Down for 2 s, synced 1 s later, found ready by the probe of that second.
    assert min(returns(result, 1.0)) >= 3.0
    assert set(result.traffic.outcome) == {"200"}


def test_nobody_is_answered_before_the_caches_are_synced() -> None:
    result = run(
        {"restart_istiod": 0, "at": "1s", "down_for": "1s"},
        {"edit": "VirtualService", "at": "2s"},
        proxies=2,
        duration="20s",
        costs={"cache_sync": "4s"},
        plane=SOON,
    )
    assert min(returns(result, 1.0)) >= 5.0
    # And the first answer knows what happened meanwhile: there is no push for it.
    rows = result.deliveries
    assert set(rows.carried_by) == {"reconnect"}
    assert len(result.pushes) == 0


# --- age


@pytest.mark.slow
def test_a_stream_ends_between_27_and_33_minutes_plus_ten_seconds_of_grace() -> None:
    result = run(
        {"restart": {"proxies": "100%"}, "at": "0s"},
        proxies=60,
        services=1,
        endpoints=1,
        duration="2000s",
        plane={"max_requests_per_second": "none"},
        agent={"bootstrap": "0s"},
    )
    rows = result.messages[result.messages.direction == "request"]
    ages = []
    for _, of_one in rows.groupby("proxy_id"):
        starts = of_one.groupby("stream").t_ns.min().sort_values().to_numpy() / 1e9
        assert len(starts) == 2
        ages.append(starts[1] - starts[0])
    low, high = 27 * 60 + 10, 33 * 60 + 10
    # A reconnect follows within the first back-off.
    assert low <= min(ages)
    assert max(ages) <= high + 0.6
    assert np.mean(ages) == pytest.approx((low + high) / 2, abs=4 * (high - low) / np.sqrt(12 * 60))
    assert max(ages) - min(ages) > 0.8 * (high - low)


@pytest.mark.slow
def test_proxies_that_are_connected_at_the_start_have_ages_of_their_own() -> None:
    result = run(proxies=200, services=1, endpoints=1, duration="1620s", recording={"messages": True})
    # A stationary renewal process of mean 1810 s: 27 of 30.17 minutes' worth of streams end.
    count = len(returns(result, 0.0))
    expected = 200 * 1620 / 1810
    assert count == pytest.approx(expected, abs=4 * np.sqrt(200 * 0.895 * 0.105))


def test_without_an_age_streams_stay() -> None:
    result = run(proxies=5, services=1, duration="4000s", plane={"max_connection_age": "none"})
    assert len(result.messages) == 0


def test_the_grace_counts() -> None:
    result = run(
        proxies=3,
        services=1,
        duration="20s",
        plane={"max_connection_age": "1s", "max_connection_age_grace": "5s"},
    )
    first = min(m.t for m in requests(result))
    streams = {m.stream for m in requests(result, "p0")}
    assert first >= 5.0
    assert 2 <= len(streams) <= 4


# --- the network


def cut(begin: str, lasts: str | None = None) -> dict[str, object]:
    """A partition of p0."""
    return {"partition": {"proxies": ["p0"]}, "at": begin, **({"lasts": lasts} if lasts else {})}


def edit(at: str) -> dict[str, object]:
    return {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": at}


def test_a_partition_is_noticed_by_keepalive_and_content_arrives_after_it() -> None:
    result = run(cut("1s", "120s"), edit("2s"), proxies=2, duration="200s", seed=3)
    # istiod sends into the void, as it does not know yet.
    assert [m.t for m in responses(result, "p0", until=60)] == [2.1]
    rows = {row.proxy_id: row for row in result.deliveries.itertuples()}
    assert rows["p1"].t_active_ns < 3e9
    assert (rows["p0"].outcome, rows["p0"].carried_by) == ("active", "reconnect")
    assert rows["p0"].t_active_ns > 121e9
    assert rows["p0"].t_sent_ns > 121e9


@pytest.mark.parametrize("seconds", [30, 5])
def test_istiod_gives_a_dead_peer_up_within_the_interval_and_the_time_out(seconds: int) -> None:
    keepalive = {"interval": f"{seconds}s", "timeout": "10s"}
    result = run(
        {"partition": {"proxies": "100%"}, "at": "1s"},
        edit(f"{1 + seconds + 10}s"),
        proxies=40,
        duration="60s",
        plane={"keepalive": keepalive},
    )
    # By then nobody is connected any more, the latest since 10 s after an interval.
    assert metric(result, "pilot_xds") == 0
    assert list(result.pushes.proxies) == [0]
    early = run(
        {"partition": {"proxies": "100%"}, "at": "1s"},
        edit("10.8s"),
        proxies=40,
        duration="11s",
        plane={"keepalive": keepalive},
    )
    # And before the time-out has passed everybody still is.
    assert list(early.pushes.proxies) == [40]


def test_a_partition_that_is_over_before_anyone_notices_only_delays() -> None:
    result = run(cut("1s", "5s"), edit("2s"), proxies=2, duration="60s")
    [row] = of_proxy(result.deliveries, "p0")
    assert (row.carried_by, row.t_sent_ns) == ("push", 2_100_000_000)
    assert row.t_received_ns == pytest.approx(6e9, abs=0.01e9)
    assert len({m.stream for m in responses(result, "p0")}) == 1


@pytest.mark.slow
def test_packet_loss_breaks_streams_and_nothing_is_lost_for_good() -> None:
    result = run(
        {"edit": "VirtualService", "every": "1s", "until": "50s"},
        {"endpoints": "any", "every": "1s", "until": "50s"},
        proxies=5,
        duration="90s",
        network={"loss": "5%"},
        plane={"max_requests_per_second": "none"},
    )
    assert len({m.stream for m in requests(result, "p0")}) > 2
    assert set(result.deliveries.outcome) <= {"active", "superseded"}
    assert "reconnect" in set(result.deliveries.carried_by)


def test_without_loss_no_stream_breaks() -> None:
    result = run({"edit": "VirtualService", "every": "1s"}, proxies=5, duration="20s")
    assert len({m.stream for m in requests(result, "p0")}) == 1
