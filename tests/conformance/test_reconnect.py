"""A management server that is down, or goes: rules D1 to D5 of the Envoy 1.40 measurements, and the rate
limit.

Times count from the CDS subscription, in seconds, unless said otherwise. Back-off waits are whole
milliseconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from simulator.xds.messages import DeltaDiscoveryRequest
from tests.conformance.running import (
    DELTA,
    SEPARATE,
    SEPARATE_DELTA,
    SOTW,
    both_protocols,
    counter,
    every_stream,
    separate_streams,
)
from tests.conformance.starting import BEGINNING, play_and_overhear, said_at
from tests.conformance.tolerance import MS, assert_close, assert_inside, assert_law, uniform_cdf
from tests.playing import TYPES, Play, play, word

BASE, LONGEST = 0.5, 30.0
"""The first bound of the back-off, and the last."""

CLOSED = 6.0
"""When a running Envoy's streams are reset."""


def _waits(result: Any, label: str = "ads") -> list[list[float]]:
    """For each Envoy, the times from a stream's end to the next attempt."""
    rows = result.states
    rows = rows[(rows.machine == "stream") & (rows.name == label)]
    waits = []
    for _, of_one in rows.groupby("proxy_id", sort=True):
        down, one = None, []
        for t_ns, state in zip(of_one.t_ns, of_one.state, strict=True):
            if state == "DOWN":
                down = int(t_ns)
            elif down is not None:
                one.append((int(t_ns) - down) / 1e9)
        waits.append(one)
    return waits


def _bound(k: int) -> float:
    return float(min(BASE * 2**k, LONGEST))


# --- D1


@every_stream
@pytest.mark.parametrize("connect", ["refuse", "close"])
def test_d1_a_failed_connection_releases_nothing(wire: dict[str, str], connect: str) -> None:
    """D1: refused, or accepted and closed, with a timeout of 3 s: workers at +6.0 s, CDS and LDS each having
    waited."""
    played = play(**wire, timeout="3s", connect=connect, traffic="10/s", duration="9s")
    assert_close(played.at("workers_started"), 6.0)
    assert played.fetch_timeouts == {"cds": 1, "lds": 1}
    assert played.at("connected") is None
    assert played.outcomes()[-1][1] == "refused"


def test_d1_with_no_timeout_an_unreachable_server_is_waited_for_for_ever() -> None:
    played = play(timeout="0s", connect="refuse", duration="60s")
    assert played.at("workers_started") is None


# --- D2, D3


@pytest.mark.parametrize("connect", ["refuse", "close"])
def test_d2_the_kth_wait_is_uniform_below_half_a_second_doubled_k_times(connect: str) -> None:
    """D2: the k-th wait follows U(0, min(500 ms x 2^k, 30 s)), k = 0, 1, ...; 51 measured intervals had a
    mean of 0.488 of their bound and a maximum of 1.0005."""
    envoys = 150
    result = play(
        connect=connect, timeout="3s", mesh={"proxies": envoys}, duration="130s", recording={"states": True}
    ).result
    waits = _waits(result)
    assert len(waits) == envoys
    for k in range(6):
        # A wait that the end of the run cuts off is missing: only steps that all Envoys made are judged.
        of_k = [one[k] for one in waits if len(one) > k]
        assert len(of_k) == envoys
        assert max(of_k) < _bound(k)
        assert_law(of_k, uniform_cdf(0, _bound(k)), f"wait {k}")
    shares = [w / _bound(k) for one in waits for k, w in enumerate(one[:6])]
    assert_inside(sum(shares) / len(shares), 0.47, 0.53, "mean share of the bound", unit=1.0)


@pytest.mark.slow
def test_d2_no_wait_is_longer_than_30_seconds() -> None:
    envoys = 60
    result = play(
        connect="refuse", timeout="3s", mesh={"proxies": envoys}, duration="400s", recording={"states": True}
    ).result
    late = [w for one in _waits(result) for w in one[6:11]]
    assert len(late) == 5 * envoys
    assert max(late) < LONGEST
    assert_law(late, uniform_cdf(0, LONGEST), "late waits")


def test_d2_a_stream_that_is_accepted_and_never_answers_keeps_backing_off() -> None:
    """D2: only a response resets the back-off, a connection does not."""
    envoys = 60
    result = play(
        answers={"cds": {"close": True}}, timeout="0s", mesh={"proxies": envoys}, duration="30s"
    ).result
    assert not result.startups.t_connected_ns.isna().any()
    waits = _waits(result)
    assert max(one[3] for one in waits) > 2.0
    assert all(one[k] < _bound(k) for one in waits for k in range(4))


def test_d2_the_back_off_starts_afresh_after_a_response() -> None:
    """D2: down for 20 s (bounds grow to 16 s and more), then answered, then reset: the next wait is below 500
    ms again."""
    envoys = 40
    result = play(
        connect={"refuse_until": "20s"},
        timeout="0s",
        mesh={"proxies": envoys},
        duration="100s",
        pushes=[{"at": "90s", "close": True}],
    ).result
    waits = _waits(result)
    assert max(one[-2] for one in waits) > 4.0
    assert max(one[-1] for one in waits) < BASE


@every_stream
def test_d3_start_up_goes_on_at_the_next_attempt(wire: dict[str, str]) -> None:
    """D3: the server is back after 1.5 s; the next attempt succeeds (0.1 to 0.7 s later) and the rest takes
    about 8 ms; the timeout plays no part."""
    played = play(**wire, timeout="10s", connect={"refuse_until": "1500ms"}, duration="6s")
    attempts = [t for t, state, _ in played.states("stream") if state == "OPEN"]
    connected, started = played.at("connected"), played.at("workers_started")
    assert connected is not None
    assert started is not None
    first_after = next(t for t in attempts if t + 3 * MS > 1.5)
    assert abs(connected - first_after) < 5 * MS
    if "streams" not in wire:
        assert_inside(connected - 1.5, 0.1, 0.7, "next attempt", unit=1.0)
        assert_close(started - said_at(played, "request cds"), 8 * MS, "the rest")
    assert started - connected < 20 * MS
    assert played.fetch_timeouts == {}


# --- D4


@both_protocols
def test_d4_the_first_reconnect_is_uniform_below_half_a_second(wire: dict[str, str]) -> None:
    """D4: a stream that ends while running is opened again after U(0, 500 ms): 60 measured, mean 246, 9 to
    486 ms."""
    envoys = 100
    result = play(
        **wire,
        mesh={"proxies": envoys},
        pushes=[{"at": f"{CLOSED}s", "close": True}],
        duration="7s",
        recording={"messages": False, "states": True},
    ).result
    waits = [one[0] for one in _waits(result)]
    assert len(waits) == envoys
    assert_law(waits, uniform_cdf(0, BASE), "first reconnect")
    assert all((result.startups.outcome == "live").tolist())


@every_stream
def test_d4_the_last_configuration_serves_on(wire: dict[str, str]) -> None:
    """D4: no failed request; each subscribed type counts one update_failure."""
    played = play(**wire, pushes=[{"at": f"{CLOSED}s", "close": True}], traffic="1000/s", duration="8s")
    assert [o for _, o in played.outcomes()] == ["refused", "200"]
    for stat in ("cluster_manager_cds", "cluster", "listener_manager_lds", "http_rds"):
        assert counter(played, f"envoy_{stat}_update_failure") == 1


def test_d4_connected_state_follows_the_stream() -> None:
    """While a server refuses, connected_state is 0 at the end of a long wait; connected, it is 1."""
    assert counter(play(duration="3s"), "envoy_control_plane_connected_state") == 1
    down = play(connect="refuse", timeout="0s", duration="60s")
    is_open = down.states("stream")[-1][1] == "OPEN"
    assert counter(down, "envoy_control_plane_connected_state") == int(is_open)


# --- D5


def _reconnected(played: Play) -> list[str]:
    return played.order(CLOSED + MS)


def test_d5_a_sotw_reconnect_asks_for_every_type_at_once() -> None:
    """D5: CDS, EDS, LDS, RDS, none waiting for another; version_info is the last accepted one, the nonce
    empty, the names the same."""
    played = play(
        clusters={"count": 2},
        pushes=[
            {"at": "3s", "type": "eds", "change": ["c0", "c1"]},
            {"at": f"{CLOSED}s", "close": True},
        ],
        duration="8s",
    )
    requests = played.messages(CLOSED + MS, direction="request")[:4]
    assert [m.type for m in requests] == list(TYPES)
    assert [m.nonce for m in requests] == [""] * 4
    assert [m.version_info for m in requests] == ["1", "2", "1", "1"]
    assert [list(m.resources) for m in requests] == [[], ["c0", "c1"], [], ["r0"]]
    assert len({m.t for m in requests}) == 1
    assert requests[0].stream == 2


def test_d5_identical_content_sent_again_warms_and_reloads_nothing() -> None:
    """D5: the server answers with what Envoy has: update_success +1, no warming, no reload, ACKs."""
    played = play(pushes=[{"at": f"{CLOSED}s", "close": True}], traffic="100/s", duration="8s")
    assert sorted(_reconnected(played)[4:]) == sorted(
        [f"{w} {t}" for w in ("response", "ack") for t in TYPES]
    )
    for stat in ("cluster_manager_cds", "cluster", "listener_manager_lds", "http_rds"):
        assert counter(played, f"envoy_{stat}_update_success") == 2
    for stat in ("cluster_manager_cds", "http_rds"):
        assert counter(played, f"envoy_{stat}_config_reload") == 1
    for machine in ("cluster", "listener"):
        assert [s for t, s, _ in played.states(machine) if t > CLOSED] == []
    assert [o for _, o in played.outcomes()] == ["refused", "200"]


@pytest.mark.parametrize("wire", [DELTA, SEPARATE_DELTA], ids=["delta", "separate-delta"])
def test_d5_a_delta_reconnect_states_what_it_holds(
    wire: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: initial_resource_versions name to version for every resource held, resource_names_subscribe the
    names (wildcard: empty), empty nonce; a server with nothing new stays silent."""
    played, requests = play_and_overhear(
        monkeypatch,
        **wire,
        clusters={"count": 2},
        pushes=[
            {"at": "3s", "type": "eds", "change": ["c1"]},
            {"at": f"{CLOSED}s", "close": True},
        ],
        duration="8s",
    )
    assert all(isinstance(r, DeltaDiscoveryRequest) for r in requests)
    again = [r for r in requests if r.initial_resource_versions]
    assert [r.response_nonce for r in again] == [""] * len(again)
    held: dict[str, dict[str, str]] = {}
    subscribed: dict[str, set[str]] = {}
    for r in again:
        held.setdefault(r.type.name, {}).update({x.name: x.version for x in r.initial_resource_versions})
        subscribed.setdefault(r.type.name, set()).update(r.resource_names_subscribe)
    assert {t: sorted(h) for t, h in held.items()} == {
        "cds": ["c0", "c1"],
        "eds": ["c0", "c1"],
        "lds": ["l0"],
        "rds": ["r0"],
    }
    assert held["eds"]["c0"] != held["eds"]["c1"]
    assert subscribed == {"cds": set(), "eds": {"c0", "c1"}, "lds": set(), "rds": {"r0"}}
    assert not [said for said in _reconnected(played) if said.startswith("response")]
    if "streams" not in wire:
        assert [r.type.name for r in again] == list(TYPES)


@both_protocols
def test_d5_node_is_in_every_request(wire: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: node is sent in every request, not in the first alone."""
    _, requests = play_and_overhear(
        monkeypatch,
        **wire,
        mesh={"proxies": 3},
        pushes=[{"at": f"{CLOSED}s", "close": True}],
        duration="8s",
        network={"latency": "0s"},
    )
    by_node: dict[int, int] = {}
    for request in requests:
        by_node[request.node] = by_node.get(request.node, 0) + 1
    assert sorted(by_node) == [0, 1, 2]
    assert len(set(by_node.values())) == 1


def test_d5_content_that_changed_while_away_comes_with_the_reconnect() -> None:
    """A change published while the stream is down reaches Envoy with the answer to its next request."""
    for wire in (SOTW, DELTA):
        played = play(
            **wire,
            pushes=[
                {"at": f"{CLOSED}s", "close": True},
                {"at": f"{CLOSED + 0.002}s", "type": "rds", "change": ["r0"]},
            ],
            duration="8s",
        )
        delivery = played.delivery(0)
        assert delivery.outcome == "active"
        assert delivery.carried_by == "reconnect"


@separate_streams
def test_d5_separate_streams_come_back_one_by_one(wire: dict[str, str]) -> None:
    """Each subscription has a stream and a back-off of its own."""
    played = play(**wire, pushes=[{"at": f"{CLOSED}s", "close": True}], duration="8s")
    requests = [m for m in played.messages(CLOSED + MS, direction="request") if not m.nonce]
    assert sorted(m.type for m in requests) == sorted(TYPES)
    assert len({m.t for m in requests}) == 4
    assert len({m.stream for m in requests}) == 4


def test_a_stream_that_breaks_during_start_up_resumes_it() -> None:
    """Asked again for what was under way; what was accepted is not waited for again."""
    played = play(answers={"lds": [{"close": True}, {}]}, timeout="10s", traffic="100/s", duration="5s")
    closed = next(t for t, state, _ in played.states("stream") if state == "DOWN")
    again = [m for m in played.messages(closed, direction="request") if not m.nonce]
    assert [(m.type, m.version_info) for m in again[:3]] == [("cds", "1"), ("eds", "1"), ("lds", "")]
    started = played.at("workers_started")
    assert started is not None
    assert closed < started < closed + BASE + 20 * MS
    assert played.outcomes()[-1][1] == "200"


# --- the rate limit


@pytest.mark.parametrize(
    ("wire", "requests", "workers"),
    [
        (SOTW, "request cds, request eds, ack cds, request lds, ack eds, request rds, ack lds, ack rds", 0.5),
        (
            DELTA,
            "request cds, ack cds, request eds, ack eds, request lds, ack lds, request rds, ack rds",
            0.6,
        ),
    ],
    ids=["sotw", "delta"],
)
def test_a_rate_limit_spaces_the_requests_out(wire: dict[str, str], requests: str, workers: float) -> None:
    """With rate_limit_settings each request takes a token. An empty bucket holds the next one back and counts
    rate_limit_enforced; what waits leaves in order in SotW, ACKs first in delta."""
    limit = {"max_tokens": 1, "fill_rate": "10/s"}
    played = play(**wire, timeout="15s", envoy={"rate_limit": limit}, duration="4s")
    said = played.messages(BEGINNING, direction="request")
    assert ", ".join(word(m) for m in said) == requests
    for earlier, later in pairwise(said):
        assert_close(later.t - earlier.t, 0.1)
    assert_close(played.at("workers_started"), workers)
    assert counter(played, "envoy_control_plane_rate_limit_enforced") >= 5


def test_a_bucket_that_is_large_enough_holds_nothing_up() -> None:
    """Default settings: 100 tokens, 10 a second."""
    limited = play(envoy={"rate_limit": {}}, duration="2s")
    unlimited = play(duration="2s")
    assert limited.order() == unlimited.order()
    assert limited.at("workers_started") == unlimited.at("workers_started")
    assert counter(limited, "envoy_control_plane_rate_limit_enforced") == 0


# --- many Envoys


def test_envoys_started_over_a_time_start_evenly() -> None:
    """mesh.start over 10 s: start times are uniform; each goes through the same start-up."""
    envoys = 200
    result = play(
        mesh={"proxies": envoys, "start": {"over": "10s"}},
        duration="14s",
        recording={"messages": False, "states": False},
    ).result
    starts = result.startups
    assert_law([int(t) / 1e9 for t in starts.t_started_ns], uniform_cdf(0, 10.0), "starts")
    took = {int(t) for t in starts.t_workers_started_ns - starts.t_started_ns}
    assert len(took) == 1
    assert set(starts.outcome) == {"live"}


def test_times_of_a_script_count_from_the_last_envoys_first_subscription() -> None:
    played = play(
        mesh={"proxies": 20, "start": {"over": "10s"}},
        pushes=[{"at": "1s", "type": "rds", "change": ["r0"]}],
        duration="14s",
    )
    last = max(int(t) for t in played.result.startups.t_cds_subscribed_ns)
    assert last > 5 * 10**9
    [change] = played.result.changes.itertuples()
    assert int(change.t_changed_ns) == last + 10**9
    assert int(change.proxies_concerned) == 20


@pytest.mark.parametrize("wire", [SOTW, SEPARATE], ids=["ads", "separate"])
def test_refuse_until_opens_the_door_to_all(wire: dict[str, str]) -> None:
    """refuse_until counts from the last Envoy's first subscription, too; nobody gets through before."""
    result = play(
        **wire,
        mesh={"proxies": 20, "start": {"over": "2s"}},
        connect={"refuse_until": "3s"},
        timeout="0s",
        duration="30s",
    ).result
    starts = result.startups
    opens = max(int(t) for t in starts.t_cds_subscribed_ns) + 3 * 10**9
    assert min(int(t) for t in starts.t_connected_ns) >= opens
    assert set(starts.outcome) == {"live"}
