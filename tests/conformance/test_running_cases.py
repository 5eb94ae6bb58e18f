"""A running Envoy, end to end: cases that join several rules, with Envoy's defaults and with Istio's.

Istio sets initial_fetch_timeout to 0: nothing that waits for configuration is ever released by time.
"""

from __future__ import annotations

from typing import Any

import pytest

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
    separate_streams,
    words_of,
)
from tests.conformance.tolerance import MS, assert_close, assert_inside
from tests.playing import NEVER, Play

EDS_ONCE = {"eds": [{}, NEVER]}
RESET = {"close": True}


def reset(after: float) -> dict[str, object]:
    return {"at": f"{AT + after}s", **RESET}


def istio(*pushes: dict[str, object], **keywords: Any) -> Play:
    return run(*pushes, preset="istio", timeout=None, **keywords)


# --- a new cluster whose assignment comes 2 s later


@both_protocols
def test_new_cluster_with_late_eds_on_ads(wire: dict[str, str]) -> None:
    played = run(
        push("cds", add=["c2"]),
        push("cds", after=0.5, change=["c1"]),
        push("eds", after=0.6, send=["c1"]),
        clusters={"count": 2},
        answers={"eds": [{}, {"after": "2s"}]},
        **wire,
    )
    later = entered(played, "cluster", "c1", "ACTIVE")
    assert later is not None
    assert_close(later, 0.6)
    acks = [m.t - AT for m in played.messages(AT, "cds", "request")]
    assert len(acks) == (1 if wire is SOTW else 2)
    assert_close(acks[0], 2.0)
    assert_close(acks[-1], 2.0)


@separate_streams
def test_new_cluster_with_late_eds_on_separate_streams(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0"]),
        push("cds", after=0.5, add=["c1"]),
        answers={"eds": [{}, {"after": "2s"}]},
        **wire,
    )
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 2.0)
    first, second = (m.t - AT for m in played.messages(AT, "cds", "request"))
    assert_inside(first, 0.0, 5 * MS)
    assert_inside(second - 0.5, 0.0, 5 * MS)


# --- a changed cluster whose assignment is not sent again, 3 s


@every_stream
def test_changed_cluster_without_eds(wire: dict[str, str]) -> None:
    played = run(push("cds", change=["c0"]), timeout="3s", answers=EDS_ONCE, **wire)
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 3.0)
    if "streams" in wire:
        assert words_of(outcomes(played)) == ["200", "UH"]
        assert_close(outcomes(played)[1][0], 3.0)
    else:
        assert outcomes(played) == [(0.0, "200")]


# --- Istio's fetch time-out of 0


@both_protocols
@pytest.mark.parametrize("missing", ["eds", "rds"])
def test_istio_never_becomes_ready_without_eds_or_rds(wire: dict[str, str], missing: str) -> None:
    played = istio(duration="120s", answers={missing: NEVER}, **wire)
    assert played.at("workers_started") is None
    assert played.at("ready") is None
    assert played.startup.outcome == "initializing"
    assert played.fetch_timeouts == {}
    assert words_of(outcomes(played)) == ["refused"]


@both_protocols
@pytest.mark.parametrize(
    "omitted", [{"eds": {"omit": ["c1"]}}, {"rds": {"omit": ["r1"]}}], ids=["eds", "rds"]
)
def test_istio_never_becomes_ready_while_one_of_many_is_missing(
    wire: dict[str, str], omitted: dict[str, Any]
) -> None:
    played = istio(duration="60s", clusters={"count": 3}, listeners={"count": 3}, answers=omitted, **wire)
    assert played.at("ready") is None
    [(type_, answer)] = omitted.items()
    healed = istio(
        {"at": "30s", "type": type_, "send": answer["omit"]},
        duration="60s",
        clusters={"count": 3},
        listeners={"count": 3},
        answers=omitted,
        **wire,
    )
    assert_close(healed.at("ready"), 30.0)


@both_protocols
def test_istio_a_changed_cluster_without_eds_never_warms_and_the_cds_ack_never_leaves(
    wire: dict[str, str],
) -> None:
    played = istio(push("cds", change=["c0"]), duration="300s", **wire)
    assert entered(played, "cluster", "c0", "ACTIVE") is None
    assert acked(played, "cds") is None
    assert counter(played, "envoy_cluster_assignment_use_cached") == 0, "only a time-out consults the cache"
    assert counter(played, "envoy_cluster_manager_warming_clusters") == 1
    assert outcomes(played) == [(0.0, "200")], "the old one serves on"
    assert played.delivery().outcome == "pending"


@both_protocols
def test_istio_one_stuck_cluster_holds_every_later_cds_ack_but_no_change(wire: dict[str, str]) -> None:
    played = istio(
        push("cds", change=["c0"]),
        push("cds", after=60, add=["c2"]),
        push("lds", after=61, change=["l0"]),
        push("rds", after=62, change=["r0"]),
        duration="120s",
        clusters=[{"count": 1}, {"count": 1, "type": "static"}],
        **wire,
    )
    active = entered(played, "cluster", "c2", "ACTIVE")
    assert active is not None
    assert_close(active - 60, 2 * MS)
    assert [w for w in conversation(played) if w == "ack cds"] == []
    assert acked(played, "lds") is not None
    assert acked(played, "rds") is not None
    assert [played.delivery(i).outcome for i in range(4)] == ["pending", "active", "active", "active"]


@both_protocols
def test_istio_the_stuck_cluster_is_freed_by_eds_whenever_it_comes(wire: dict[str, str]) -> None:
    played = istio(push("cds", change=["c0"]), push("eds", after=100, send=["c0"]), duration="120s", **wire)
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 100.0)
    assert_close(acked(played, "cds"), 100.0)


def test_istio_drains_at_once() -> None:
    played = istio(push("lds", remove=["l0"]), connection="kept")
    start, close = (
        entered(played, "listener", "l0", "DRAINING"),
        entered(played, "connection", "l0", "CLOSED"),
    )
    assert start is not None
    assert close is not None
    assert close - start < 20 * MS


# --- the stream is reset while a cluster warms


@both_protocols
def test_after_a_reset_everything_but_cds_is_asked_for_at_once_and_cds_when_warm(
    wire: dict[str, str],
) -> None:
    played = run(push("cds", change=["c0"]), reset(0.5), timeout="3s", answers=EDS_ONCE, **wire)
    requests = [m for m in played.messages(AT + 0.5, direction="request") if not m.nonce]
    asked = {m.type: m.t - AT for m in reversed(requests)}
    assert list(dict.fromkeys(m.type for m in requests)) == ["eds", "lds", "rds", "cds"]
    eds, lds, rds, cds = (asked[type_] for type_ in ("eds", "lds", "rds", "cds"))
    assert eds == lds == rds
    assert 0.5 < eds < 1.0 + 5 * MS, "first reconnect within half a second"
    assert_close(cds, 3.0)
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 3.0)
    assert outcomes(played) == [(0.0, "200")]


@both_protocols
def test_what_is_said_after_the_reset(wire: dict[str, str]) -> None:
    played = run(push("cds", change=["c0"]), reset(0.5), timeout="3s", answers=EDS_ONCE, **wire)
    first = {m.type: m for m in played.messages(AT + 0.5, direction="request") if not m.nonce}
    # The held-back CDS ACK is lost with its stream; the version applied is stated on the new one.
    assert first["cds"].version_info == ("2" if wire is SOTW else "")
    assert list(first["eds"].resources) == ["c0"]
    assert list(first["rds"].resources) == ["r0"]
    assert all(m.stream == 2 for m in first.values())


@both_protocols
def test_eds_answered_on_the_new_stream_ends_the_warming_and_cds_follows(wire: dict[str, str]) -> None:
    """In SotW the EDS request after the reset is a subscription, which the server answers; a delta
    server that knows what the Envoy holds has nothing new to say."""
    played = run(push("cds", change=["c0"]), reset(0.5), timeout="5s", duration="16s", **wire)
    active = entered(played, "cluster", "c0", "ACTIVE")
    asked = next(m.t - AT for m in played.messages(AT + 0.5, "eds", "request") if not m.nonce)
    cds = next(m.t - AT for m in played.messages(AT + 0.5, "cds", "request") if not m.nonce)
    assert active is not None
    if wire is SOTW:
        assert_inside(active - asked, 0.0, 5 * MS)
    else:
        assert_close(active, 5.0)
    assert_inside(cds - active, 0.0, 1 * MS)


def test_istio_after_a_reset_cds_is_never_asked_for_while_a_cluster_is_stuck() -> None:
    played = istio(push("cds", change=["c0"]), reset(0.5), duration="200s", answers=EDS_ONCE, **DELTA)
    assert [m.type for m in played.messages(AT + 0.5, direction="request") if not m.nonce] == [
        "eds",
        "lds",
        "rds",
    ]


@separate_streams
def test_on_separate_streams_a_reset_leaves_cds_free(wire: dict[str, str]) -> None:
    played = run(push("cds", change=["c0"]), reset(0.5), timeout="3s", answers=EDS_ONCE, **wire)
    cds = [m.t - AT for m in played.messages(AT + 0.5, "cds", "request") if not m.nonce]
    assert len(cds) == 1
    assert cds[0] < 1.0 + 5 * MS


# --- the delta trap while running


def test_a_listener_whose_route_delta_says_is_removed_warms_for_ever() -> None:
    """T7 of start-up, met by an added listener: the time-out is off and nothing is released."""
    played = run(
        push("lds", add=["l1"]),
        clusters={"count": 2},
        timeout="2s",
        duration="60s",
        traffic=None,
        answers={"rds": [{}, {"remove": ["r1"]}]},
        **DELTA,
    )
    assert entered(played, "listener", "l1", "ACTIVE") is None
    assert counter(played, "envoy_http_rds_init_fetch_timeout") == 0
    healed = run(
        push("lds", add=["l1"]),
        push("rds", after=20, send=["r1"]),
        clusters={"count": 2},
        timeout="2s",
        duration="60s",
        traffic=None,
        answers={"rds": [{}, {"remove": ["r1"]}]},
        **DELTA,
    )
    assert_close(entered(healed, "listener", "l1", "ACTIVE"), 20.0)
