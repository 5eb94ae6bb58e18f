"""The order of start-up: rules S1 to S8 of the Envoy 1.40 measurements.

Times count from the CDS subscription, in seconds, unless said otherwise.
"""

from __future__ import annotations

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
from tests.conformance.starting import NEVER, POLL, SERVED, said_at, step, workers_after
from tests.conformance.tolerance import MS, assert_close, assert_inside, is_close
from tests.playing import TYPES, Play, play

ONE_SECOND = {type_: {"after": "1s"} for type_ in TYPES}
EVERY_TRANSPORT = [SOTW, DELTA, SEPARATE, SEPARATE_DELTA, POLL]
every_transport = pytest.mark.parametrize(
    "wire", EVERY_TRANSPORT, ids=["sotw", "delta", "separate-sotw", "separate-delta", "poll"]
)

# --- S1


def test_s1_a_static_bootstrap_starts_its_workers_at_the_end_of_construction() -> None:
    """S1: with nothing to fetch, workers start as the last act of construction, 47 ms after the process; the
    port accepts and /ready answers right after (seen at 58 and 64 ms by probes every 10 and 20 ms)."""
    played = play(
        control_plane={"kind": "none"},
        envoy={"static": {"clusters": {"type": "static"}, "listeners": {"routes": "inline"}}},
        traffic="1000/s",
        duration="2s",
    )
    assert_close(played.at("workers_started"), 47 * MS, "workers")
    assert played.at("workers_started") == played.at("bootstrapped") == played.at("ready")
    [(_, before), (accepts, after)] = played.outcomes()
    assert (before, after) == ("refused", "200")
    assert_close(accepts, 58 * MS, "port accepts")
    assert played.startup.outcome == "live"


# --- S2


@both_protocols
def test_s2_dependants_are_asked_for_before_the_ack(wire: dict[str, str]) -> None:
    """S2: CDS, EDS, LDS, RDS strictly in this order; what was received is applied, what depends on it
    requested, and only then is it ACKed. SotW and delta alike."""
    assert play(**wire, duration="2s").order() == SERVED


@both_protocols
def test_s2_separate_streams_keep_the_order_of_requests(wire: dict[str, str]) -> None:
    played = play(**wire, streams="separate", duration="2s")
    assert [said for said in played.order() if said.startswith("request")] == [f"request {t}" for t in TYPES]
    assert len({m.stream for m in played.messages()}) == 4


@both_protocols
@pytest.mark.parametrize("held_up_by", ["dns", "check"])
def test_s2_where_the_dependant_must_wait_the_ack_goes_first(wire: dict[str, str], held_up_by: str) -> None:
    """S2: the order follows from causes. A DNS cluster in the same CDS holds EDS back, a slow health check
    holds LDS back: the ACK leaves at once and the request when its cause is done."""
    if held_up_by == "dns":
        slow = {"type": "strict_dns", "resolver": {"after": "300ms"}}
        played = play(**wire, clusters=[{"type": "eds"}, slow], duration="2s")
        acked, asked = "ack cds", "request eds"
    else:
        check = {"answers": {"after": "300ms"}}
        played = play(**wire, resources={"health_check": check}, duration="2s")
        acked, asked = "ack eds", "request lds"
    assert said_at(played, acked) < 20 * MS
    assert_close(said_at(played, asked) - said_at(played, acked), 0.3, "request behind the ACK")


# --- S3, S4


@every_transport
def test_s3_nothing_overlaps(wire: dict[str, str]) -> None:
    """S3: start-up is the sum of the four answers. Each after 1 s: workers 4.02 s after the CDS request,
    whatever the transport. (A poll must be allowed to take longer than its usual second.)"""
    wire = {**wire, "propagation": {"refresh_delay": "1s", "request_timeout": "2s"}} if wire is POLL else wire
    played = play(**wire, answers=ONE_SECOND, timeout="15s", duration="8s")
    assert_close(workers_after(played, "request cds"), 4.02)
    assert played.fetch_timeouts == {}


@pytest.mark.parametrize("type_", TYPES)
def test_s3_one_late_type_is_the_whole_delay(type_: str) -> None:
    """S3: one type late by 1 s: workers 1.01 s after the CDS request."""
    played = play(answers={type_: {"after": "1s"}}, duration="4s")
    assert_close(workers_after(played, "request cds"), 1.01)


@every_stream
def test_s4_inside_a_type_everything_is_parallel(wire: dict[str, str]) -> None:
    """S4: two clusters and two listeners, each answer after 1 s: still 4.02 s."""
    played = play(
        **wire,
        clusters={"count": 2},
        listeners={"count": 2},
        answers=ONE_SECOND,
        timeout="15s",
        duration="8s",
    )
    assert_close(workers_after(played, "request cds"), 4.02)


@both_protocols
def test_s4_one_request_names_all(wire: dict[str, str]) -> None:
    """S4: all EDS names in one request, all RDS names in one request (ADS)."""
    played = play(**wire, clusters={"count": 3}, listeners={"count": 3}, duration="2s")
    for type_, names in (("eds", ["c0", "c1", "c2"]), ("rds", ["r0", "r1", "r2"])):
        asked = [list(m.resources) for m in played.messages(type=type_, direction="request") if not m.nonce]
        assert asked == [names]


def test_s4_separate_streams_ask_for_each_name_alone() -> None:
    played = play(streams="separate", clusters={"count": 3}, duration="2s")
    asked = [list(m.resources) for m in played.messages(type="eds", direction="request") if not m.nonce]
    assert asked == [["c0"], ["c1"], ["c2"]]


# --- S5

S5_STEPS = {
    ("response cds", "request eds"): 2.3 * MS,
    ("response eds", "request lds"): 1.5 * MS,
    ("response lds", "request rds"): 3.2 * MS,
}
S5_LAST_STEP = 0.3 * MS
"""RDS response to workers."""


def s5_misses(played: Play) -> list[str]:
    """The steps of S5 that a start does not meet."""
    missed = [
        f"{first} -> {then}"
        for (first, then), s in S5_STEPS.items()
        if not is_close(step(played, first, then), s)
    ]
    if not is_close(workers_after(played, "response rds"), S5_LAST_STEP):
        missed.append("response rds -> workers")
    return missed


@both_protocols
def test_s5_each_step_takes_its_measured_time(wire: dict[str, str]) -> None:
    """S5: with a server that answers at once, CDS response to EDS request 2.3 ms, EDS response to LDS request
    1.5, LDS response to RDS request 3.2, RDS response to workers 0.3; the whole ADS phase 8 to 9 ms."""
    played = play(**wire, duration="2s")
    assert s5_misses(played) == []
    assert_inside(workers_after(played, "request cds"), 8 * MS, 9 * MS, "ADS phase")


@both_protocols
def test_s5_a_model_without_costs_misses_every_step(wire: dict[str, str]) -> None:
    """The tolerances have teeth: with all costs and latencies off, no step of S5 is met."""
    played = play(**wire, envoy={"costs": "zero"}, network={"latency": "0s"}, duration="2s")
    assert played.order() == SERVED
    assert len(s5_misses(played)) == 4
    assert workers_after(played, "request cds") < 8 * MS / 2


# --- S6, S7, S8


@pytest.mark.parametrize("missing", TYPES)
def test_s6_the_port_refuses_until_the_workers_start(missing: str) -> None:
    """S6: the port is bound but not listening until the workers start; it accepts a few ms after (within the
    probe's 10 ms)."""
    played = play(answers={missing: {"after": "1s"}}, traffic="1000/s", duration="4s")
    [(begin, before), (accepts, after)] = played.outcomes()
    started = played.at("workers_started")
    assert started is not None
    assert (before, after) == ("refused", "200")
    assert begin < 0
    assert started < accepts <= started + 10 * MS


@both_protocols
def test_s7_ready_goes_through_its_three_states(wire: dict[str, str]) -> None:
    """S7: PRE_INITIALIZING until the clusters are done, INITIALIZING until LDS and RDS are done, then LIVE
    and 200."""
    played = play(**wire, answers=ONE_SECOND, timeout="15s", duration="8s")
    states = {state: t for t, state, _ in played.states("server")}
    assert list(states) == ["STARTING", "PRE_INITIALIZING", "INITIALIZING", "LIVE"]
    assert states["INITIALIZING"] == played.at("clusters_initialized")
    assert_close(states["INITIALIZING"], 2.0)
    assert states["LIVE"] == played.at("ready") == played.at("workers_started")


@pytest.mark.parametrize(("missing", "state"), [("cds", 2), ("eds", 2), ("lds", 3), ("rds", 3)])
def test_s7_server_live_is_set_long_before_ready(missing: str, state: int) -> None:
    """S7: the gauge server.live is already 1 while initializing, so it is no readiness; server.state tells
    (2 PRE_INITIALIZING, 3 INITIALIZING)."""
    played = play(answers={missing: NEVER}, timeout="0s", duration="5s")
    assert played.at("ready") is None
    assert played.startup.outcome == "initializing"
    assert counter(played, "envoy_server_live") == 1
    assert counter(played, "envoy_server_state") == state


@both_protocols
def test_s8_a_listener_that_waits_for_its_routes_counts_as_active(wire: dict[str, str]) -> None:
    """S8: at first start a listener waiting for RDS counts in total_listeners_active, not in
    total_listeners_warming."""
    played = play(**wire, answers={"rds": NEVER}, timeout="0s", listeners={"count": 2}, duration="5s")
    assert counter(played, "envoy_listener_manager_total_listeners_active") == 2
    assert counter(played, "envoy_listener_manager_total_listeners_warming") == 0
    assert counter(played, "envoy_listener_manager_workers_started") == 0


@both_protocols
def test_s8_a_cluster_that_waits_for_its_assignment_counts_as_warming(wire: dict[str, str]) -> None:
    """S8: warming_clusters does count during start-up."""
    played = play(**wire, answers={"eds": NEVER}, timeout="0s", clusters={"count": 3}, duration="5s")
    assert counter(played, "envoy_cluster_manager_warming_clusters") == 3
    assert counter(played, "envoy_cluster_manager_active_clusters") == 0
