"""Whole cases of start-up, each a sentence about when the workers start and what traffic then gets.

In simulated time after the CDS subscription, preset `envoy` unless said otherwise, over ADS SotW, ADS delta
and separate streams.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.running import DELTA, SEPARATE, SOTW, counter
from tests.conformance.starting import NEVER, said_at, step
from tests.conformance.tolerance import MS, assert_close
from tests.playing import TYPES, play

each_way = pytest.mark.parametrize("wire", [SOTW, DELTA, SEPARATE], ids=["sotw", "delta", "separate"])

CASES: dict[str, tuple[dict[str, Any], float, str]] = {
    "each answered after 1 s": (
        {"timeout": "15s", "answers": {t: {"after": "1s"} for t in TYPES}, "duration": "7s"},
        4.0,
        "200",
    ),
    "CDS never": ({"answers": {"cds": NEVER}}, 2.0, "NC"),
    "EDS never": ({"answers": {"eds": NEVER}}, 2.0, "UH"),
    "LDS never": ({"answers": {"lds": NEVER}}, 2.0, "refused"),
    "RDS never": ({"answers": {"rds": NEVER}}, 2.0, "NR"),
    "EDS and RDS never": ({"answers": {"eds": NEVER, "rds": NEVER}}, 4.0, "NR"),
    "nothing ever": ({"answers": dict.fromkeys(TYPES, NEVER)}, 4.0, "refused"),
    "five clusters and listeners without EDS and RDS": (
        {"answers": {"eds": NEVER, "rds": NEVER}, "clusters": {"count": 5}, "listeners": {"count": 5}},
        4.0,
        "NR",
    ),
    "connection refused, timeout 3 s": (
        {"timeout": "3s", "connect": "refuse", "duration": "9s"},
        6.0,
        "refused",
    ),
    "connection closed at once, timeout 3 s": (
        {"timeout": "3s", "connect": "close", "duration": "9s"},
        6.0,
        "refused",
    ),
    "health check never answered, check timeout 4 s, fetch timeout 1 s": (
        {
            "timeout": "1s",
            "resources": {"health_check": {"answers": "never", "timeout": "4s"}},
            "duration": "7s",
        },
        4.0,
        "200",
    ),
}


@each_way
@pytest.mark.parametrize("case", CASES)
def test_workers_start_and_traffic_gets(wire: dict[str, str], case: str) -> None:
    keywords, starts, outcome = CASES[case]
    played = play(**{"duration": "6s", **wire, **keywords}, traffic="100/s")
    assert_close(played.at("workers_started"), starts, "workers")
    assert played.outcomes()[-1][1] == outcome


@each_way
def test_nothing_ever_with_the_default_timeout(wire: dict[str, str]) -> None:
    """30 s: CDS out at 15, LDS at 30; then live with nothing configured."""
    played = play(**wire, timeout=None, answers=dict.fromkeys(TYPES, NEVER), duration="40s")
    assert_close(said_at(played, "request lds"), 15.0)
    assert_close(played.at("workers_started"), 30.0)
    assert played.startup.outcome == "live"
    assert counter(played, "envoy_cluster_manager_active_clusters") == 0


@each_way
def test_nothing_ever_with_timeout_zero(wire: dict[str, str]) -> None:
    played = play(**wire, timeout="0s", answers=dict.fromkeys(TYPES, NEVER), duration="300s")
    assert played.at("workers_started") is None
    assert played.startup.outcome == "initializing"


@each_way
def test_first_cds_rejected_as_a_whole(wire: dict[str, str]) -> None:
    """`decode`: at once, LDS is asked for within milliseconds."""
    played = play(**wire, answers={"cds": {"reject": "decode"}}, traffic="100/s", duration="3s")
    assert step(played, "response cds", "request lds") < 5 * MS
    assert played.outcomes()[-1][1] == "NC"


@each_way
def test_first_cds_rejected_in_part(wire: dict[str, str]) -> None:
    """`build`, with good EDS clusters beside the bad one: LDS follows their EDS."""
    played = play(
        **wire,
        clusters={"count": 3},
        answers={"cds": {"reject": "build"}, "eds": {"after": "1s"}},
        timeout="15s",
        duration="5s",
    )
    order = [said for said in played.order() if said.split()[0] in ("request", "nack")]
    # On a stream of its own the EDS request waits for that stream to open; on ADS it goes first (S2).
    apart = ["nack cds", "request eds", "request eds"]
    assert order == [
        "request cds",
        *(apart if wire is SEPARATE else ["request eds", "nack cds"]),
        "request lds",
        "request rds",
    ]
    assert {n for m in played.messages(type="eds", direction="request") for n in m.resources} == {"c1", "c2"}
    assert_close(said_at(played, "request lds"), 1.0)


@pytest.mark.parametrize("wire", [DELTA, {**DELTA, **SEPARATE}], ids=["delta", "separate-delta"])
def test_first_rds_answer_lists_the_route_as_removed(wire: dict[str, str]) -> None:
    """Never, until the route is sent."""
    answers = {"rds": {"remove": ["r0"]}}
    assert play(**wire, answers=answers, duration="60s").at("workers_started") is None
    pushes = [{"at": "30s", "type": "rds", "send": ["r0"]}]
    sent = play(**wire, answers=answers, pushes=pushes, traffic="100/s", duration="40s")
    assert_close(sent.at("workers_started"), 30.0)
    assert sent.outcomes()[-1][1] == "200"


@each_way
@pytest.mark.parametrize("missing", ["eds", "rds"])
def test_istio_waits_for_ever(wire: dict[str, str], missing: str) -> None:
    """Preset istio (timeout 0): EDS or RDS missing, never ready."""
    played = play(**wire, preset="istio", timeout=None, answers={missing: NEVER}, duration="120s")
    assert played.at("workers_started") is None
    assert played.at("ready") is None
    assert played.fetch_timeouts == {}


def test_istio_with_everything_answered_is_ready_when_live() -> None:
    played = play(preset="istio", timeout=None, protocol="delta", duration="3s")
    assert played.at("ready") is not None
    assert played.at("ready") == played.at("workers_started")


@each_way
def test_istio_readiness_asks_for_accepted_clusters_and_listeners(wire: dict[str, str]) -> None:
    """The agent's readiness is more than /ready: live without an accepted CDS, it stays unready until one
    comes."""
    played = play(
        **wire,
        preset="istio",
        timeout=None,
        answers={"cds": {"reject": "decode"}},
        pushes=[{"at": "5s", "type": "cds", "send": "all"}],
        duration="8s",
    )
    assert played.at("workers_started") is not None
    assert_close(played.at("ready"), 5.0)


# --- further checks that follow from the same rules


@each_way
def test_no_control_plane_at_all(wire: dict[str, str]) -> None:
    """CDS and LDS time out once each, workers start at 30 s with no dynamic configuration."""
    played = play(**wire, timeout=None, connect="refuse", duration="40s")
    assert_close(played.at("workers_started"), 30.0)
    assert played.fetch_timeouts == {"cds": 1, "lds": 1}
    assert counter(played, "envoy_cluster_manager_cds_init_fetch_timeout") == 1
    assert counter(played, "envoy_listener_manager_lds_init_fetch_timeout") == 1


def test_a_server_that_accepts_and_never_answers() -> None:
    """The same 30 s; the stream counts as connected throughout."""
    played = play(timeout=None, answers=dict.fromkeys(TYPES, NEVER), duration="40s")
    assert_close(played.at("workers_started"), 30.0)
    assert [state for _, state, _ in played.states("stream")] == ["OPEN"]
    assert counter(played, "envoy_control_plane_connected_state") == 1


@pytest.mark.parametrize("wire", [SOTW, DELTA], ids=["sotw", "delta"])
def test_one_bad_cluster_among_good_ones(wire: dict[str, str]) -> None:
    """The CDS phase ends at once; the good clusters are kept."""
    played = play(
        **wire, clusters={"type": "static", "count": 10}, answers={"cds": {"reject": "build"}}, duration="3s"
    )
    assert step(played, "response cds", "request lds") < 20 * MS
    assert counter(played, "envoy_cluster_manager_active_clusters") == 9


@each_way
def test_one_missing_assignment_of_a_hundred(wire: dict[str, str]) -> None:
    """LDS is asked for 15 s after the EDS subscriptions started."""
    played = play(
        **wire, timeout=None, clusters={"count": 100}, answers={"eds": {"omit": ["c57"]}}, duration="20s"
    )
    started = next(t for t, state, detail in played.states("subscription", "c57") if state == "WAITING")
    assert_close(said_at(played, "request lds") - started, 15.0)
    assert played.fetch_timeouts == {"eds": 1}
    assert played.entered("cluster", "c56", "ACTIVE") < 1.0


@pytest.mark.parametrize("fault", ["decode", "build"])
def test_one_invalid_assignment_of_a_hundred(fault: str) -> None:
    """SotW: all hundred are released at once, some without hosts."""
    played = play(timeout=None, clusters={"count": 100}, answers={"eds": {"reject": fault}}, duration="3s")
    assert counter(played, "envoy_cluster_manager_active_clusters") == 100
    assert step(played, "response eds", "request lds") < 50 * MS


def test_a_late_refetch_of_the_whole_chain_is_the_sum_of_its_parts() -> None:
    """t_CDS + t_EDS + t_LDS + t_RDS with four different delays."""
    delays = {"cds": 0.3, "eds": 0.7, "lds": 1.1, "rds": 0.2}
    answers = {t: {"after": f"{round(s * 1e3)}ms"} for t, s in delays.items()}
    assert_close(play(answers=answers, duration="5s").at("workers_started"), sum(delays.values()) + 9 * MS)
