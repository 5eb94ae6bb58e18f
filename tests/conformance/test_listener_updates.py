"""Listeners that change while Envoy runs: rules W8 to W10 of the Envoy 1.40 measurements, and what the
source says besides.

Drain time 3 s, drain strategy gradual, 200 requests/s, as measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from simulator.control_plane import script
from simulator.engine.draws import Draws
from simulator.mesh.configuration import Listener
from simulator.xds.resources import Resource
from tests.conformance.running import (
    AT,
    DELTA,
    SOTW,
    acked,
    both_protocols,
    conversation,
    counter,
    entered,
    every_stream,
    outcomes,
    push,
    run,
    words_of,
)
from tests.conformance.tolerance import MS, assert_close, assert_inside, is_inside
from tests.playing import NEVER, Play

DRAIN_3S = {"drain_time": "3s"}
RDS_LATE = {"rds": [{}, {"after": "2s"}]}
RDS_ONCE = {"rds": [{}, NEVER]}


def draining(*pushes: dict[str, object], **keywords: Any) -> Play:
    return run(*pushes, envoy={**DRAIN_3S, **keywords.pop("envoy", {})}, **keywords)


def closed_after_draining_starts(played: Play, state: str = "DRAINING") -> float:
    start, close = entered(played, "listener", "l0", state), entered(played, "connection", "l0", "CLOSED")
    assert start is not None
    assert close is not None
    return close - start


# --- W8: an added listener


@both_protocols
def test_an_added_listener_warms_until_its_route_comes(wire: dict[str, str]) -> None:
    played = run(
        push("lds", add=["l1"]),
        answers=RDS_LATE,
        clusters={"count": 2},
        traffic=None,
        workload=[{"traffic": {"to": "l1", "rate": "200/s"}}],
        **wire,
    )
    assert words_of(outcomes(played)) == ["refused", "200"]
    assert_close(outcomes(played)[1][0], 2.0)
    assert_close(entered(played, "listener", "l1", "ACTIVE"), 2.0)
    warming = entered(played, "listener", "l1", "WARMING")
    assert warming is not None
    assert warming < 5 * MS


@every_stream
def test_lds_is_acked_at_once_although_the_listener_warms(wire: dict[str, str]) -> None:
    """Two measured rows disagree: W2 saw this ACK after 6 to 25 ms, beside two other Envoys and pollers
    of each; S5 has LDS applied and RDS asked for within 3.2 ms, and the cost table 2.0 ms for an added
    listener. The model uses the quiet rows (a quiet Envoy was seen at 3.6 to 8.8 ms on a busy machine)."""
    played = run(push("lds", add=["l1"]), answers=RDS_LATE, clusters={"count": 2}, **wire)
    ack = acked(played, "lds")
    assert_close(ack, 3.2 * MS)
    assert not conversation(played, after=2.1).count("ack lds")


@both_protocols
def test_a_listener_whose_route_never_comes_accepts_after_the_timeout_and_answers_404(
    wire: dict[str, str],
) -> None:
    played = run(
        push("lds", add=["l1"]),
        answers=RDS_ONCE,
        clusters={"count": 2},
        timeout="3s",
        traffic=None,
        workload=[{"traffic": {"to": "l1", "rate": "200/s"}}],
        **wire,
    )
    assert words_of(outcomes(played)) == ["refused", "NR"]
    assert_close(outcomes(played)[1][0], 3.0)


@both_protocols
def test_a_changed_listener_whose_route_is_known_does_not_warm(wire: dict[str, str]) -> None:
    played = draining(push("lds", change=["l0"]), answers=RDS_ONCE, **wire)
    assert entered(played, "listener", "l0", "ACTIVE") == entered(played, "listener", "l0", "WARMING")
    assert "request rds" not in conversation(played)


# --- W9: a changed listener

Rewrite = Callable[[Resource[Any]], Resource[Any]]


@pytest.fixture
def rewrite_changes(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Rewrite]], None]:
    """What a script cannot say: how a change rewrites a listener, change by change."""

    def rewritten_by(rewrites: list[Rewrite]) -> None:
        left = list(rewrites)
        monkeypatch.setattr(script, "_rewritten", lambda resource: left.pop(0)(resource))

    return rewritten_by


def leads_to_r1(resource: Resource[Any]) -> Resource[Any]:
    body = resource.body
    assert isinstance(body, Listener)
    return replace(
        resource,
        revision=resource.revision + 1,
        body=replace(body, route_name="r1", edition=body.edition + 1),
    )


def leads_back_to_r0(resource: Resource[Any]) -> Resource[Any]:
    body = resource.body
    return replace(
        resource,
        revision=resource.revision - 1,
        body=replace(body, route_name="r0", edition=body.edition - 1),
    )


WITH_R1_IN_STORE = {"clusters": {"count": 2}, "listeners": {"count": 2}}


@both_protocols
def test_the_old_listener_serves_while_the_new_one_waits_for_its_route(
    wire: dict[str, str], rewrite_changes: Callable[[list[Rewrite]], None]
) -> None:
    rewrite_changes([leads_to_r1])
    played = draining(
        push("lds", change=["l0"]), answers={"lds": {"omit": ["l1"]}, **RDS_LATE}, **WITH_R1_IN_STORE, **wire
    )
    assert outcomes(played) == [(0.0, "200")], "no request fails"
    assert_close(entered(played, "listener", "l0", "ACTIVE"), 2.0)
    assert_close(entered(played, "listener", "l0", "DRAINING"), 2.0)
    assert_close(entered(played, "listener", "l0", "GONE"), 5.0)
    assert_close(acked(played, "lds"), 3.2 * MS)


@both_protocols
def test_a_listener_changed_back_while_its_change_warms_is_as_if_nothing_happened(
    wire: dict[str, str], rewrite_changes: Callable[[list[Rewrite]], None]
) -> None:
    rewrite_changes([leads_to_r1, leads_back_to_r0])
    played = draining(
        push("lds", change=["l0"]),
        push("lds", after=1, change=["l0"]),
        answers={"lds": {"omit": ["l1"]}, **RDS_ONCE},
        **WITH_R1_IN_STORE,
        **wire,
    )
    assert outcomes(played) == [(0.0, "200")]
    states = [s for t, s, _ in played.states("listener", "l0") if t >= AT]
    assert states == ["WARMING", "GONE"], (
        "the warming one is dropped, the active one neither replaced nor drained"
    )
    assert counter(played, "envoy_listener_manager_listener_modified") == 2
    assert played.delivery(1).outcome == "active"


@both_protocols
def test_a_change_of_filter_chains_alone_is_made_in_place(wire: dict[str, str]) -> None:
    played = draining(push("lds", change_filter_chains=["l0"]), **wire)
    assert counter(played, "envoy_listener_manager_listener_in_place_updated") == 1
    start = entered(played, "listener", "l0", "FILTER_CHAINS_DRAINING")
    gone = entered(played, "listener", "l0", "GONE")
    assert start is not None
    assert gone is not None
    assert_close(gone - start, 3.0)
    assert entered(played, "listener", "l0", "DRAINING") is None
    assert outcomes(played) == [(0.0, "200")]


@both_protocols
def test_a_change_of_other_fields_makes_a_full_listener(wire: dict[str, str]) -> None:
    played = draining(push("lds", change=["l0"]), **wire)
    assert counter(played, "envoy_listener_manager_listener_in_place_updated") == 0
    start, gone = entered(played, "listener", "l0", "DRAINING"), entered(played, "listener", "l0", "GONE")
    assert start is not None
    assert gone is not None
    assert gone - start == pytest.approx(3.0, abs=1e-9), "exactly the drain time"
    assert outcomes(played) == [(0.0, "200")]


@pytest.mark.parametrize(
    ("change", "gauge"),
    [
        ("change", "envoy_listener_manager_total_listeners_draining"),
        ("change_filter_chains", "envoy_listener_manager_total_filter_chains_draining"),
    ],
)
def test_what_drains_is_counted_apart(change: str, gauge: str) -> None:
    during = draining(push("lds", **{change: ["l0"]}), duration=f"{AT + 1}s")
    after = draining(push("lds", **{change: ["l0"]}))
    assert counter(during, gauge) == 1
    assert counter(after, gauge) == 0
    assert counter(during, "envoy_listener_manager_total_listeners_active") == 1


@both_protocols
@pytest.mark.parametrize(
    ("change", "state"), [("change", "DRAINING"), ("change_filter_chains", "FILTER_CHAINS_DRAINING")]
)
def test_a_busy_kept_connection_closes_in_the_second_second(
    wire: dict[str, str], change: str, state: str
) -> None:
    played = draining(push("lds", **{change: ["l0"]}), connection="kept", **wire)
    assert_inside(closed_after_draining_starts(played, state), 1.00, 1.04, unit=1.0)
    assert outcomes(played) == [(0.0, "200")], "the next connection goes to the new listener"


def test_gradual_drain_never_closes_in_the_first_second_and_soon_after_it() -> None:
    """With 200 requests/s each of them closes with probability 1/3: nine in ten do within 1.04 s."""
    from simulator.workload.traffic import connection_closed_after_ns

    closes = [
        connection_closed_after_ns(
            3 * 10**9,
            is_gradual=True,
            per_second=200,
            uniform=lambda second, n=n: Draws(1, n).uniform("close", 0, second),
        )
        / 1e9
        for n in range(400)
    ]
    assert min(closes) > 1.0
    assert sorted(closes)[len(closes) * 9 // 10] <= 1.04


def test_immediate_drain_closes_with_the_next_request() -> None:
    played = draining(push("lds", change=["l0"]), connection="kept", envoy={"drain_strategy": "immediate"})
    assert closed_after_draining_starts(played) < 20 * MS


# --- W10: a removed listener


@both_protocols
def test_a_removed_listener_refuses_new_connections(wire: dict[str, str]) -> None:
    """W10 read 7 to 10 ms with a probe every 5 ms that counted only `refused`; half of the time the
    connection under way is reset first, and the next request, 5 ms and an answer later, is the first one
    refused. A probe every 0.3 ms sees 1.7 to 5.1 ms: that is the bare value."""
    played = draining(push("lds", remove=["l0"]), **wire)
    assert words_of(outcomes(played)) == ["200", "refused"]
    refuses = outcomes(played)[1][0]
    assert_inside(refuses, 1.7 * MS, 5.1 * MS, "seen with a probe every 0.3 ms")
    # The same train of requests every 5 ms at 200 random phases (keyed draws): the request that starts
    # within the last 2 ms before the sockets close is reset and does not count; each takes 1 ms on its
    # fresh connection.
    phases = [Draws(seed=2026).uniform("probe.phase", probe) * 5 * MS for probe in range(200)]
    starts = [refuses + (phase - refuses) % (5 * MS) for phase in phases]
    seen = [start + 1 * MS for start in starts]
    assert max(seen) <= 10 * MS
    inside = [s for s in seen if is_inside(s, 7 * MS, 10 * MS)]
    assert len(inside) > 50, "the measured range is reached by the later phases"


@both_protocols
def test_kept_connections_of_a_removed_listener_close_from_the_second_second_and_it_goes_at_the_drain_time(
    wire: dict[str, str],
) -> None:
    played = draining(push("lds", remove=["l0"]), connection="kept", **wire)
    assert_inside(closed_after_draining_starts(played), 1.00, 1.04, unit=1.0)
    assert words_of(outcomes(played)) == ["200", "refused"]
    assert_close(entered(played, "listener", "l0", "GONE"), 3.0)


def test_an_idle_kept_connection_stays_until_the_drain_time() -> None:
    played = draining(push("lds", remove=["l0"]), connection="kept", traffic="1/h")
    assert closed_after_draining_starts(played) == pytest.approx(3.0, abs=0.02)


def test_an_envoy_without_costs_refuses_too_early() -> None:
    played = draining(push("lds", remove=["l0"]), envoy={"costs": "zero"})
    assert not is_inside(outcomes(played)[1][0], 1.7 * MS, 5.1 * MS)


# --- lists (listener_manager_impl.cc, lds_api.cc)


@both_protocols
def test_a_replaced_warming_listener_never_drains(wire: dict[str, str]) -> None:
    played = draining(
        push("lds", add=["l1"]),
        push("lds", after=1, change=["l1"]),
        answers=RDS_ONCE,
        timeout="3s",
        clusters={"count": 2},
        **wire,
    )
    states = [(round(t - AT, 1), s) for t, s, _ in played.states("listener", "l1") if t >= AT]
    assert states == [(0.0, "WARMING"), (1.0, "GONE"), (1.0, "WARMING"), (3.0, "ACTIVE")], (
        "both wait for one route subscription, whose timer goes on"
    )


@both_protocols
def test_a_removed_warming_listener_goes_at_once(wire: dict[str, str]) -> None:
    played = draining(
        push("lds", add=["l1"]),
        push("lds", after=1, remove=["l1"]),
        answers=RDS_ONCE,
        timeout="3s",
        clusters={"count": 2},
        **wire,
    )
    assert [s for _, s, _ in played.states("listener", "l1")] == ["WARMING", "GONE"]
    assert counter(played, "envoy_http_rds_init_fetch_timeout") == 0, "its route subscription ended with it"


@both_protocols
def test_an_lds_update_removes_before_it_adds(wire: dict[str, str]) -> None:
    played = draining(push("lds", add=["l1"], remove=["l0"]), clusters={"count": 2}, **wire)
    rows = played.result.states
    rows = rows[(rows.machine == "listener") & (rows.t_ns >= played.origin_ns + int(AT * 1e9))]
    assert [(r.name, r.state) for r in rows.itertuples()][:2] == [("l0", "DRAINING"), ("l1", "WARMING")]


@both_protocols
def test_a_listener_that_cannot_be_built_is_refused_alone(wire: dict[str, str]) -> None:
    played = draining(
        push("lds", change=["l0", "l1"], reject="build"),
        clusters={"count": 2},
        listeners={"count": 2},
        **wire,
    )
    [nack] = played.messages(AT, "lds", "request")
    assert "l0" in nack.error_detail
    assert [s for t, s, _ in played.states("listener", "l0") if t >= AT] == []
    assert entered(played, "listener", "l1", "ACTIVE") is not None
    assert counter(played, "envoy_listener_manager_listener_create_failure") == 1


@both_protocols
def test_an_inline_route_to_an_unknown_cluster_refuses_the_listener(wire: dict[str, str]) -> None:
    played = draining(push("lds", add=["l1"]), listeners={"count": 1, "routes": "inline"}, **wire)
    [nack] = played.messages(AT, "lds", "request")
    assert "unknown cluster" in nack.error_detail


def test_the_routes_of_a_draining_listener_are_kept_until_it_is_gone() -> None:
    played = draining(push("lds", remove=["l0"]), **SOTW)
    [dropped] = played.messages(AT, "rds", "request")
    assert_close(dropped.t - AT, 3.0)
    assert list(dropped.resources) == []


# --- routes


def test_delta_removing_a_route_is_ignored() -> None:
    played = run(push("rds", remove=["r0"]), **DELTA)
    assert played.messages(AT, "rds", "response"), "the server did say it"
    assert acked(played, "rds") is not None
    assert outcomes(played) == [(0.0, "200")]


@both_protocols
def test_equal_routes_sent_again_are_not_reloaded(wire: dict[str, str]) -> None:
    played = run(push("rds", send=["r0"]), **wire)
    assert counter(played, "envoy_http_rds_update_success") == 2
    assert counter(played, "envoy_http_rds_config_reload") == 1


@both_protocols
def test_a_refused_route_leaves_the_old_one_in_force(wire: dict[str, str]) -> None:
    played = run(push("rds", change=["r0"], reject="build"), **wire)
    assert played.messages(AT, "rds", "request")[0].error_detail
    assert outcomes(played) == [(0.0, "200")]
