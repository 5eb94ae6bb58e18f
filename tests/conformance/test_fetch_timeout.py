"""initial_fetch_timeout: the measured table of unanswered types, rules T1 to T7, and the waits that add up.

Times count from the CDS subscription, in seconds, unless said otherwise. The timeout is 2 s on every source
as it was measured, unless said otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.running import (
    DELTA,
    SEPARATE,
    SEPARATE_DELTA,
    SOTW,
    both_protocols,
    counter,
    every_stream,
)
from tests.conformance.starting import (
    BEGINNING,
    NEVER,
    POLL,
    bootstrap_to_workers,
    late,
    never_answered,
    said_at,
    workers_after,
)
from tests.conformance.tolerance import MS, assert_close, assert_inside
from tests.playing import TYPES, Play, play

every_transport = pytest.mark.parametrize(
    "wire",
    [SOTW, DELTA, SEPARATE, SEPARATE_DELTA, POLL],
    ids=["sotw", "delta", "separate-sotw", "separate-delta", "poll"],
)

ACCEPTS = 10 * MS
"""Within this the port accepts after the workers started (S6)."""

# --- the table: what is not answered, when workers start, what traffic gets, which subscriptions timed out

UNANSWERED: dict[str, tuple[tuple[str, ...], float, str, dict[str, int]]] = {
    "cds": (("cds",), 2.0, "NC", {"cds": 1}),
    "eds": (("eds",), 2.0, "UH", {"eds": 1}),
    "lds": (("lds",), 2.0, "refused", {"lds": 1}),
    "rds": (("rds",), 2.0, "NR", {"rds": 1}),
    "eds and rds": (("eds", "rds"), 4.0, "NR", {"eds": 1, "rds": 1}),
    "all": (TYPES, 4.0, "refused", {"cds": 1, "lds": 1}),
}


@every_transport
@pytest.mark.parametrize("case", UNANSWERED)
def test_an_unanswered_type_delays_the_workers_by_its_timeout(wire: dict[str, Any], case: str) -> None:
    """Not answered within 2 s: CDS, EDS, LDS or RDS 2.00 s; EDS and RDS 4.00 s; nothing at all 4.00 s (EDS
    and RDS are never asked for). Traffic then gets 503 without a cluster, 503 without a host, a refused
    connection (though /ready is LIVE), or 404 from an empty table."""
    missing, starts, outcome, timeouts = UNANSWERED[case]
    played = play(**wire, answers=never_answered(*missing), traffic="100/s", duration="5s")
    assert_close(played.at("workers_started"), starts, "workers")
    started = played.at("workers_started")
    assert started is not None
    assert played.at("ready") == started
    assert played.outcome_at(started - MS) == "refused"
    assert played.outcome_at(started + ACCEPTS) == outcome
    assert played.outcomes()[-1][1] == outcome
    assert played.fetch_timeouts == timeouts


@both_protocols
def test_eds_and_rds_are_never_asked_for_where_nothing_is_answered(wire: dict[str, str]) -> None:
    assert play(**wire, answers=never_answered(*TYPES), duration="5s").order() == [
        "request cds",
        "request lds",
    ]


# --- late answers (T6)

LATE = 5.0


def _answered_late(*types: str, **wire: str) -> Play:
    return play(
        **wire, answers=never_answered(*types), pushes=late(*types, at=LATE), traffic="1000/s", duration="8s"
    )


def _ack(played: Play, type_: str) -> float:
    response = said_at(played, f"response {type_}", LATE)
    return said_at(played, f"ack {type_}", LATE) - response


@both_protocols
def test_t6_a_late_cds_is_applied_and_counts_as_a_running_update(wire: dict[str, str]) -> None:
    """T6: a CDS answer after the timeout is applied; EDS answers at once; on ADS the ACK waits for the
    warming cluster, 3 to 10 ms."""
    played = _answered_late("cds", **wire)
    assert_inside(_ack(played, "cds"), 3 * MS, 10 * MS, "ACK of the late CDS")
    assert played.order(LATE) == ["response cds", "request eds", "response eds", "ack cds", "ack eds"]
    assert [o for _, o in played.outcomes()] == ["refused", "NC", "200"]


@both_protocols
def test_t6_traffic_follows_a_late_cds(wire: dict[str, str]) -> None:
    """T6: 200 was seen 11 to 22 ms after the late CDS by requests sent every 20 ms. Such a probe sees an
    instant up to 20 ms late, so the instant itself lies between 2 and 11 ms (requests every 0.5 ms: 6 to 10
    ms)."""
    recovered = _answered_late("cds", **wire).outcomes()[-1][0] - LATE
    assert_inside(recovered, 2 * MS, 11 * MS, "200 after the late CDS")
    probe = 20 * MS
    assert recovered < 11 * MS
    assert recovered + probe > 22 * MS


@both_protocols
def test_t6_a_late_eds_is_applied(wire: dict[str, str]) -> None:
    """T6: ACK 1.6 to 2.4 ms after the late EDS answer, and traffic flows."""
    played = _answered_late("eds", **wire)
    assert_inside(_ack(played, "eds"), 1.6 * MS, 2.4 * MS, "ACK of the late EDS")
    assert [o for _, o in played.outcomes()] == ["refused", "UH", "200"]


@both_protocols
def test_t6_a_late_lds_is_applied(wire: dict[str, str]) -> None:
    """T6: the port accepts about 20 ms after the late LDS answer (seen by a probe every 10 ms)."""
    played = _answered_late("lds", **wire)
    assert [o for _, o in played.outcomes()] == ["refused", "200"]
    assert_close(played.outcomes()[-1][0] - LATE, 20 * MS, "port accepts")


@both_protocols
def test_t6_a_late_rds_is_applied(wire: dict[str, str]) -> None:
    """T6: ACK 1.5 to 1.9 ms after the late RDS answer, and traffic flows."""
    played = _answered_late("rds", **wire)
    assert_inside(_ack(played, "rds"), 1.5 * MS, 1.9 * MS, "ACK of the late RDS")
    assert [o for _, o in played.outcomes()] == ["refused", "NR", "200"]


@both_protocols
def test_t6_late_answers_to_everything_are_applied_in_order(wire: dict[str, str]) -> None:
    """T6: nothing answered in 4 s, then everything is: applied, in order, and traffic flows."""
    played = _answered_late(*TYPES, **wire)
    assert [said for said in played.order(LATE) if said.startswith("response")] == [
        f"response {t}" for t in TYPES
    ]
    assert not [said for said in played.order() if said.startswith("nack")]
    assert [o for _, o in played.outcomes()] == ["refused", "200"]


def test_t6_a_late_poll_answer_is_applied() -> None:
    """T6 over REST: CDS, unanswered at first, comes with a later poll."""
    played = play(**POLL, answers={"cds": [NEVER, NEVER, {}]}, traffic="100/s", duration="12s")
    assert_close(played.at("workers_started"), 2.0)
    assert played.outcomes()[-1][1] == "200"


# --- T1 to T5


@every_transport
def test_t1_timeouts_run_in_parallel_within_a_type(wire: dict[str, Any]) -> None:
    """T1: five clusters and five listeners without EDS and RDS: 4.00 s, not 20."""
    played = play(
        **wire,
        clusters={"count": 5},
        listeners={"count": 5},
        answers=never_answered("eds", "rds"),
        duration="25s",
    )
    assert_close(played.at("workers_started"), 4.0)
    assert played.fetch_timeouts == {"eds": 5, "rds": 5}


@every_transport
def test_t1_timeouts_add_across_types(wire: dict[str, Any]) -> None:
    """T1: each type answered just before its timeout, so that the next one is asked for: the waits add to 4 x
    2 s."""
    almost = {"after": "1990ms"}
    propagation = {"refresh_delay": "1s", "request_timeout": "3s"} if wire is POLL else {}
    answers = {"cds": almost, "eds": NEVER, "lds": almost, "rds": NEVER}
    played = play(**{**wire, "propagation": propagation}, answers=answers, duration="12s")
    assert_close(played.at("workers_started"), 8.0)
    assert played.fetch_timeouts == {"eds": 1, "rds": 1}


@every_stream
def test_t2_the_timer_starts_with_the_subscription(wire: dict[str, str]) -> None:
    """T2: not with the connection or the request. The server is there after 1.5 s and never answers CDS: CDS
    times out 2 s after its subscription all the same."""
    played = play(**wire, connect={"refuse_until": "1500ms"}, answers={"cds": NEVER}, duration="6s")
    connected = played.at("connected")
    assert connected is not None
    assert connected > 1.5
    assert_close(played.at("cds_initialized"), 2.0)


def test_t3_names_missing_from_a_sotw_answer_wait_out_their_own_timers() -> None:
    """T3: an EDS answer that holds one of five names: that one is done, the other four wait out their 2 s."""
    missing = ["c1", "c2", "c3", "c4"]
    played = play(clusters={"count": 5}, answers={"eds": {"omit": missing}}, duration="5s")
    assert played.entered("cluster", "c0", "ACTIVE") < 20 * MS
    for name in missing:
        assert_close(played.entered("cluster", name, "ACTIVE"), 2.0)
    assert_close(played.at("workers_started"), 2.0)
    assert played.fetch_timeouts == {"eds": 4}


@pytest.mark.parametrize(
    "wire", [DELTA, SEPARATE, SEPARATE_DELTA], ids=["delta", "separate-sotw", "separate-delta"]
)
def test_t3_holds_for_every_stream(wire: dict[str, str]) -> None:
    played = play(**wire, clusters={"count": 3}, answers={"eds": {"omit": ["c2"]}}, duration="5s")
    assert played.entered("cluster", "c0", "ACTIVE") < 20 * MS
    assert_close(played.entered("cluster", "c2", "ACTIVE"), 2.0)
    assert played.fetch_timeouts == {"eds": 1}


@both_protocols
def test_t3_routes_missing_from_an_answer_wait_too(wire: dict[str, str]) -> None:
    played = play(**wire, listeners={"count": 3}, answers={"rds": {"omit": ["r2"]}}, duration="5s")
    assert_close(played.at("workers_started"), 2.0)
    assert played.fetch_timeouts == {"rds": 1}


@every_transport
def test_t4_unset_is_15_seconds(wire: dict[str, Any]) -> None:
    """T4: nothing answered: CDS out at 15.0 s, LDS at 30.0 s, then live with nothing configured."""
    played = play(**wire, timeout=None, answers=never_answered(*TYPES), duration="40s")
    assert_close(played.at("cds_initialized"), 15.0)
    assert_close(played.at("workers_started"), 30.0)
    assert_close(played.at("ready"), 30.2)
    assert played.fetch_timeouts == {"cds": 1, "lds": 1}
    assert counter(played, "envoy_cluster_manager_active_clusters") == 0
    assert counter(played, "envoy_listener_manager_total_listeners_active") == 0


@every_transport
@pytest.mark.parametrize("missing", [TYPES, ("eds",), ("rds",)], ids=["nothing", "eds", "rds"])
def test_t5_zero_waits_for_ever(wire: dict[str, Any], missing: tuple[str, ...]) -> None:
    """T5: timeout 0 and nothing, EDS or RDS unanswered: not started at 30 s, no timeout counted."""
    played = play(**wire, timeout="0s", answers=never_answered(*missing), duration="30s")
    assert played.at("workers_started") is None
    assert played.startup.outcome == "initializing"
    assert played.fetch_timeouts == {}
    assert "init_fetch_timeout" not in played.result.counters_text


def test_a_timeout_is_counted_where_envoy_counts_it() -> None:
    """One init_fetch_timeout for each subscription, under the name of its type."""
    played = play(
        clusters={"count": 2}, listeners={"count": 2}, answers=never_answered("eds", "rds"), duration="6s"
    )
    assert counter(played, "envoy_cluster_init_fetch_timeout") == 2
    assert counter(played, "envoy_http_rds_init_fetch_timeout") == 2


def test_each_type_has_a_timeout_of_its_own() -> None:
    """The timeout lives in each ConfigSource: CDS 1 s and EDS 3 s unanswered are 1 s and 3 s."""
    timeouts = {"cds": "1s", "eds": "3s", "lds": "0s", "rds": "0s"}
    assert_close(play(timeout=timeouts, answers={"cds": NEVER}, duration="5s").at("workers_started"), 1.0)
    assert_close(play(timeout=timeouts, answers={"eds": NEVER}, duration="5s").at("workers_started"), 3.0)


# --- T7: the delta trap

both_delta = pytest.mark.parametrize("wire", [DELTA, SEPARATE_DELTA], ids=["delta", "separate-delta"])


@both_delta
def test_t7_eds_named_in_removed_resources_releases_its_cluster_at_once(wire: dict[str, str]) -> None:
    """T7: a first delta answer that lists the cluster under removed_resources ends its waiting, without
    hosts."""
    played = play(**wire, answers={"eds": {"remove": ["c0"]}}, traffic="100/s", duration="4s")
    assert workers_after(played, "response eds") < 20 * MS
    assert played.outcomes()[-1][1] == "UH"
    assert played.fetch_timeouts == {}
    assert counter(played, "envoy_cluster_update_empty") == 1


@both_delta
def test_t7_rds_named_in_removed_resources_is_never_released(wire: dict[str, str]) -> None:
    """T7: counted as update_success and the timer is off, but Envoy stays INITIALIZING for ever (45 s,
    timeout 2 s)."""
    played = play(**wire, answers={"rds": {"remove": ["r0"]}}, traffic="10/s", duration="45s")
    assert played.at("workers_started") is None
    assert played.states("server")[-1][1] == "INITIALIZING"
    assert played.fetch_timeouts == {}
    assert counter(played, "envoy_http_rds_update_success") == 1
    assert played.outcomes()[-1][1] == "refused"


@both_delta
def test_t7_the_route_really_sent_starts_the_workers(wire: dict[str, str]) -> None:
    """T7: once the route is really sent, live in about 1 ms."""
    pushes = [{"at": "20s", "type": "rds", "send": "all"}]
    played = play(**wire, answers={"rds": {"remove": ["r0"]}}, pushes=pushes, traffic="100/s", duration="25s")
    started = played.at("workers_started")
    assert started is not None
    assert 0 < started - 20.0 <= 1 * MS + 2 * MS
    assert played.outcomes()[-1][1] == "200"


# --- the chain: which waits add, which run side by side (T = 1 s)

JUST_IN_TIME = {"after": "990ms"}
RTDS = {"runtime_layers": [{"name": "rtds0", "rtds_layer": {"name": "rtds0"}}]}
STATIC_EDS = {"static": {"clusters": {"type": "eds", "prefix": "s"}}}
STATIC_EDS_SECRET = {"static": {"clusters": {"type": "eds", "prefix": "s", "secret": "sds1"}}}

WORST: dict[str, tuple[float, dict[str, Any], dict[str, Any]]] = {
    "control plane unreachable": (2, {"connect": "refuse"}, {}),
    "unreachable, with RTDS": (3, {"connect": "refuse", "envoy": RTDS}, {}),
    "CDS and LDS just in time, EDS and RDS missing": (4, {}, {}),
    "with secrets of the CDS clusters": (5, {"clusters": {"secret": "sds0"}}, {}),
    "and RTDS": (6, {"clusters": {"secret": "sds0"}, "envoy": RTDS}, {"rtds": NEVER}),
    "and a static EDS cluster": (
        7,
        {"clusters": {"secret": "sds0"}, "envoy": {**RTDS, **STATIC_EDS}},
        {"rtds": NEVER},
    ),
    "and its secret": (
        8,
        {"clusters": {"secret": "sds0"}, "envoy": {**RTDS, **STATIC_EDS_SECRET}},
        {"rtds": NEVER},
    ),
}


@both_protocols
@pytest.mark.parametrize("case", WORST)
def test_waits_along_the_chain_add(wire: dict[str, str], case: str) -> None:
    """Timers are armed when a subscription starts, so the waits add: RTDS, static EDS and its secret, CDS,
    EDS and its secret, LDS, RDS. That Envoy initializes within initial_fetch_timeout holds for each phase
    alone."""
    waits, keywords, answers = WORST[case]
    answers = {"cds": JUST_IN_TIME, "lds": JUST_IN_TIME, **never_answered("eds", "rds", "sds"), **answers}
    played = play(
        **wire,
        timeout="1s",
        answers=answers,
        duration="12s",
        **{**keywords, "resources": {"secrets": {"count": 2}, "runtime": {"count": 1}}},
    )
    assert_close(bootstrap_to_workers(played), float(waits))


@both_protocols
def test_runtime_layers_are_waited_for_in_parallel_and_before_all_else(wire: dict[str, str]) -> None:
    """RTDS blocks after the primary clusters, before CDS: two layers unanswered wait 1 s together. Nothing
    else is asked for meanwhile."""
    layers = [{"name": n, "rtds_layer": {"name": n}} for n in ("rtds0", "rtds1")]
    played = play(
        **wire,
        timeout="1s",
        envoy={"runtime_layers": layers},
        resources={"runtime": {"count": 2}},
        answers={"rtds": NEVER},
        duration="4s",
    )
    assert played.order(BEGINNING)[:3] == ["request rtds", "request rtds", "request cds"]
    assert_close(bootstrap_to_workers(played), 1.0)
    assert played.fetch_timeouts == {"rtds": 2}


@both_protocols
def test_runtime_layers_that_are_not_fetched_hold_nothing_up(wire: dict[str, str]) -> None:
    layers = [{"name": "base", "static_layer": {"a": 1}}, {"name": "admin", "admin_layer": {}}]
    played = play(**wire, envoy={"runtime_layers": layers}, duration="2s")
    assert "request rtds" not in played.order()
    assert bootstrap_to_workers(played) < 20 * MS


@both_protocols
@pytest.mark.parametrize(
    "answer", [{}, {"reject": "decode"}, {"reject": "build"}], ids=["good", "decode", "build"]
)
def test_a_runtime_layer_is_released_by_an_update_or_a_rejection(
    wire: dict[str, str], answer: dict[str, str]
) -> None:
    played = play(
        **wire, envoy=RTDS, resources={"runtime": {"count": 1}}, answers={"rtds": answer}, duration="3s"
    )
    assert bootstrap_to_workers(played) < 20 * MS
    assert played.order(BEGINNING)[:2] == ["request rtds", "response rtds"]
    assert ("nack rtds" if answer else "ack rtds") in played.order()
    assert played.fetch_timeouts == {}


@both_protocols
def test_the_secret_of_a_cluster_is_asked_for_after_its_assignment(wire: dict[str, str]) -> None:
    """SDS starts only after the EDS outcome, so its timer adds to that of EDS."""
    played = play(
        **wire,
        clusters={"secret": "sds0"},
        resources={"secrets": {"count": 1}},
        answers={"eds": {"after": "1s"}, "sds": NEVER},
        duration="5s",
    )
    assert_close(said_at(played, "request sds"), 1.0)
    assert_close(played.at("workers_started"), 3.0)
    assert played.fetch_timeouts == {"sds": 1}


@both_protocols
def test_a_secret_somebody_already_has_is_not_waited_for(wire: dict[str, str]) -> None:
    """Providers of secrets are shared: the static cluster waited for sds0 in vain, the CDS cluster and the
    listener that use it as well do not wait again."""
    static = {"clusters": {"type": "static", "prefix": "s", "secret": "sds0"}}
    played = play(
        **wire,
        envoy={"static": static},
        clusters={"secret": "sds0"},
        listeners={"secret": "sds0"},
        resources={"secrets": {"count": 1}},
        answers={"sds": NEVER},
        duration="8s",
    )
    assert_close(bootstrap_to_workers(played), 2.0)
    assert played.fetch_timeouts == {"sds": 1}
    assert played.order(BEGINNING).count("request sds") == 1


@both_protocols
def test_what_a_listener_refers_to_is_fetched_in_parallel(wire: dict[str, str]) -> None:
    """RDS, SDS and ECDS of a listener run side by side: none answered is 2 s, not 6."""
    played = play(
        **wire,
        listeners={"secret": "sds0", "filters": ["ecds0", "ecds1"]},
        resources={"secrets": {"count": 1}, "extensions": {"count": 2}},
        answers=never_answered("rds", "sds", "ecds"),
        duration="5s",
    )
    assert_close(played.at("workers_started"), 2.0)
    assert played.fetch_timeouts == {"rds": 1, "sds": 1, "ecds": 2}


@both_protocols
@pytest.mark.parametrize("type_", ["sds", "ecds"])
def test_a_missing_secret_or_extension_holds_the_workers_up(wire: dict[str, str], type_: str) -> None:
    played = play(
        **wire,
        listeners={"secret": "sds0", "filters": ["ecds0"]},
        resources={"secrets": {"count": 1}, "extensions": {"count": 1}},
        answers=never_answered(type_),
        duration="5s",
    )
    assert_close(played.at("workers_started"), 2.0)
    assert played.fetch_timeouts == {type_: 1}


@both_protocols
@pytest.mark.parametrize(
    ("answers", "waits", "timeouts"),
    [
        ({"srds": NEVER}, 2.0, {"srds": 1}),
        ({"rds": NEVER}, 2.0, {"rds": 1}),
        ({"srds": {"after": "1990ms"}, "rds": NEVER}, 4.0, {"rds": 1}),
        ({}, 0.0, {}),
    ],
    ids=["scopes missing", "routes missing", "scopes late and routes missing", "all there"],
)
def test_scopes_and_their_routes_are_waited_for_in_turn(
    wire: dict[str, str], answers: dict[str, object], waits: float, timeouts: dict[str, int]
) -> None:
    """SRDS first, then the routes its scopes select: sequential waits inside one listener."""
    played = play(
        **wire,
        listeners={"routes": "scoped"},
        resources={"scopes": {"count": 1}},
        answers=answers,
        duration="6s",
    )
    started = played.at("workers_started")
    assert started is not None
    assert abs(started - waits) < 20 * MS
    assert played.fetch_timeouts == timeouts
    assert ("request rds" in played.order()) == (answers.get("srds") is not NEVER)


# --- polling


def test_r2_a_poll_start_takes_about_28_ms() -> None:
    """R2: the first fetch of each type is immediate, in the order CDS, EDS, LDS, RDS, 28 ms in all."""
    played = play(**POLL, duration="4s")
    assert played.order()[:8] == [f"{kind} {t}" for t in TYPES for kind in ("request", "response")]
    assert_close(workers_after(played, "request cds"), 28 * MS)


@pytest.mark.parametrize("connect", ["refuse", "close"])
def test_r4_a_failing_rest_server_releases_nothing(connect: str) -> None:
    """R4: workers at 6.1 s with 3 s each for CDS and LDS."""
    played = play(**POLL, timeout="3s", connect=connect, duration="9s")
    assert_close(played.at("workers_started"), 6.1)
    assert played.fetch_timeouts == {"cds": 1, "lds": 1}
